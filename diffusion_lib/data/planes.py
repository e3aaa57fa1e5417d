"""Five named sets of points in the plane, of about the same extent; the roll's arms, and its curve.

Each function that draws gives `n` fresh points, float32, shape (n, 2), from a `generator`, on its device.
The Swiss roll is the book's running example; the other four share its overall standard deviation, so that
settings carry over from one to the next. The roll's labels are its half turns, from the inside out.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import torch
from sklearn.datasets import make_circles, make_moons, make_swiss_roll
from torch import Generator, Tensor

from diffusion_lib.contracts import Count, at_least, checked

_ROLL_START, _ROLL_END = 1.5 * math.pi, 4.5 * math.pi  # the angles between which scikit-learn draws the roll
# The roll's overall standard deviation about its mean, 0.679: an integral over the angle.
_STD = math.sqrt((0.0975 * math.pi**2 - 0.04 - (0.2 / (3 * math.pi)) ** 2) / 2)
_FINE = 2**17  # points to draw from where scikit-learn spaces them evenly: their steps are below 1e-4


def _to_roll_size(x: Tensor, mean: tuple[float, float], std: float) -> Tensor:
    """Centre a set and give it the roll's overall standard deviation."""
    return ((x - x.new_tensor(mean)) * (_STD / std)).float()


def _place(generator: Generator | None) -> torch.device:
    """Where points are drawn: on the generator's device, without one on PyTorch's default device."""
    return generator.device if generator else torch.empty(0).device


@checked
def swiss_roll(n: Count, generator: Generator | None = None) -> Tensor:
    """The Swiss roll: scikit-learn's, without noise, columns 0 and 2, divided by 10."""
    return labelled_swiss_roll(n, generator)[0]


@checked
def labelled_swiss_roll(n: Count, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """The same points (n, 2), and for each the arm on which it lies, (n,), int64: 1, 2 or 3."""
    place = _place(generator)
    seed = int(torch.randint(2**31, (1,), generator=generator, device=place))  # scikit-learn draws with NumPy
    x, angle = make_swiss_roll(n, random_state=seed)
    points = torch.from_numpy(x[:, [0, 2]] / 10).float()
    return points.to(place), _arm(torch.from_numpy(angle)).to(place)


@checked
def roll_curve(n: Annotated[int, at_least(2)] = 2000) -> Tensor:
    """The curve on which the Swiss roll lies, as `n` points in order along it; shape (n, 2)."""
    angle = torch.linspace(_ROLL_START, _ROLL_END, n, dtype=torch.float64, device="cpu")
    return _on_curve(angle).float().to(_place(None))


@checked
def roll_quadrature(panels: Count = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Points on the roll's curve, (n, 2), their weights, (n,), and their arms, (n,), in float64.

    The roll is uniform in the angle of its curve, and E[f(x_0)] is the sum of weights · f(points): Gauss and
    Legendre's rule with 16 points on each of `panels` pieces of each arm, so n = 48 · `panels`. Under noise
    of the standard deviation σ, in the roll's own unit, E[x_0 | z] is right to 1e-10 if `panels` are at least
    8 and 0.65/σ.
    """
    node, weight = np.polynomial.legendre.leggauss(16)
    pieces = 3 * panels
    place = (torch.arange(pieces, device="cpu")[:, None] + 0.5 * (1 + torch.from_numpy(node))) / pieces
    angle = _ROLL_START + (_ROLL_END - _ROLL_START) * place.flatten()
    weights = torch.from_numpy(weight).repeat(pieces) / (2 * pieces)
    here = _place(None)
    return _on_curve(angle).to(here), weights.to(here), _arm(angle).to(here)


def _on_curve(angle: Tensor) -> Tensor:
    """The points of the roll's curve at these angles: (n, 2)."""
    return torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1) / 10


def _arm(angle: Tensor) -> Tensor:
    """The half turn, 1, 2 or 3 from the inside out, in which an angle of the curve lies."""
    return ((angle - _ROLL_START) / math.pi).floor().long().clamp(0, 2) + 1


def _drawn_from(make: Callable, n: Count, generator: Generator | None) -> Tensor:
    """`n` independent points of a set that scikit-learn spaces evenly, the same `n` in each of its draws."""
    x, _ = make(_FINE, shuffle=False)
    drawn = torch.randint(_FINE, (n,), generator=generator, device=_place(generator))
    return torch.from_numpy(x)[drawn.cpu()]


@checked
def moons(n: Count, generator: Generator | None = None) -> Tensor:
    """Two interleaved half circles: points of scikit-learn's moons, without noise."""
    x = _drawn_from(make_moons, n, generator)
    return _to_roll_size(x, (0.5, 0.25), math.sqrt(21 / 32 - 1 / (2 * math.pi))).to(_place(generator))


@checked
def circles(n: Count, generator: Generator | None = None) -> Tensor:
    """Two concentric circles, one half as large: points of scikit-learn's circles, without noise."""
    x = _drawn_from(partial(make_circles, factor=0.5), n, generator)
    return _to_roll_size(x, (0.0, 0.0), math.sqrt(5 / 16)).to(_place(generator))


@checked
def eight_gaussians(n: Count, generator: Generator | None = None) -> Tensor:
    """Eight round Gaussians, standard deviation 1/10, on a circle of radius 1 (before scaling)."""
    place = _place(generator)
    angle = torch.randint(8, (n,), generator=generator, device=place) * (math.pi / 4)
    centre = torch.stack([angle.cos(), angle.sin()], dim=1)
    x = centre + 0.1 * torch.randn(n, 2, generator=generator, device=place)
    return _to_roll_size(x, (0.0, 0.0), math.sqrt(1 / 2 + 0.01))


@checked
def checkerboard(n: Count, generator: Generator | None = None) -> Tensor:
    """Uniform points on the dark squares of a 4 × 4 checkerboard."""
    place = _place(generator)
    square = torch.randint(8, (n,), generator=generator, device=place)  # the dark squares, two in each column
    column = square // 2
    row = 2 * (square % 2) + column % 2
    x = torch.stack([column, row], dim=1) + torch.rand(n, 2, generator=generator, device=place)
    return _to_roll_size(x, (2.0, 2.0), math.sqrt(4 / 3))


DATASETS = {f.__name__: f for f in (swiss_roll, moons, circles, eight_gaussians, checkerboard)}
