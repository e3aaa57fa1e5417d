"""The score ∇ log p_σ(z) of noisy data z = x_0 + σε: how it follows from a denoiser, and two losses for it.

Tweedie's two formulas for the mean and the covariance of the data behind a noisy point:

    E[x_0 | z] = z + σ² ∇ log p_σ(z)        Cov[x_0 | z] = σ² ∂E[x_0 | z]/∂z = σ² (I + σ² ∇² log p_σ(z))

A score function takes points (n, *shape) to their scores (n, *shape), at one noise level. Networks are called
in the mode they are in.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Points, Positive, Sigma, a_function, checked, like

Denoiser = Annotated[Callable[[Tensor, Tensor], Tensor], a_function("ExactDenoiser(points)")]
ScoreFunction = Annotated[Callable[[Tensor], Tensor], a_function("ScoreAt(denoiser, sigma)")]


@checked
def score_of(x_0_hat: Points, z: Annotated[Points, like("x_0_hat")], sigma: Sigma) -> Tensor:
    """The score (x̂_0 − z)/σ² that belongs to the denoiser's answer x̂_0 at z: (n, *shape).

    It points from z to x̂_0, and is longer where there is less noise. Source: Efron 2011.
    """
    return (x_0_hat - z) / _each(sigma, z) ** 2


@checked
def x_0_of(score: Points, z: Annotated[Points, like("score")], sigma: Sigma) -> Tensor:
    """Tweedie's formula: x̂_0 = z + σ² score, the mean E[x_0 | z] if the score is exact: (n, *shape)."""
    return z + _each(sigma, z) ** 2 * score


@checked
class ScoreAt(nn.Module):
    """The score function z → (x̂_0(z, σ) − z)/σ² of a denoiser at the noise level σ."""

    def __init__(self, denoiser: Denoiser, sigma: Positive):
        super().__init__()
        self.denoiser, self.sigma, self.shape = denoiser, sigma, tuple(getattr(denoiser, "shape", ()))

    def forward(self, z: Points) -> Tensor:
        """The scores of points z (n, *shape)."""
        sigma = torch.full((len(z),), self.sigma, dtype=z.dtype, device=z.device)
        return score_of(self.denoiser(z, sigma), z, sigma)


@checked
def covariance(denoiser: Denoiser, z: Points, sigma: Sigma) -> Tensor:
    """Cov[x_0 | z] = σ² ∂x̂_0/∂z at points z (n, *shape), each flattened to D numbers: (n, D, D).

    Exact for the exact denoiser; for a network it is what its answers imply, which need not be symmetric.
    Each row's answer must depend on that row alone: put a network with batch normalisation in eval mode.
    """
    jacobian = _jacobian(lambda points: denoiser(points, sigma), z)
    return torch.as_tensor(sigma, dtype=z.dtype, device=z.device).reshape(-1, 1, 1) ** 2 * jacobian


@checked
def denoising_loss(
    score: ScoreFunction, x_0: Points, sigma: Sigma, eps: Annotated[Points, like("x_0")]
) -> Tensor:
    """‖s(z) + ε/σ‖² at z = x_0 + σε, one number for each point: (n,).

    Its mean is E‖s(z) − ∇ log p_σ(z)‖² plus a constant, which is the part of the noise that nobody can guess.
    Source: Vincent 2011.
    """
    sigma = _each(sigma, x_0)
    return (score(x_0 + sigma * eps) + eps / sigma).square().flatten(1).sum(dim=1)


@checked
def implicit_loss(score: ScoreFunction, z: Points) -> Tensor:
    """‖s(z)‖² + 2 ∇·s(z), one number for each point: (n,).

    Its mean over z ~ p is E‖s(z) − ∇ log p(z)‖² minus E‖∇ log p(z)‖². The divergence is exact, and takes a
    derivative for each coordinate: for a few dimensions. Source: Hyvärinen 2005, eq. 4.
    """
    divergence = _jacobian(score, z).diagonal(dim1=1, dim2=2).sum(dim=1)
    return score(z).square().flatten(1).sum(dim=1) + 2 * divergence


def _each(sigma: float | Tensor, z: Tensor) -> Tensor:
    """σ in the type of z, shaped to multiply it."""
    return torch.as_tensor(sigma, dtype=z.dtype, device=z.device).reshape(-1, *[1] * (z.ndim - 1))


def _jacobian(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The derivative of each row's value by that row, with the value's numbers first: (n, D, D).

    Rows don't see each other, so the derivative of a column's sum has all rows of this column.
    """
    D = math.prod(z.shape[1:])
    with torch.enable_grad():
        values, pull = torch.func.vjp(function, z)
        units = torch.eye(D, dtype=z.dtype, device=z.device).reshape(D, 1, *z.shape[1:])
        rows = [pull(unit.expand_as(values))[0].flatten(1) for unit in units]
    return torch.stack(rows, dim=1)
