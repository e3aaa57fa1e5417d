"""What a noisy point tells of a clean one, in nats and bits; and what it costs to send it, level by level.

A receiver holds z = x_0 + σε and gets a less noisy z′. With κ = (σ′/σ)², the share of z in z′, and the
denoiser's answer x̂_0, which is off by r in a coordinate:

    q(z′ | z, x_0) = N(κ z + (1 − κ) x_0, σ′² (1 − κ))
    p(z′ | z) = N(κ z + (1 − κ) x̂_0, σ′² (1 − κ) + (1 − κ)² r²)

Before the first level there is nothing: σ = ∞, κ = 0, x̂_0 = 0 and r = 1, for data of mean 0 and variance 1.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Levels, Points, Positive, between, checked, some
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.solvers.steps import Denoiser, in_blocks

Errors = Annotated[Sequence[float], some(between(-1e-300, wanted="numbers of at least 0"))]
Spread = Annotated[Sequence[float], some(between(0, wanted="a positive number, such as 0.1"))]


@checked
@torch.no_grad()
def mmse(denoiser: Denoiser, x_0: Points, sigma: Positive, generator: Generator | None = None) -> float:
    """E‖x_0 − x̂_0(z, σ)‖² over points x_0 (n, *shape) and noise; the exact denoiser's is the least."""
    z = x_0 + sigma * standard_normal(x_0.shape, x_0, generator)
    return float((answer(denoiser, z, sigma) - x_0).square().flatten(1).sum(dim=1).mean())


@checked
def information(levels: Levels, errors: Errors) -> tuple[float, float]:
    """What z at the last level tells of x_0, in nats, from E‖x_0 − x̂_0‖² at each of the falling levels.

    I(x_0; z) = ½ ∫ mmse dSNR with SNR = 1/σ² from 0 on (Guo et al. 2005): by the trapezium rule in log SNR,
    and by the sum over steps, each with the error at its noisier end, which is what a chain of these levels
    pays. At the first level little is known yet: for what comes before, its error stands still.
    """
    as_many(errors, "errors", levels)
    snr = [1 / sigma**2 for sigma in levels]
    start = snr[0] * errors[0] / 2
    steps = sum((b - a) * e for (a, b), e in zip(pairwise(snr), errors, strict=False)) / 2
    product = [a * e for a, e in zip(snr, errors, strict=True)]
    area = sum(
        (p + q) / 2 * math.log(b / a) for (a, b), (p, q) in zip(pairwise(snr), pairwise(product), strict=True)
    )
    return start + area / 2, start + steps


@checked
@torch.no_grad()
def spreads(
    denoiser: Denoiser, x_0: Points, levels: Levels, generator: Generator | None = None
) -> list[float]:
    """r before the first level, where it is 1, and at each level but the last, on points x_0 (n, *shape).

    The root mean square of a coordinate of x_0 − x̂_0, to three digits: one number for each step.
    """
    numbers = math.prod(x_0.shape[1:])
    found = [(mmse(denoiser, x_0, sigma, generator) / numbers) ** 0.5 for sigma in levels[:-1]]
    return [1.0, *(float(f"{max(r, 1e-12):.3g}") for r in found)]


@checked
@torch.no_grad()
def rate_distortion(
    denoiser: Denoiser, x_0: Points, levels: Levels, spread: Spread, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """After each level: the bits that a receiver has got of each point, and how far x̂_0 is off: (levels, n).

    The bits are the sum of KL(q ‖ p) so far, in bits; the distance is ‖x_0 − x̂_0‖.
    """
    as_many(spread, "spread", levels)
    z, bits, off = torch.zeros_like(x_0), [], []
    for r, (sigma, lower) in zip(spread, pairwise([math.inf, *levels]), strict=True):
        kept, shift = step_from(z, sigma, lower, answer(denoiser, z, sigma))
        var, wrong = lower**2 * (1 - kept), (1 - kept) * r
        q = Gaussian(kept * z + (1 - kept) * x_0, x_0.new_tensor([var]), x_0.ndim - 1)
        p = Gaussian(shift, x_0.new_tensor([var + wrong**2]), x_0.ndim - 1)
        bits.append(q.kl(p) / math.log(2))
        z = q.from_noise(standard_normal(x_0.shape, x_0, generator))
        off.append((answer(denoiser, z, lower) - x_0).flatten(1).norm(dim=1))
    return torch.stack(bits).cumsum(dim=0), torch.stack(off)


@torch.no_grad()
def answer(denoiser: Denoiser, z: Tensor, sigma: float) -> Tensor:
    """x̂_0, block by block; 0 at σ = ∞, where nothing is known."""
    if math.isinf(sigma):
        return torch.zeros_like(z)
    return in_blocks(lambda rows: denoiser(rows, sigma), z, of=denoiser)


def as_many(values: Sequence[float], name: str, levels: Levels) -> None:
    """Refuse values that are not one for each level."""
    if len(values) != len(levels):
        raise ValueError(f"{name} has {len(values)} numbers; pass one for each of the {len(levels)} levels")


def step_from(z: Tensor, sigma: float, lower: float, x_0_hat: Tensor) -> tuple[float, Tensor]:
    """κ of the step from σ to σ′, and the forecast κ z + (1 − κ) x̂_0 of z′."""
    kept = (lower / sigma) ** 2
    return kept, kept * z + (1 - kept) * x_0_hat
