"""Samplers that follow the probability-flow ODE dz/dσ = (z − x̂_0(z, σ))/σ from much noise to none.

They take a denoiser and a point z = x_0 + σε for each sample, at the first of the falling `levels` σ, and
yield the state at each level, then x_0, the denoiser's answer at the last. No noise is drawn: the same start
gives the same sample.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from diffusion_lib.contracts import Count, Levels, Points, Positive, checked
from diffusion_lib.solvers.steps import Denoiser, in_blocks


@checked
def log_even(n: Count, sigma_max: Positive = 20.0, sigma_min: Positive = 0.005) -> list[float]:
    """`n` noise levels from `sigma_max` down to `sigma_min`, evenly spaced in log σ."""
    return _levels(sigma_max, sigma_min, n, torch.exp, torch.log)


@checked
def power_even(
    n: Count, sigma_max: Positive = 20.0, sigma_min: Positive = 0.005, rho: Positive = 7.0
) -> list[float]:
    """`n` noise levels from `sigma_max` down to `sigma_min`, evenly spaced in σ^(1/ρ).

    Source: Karras et al. 2022, eq. 5.
    """
    return _levels(sigma_max, sigma_min, n, lambda x: x**rho, lambda x: x ** (1 / rho))


def _levels(
    sigma_max: float,
    sigma_min: float,
    n: int,
    out: Callable[[Tensor], Tensor],
    into: Callable[[Tensor], Tensor],
) -> list[float]:
    """`n` levels, even in `into` of them; `out` leads back."""
    if not sigma_min < sigma_max:
        raise ValueError(f"sigma_min = {sigma_min}, sigma_max = {sigma_max}; take sigma_min < sigma_max")
    ends = into(torch.tensor([sigma_max, sigma_min], dtype=torch.float64, device="cpu"))
    return out(torch.linspace(*ends.tolist(), n, dtype=torch.float64, device="cpu")).tolist()


@checked
@torch.no_grad()
def euler(denoiser: Denoiser, z: Points, levels: Levels) -> Iterator[Tensor]:
    """Steps along the tangent: z ← z + (σ′ − σ) (z − x̂_0)/σ. One call a level; an error of order 1.

    It is DDIM with η = 0 (Song et al. 2021, section 4.3).
    """
    yield z
    for sigma, lower in zip(levels, [*levels[1:], 0.0], strict=True):
        z = torch.lerp(_ask(denoiser, z, sigma), z, lower / sigma)
        yield z


@checked
@torch.no_grad()
def heun(denoiser: Denoiser, z: Points, levels: Levels) -> Iterator[Tensor]:
    """Steps along the mean of two tangents, at both ends of an Euler step; the last step, to 0, is Euler's.

    2n − 1 calls for n levels; an error of order 2. Source: Karras et al. 2022, Algorithm 1.
    """
    yield z
    for sigma, lower in zip(levels, [*levels[1:], 0.0], strict=True):
        x_0_hat = _ask(denoiser, z, sigma)
        there = torch.lerp(x_0_hat, z, lower / sigma)
        if lower:
            slopes = (z - x_0_hat) / sigma, (there - _ask(denoiser, there, lower)) / lower
            there = z + (lower - sigma) * sum(slopes) / 2
        z = there
        yield z


@checked
@torch.no_grad()
def dpm_solver_pp_2m(denoiser: Denoiser, z: Points, levels: Levels) -> Iterator[Tensor]:
    """Steps that take x̂_0 as a straight line in λ = −log σ, through its last two answers.

        z ← (σ′/σ) z + (1 − σ′/σ) x̄        x̄ = x̂_0 + (x̂_0 − x̂_0 before) (λ′ − λ) / (2 (λ − λ before))

    One call a level; an error of order 2. The first step and the last, to 0, take x̂_0 alone for x̄: there the
    line would lead too far. Source: Lu et al. 2022, Algorithm 2.
    """
    yield z
    earlier, before = None, None
    for sigma, lower in zip(levels, [*levels[1:], 0.0], strict=True):
        x_0_hat = _ask(denoiser, z, sigma)
        ahead = x_0_hat
        if earlier is not None and lower:
            longer = math.log(sigma / lower) / math.log(before / sigma)
            ahead = torch.lerp(earlier, x_0_hat, 1 + longer / 2)
        z = torch.lerp(ahead, z, lower / sigma)
        earlier, before = x_0_hat, sigma
        yield z


def _ask(denoiser: Denoiser, z: Tensor, sigma: float) -> Tensor:
    """The denoiser's answers at one noise level, in eval mode and block by block."""
    return in_blocks(lambda rows: denoiser(rows, sigma), z, of=denoiser)
