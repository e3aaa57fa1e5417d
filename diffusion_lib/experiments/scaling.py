"""Chapter 12: how long a step takes by model, batch and processes; and what the slips of many processes cost.

A step's time is in CPU seconds of the busier process, the median of some steps: other programs on the machine
don't change it much, and waiting isn't in it. The cases run one at a time.
"""

import json
import os
import sys
import tempfile
import time
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from torch import Generator, Tensor
from torch.utils.flop_counter import FlopCounterMode

from diffusion_lib.experiments.fewer_steps import fresh, in_floors
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.many.launch import launch
from diffusion_lib.many.loop import Plan, train_many
from diffusion_lib.many.recipes import Objective, Recipe, of_pictures
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.training import train

ALONE = True  # one case at a time
SHAPE = (3, 16, 16)
BATCHES = (16, 64)
STEPS = 20  # timed, for each batch; the first three are left out
RANKS, ROWS = 8, 32  # of the slips: so many processes with so many rows each


# --- a step's time ------------------------------------------------------------------------------------------


def widths(width: int) -> tuple[int, ...]:
    """Those of chapter 10's U-Net for faces have width 32."""
    return (width, 2 * width, 2 * width)


def gflop_a_row(objective: Objective) -> float:
    """10⁹ floating-point operations of a training step, for each row: forward and backward."""
    x_0, u = torch.randn(2, *objective.model.shape), torch.rand(2, 2)
    with FlopCounterMode(display=False) as counter:
        objective(x_0, u, torch.randn_like(x_0)).mean().backward()
    return counter.get_total_flops() / 2e9


def step_seconds(*, width: int, processes: int, seed: int) -> dict[str, float]:
    """CPU seconds of a training step for each batch; operations of a row and megabytes of gradients."""
    with tempfile.TemporaryDirectory() as out:
        launch(processes, width, seed, out, script="diffusion_lib.experiments.scaling")
        each = [json.loads(path.read_text()) for path in Path(out).glob("*.json")]
        found = {name: max(seconds[name] for seconds in each) for name in each[0]}
    objective = of_pictures(SHAPE, widths(width))
    size = 4e-6 * sum(p.numel() for p in objective.parameters())
    return {"gflop a row": gflop_a_row(objective), "mbytes": size, **found}


def timed(width: int, seed: int, out: Path) -> None:
    """What each process does: training steps, whose median time it writes into a file of its own."""
    data = torch.rand((256, *SHAPE), generator=Generator().manual_seed(seed)) * 2 - 1
    recipe = Recipe(partial(of_pictures, SHAPE, widths(width)), lambda: (data,), STEPS, 0, 1e-3)
    found = {}
    for batch_size in BATCHES:
        clock: list[float] = []
        plan = Plan(STEPS, batch_size, 1e-3, 0.995, seed)
        note = lambda *_, clock=clock: clock.append(time.process_time())  # noqa: E731
        train_many(recipe, plan, out / str(batch_size), cpu=True, on_step=note)
        found[f"batch {batch_size}"] = median(b - a for a, b in pairwise(clock[3:]))
    (out / f"{os.environ.get('RANK', 0)}.json").write_text(json.dumps(found))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


# --- slips --------------------------------------------------------------------------------------------------


class Ranks(Diffusion):
    """A model whose loss is that of RANKS processes, with one slip: the ranks share what they should not.

    A batch has RANKS · ROWS rows, those of rank 0 first.
    """

    def __init__(self, slip: str):
        schedule = even_log_snr(100)
        super().__init__(TimeMLP(schedule), schedule)
        self.slip = slip

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        rows = len(x_0)
        own = rows // RANKS if self.slip in ("noise", "both") else rows
        t = torch.randint(1, self.T + 1, (own,), generator=generator).repeat(rows // own)
        eps = torch.randn(own, 2, generator=generator).repeat(rows // own, 1)
        if self.slip in ("data", "both"):
            x_0 = x_0[: rows // RANKS].repeat(RANKS, 1)
        return self.squared_error(x_0, t, eps).mean()


def slips(*, slip: str, seed: int) -> dict[str, float]:
    """The quality, in noise floors, of a roll trained with ranks that share noise, data, or both."""
    torch.manual_seed(seed)
    model, generator = Ranks(slip), Generator().manual_seed(seed)
    x_0 = fresh(20_000, generator)
    train(model, x_0, steps=1500, batch_size=RANKS * ROWS, learning_rate=1e-2, generator=generator)
    return {"floors": in_floors(model.sample(10_000, Generator().manual_seed(seed + 100)))}


def rates(*, batch_size: int, factor: int, seed: int) -> dict[str, float]:
    """The quality, in noise floors, after 256,000 points in batches of this size, at factor · 0.005."""
    schedule = even_log_snr(100)
    torch.manual_seed(seed)
    model, generator = Diffusion(TimeMLP(schedule), schedule), Generator().manual_seed(seed)
    x_0 = fresh(20_000, generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training says so if the rate is too large
        train(model, x_0, 256_000 // batch_size, batch_size, 0.005 * factor, generator)
    return {"floors": in_floors(model.sample(10_000, Generator().manual_seed(seed + 100)))}


EXPERIMENTS = (
    Experiment(step_seconds, grid(width=(16, 32, 48, 64), processes=(1, 2), seed=(0, 1, 2))),
    Experiment(slips, grid(slip=("none", "noise", "data", "both"), seed=(0, 1, 2))),
    Experiment(
        rates,
        grid(batch_size=(64,), factor=(1,), seed=(0, 1, 2))
        + grid(batch_size=(1024,), factor=(1, 4, 16), seed=(0, 1, 2)),
    ),
)

if __name__ == "__main__":
    timed(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
