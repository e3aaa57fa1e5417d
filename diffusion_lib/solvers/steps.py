"""Samplers that go down the whole steps T, T − 1, …, 0 of a schedule.

A sampler is a generator function: it yields the states x_T, …, x_0. Noise is drawn for all points at once;
the network is called for some rows at a time, in eval mode.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import Count, Points, Steps, a_function, between, checked, descending
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.process.posterior import posterior, posterior_var
from diffusion_lib.process.schedules import Schedule, at

Denoiser = Annotated[Callable[[Tensor, Tensor], Tensor], a_function("ExactDenoiser(points)")]
ReverseStep = Annotated[Callable[[Tensor, int], Gaussian], a_function("model.reverse")]
ReverseVar = Literal["posterior", "beta"]

_in_hand: ContextVar[slice] = ContextVar("the rows in hand", default=slice(None))
BLOCK = 2**15  # numbers in the rows that a network gets at once, so that a million points need little memory


@checked
@torch.no_grad()
def ancestral(
    reverse: ReverseStep, x_T: Points, T: Count, generator: Generator | None = None
) -> Iterator[Tensor]:
    """x_T, …, x_0 (n, *shape), each x_{t−1} drawn from `reverse(x_t, t)`, the Gaussian p(x_{t−1} | x_t).

    Source: Ho et al. 2020, Algorithm 2.
    """
    x_t = x_T
    yield x_t
    for t in range(T, 0, -1):
        x_t = drawn_back(reverse, x_t, t, generator)
        yield x_t


@checked
@torch.no_grad()
def ddim(
    denoiser: Denoiser,
    x_T: Points,
    schedule: Schedule,
    steps: Annotated[Sequence[int], descending] | None = None,
    eta: Annotated[float, between(-1e-9, 1 + 1e-9, "a number from 0 to 1")] = 0.0,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """The state at each of the `steps`, which fall, then x_0: all (n, *shape); by default the steps T…1.

    x_T stands for the state at the first of them, which may lie below T.

    A step goes from t to s, the next of `steps`, the last one to s = 0. With the denoiser's answer x̂_0, and
    the noise ε̂ that it leaves in x_t:

        x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s − σ²) ε̂ + σ ε        σ² = η² (1 − ᾱ_s)/(1 − ᾱ_t) (1 − ᾱ_t/ᾱ_s)

    η = 0 adds no noise; η = 1 over all steps is ancestral sampling with the posterior's variance.

    Source: Song et al. 2021, eqs 12 and 16.
    """
    denoise, kept = AtSteps(denoiser, schedule), schedule.alpha_bar
    x_t, steps = x_T, list(steps or range(schedule.T, 0, -1))
    yield x_t
    for t, s in zip(steps, [*steps[1:], 0], strict=True):
        var = eta**2 * (1 - kept[s]) / (1 - kept[t]) * (1 - kept[t] / kept[s])
        x_0_hat = in_blocks(lambda rows, t=t: denoise(rows, t), x_t, of=denoiser)
        eps_hat = (x_t - schedule.signal[t] * x_0_hat) / schedule.noise[t]
        x_t = schedule.signal[s] * x_0_hat + (1 - kept[s] - var).sqrt() * eps_hat
        if eta:
            x_t = x_t + var.sqrt() * standard_normal(x_t.shape, x_t, generator)
        yield x_t


@checked
class AtSteps(nn.Module):
    """A denoiser x̂_0(z, σ) as a network of x_t and t, by z = x_t/√ᾱ_t and σ_t = √((1 − ᾱ_t)/ᾱ_t).

    It takes the place of a network in `Diffusion(..., predict="x_0")`: so an `ExactDenoiser` gets a bound
    and the model's three verbs.
    """

    def __init__(self, denoiser: Denoiser, schedule: Schedule):
        super().__init__()
        self.denoiser, self.schedule, self.T = denoiser, schedule, schedule.T

    def forward(self, x_t: Points, t: Steps) -> Tensor:
        sigma = at(self.schedule.sigma, t, x_t).flatten()
        return self.denoiser(x_t / at(self.schedule.signal, t, x_t), sigma.expand(len(x_t)))


@checked
class PosteriorSteps(nn.Module):
    """The Gaussian steps p(x_{t−1} | x_t) that a denoiser gives: the posterior at x_0 = x̂_0, for `ancestral`.

    With variance β̃_t, the posterior's, or β_t. At t = 1 the variance is 0, so the last step adds no noise.
    """

    def __init__(self, denoiser: Denoiser, schedule: Schedule, reverse_var: ReverseVar = "posterior"):
        super().__init__()
        self.denoise, self.schedule, self.T = AtSteps(denoiser, schedule), schedule, schedule.T
        self.reverse_var = reverse_variance(schedule, reverse_var)

    def forward(self, x_t: Points, t: Steps) -> Gaussian:
        q = posterior(x_t, self.denoise(x_t, t), t, self.schedule)
        return Gaussian(q.mean, at(self.reverse_var, t, x_t), q.event_dims)


@checked
def reverse_variance(schedule: Schedule, reverse_var: ReverseVar) -> Tensor:
    """The variances of the reverse steps over t = 0…T, shape (T + 1,): β̃_t, or β_t with a 0 at t = 1."""
    var = posterior_var(schedule)
    if reverse_var == "beta":
        var[2:] = schedule.beta[2:]
    return var


def last(states: Iterator[Tensor]) -> Tensor:
    """The last state a sampler yields; none of the others is kept."""
    return deque(states, maxlen=1).pop()


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of all tensors, so many at a time that they have about `BLOCK` numbers."""
    rows = max(1, BLOCK // tensors[0][0].numel())
    return zip(*(x.split(rows) for x in tensors), strict=True)


def in_blocks(function: Callable[..., Tensor], *tensors: Tensor, of: Callable | None = None) -> Tensor:
    """`function` of all rows, block by block, while the network `of` which it asks is in eval mode."""
    answers, start = [], _in_hand.get().start or 0
    with evaluating(of or function):
        for rows in blocks(*tensors):
            token = _in_hand.set(slice(start, start + len(rows[0])))
            try:
                answers.append(function(*rows))
            finally:
                start = _in_hand.get().stop
                _in_hand.reset(token)
    return torch.cat(answers)


def rows_in_hand() -> slice:
    """Which of all rows `in_blocks` is just at: for a network that has something for each row, as labels."""
    return _in_hand.get()


def drawn_back(
    reverse: ReverseStep, x_t: Tensor, t: int, generator: Generator | None, of: Callable | None = None
) -> Tensor:
    """x_{t−1}, drawn from `reverse(x_t, t)`: noise for all points at once, the steps in blocks."""
    eps = standard_normal(x_t.shape, x_t, generator)
    return in_blocks(lambda rows, noise: reverse(rows, t).from_noise(noise), x_t, eps, of=of or reverse)


@contextmanager
def evaluating(function: Callable) -> Iterator[None]:
    """Eval mode for a module, or that of a bound method; then each of its parts has its own mode again."""
    module = getattr(function, "__self__", function)
    parts = list(module.modules()) if isinstance(module, nn.Module) else []
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
