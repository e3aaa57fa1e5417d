"""Diagonal Gaussians: the one family of distributions this book computes with."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Numbers, Variances, broadcasts, checked, fits, multiplies


@checked
@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(var)), one for each point of a batch.

    Attributes:
        mean: shape (..., D), or (..., *shape) for points with several axes.
        var: variances (never standard deviations), of a shape that broadcasts to that of `mean`. Zero means a
            point mass.
        event_dims: how many of the last axes belong to one point; sums over a point run over these.

    Means and points that are NaN go through: what is computed of them is NaN.

    Raises:
        ValueError: if `mean` or `var` is no floating-point tensor, a variance is negative, infinite or NaN,
            or `var` does not broadcast to the shape of `mean`; in the methods, for shapes that do not fit
            together and where a point mass has no density.
    """

    mean: Numbers
    var: Variances
    event_dims: int = 1

    def log_prob(self, x: Annotated[Tensor, fits]) -> Tensor:
        """log N(x; mean, diag(var)) in nats, one number for each point: shape (...)."""
        squared = (x - self.mean).square() / self.var
        return -0.5 * self._sum(squared + torch.log(2 * math.pi * self.var))

    def sample(self, generator: Generator | None = None) -> Tensor:
        """mean + √var · ε with ε ~ N(0, I); the shape of `mean`."""
        return self.from_noise(standard_normal(self.mean.shape, self.mean, generator))

    def from_noise(self, eps: Annotated[Tensor, broadcasts]) -> Tensor:
        """mean + √var · ε, the draw that belongs to the noise ε; the shape of `mean`."""
        return self.mean + self.var.sqrt() * eps

    def kl(self, other: Annotated["Gaussian", fits]) -> Tensor:
        """KL(self ‖ other) in nats, one number for each point: shape (...).

        ½ Σ [ v/w − 1 − log(v/w) + (m − n)²/w ] for N(m, v) and N(n, w). Infinite when `self` is a point mass;
        `other` may not be one.
        """
        ratio = self.var / other.var
        squared = (self.mean - other.mean).square() / other.var
        return 0.5 * self._sum(squared + ratio - 1 - ratio.log())

    def product(self, other: Annotated["Gaussian", multiplies]) -> "Gaussian":
        """The Gaussian proportional to the product of the two densities.

        Precisions add, and the mean is the precision-weighted mean. It is written with variances in the
        numerators, so that a point mass (variance 0) needs no special case.
        """
        total = self.var + other.var
        mean = (self.mean * other.var + other.mean * self.var) / total
        return Gaussian(mean, self.var * other.var / total, self.event_dims)

    def _sum(self, values: Tensor) -> Tensor:
        return values.sum(dim=tuple(range(-self.event_dims, 0)))


def standard_normal(shape: tuple[int, ...], like: Tensor, generator: Generator | None = None) -> Tensor:
    """ε ~ N(0, I) of this shape, of the type and on the device of `like`."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
