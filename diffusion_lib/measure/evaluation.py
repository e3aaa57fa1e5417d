"""How good are the samples? Four figures, each beside its noise floor.

Every figure compares generated points with real ones. Two fresh sets of *real* points do not score perfectly
against each other either: what they score is the figure's noise floor, the best that any model can hope for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated

import torch
from scipy.spatial import cKDTree
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Generator, Tensor

from diffusion_lib.contracts import (
    Count,
    PlanePoints,
    Points,
    a,
    a_function,
    at_least,
    checked,
    hold,
    outside,
    same_type,
    values_of,
)

Draw = Annotated[Callable[[int, Generator], Tensor], a_function("data.swiss_roll")]  # (n, generator) → (n, …)
N_NEIGHBORS = 15


@checked
@torch.no_grad()
def sliced_wasserstein(
    x: PlanePoints, y: Annotated[PlanePoints, same_type("x")], n_directions: Count = 100
) -> float:
    """Sliced Wasserstein-1 distance of two sets of equally many points of the plane, in the points' unit.

    Project both sets on a direction, sort, and average |x_(i) − y_(i)|: how far points must move along the
    line. Then average over `n_directions` directions, spread evenly over the half circle: in the plane, 100
    fix four digits. Sensitive to how the mass is distributed.
    """
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} points and y has {len(y)}; pass equally many of each")
    angle = (torch.arange(n_directions, dtype=x.dtype, device=x.device) + 0.5) * math.pi / n_directions
    directions = torch.stack([angle.cos(), angle.sin()], dim=1)  # (n_directions, 2)
    x_sorted, y_sorted = (torch.sort(directions @ points.T, dim=1).values for points in (x, y))
    return float((x_sorted - y_sorted).abs().mean())


@checked
@torch.no_grad()
def energy_distance(x: Points, y: Annotated[Points, same_type("x")]) -> float:
    """2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖ over all pairs, in the unit of the points.

    Each mean runs over all pairs, a point with itself included, so the figure is never negative, and 0 only
    for two sets of the same points, up to rounding.
    """
    x, y = x.flatten(1), y.flatten(1)
    return 2 * _mean_distance(x, y) - _mean_distance(x, x) - _mean_distance(y, y)


def _mean_distance(x: Tensor, y: Tensor) -> float:
    """E‖x − y‖ over all pairs of rows, in blocks that fit the processor's cache."""
    total = sum(float(torch.cdist(rows, y).sum(dtype=torch.float64)) for rows in x.split(200))
    return total / (len(x) * len(y))


@checked
def classifier_accuracy(
    x: Points, y: Annotated[Points, same_type("x")], n_neighbors: Count = N_NEIGHBORS
) -> float:
    """How often a nearest-neighbour classifier tells x from y: 0.5 when it cannot, 1 when it always can.

    Mean accuracy in 5-fold cross-validation (a classifier two-sample test, Lopez-Paz & Oquab 2017). Sensitive
    to fine structure.
    """
    least = _least_points(n_neighbors)
    if min(len(x), len(y)) < least:
        raise ValueError(
            f"x and y have {len(x)} and {len(y)} points; for {n_neighbors} neighbours pass at least "
            f"{least} of each"
        )
    points = torch.cat([x, y]).detach().flatten(1).cpu().numpy()
    labels = [0] * len(x) + [1] * len(y)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(KNeighborsClassifier(n_neighbors), points, labels, cv=folds).mean())


def _least_points(n_neighbors: int) -> int:
    """The points that the classifier needs: five folds, of which four hold the neighbours."""
    return max(5, math.ceil(n_neighbors * 5 / 4))


