"""Five named sets of 2-D points, all of the same size, and the change of units that training wants.

Each function draws `n` fresh points, float32, shape (n, 2), from a `generator`. The Swiss roll is the book's
running example; the other four share its overall standard deviation, so that settings carry over from one to
the next.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from sklearn.datasets import make_circles, make_moons, make_swiss_roll
from torch import Generator, Tensor

from diffusion_lib.checks import (
    check_count,
    check_finite,
    check_generator,
    check_number,
    check_points,
    check_tensor,
)

_ROLL_START, _ROLL_END = 1.5 * math.pi, 4.5 * math.pi  # the angles between which scikit-learn draws the roll
# The roll's overall standard deviation about its mean, 0.679: an integral over the angle.
_STD = math.sqrt((0.0975 * math.pi**2 - 0.04 - (0.2 / (3 * math.pi)) ** 2) / 2)
_FINE = 2**17  # points to draw from where scikit-learn spaces them evenly: their steps are below 1e-4


def _to_roll_size(x: Tensor, mean: tuple[float, float], std: float) -> Tensor:
    """Centre a set and give it the roll's overall standard deviation."""
    return ((x - torch.tensor(mean)) * (_STD / std)).float()


def swiss_roll(n: int, generator: Generator | None = None) -> Tensor:
    """The Swiss roll: scikit-learn's, without noise, columns 0 and 2, divided by 10."""
    check_count(n, "n")
    check_generator(generator)
    seed = int(torch.randint(2**31, (1,), generator=generator))  # scikit-learn draws with NumPy
    x, _ = make_swiss_roll(n, random_state=seed)
    return torch.from_numpy(x[:, [0, 2]] / 10).float()


def roll_curve(n: int = 2000) -> Tensor:
    """The curve on which the Swiss roll lies, as `n` points in order along it; shape (n, 2)."""
    check_count(n, "n", least=2)
    angle = torch.linspace(_ROLL_START, _ROLL_END, n, dtype=torch.float64)
    return torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1).float() / 10


def _drawn_from(make: Callable, n: int, generator: Generator | None) -> Tensor:
    """`n` independent points of a set that scikit-learn spaces evenly, the same `n` in each of its draws."""
    check_count(n, "n")
    check_generator(generator)
    x, _ = make(_FINE, shuffle=False)
    return torch.from_numpy(x)[torch.randint(_FINE, (n,), generator=generator)]


def moons(n: int, generator: Generator | None = None) -> Tensor:
    """Two interleaved half circles: points of scikit-learn's moons, without noise."""
    x = _drawn_from(make_moons, n, generator)
    return _to_roll_size(x, mean=(0.5, 0.25), std=math.sqrt(21 / 32 - 1 / (2 * math.pi)))


def circles(n: int, generator: Generator | None = None) -> Tensor:
    """Two concentric circles, one half as large: points of scikit-learn's circles, without noise."""
    x = _drawn_from(partial(make_circles, factor=0.5), n, generator)
    return _to_roll_size(x, mean=(0.0, 0.0), std=math.sqrt(5 / 16))


def eight_gaussians(n: int, generator: Generator | None = None) -> Tensor:
    """Eight round Gaussians, standard deviation 1/10, on a circle of radius 1 (before scaling)."""
    check_count(n, "n")
    check_generator(generator)
    angle = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centre = torch.stack([angle.cos(), angle.sin()], dim=1)
    x = centre + 0.1 * torch.randn(n, 2, generator=generator)
    return _to_roll_size(x, mean=(0.0, 0.0), std=math.sqrt(1 / 2 + 0.01))


def checkerboard(n: int, generator: Generator | None = None) -> Tensor:
    """Uniform points on the dark squares of a 4 × 4 checkerboard."""
    check_count(n, "n")
    check_generator(generator)
    square = torch.randint(8, (n,), generator=generator)  # the dark squares, two in each column
    column = square // 2
    row = 2 * (square % 2) + column % 2
    x = torch.stack([column, row], dim=1) + torch.rand(n, 2, generator=generator)
    return _to_roll_size(x, mean=(2.0, 2.0), std=math.sqrt(4 / 3))


DATASETS = {f.__name__: f for f in (swiss_roll, moons, circles, eight_gaussians, checkerboard)}


@dataclass(frozen=True)
class Standardiser:
    """The change of units x ↦ (x − mean) / std that gives data mean 0 and overall standard deviation 1.

    One standard deviation serves both coordinates, so shapes keep their proportions.

    Attributes:
        mean: shape (2,), in the data's units.
        std: a positive number, in the data's units.
    """

    mean: Tensor
    std: float

    def __post_init__(self):
        check_tensor(self.mean, "mean")
        check_finite(self.mean, "mean")
        check_number(self.std, "std")
        if self.mean.shape != (2,) or not self.std > 0:
            raise ValueError(
                f"mean has shape {tuple(self.mean.shape)} and std = {self.std}; pass shape (2,) and std > 0"
            )

    @classmethod
    def fit(cls, x: Tensor) -> "Standardiser":
        """Fit to points of shape (n, 2); raises `ValueError` for constant data, which has no scale."""
        check_points(x, "x")
        x = x.detach()
        mean = x.mean(dim=0)
        std = float((x - mean).square().mean().sqrt())
        rounding = 4 * torch.finfo(x.dtype).eps * float(x.abs().max())  # of the mean of equal numbers
        if std <= rounding:
            raise ValueError(
                f"x is constant (all {len(x)} points equal {x[0].tolist()}); pass data that varies"
            )
        return cls(mean, std)

    def __call__(self, x: Tensor) -> Tensor:
        """From the data's units to standard units, for points of shape (..., 2)."""
        self._check(x)
        return (x - self.mean) / self.std

    def undo(self, x: Tensor) -> Tensor:
        """From standard units back to the data's, for points of shape (..., 2)."""
        self._check(x)
        return x * self.std + self.mean

    def _check(self, x: Tensor) -> None:
        check_tensor(x, "x")
        if x.shape[-1:] != (2,):
            raise ValueError(f"x has shape {tuple(x.shape)}; points are rows: reshape it to (..., 2)")
