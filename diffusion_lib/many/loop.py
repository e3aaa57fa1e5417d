"""The training loop for one process or many: the engine is accelerate, the random numbers are keyed.

Each step has one batch, whoever computes it. Process k takes its share of the rows, computes the losses of
those, and the engine averages the gradients. Losses are weighted so that the average is the gradient of the
whole batch's mean, also where shares differ.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffusion_lib.many.kept import contents, newest_whole, partial, publish
from diffusion_lib.many.keyed import PROCESS, data_order, draws, keyed, shard
from diffusion_lib.many.recipes import Recipe, made
from diffusion_lib.models.checkpoints import save
from diffusion_lib.training import Average, adamw, warm_up_and_cosine

AVERAGE = "average.safetensors"  # in a checkpoint: the averaged weights
LOG = "log.jsonl"  # a line for each step: its number, loss and seconds


@dataclass(frozen=True)
class Plan:
    """What the result depends on; a run goes on only from a checkpoint of the same plan.

    How many processes there are, and how many rows one of them takes at a time, isn't part of it: that
    changes no more than rounding does.
    """

    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    seed: int
    precision: str = "no"  # or "bf16", "fp16"


def train_many(
    recipe: Recipe,
    plan: Plan,
    out: Path,
    rows_at_once: int | None = None,
    every: int = 100,
    until: int | None = None,
    cpu: bool = False,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train, or go on from the newest whole checkpoint in `out`: the objective, with averaged weights.

    PyTorch's own random numbers, of which layers such as dropout draw, begin anew from the plan's seed.

    Args:
        recipe: what is trained, on which data.
        plan: how long, how fast, from which seed.
        out: a folder for checkpoints, the log, and in the end `model.safetensors`; all processes see it.
        rows_at_once: how many rows a process computes before it adds up their gradients; all if None.
        every: steps from one checkpoint to the next.
        until: a step to stop at before the last, with a checkpoint.
        cpu: whether to leave accelerators alone.
        on_step: called in each process after each step, with its number and the process's seconds for it.
    """
    engine = Accelerator(cpu=cpu, mixed_precision=plan.precision)
    # For layers that draw by themselves, such as dropout: PyTorch starts every process with the same state.
    torch.manual_seed(int(keyed(plan.seed, 0, engine.process_index, PROCESS).integers(2**32)))
    data = tuple(x.to(engine.device) for x in recipe.data())
    objective = made(recipe, plan.seed)
    parameters = list(objective.parameters())
    optimiser = adamw(parameters, plan.learning_rate)
    wrapped, optimiser = engine.prepare(objective, optimiser)
    average = Average(list(engine.unwrap_model(wrapped).parameters()), plan.ema)
    done = resume(engine, out, plan, average)
    for step in range(done, until or plan.steps):
        start = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * warm_up_and_cosine(step, plan.steps)
        optimiser.zero_grad()
        loss = add_gradient(engine, wrapped, data, plan, step, rows_at_once)
        optimiser.step()
        average.add(step)  # after the step, and once a step
        seconds = time.perf_counter() - start
        log(engine, out, step, loss, seconds)
        if (step + 1) % every == 0 or step + 1 in (until, plan.steps):
            checkpoint(engine, out, plan, step + 1, average)
        if on_step is not None:
            on_step(step, seconds)
    average.put_in()
    objective = engine.unwrap_model(wrapped)
    if engine.is_main_process and (until or plan.steps) == plan.steps:
        save(objective.model, out / "model.safetensors")
    engine.wait_for_everyone()
    return objective


def add_gradient(
    engine: Accelerator,
    wrapped: nn.Module,
    data: Sequence[Tensor],
    plan: Plan,
    step: int,
    rows_at_once: int | None = None,
) -> Tensor:
    """Add to each parameter's gradient that of the batch's mean loss: this process's part of the loss.

    The engine averages gradients over p processes, so a row counts p/B here, and after that 1/B.
    """
    own = shard(plan.batch_size, engine.process_index, engine.num_processes)
    rows = data_order(plan.seed, step, plan.batch_size, len(data[0]))
    weight = engine.num_processes / plan.batch_size
    size = rows_at_once or len(own)
    parts = [own[i : i + size] for i in range(0, len(own), size)]
    loss = torch.zeros((), device=engine.device)
    for i, part in enumerate(parts):
        u, eps = draws(plan.seed, step, part, plan.batch_size, tuple(data[0].shape[1:]))
        x_0, *more = (x[rows[part.start : part.stop].to(x.device)] for x in data)
        u, eps = u.to(x_0.device), eps.to(x_0)
        last = i + 1 == len(parts)
        with torch.enable_grad() if last else engine.no_sync(wrapped):  # gradients travel once a step
            with engine.autocast():
                part_loss = wrapped(x_0, u, eps, *more).float().sum() * weight
            engine.backward(part_loss)
        loss += part_loss.detach()
    return loss


def log(engine: Accelerator, out: Path, step: int, loss: Tensor, seconds: float) -> None:
    """Add a line to the log: the batch's mean loss, from all processes."""
    loss = engine.reduce(loss, "mean")
    if engine.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        line = {"step": step + 1, "loss": float(loss), "seconds": seconds}
        with (out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def checkpoint(engine: Accelerator, out: Path, plan: Plan, step: int, average: Average) -> None:
    """Keep all that the next step needs: weights, the optimiser's state, the average, random states."""
    if engine.is_main_process:
        partial(out, step)
    engine.wait_for_everyone()
    folder = out / f"partial-{step:08d}"
    engine.save_state(str(folder))  # each process adds its own random state
    engine.wait_for_everyone()
    if engine.is_main_process:
        tensors = {str(i): mean.contiguous() for i, mean in enumerate(average.average)}
        save_file(tensors, folder / AVERAGE)
        publish(folder, step, vars(plan))
    engine.wait_for_everyone()


def resume(engine: Accelerator, out: Path, plan: Plan, average: Average) -> int:
    """Bring back the newest whole checkpoint: the number of steps done.

    Raises:
        ValueError: if it is one of another plan.
    """
    folder = newest_whole(out)
    if folder is None:
        return 0
    found: dict[str, Any] = contents(folder)
    if found["settings"] != vars(plan):
        other = {name for name in vars(plan) if found["settings"].get(name) != getattr(plan, name)}
        raise ValueError(
            f"out: {folder} has another {', '.join(sorted(other))}; pass the same plan, or another folder"
        )
    engine.load_state(str(folder))
    for name, value in load_file(folder / AVERAGE).items():
        average.average[int(name)].copy_(value)
    return int(found["step"])
