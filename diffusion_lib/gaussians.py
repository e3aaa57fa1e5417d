"""Diagonal Gaussians: the one family of distributions this book computes with."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag(var)), one for each row of a batch.

    Attributes:
        mean: shape (..., D).
        var: variances (never standard deviations), of a shape that broadcasts against `mean`. Zero means a
            point mass.

    Raises:
        ValueError: if a variance is negative or NaN, or the shapes do not broadcast.
    """

    mean: Tensor
    var: Tensor

    def __post_init__(self):
        if not (self.var >= 0).all():
            raise ValueError(
                f"var has the entry {float(self.var.min())}; pass variances, which are at least 0"
            )
        try:
            torch.broadcast_shapes(self.mean.shape, self.var.shape)
        except RuntimeError:
            raise ValueError(
                f"var has shape {tuple(self.var.shape)}, mean {tuple(self.mean.shape)}; give var one entry, "
                "one for each row (n, 1), or the shape of mean"
            ) from None

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; mean, diag(var)) in nats, summed over the last axis: shape (...)."""
        squared = (x - self.mean).square() / self.var
        return -0.5 * (squared + torch.log(2 * math.pi * self.var)).sum(dim=-1)

    def sample(self, generator: Generator | None = None) -> Tensor:
        """mean + √var · ε with ε ~ N(0, I); the shape of `mean`."""
        eps = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.var.sqrt() * eps

    def kl(self, other: "Gaussian") -> Tensor:
        """KL(self ‖ other) in nats, summed over the last axis: shape (...).

        ½ Σ [ v/w − 1 − log(v/w) + (m − n)²/w ] for N(m, v) and N(n, w). Infinite when `self` is a point mass.
        """
        ratio = self.var / other.var
        squared = (self.mean - other.mean).square() / other.var
        return 0.5 * (squared + ratio - 1 - ratio.log()).sum(dim=-1)

    def product(self, other: "Gaussian") -> "Gaussian":
        """The Gaussian proportional to the product of the two densities.

        Precisions add, and the mean is the precision-weighted mean. It is written with variances in the
        numerators, so that a point mass (variance 0) needs no special case.
        """
        total = self.var + other.var
        if not (total > 0).all():
            raise ValueError(
                "both variances are 0 in the same place; two point masses have no product: make one positive"
            )
        mean = (self.mean * other.var + other.mean * self.var) / total
        return Gaussian(mean, self.var * other.var / total)