@checked
@torch.no_grad()
def distance_to_curve(x: PlanePoints, curve: Annotated[PlanePoints, same_type("x")]) -> float:
    """Mean distance of the points x to the polyline through the rows of `curve`, in their unit.

    Of the segments, only the two at the nearest row of `curve` are tried, so rows have to be close together.
    """
    if len(curve) < 3:
        raise ValueError(f"curve has {len(curve)} points; pass at least 3, in order along the curve")
    x, curve = x.detach().cpu(), curve.detach().cpu()
    nearest = torch.from_numpy(cKDTree(curve.numpy()).query(x.numpy())[1]).clamp(1, len(curve) - 2)
    before, after = (_distance_to_segment(x, curve[nearest + k], curve[nearest + k + 1]) for k in (-1, 0))
    return float(torch.minimum(before, after).mean())


def _distance_to_segment(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Distance of each row of x to the segment from the same row of a to that of b: (n,)."""
    length_sq = (b - a).square().sum(dim=1)
    along = ((x - a) * (b - a)).sum(dim=1) / torch.where(length_sq > 0, length_sq, 1)  # a point is a segment
    return (a + along.clamp(0, 1)[:, None] * (b - a) - x).norm(dim=1)


@dataclass(frozen=True)
class Figure:
    """One quality figure: what the samples score, and what fresh real data scores in their place."""

    model: float
    floor: float

    @property
    def ratio(self) -> float:
        """The samples' score in units of the floor."""
        return self.model / self.floor if self.floor else math.inf


@checked
def fresh_sets(fresh: Draw, n: Count, sets: Count, generator: Generator | None = None) -> list[Tensor]:
    """`sets` disjoint sets of `n` real points, (n, 2) each: one draw of `fresh`, in its random order, split.

    Where every draw is the same points in another order, as with scikit-learn's own moons, two draws would
    score a floor of 0. Parts of one draw differ as independent sets do: by random choice.
    """
    return list(_drawn(fresh, "fresh", sets * n, generator).split(n))


def _drawn(draw: Draw, name: str, n: int, generator: Generator | None) -> Tensor:
    """What the reader's function draws, which must be n points."""
    with outside():
        x = draw(n, generator)
    hold(PlanePoints, x, f"the result of {name}")
    if len(x) != n:
        raise ValueError(f"{name} gives {len(x)} points for n = {n}; pass one that draws n points")
    return x


@checked
def evaluate(
    sample: Draw,
    fresh: Draw,
    n: Annotated[int, at_least(_least_points(N_NEIGHBORS))] = 10_000,
    sets: Count = 4,
    generator: Generator | None = None,
    curve: PlanePoints | None = None,
) -> dict[str, Figure]:
    """Score `sets` draws of `n` samples, and as many of real data, each against fresh real data.

    `sample` and `fresh` draw (n, generator) → (n, 2) in the same unit. With `curve`, the curve on which
    noiseless data lies, the distance to it is scored as well. A single draw of the sliced Wasserstein
    distance scatters by a quarter or more: hence the mean over `sets`.
    """
    scores = {
        "sliced Wasserstein": sliced_wasserstein,
        "energy distance": energy_distance,
        "classifier accuracy": classifier_accuracy,
    }
    if curve is not None:
        scores["distance to curve"] = lambda x, _: distance_to_curve(x, curve.to(x))
    model, floor = ({name: [] for name in scores} for _ in range(2))
    for _ in range(sets):
        real, again = fresh_sets(fresh, n, 2, generator)
        points = _drawn(sample, "sample", n, generator)
        for name, score in scores.items():
            model[name].append(score(points, real))
            floor[name].append(score(again, real))
    return {name: Figure(fmean(model[name]), fmean(floor[name])) for name in scores}


@checked
def table(
    figures: Annotated[dict[str, Figure], a(dict), values_of(a(Figure))],
    digits: Annotated[int, at_least(0)] = 4,
) -> str:
    """The figures as lines of text: name, model, noise floor."""
    lines = [f"{'':20} {'model':>9} {'floor':>9}"]
    lines += [f"{name:20} {f.model:9.{digits}f} {f.floor:9.{digits}f}" for name, f in figures.items()]
    return "\n".join(lines)
