"""One training loop for every model of the book."""

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import (
    Count,
    NotFiniteError,
    Points,
    Positive,
    a_function,
    a_label_each,
    between,
    checked,
    noise_each,
    outside,
    trainable,
)
from diffusion_lib.solvers.steps import evaluating

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


Model = Annotated[nn.Module, trainable]  # with a loss, and weights to be trained
EachLabel = Annotated[Tensor, a_label_each]
Decay = Annotated[float, between(-1e-9, 1, "a number from 0 to below 1, such as 0.995")]
EachNoise = Annotated[Tensor, noise_each]
OnStep = Annotated[Callable[[TrainingRun], None], a_function("lambda run: print(run.losses[-1])")]


@checked
def train(
    model: Model,
    x_0: Points,
    steps: Count = 2000,
    batch_size: Count = 1024,
    learning_rate: Positive = 2e-2,
    generator: Generator | None = None,
    on_step: OnStep | None = None,
    labels: EachLabel | None = None,
    noise: EachNoise | None = None,
    ema: Decay | None = None,
) -> TrainingRun:
    """Minimise `model.loss(batch, generator)` over batches drawn with replacement from points (n, *shape).

    With `labels`, whole numbers (n,), or with `noise` (n, *shape), the loss gets those of the batch, too.

    AdamW with β = (0.9, 0.99); the learning rate rises over the first 5 % of the steps and falls to 0 along a
    cosine. `on_step` is called after every step. An interrupt (the notebook's stop button) ends training and
    keeps what was learnt. A loss that is not finite, or a million times the first, or weights that are not
    finite end it and bring back the last weights known to be good. In both cases a warning says so. An error
    brings back good weights too, and is raised. Data far from mean 0 and standard deviation 1 is trained on,
    with a warning.

    With `ema` = d the model gets in the end, also after an interrupt, an average of its weights over the
    steps: w̄ ← d w̄ + (1 − d) w after each step, where d is at most (1 + i)/(10 + i) after step i = 0, 1, …,
    so that the start is soon forgotten. Until the end, `on_step` included, it has the weights themselves.
    """
    if trouble := unit_trouble(x_0):
        warnings.warn(f"x_0 {trouble}", stacklevel=3)
    given = {"labels": labels, "noise": noise}
    given = {name: values.to(x_0.device) for name, values in given.items() if values is not None}
    parameters = list(model.parameters())
    optimiser = adamw(parameters, learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: warm_up_and_cosine(i, steps))
    run, good, diverged = TrainingRun(), _GoodWeights(model), ""
    average = Average(parameters, ema)
    try:
        for i in range(steps):
            start = time.perf_counter()
            rows = torch.randint(len(x_0), (batch_size,), generator=generator, device=x_0.device)
            loss = model.loss(x_0[rows], generator, **{name: values[rows] for name, values in given.items()})
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
            average.add(i)
            rate.step()
            run.seconds += time.perf_counter() - start
            if on_step is not None:
                with outside():
                    on_step(run)
        if not diverged:  # the last weights prove themselves here
            average.put_in()
            with torch.no_grad(), evaluating(model):
                rows = slice(batch_size)
                same = Generator(x_0.device).manual_seed(0)
                loss = model.loss(x_0[rows], same, **{name: values[rows] for name, values in given.items()})
            diverged = _diverged(loss.item(), run.losses)
    except KeyboardInterrupt:
        average.put_in()
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
            f"Training ended early: {run.stopped}. The model is that of step {run.kept}.", stacklevel=3
        )
    return run


def adamw(parameters: list[Tensor], learning_rate: float) -> torch.optim.AdamW:
    """The optimiser, in its fast form where this device and this release of PyTorch offer it."""
    try:
        return torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99), fused=True)
    except (RuntimeError, TypeError):
        return torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99))


@checked
def warm_up_and_cosine(step: float, steps: Count) -> float:
    """The factor on the learning rate: it rises over the first 5 % of the steps, times a cosine down to 0."""
    warm_up = max(1, steps // 20)
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


@checked
def unit_trouble(x_0: Points) -> str:
    """What makes points (n, *shape) hard to learn in their units, and the remedy; empty if nothing does.

    A model starts from N(0, I), and its settings are for data of about that size.
    """
    x = x_0.detach().flatten(1)
    x = x[:, x.std(dim=0, correction=0) > 0]  # a constant coordinate is no trouble
    if x.numel() == 0:
        return ""
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    gap, overall = torch.finfo(x.dtype).eps * x.abs().amax(dim=0), float(std.square().mean().sqrt())
    if (gap > 1e-3 * std).any():
        return (
            f"has numbers near {float(x.abs().max()):.0e}, where {x.dtype} keeps {float(gap.max()):.0e} of "
            "their detail: before they become a tensor of this type, subtract their mean"
        )
    if x_0.ndim == 2 and std.max() > 10 * std.min():
        return (
            f"has columns of very different size, standard deviations from {float(std.min()):.2g} to "
            f"{float(std.max()):.2g}, and the small ones will be learnt last; pass "
            "(x_0 - x_0.mean(dim=0)) / x_0.std(dim=0)"
        )
    if not 0.3 <= overall <= 3 or (mean.abs() > 1).any():
        return (
            f"has a mean of up to {float(mean.abs().max()):.2g} and the standard deviation {overall:.2g}; "
            "these models learn data of mean 0 and standard deviation 1: pass "
            "data.Standardiser.fit(x_0)(x_0), and undo it on the samples"
        )
    return ""


class _GoodWeights:
    """A copy of a model's weights, and the step after which it had them."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.keep(0)

    def keep(self, step: int) -> None:
        self.weights, self.step = copy.deepcopy(self.model.state_dict()), step

    def bring_back(self) -> None:
        self.model.load_state_dict(self.weights)


class Average:
    """The exponential moving average of weights, if a decay is given; else nothing."""

    def __init__(self, parameters: list[Tensor], decay: float | None):
        self.parameters, self.decay = parameters, decay
        self.average = [] if decay is None else [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Let the average take in the weights after this step, counted from 0."""
        for mean, p in zip(self.average, self.parameters, strict=False):
            mean.lerp_(p, 1 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def put_in(self) -> None:
        """Make the average the model's weights."""
        for mean, p in zip(self.average, self.parameters, strict=False):
            p.copy_(mean)


def _diverged(loss: float, losses: list[float]) -> str:
    """What is wrong with a loss that is not finite or far above the first of a run; empty if nothing is."""
    first = losses[0] if losses else loss
    good = math.isfinite(loss) and loss - first <= WORST * max(1.0, abs(first))
    return "" if good else f"the loss became {loss:g}"


def _finite(parameters: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in parameters)
