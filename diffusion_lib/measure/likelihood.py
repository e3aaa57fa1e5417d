"""How likely a model finds given points: exact densities, bounds, and the probability-flow ODE's density.

All in nats, for points as the model gets them. Data on a curve has no density, so points need some noise, of
the standard deviation σ. The exact log p of such points is `ExactDenoiser.log_prob(z, sigma)`.
"""

import math
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import (
    Count,
    Levels,
    Points,
    Positive,
    Sigma,
    a,
    checked,
)
from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.solvers.steps import Denoiser, blocks, evaluating

Oracle = Annotated[ExactDenoiser, a(ExactDenoiser)]
Chains = Annotated[ReverseChain, a(ReverseChain)]
Divergence = Literal["exact", "hutchinson"]


@checked
class Blurred(nn.Module):
    """The denoiser of noisy data y = x_0 + δe, made of the denoiser of x_0: E[y | z] for z = y + σε.

    Both noises together have the variance τ² = δ² + σ², and of z − x̂_0(z, τ) the share σ² belongs to ε:

        ŷ = z + (σ²/τ²) (x̂_0(z, τ) − z)

    It is exact for the exact denoiser: the score of z is the same, whichever of the two is called data.
    """

    def __init__(self, denoiser: Denoiser, delta: Positive):
        super().__init__()
        self.denoiser, self.delta, self.shape = denoiser, delta, tuple(getattr(denoiser, "shape", ()))

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """ŷ for points z (B, *shape) with noise of the standard deviation σ, one number or (B,)."""
        sigma = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).expand(len(z))
        tau = (sigma.square() + self.delta**2).sqrt()
        share = (sigma / tau).square().reshape(-1, *[1] * (z.ndim - 1))
        return torch.lerp(z, self.denoiser(z, tau), share)


@checked
def noisy_entropy(oracle: Oracle, sigma: Positive, order: Count = 16) -> float:
    """−E log p(z) of z = x_0 + σε, the entropy in nats of the oracle's points seen through noise.

    By Gauss and Hermite's rule for ε, `order` points a coordinate, and the oracle's weights for x_0: for few
    dimensions.
    """
    points, D = oracle.points.double(), math.prod(oracle.shape)
    node, weight = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(order))
    places = torch.cartesian_prod(*[node] * D).reshape(-1, D)
    shares = torch.cartesian_prod(*[weight / weight.sum()] * D).reshape(-1, D).prod(dim=1)
    chances = oracle.log_weights.double().exp()
    mean = 0.0
    for share, eps in zip(shares.to(points), places.reshape(-1, *oracle.shape).to(points), strict=True):
        mean += float(share * (chances * oracle.log_prob(points + sigma * eps, sigma)).sum())
    return -mean


@checked
@torch.no_grad()
def importance_bound(
    model: Chains, x_0: Points, paths: Count = 16, generator: Generator | None = None
) -> Tensor:
    """An upper bound on −log p(x_0) from so many forward paths a point: (n,), in nats.

        −log mean_k exp(−ℓ_k)        ℓ_k = log q(x_1…x_T | x_0) − log p(x_0…x_T) on the path k, drawn from q

    One path gives an unbiased estimate of the negative ELBO; in the mean more paths give a smaller bound, and
    ever more the truth. Source: Burda et al. 2016, eq. 8.
    """
    chains = x_0.repeat_interleave(paths, dim=0)
    with evaluating(model):
        lost = [
            model.first_form(forward.trajectory(rows, model.schedule, generator)).sum(dim=0)
            for (rows,) in blocks(chains)
        ]
    log_w = -torch.cat(lost).reshape(len(x_0), paths)
    return math.log(paths) - log_w.logsumexp(dim=1)


@checked
def ode_log_prob(
    denoiser: Denoiser,
    z: Points,
    levels: Levels,
    method: Literal["heun", "euler"] = "heun",
    divergence: Divergence = "exact",
    generator: Generator | None = None,
) -> Tensor:
    """log p(z), (n,), in nats, by the probability-flow ODE up from noise levels[-1], that of z, to levels[0].

        dz/dσ = u = (z − x̂_0)/σ        log p(z) = log N(z_max; 0, (1 + σ_max²) I) + ∫ ∇·u dσ

    Data of mean 0 and variance 1 is meant, and σ_max large, so that z_max is nearly Gaussian. With n levels
    Euler's steps take n − 1 calls of the denoiser with derivatives, Heun's 2 (n − 1). The steps are even in
    log σ if the levels are (`log_even`), and log σ is the variable of the solver.

    divergence: "exact" takes a derivative for each coordinate; "hutchinson" estimates it by v·(∂u/∂z)v with
    one v of random signs for a point, the same all the way: an unbiased estimate of what the exact one gives.
    Sources: Chen et al. 2018; Grathwohl et al. 2019; Song et al. 2021, section 4.3.
    """
    if len(levels) < 2:
        raise ValueError(f"levels = {list(levels)}; pass at least two, the last one the noise of z")
    v = None
    if divergence == "hutchinson":
        v = 2 * (standard_normal(z.shape, z, generator) > 0).to(z) - 1
    found = []
    with evaluating(denoiser):
        for rows, *signs in blocks(z) if v is None else blocks(z, v):
            slope = partial(_slope, denoiser, v=signs[0] if signs else None)
            found.append(_up(slope, rows, levels[::-1], method))
    return torch.cat(found)


def _slope(denoiser: Denoiser, z: Tensor, sigma: float, v: Tensor | None) -> tuple[Tensor, Tensor]:
    """dz/d log σ = z − x̂_0, and its divergence D − tr ∂x̂_0/∂z, exact or by one vector v a row."""
    with torch.enable_grad():
        x_0_hat, pull = torch.func.vjp(lambda rows: denoiser(rows, sigma), z)
        if v is None:
            units = torch.eye(math.prod(z.shape[1:]), dtype=z.dtype, device=z.device)
            tries = [unit.reshape(1, *z.shape[1:]).expand_as(z) for unit in units]
        else:
            tries = [v]
        trace = sum((pull(one)[0] * one).flatten(1).sum(dim=1) for one in tries)
    return (z - x_0_hat).detach(), (math.prod(z.shape[1:]) - trace).detach()


def _up(slope, z: Tensor, levels: Levels, method: str) -> Tensor:
    """log p(z) by the way up through the rising levels."""
    gained = torch.zeros_like(z.flatten(1)[:, 0])
    for sigma, higher in zip(levels, levels[1:], strict=False):
        h = math.log(higher / sigma)
        u, div = slope(z, sigma)
        if method == "heun":
            u_there, div_there = slope(z + h * u, higher)
            u, div = (u + u_there) / 2, (div + div_there) / 2
        z, gained = z + h * u, gained + h * div
    var = 1 + levels[-1] ** 2
    D = math.prod(z.shape[1:])
    at_end = -z.square().flatten(1).sum(dim=1) / (2 * var) - D / 2 * math.log(2 * math.pi * var)
    return at_end + gained
