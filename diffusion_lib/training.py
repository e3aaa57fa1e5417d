"""One training loop for every model of the book."""

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.checks import (
    NotFiniteError,
    a_weight,
    check_callable,
    check_count,
    check_generator,
    check_number,
    check_points,
    check_positive,
    check_type,
)

KEEP_EVERY = 50  # steps between two copies of the weights
WORST = 1e6  # a loss beyond the first one by this factor has diverged, though it may be finite


@dataclass
class TrainingRun:
    """What happened.

    Attributes:
        losses: the loss of every step.
        seconds: the time spent in steps, that of `on_step` left out.
        stopped: why training ended early; empty if it did not.
        kept: the number of the step after which the model's weights were taken.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""
    kept: int = 0

    @property
    def steps_per_second(self) -> float:
        """Mean rate so far."""
        return len(self.losses) / self.seconds if self.seconds else 0.0


def train(
    model: nn.Module,
    x_0: Tensor,
    steps: int = 2000,
    batch_size: int = 1024,
    learning_rate: float = 2e-2,
    generator: Generator | None = None,
    on_step: Callable[[TrainingRun], None] | None = None,
) -> TrainingRun:
    """Minimise `model.loss(batch, generator)` over batches drawn with replacement from points x_0 (n, 2).

    AdamW with β = (0.9, 0.99); the learning rate rises over the first 5 % of the steps and falls to 0 along a
    cosine. `on_step` is called after every step. An interrupt (the notebook's stop button) ends training and
    keeps what was learnt. A loss that is not finite, or a million times the first, or weights that are not
    finite end it and bring back the last weights known to be good. In both cases a warning says so. An error
    brings back good weights too, and is raised.
    """
    _check(model, x_0, on_step)
    check_count(steps, "steps")
    check_count(batch_size, "batch_size")
    check_positive(learning_rate, "learning_rate", "2e-2; 1e-3 to 2e-2 suits these models")
    check_generator(generator)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99), fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: warm_up_and_cosine(i, steps))
    run, good, diverged = TrainingRun(), _GoodWeights(model), ""
    try:
        for i in range(steps):
            start = time.perf_counter()
            batch = x_0[torch.randint(len(x_0), (batch_size,), generator=generator)]
            loss = model.loss(batch, generator)
            diverged = _diverged(loss.item(), run.losses)
            if diverged:
                break
            # Weights are good once they gave a good loss; those after this step have yet to prove it.
            if i % KEEP_EVERY == 0 and _finite(parameters):
                good.keep(i)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.losses.append(loss.item())  # at once: an interrupt after it must find the step counted
            rate.step()
            run.seconds += time.perf_counter() - start
            if on_step is not None:
                on_step(run)
        if not diverged:  # the last weights prove themselves here
            with torch.no_grad():
                loss = model.loss(x_0[:batch_size], Generator().manual_seed(0))
            diverged = _diverged(loss.item(), run.losses)
    except KeyboardInterrupt:
        run.stopped = "interrupted"
    except NotFiniteError as error:  # the data is finite, so the weights have gone astray
        diverged = str(error)
    except Exception as error:
        good.bring_back()
        error.add_note(f"The model keeps its weights after step {good.step} of {steps}.")
        raise
    if not _finite(parameters):
        diverged = diverged or "the weights are not finite"
    run.kept = len(run.losses)
    if diverged:
        good.bring_back()
        advice = f"the learning rate {learning_rate:g} may be too large, 1e-3 to 2e-2 suits these models"
        run.stopped, run.kept = f"{diverged}: {advice}", good.step
    if run.stopped:
        warnings.warn(
            f"Training ended early: {run.stopped}. The model is that of step {run.kept}.", stacklevel=2
        )
    return run


def warm_up_and_cosine(step: int, steps: int) -> float:
    """The factor on the learning rate: it rises over the first 5 % of the steps, times a cosine down to 0."""
    check_number(step, "step")
    check_count(steps, "steps")
    warm_up = max(1, steps // 20)
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _check(model: nn.Module, x_0: Tensor, on_step: Callable | None) -> None:
    """Raise `ValueError` unless there is a model to train, with `loss` and weights, on points that fit it."""
    check_type(model, "model", nn.Module, "Diffusion(TimeMLP(schedule), schedule)")
    check_callable(getattr(model, "loss", None), "model.loss", "that of a VAE or a Diffusion")
    weight = a_weight(model)
    if weight is None:
        raise ValueError(
            f"model, a {type(model).__name__}, has no parameters; pass a model with a network to train"
        )
    check_points(x_0, "x_0", weight)
    if on_step is not None:
        check_callable(on_step, "on_step", "lambda run: print(run.losses[-1])")


class _GoodWeights:
    """A copy of a model's weights, and the step after which it had them."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.keep(0)

    def keep(self, step: int) -> None:
        self.weights, self.step = copy.deepcopy(self.model.state_dict()), step

    def bring_back(self) -> None:
        self.model.load_state_dict(self.weights)


def _diverged(loss: float, losses: list[float]) -> str:
    """What is wrong with a loss that is not finite or far above the first of a run; empty if nothing is."""
    first = losses[0] if losses else loss
    good = math.isfinite(loss) and loss - first <= WORST * max(1.0, abs(first))
    return "" if good else f"the loss became {loss:g}"


def _finite(parameters: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in parameters)
