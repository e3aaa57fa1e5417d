"""Diagonal Gaussians: the one family of distributions this book computes with."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from diffusion_lib.checks import NotFiniteError, check_generator, check_tensor, check_type


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(var)), one for each row of a batch.

    Attributes:
        mean: shape (..., D).
        var: variances (never standard deviations), of a shape that broadcasts to that of `mean`. Zero means a
            point mass.

    Means and points that are NaN go through: what is computed of them is NaN.

    Raises:
        ValueError: if `mean` or `var` is no floating-point tensor, a variance is negative, infinite or NaN,
            or `var` does not broadcast to the shape of `mean`; in the methods, for shapes that do not fit
            together and where a point mass has no density.
    """

    mean: Tensor
    var: Tensor

    def __post_init__(self):
        for value, name in ((self.mean, "mean"), (self.var, "var")):
            check_tensor(value, name)
        low, high = self.var.detach().aminmax() if self.var.numel() else (0.0, 0.0)
        if not (low >= 0 and high < math.inf):
            entry = float(low if low < 0 else high)
            error = ValueError if low < 0 else NotFiniteError
            raise error(f"var has the entry {entry}; pass variances, which are finite and at least 0")
        if _broadcast(self.mean.shape, self.var.shape) != self.mean.shape:
            raise ValueError(
                f"var has shape {tuple(self.var.shape)}, mean {tuple(self.mean.shape)}; give var one entry, "
                "one for each row (n, 1), or the shape of mean"
            )

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; mean, diag(var)) in nats, summed over the last axis: shape (...)."""
        self._check_fits(x, "x")
        self._check_density("var")
        squared = (x - self.mean).square() / self.var
        return -0.5 * (squared + torch.log(2 * math.pi * self.var)).sum(dim=-1)

    def sample(self, generator: Generator | None = None) -> Tensor:
        """mean + √var · ε with ε ~ N(0, I); the shape of `mean`."""
        check_generator(generator)
        eps = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.var.sqrt() * eps

    def kl(self, other: "Gaussian") -> Tensor:
        """KL(self ‖ other) in nats, summed over the last axis: shape (...).

        ½ Σ [ v/w − 1 − log(v/w) + (m − n)²/w ] for N(m, v) and N(n, w). Infinite when `self` is a point mass;
        `other` may not be one.
        """
        self._check_other(other)
        other._check_density("other.var")
        ratio = self.var / other.var
        squared = (self.mean - other.mean).square() / other.var
        return 0.5 * (squared + ratio - 1 - ratio.log()).sum(dim=-1)

    def product(self, other: "Gaussian") -> "Gaussian":
        """The Gaussian proportional to the product of the two densities.

        Precisions add, and the mean is the precision-weighted mean. It is written with variances in the
        numerators, so that a point mass (variance 0) needs no special case.
        """
        self._check_other(other)
        total = self.var + other.var
        if not (total > 0).all():
            raise ValueError(
                "both variances are 0 in the same place; two point masses have no product: make one positive"
            )
        mean = (self.mean * other.var + other.mean * self.var) / total
        return Gaussian(mean, self.var * other.var / total)

    def _check_fits(self, x: Tensor, name: str) -> None:
        """Raise `ValueError` unless `x` has as many columns as `mean`, and its rows broadcast against it."""
        check_tensor(x, name)
        if self.mean.shape[-1:] != x.shape[-1:] or _broadcast(self.mean.shape, x.shape) is None:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, mean {tuple(self.mean.shape)}; both need equally many "
                "columns, and equally many rows or a single one"
            )

    def _check_other(self, other: "Gaussian") -> None:
        """Raise `ValueError` unless `other` is a Gaussian of a shape that fits."""
        check_type(other, "other", Gaussian, "Gaussian(mean, var)")
        self._check_fits(other.mean, "other.mean")

    def _check_density(self, name: str) -> None:
        """Raise `ValueError` where the variance is 0: a point mass has no density."""
        if not (self.var > 0).all():
            raise ValueError(f"{name} has a 0 among its entries; a density needs variances above 0")


def _broadcast(a: torch.Size, b: torch.Size) -> tuple[int, ...] | None:
    """The shape to which the two shapes broadcast, or None if they do not."""
    try:
        return np.broadcast_shapes(a, b)  # torch's own takes several times as long, in every sampling step
    except ValueError:
        return None
