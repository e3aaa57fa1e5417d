"""The quality figures against POT, SciPy and closed forms."""

import math
from statistics import fmean

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import binom
from scipy.stats import energy_distance as energy_distance_1d
from support import DRAWS, EPS, K, normal, refused, seeded

from diffusion_lib import data
from diffusion_lib.measure.evaluation import (
    Figure,
    classifier_accuracy,
    distance_to_curve,
    energy_distance,
    evaluate,
    sliced_wasserstein,
    table,
)


def turned(x, angle):
    """The points turned about the origin."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[cos, sin], [-sin, cos]], dtype=x.dtype)


# --- sliced Wasserstein -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_directions", [1, 7, 100])
def test_sliced_wasserstein_is_that_of_pot(n_directions):
    x, y = normal(200, 2), 2 * normal(200, 2, seed=1) + 0.5
    angle = (np.arange(n_directions) + 0.5) * np.pi / n_directions
    directions = np.stack([np.cos(angle), np.sin(angle)])
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=directions, p=1)
    assert sliced_wasserstein(x, y, n_directions) == pytest.approx(float(theirs), rel=1000 * EPS)


def test_along_one_direction_it_is_the_distance_on_a_line():
    x, y = normal(100, 2), normal(100, 2, seed=1)  # the one direction points up
    theirs = ot.wasserstein_1d(x[:, 1].numpy(), y[:, 1].numpy(), p=1)
    assert sliced_wasserstein(x, y, 1) == pytest.approx(float(theirs), rel=1000 * EPS)


def test_of_a_shifted_set_it_is_the_mean_shadow_of_the_shift():
    x, shift = normal(50, 2), torch.tensor([3.0, 4.0], dtype=torch.float64)
    # The mean of |shift · u| over directions u is 2/π · |shift|; even spacing misses it by about (π/n)²/12.
    assert sliced_wasserstein(x, x + shift) == pytest.approx(5 * 2 / math.pi, rel=(math.pi / 100) ** 2)


def test_a_hundred_directions_fix_four_digits():
    x, y = data.swiss_roll(2000, seeded(1)), data.circles(2000, seeded(2))
    assert sliced_wasserstein(x, y) == pytest.approx(sliced_wasserstein(x, y, 5000), rel=1e-4)


def test_sliced_wasserstein_is_symmetric_and_zero_for_the_same_points():
    x, y = normal(60, 2), normal(60, 2, seed=1)
    assert sliced_wasserstein(x, y) == sliced_wasserstein(y, x)
    assert sliced_wasserstein(x, x.flip(0)) < 100 * EPS  # the order of rows does not matter


# --- energy distance ----------------------------------------------------------------------------------------


def test_energy_distance_is_its_definition_by_brute_force():
    x, y = normal(300, 2), 1.5 * normal(450, 2, seed=1) + 0.3
    between, within_x, within_y = (cdist(a, b).mean() for a, b in ((x, y), (x, x), (y, y)))
    # PyTorch takes |a|² + |b|² − 2 a·b for many points, of which a root is taken: √EPS near 0, EPS elsewhere.
    rounding = 10 * (EPS + math.sqrt(EPS) / 300)
    assert energy_distance(x, y) == pytest.approx(2 * between - within_x - within_y, abs=rounding)


def test_on_a_line_it_is_scipys_squared():
    x, y = normal(20, 1), normal(25, 1, seed=1) + 1
    on_a_line = [torch.cat([points, torch.zeros_like(points)], dim=1) for points in (x, y)]
    theirs = energy_distance_1d(x[:, 0].numpy(), y[:, 0].numpy()) ** 2
    assert energy_distance(*on_a_line) == pytest.approx(theirs, rel=1000 * EPS)


def test_of_two_single_points_it_is_twice_their_distance():
    x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])
    assert energy_distance(x, y) == 10
    assert energy_distance(x, x) == 0


def test_energy_distance_survives_single_precision():
    x, y = data.swiss_roll(3000, seeded(1)), data.swiss_roll(3000, seeded(2))
    exact = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    # A distance d errs by about |x|² ε/d: for the few near pairs √ε |x|, for the others a few ε, at random.
    eps32 = float(torch.finfo(torch.float32).eps)
    assert energy_distance(x, y) == pytest.approx(exact, abs=4 * 10 * eps32)


# --- classifier accuracy ------------------------------------------------------------------------------------


def test_a_classifier_cannot_tell_the_same_distribution_apart():
    n = 2000
    accuracies = [
        classifier_accuracy(normal(n, 2, seed=2 * i).float(), normal(n, 2, seed=2 * i + 1).float())
        for i in range(6)
    ]
    # The scatter if all 2n answers were independent. Neighbours answer alike, which makes it somewhat larger:
    # the bound on the mean of six goes by the larger of this and the scatter that is seen.
    error = max(0.5 / math.sqrt(2 * n), float(np.std(accuracies, ddof=1))) / math.sqrt(6)
    assert abs(np.mean(accuracies) - 0.5) < K * error


def test_a_classifier_tells_far_sets_apart_and_half_far_ones_in_part():
    n = 2000
    x, y = normal(n, 2).float(), normal(n, 2, seed=1).float()
    assert classifier_accuracy(x, y + 100) == 1
    half_far = torch.cat([normal(n // 2, 2, seed=2).float(), y[: n // 2] + 100])
    # Far points, 1/4 of all, are always told. Near ones are x's two times out of three, and so is each of
    # their 15 neighbours: x is guessed when that holds for 8 or more.
    guess = binom.sf(7, 15, 2 / 3)
    expected = 1 / 4 + 3 / 4 * (guess * 2 / 3 + (1 - guess) * 1 / 3)
    assert abs(classifier_accuracy(x, half_far) - expected) < K * 0.5 / math.sqrt(2 * n)


def test_a_classifier_sees_what_is_finer_than_the_figures_of_mass():
    roll = data.swiss_roll(2000, seeded(1))
    fuzzy = data.swiss_roll(2000, seeded(2)) + 0.03 * torch.randn(2000, 2, generator=seeded(3))
    chance = 0.5 / math.sqrt(4000)
    assert classifier_accuracy(roll, fuzzy) > 0.5 + 10 * chance


# --- distance to a curve ------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0])
def test_distance_to_a_straight_line_is_exact(angle):
    line = torch.stack([torch.linspace(-1, 1, 9), torch.zeros(9)], dim=1).double()
    x = torch.tensor([[0.3, 0.5], [-0.9, -0.25], [0.0, 0.0], [1.0, 1.0], [4.0, 4.0], [-1.0, 0.0]]).double()
    expected = [0.5, 0.25, 0, 1, 5, 0]  # (4, 4) is 5 from the end (1, 0)
    for point, distance in zip(x, expected, strict=True):
        found = distance_to_curve(turned(point[None], angle), turned(line, angle))
        assert found == pytest.approx(distance, abs=20 * EPS)
    assert distance_to_curve(turned(x, angle), turned(line, angle)) == pytest.approx(
        sum(expected) / 6, abs=20 * EPS
    )


@pytest.mark.parametrize("radius", [0.0, 0.5, 0.999, 1.0, 1.7])
def test_distance_to_a_circle_errs_by_the_polygons_gap_alone(radius):
    n = 1000
    angle = torch.linspace(0, 2 * math.pi, n + 1, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    x = radius * turned(torch.tensor([[1.0, 0.0]]).double().expand(50, 2), 1.0)
    gap = 1 - math.cos(math.pi / n)
    assert distance_to_curve(x, circle) == pytest.approx(abs(radius - 1), abs=gap + 10 * EPS)


def test_a_repeated_point_of_the_curve_does_no_harm():
    curve = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    x = torch.tensor([[0.25, 3.0], [1.0, 3.0], [2.0, 3.0]])
    assert distance_to_curve(x, curve) == 3


def test_the_roll_is_on_its_curve():
    curve, x = data.roll_curve(), data.swiss_roll(500, seeded())
    # A chord of length s across an arc of curvature κ is s²κ/8 off; innermost, κ is about 10/(1.5 π).
    length = float((curve[1:] - curve[:-1]).norm(dim=1).max())
    assert distance_to_curve(x, curve) < length**2 * 10 / (1.5 * math.pi) / 8 + 1e-6  # float32 rounding


# --- the table ----------------------------------------------------------------------------------------------


def test_real_data_scores_the_floor_and_shifted_data_does_not():
    def shifted(n, generator):
        return data.swiss_roll(n, generator) + 1

    real = evaluate(
        data.swiss_roll, data.swiss_roll, n=300, sets=6, generator=seeded(), curve=data.roll_curve()
    )
    wrong = evaluate(shifted, data.swiss_roll, n=300, sets=2, generator=seeded(), curve=data.roll_curve())
    assert list(real) == ["sliced Wasserstein", "energy distance", "classifier accuracy", "distance to curve"]
    for name in list(real)[:2]:
        # A mean of six draws that scatter by 40 % (energy distance: its square, about 80 %), on both sides.
        assert real[name].ratio == pytest.approx(1, abs=K * 0.8 * math.sqrt(2 / 6))
        assert 10 < wrong[name].ratio < math.inf  # the floor is that of other real points, and not 0
    assert wrong["classifier accuracy"].model > 0.8
    assert abs(real["classifier accuracy"].floor - 0.5) < K * 0.5 / math.sqrt(600 * 6) * 2
    assert real["distance to curve"].model < 1e-4 < 0.1 < wrong["distance to curve"].model


def test_model_and_floor_are_scored_against_the_same_fresh_points():
    """Each half of a draw is a constant: real 0 and floor 2, then real 6 and floor 8. The model is 1."""
    draws = []

    def fresh(n, generator):
        draws.append(n)
        first = 3.0 * (len(draws) - 1)
        return torch.tensor([first, first + 2]).repeat_interleave(n // 2)[:, None].expand(n, 2)

    def sample(n, generator):
        draws.append(n)
        return torch.full((n, 2), 1.0)

    figures = evaluate(sample, fresh, n=20, sets=2)
    assert draws == [40, 20] * 2
    # The model is 1 and 5 from the real points 0 and 6, in both coordinates; the floor is 2 from both.
    assert figures["energy distance"].model == pytest.approx(2 * math.sqrt(2) * (1 + 5) / 2, rel=1e-6)
    assert figures["energy distance"].floor == pytest.approx(4 * math.sqrt(2), rel=1e-6)
    assert "distance to curve" not in figures


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_floor_of_every_data_set_is_that_of_independent_sets(draw):
    """Evenly spaced sets are independent once each point is drawn anew, with replacement, from many."""
    n, sets = 300, 12
    figures = evaluate(draw, draw, n, sets, seeded())
    many = draw(100_000, seeded(1))
    picked = [many[torch.randint(len(many), (2, n), generator=seeded(k))] for k in range(sets)]
    expected = fmean(sliced_wasserstein(x, y) for x, y in picked)
    # Means of twelve draws that scatter by 40 %.
    assert figures["sliced Wasserstein"].floor == pytest.approx(expected, rel=K * 0.4 * math.sqrt(2 / sets))
    assert abs(figures["classifier accuracy"].floor - 0.5) < K * 0.5 / math.sqrt(2 * n * sets) * 2


def test_too_few_fresh_points_are_refused():
    few = data.moons(30, seeded())
    with refused("fresh gives 30 points for n = 40", "draws n"):
        evaluate(data.moons, lambda n, generator: few[:n], n=20)


def test_a_figure_is_a_multiple_of_its_floor():
    assert Figure(0.3, 0.1).ratio == pytest.approx(3)
    assert Figure(0.3, 0.0).ratio == math.inf


def test_the_table_has_a_line_for_each_figure():
    lines = table({"energy distance": Figure(0.01234, 0.004)}, digits=3).splitlines()
    assert lines[0].split() == ["model", "floor"]
    assert lines[1].split() == ["energy", "distance", "0.012", "0.004"]
    assert len({len(line) for line in lines}) == 1


# --- wrong input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", [sliced_wasserstein, energy_distance, classifier_accuracy])
def test_bad_points_are_refused(figure):
    good = torch.zeros(30, 2)
    bad = {
        "empty": good[:0],
        "(n, 2)" if figure is sliced_wasserstein else "points of one shape": torch.zeros(30, 3),
        "NaN": good * math.nan,
        ".float()": good.int(),
    }
    for part, points in bad.items():
        with refused("x ", part):
            figure(points, good)
        with refused("y ", part):
            figure(good, points)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (
            lambda: sliced_wasserstein(torch.zeros(3, 2), torch.zeros(4, 2)),
            ("3 points", "y has 4", "equally"),
        ),
        (
            lambda: sliced_wasserstein(torch.zeros(3, 2), torch.zeros(3, 2), 0),
            ("n_directions = 0", "at least 1"),
        ),
        (lambda: classifier_accuracy(torch.zeros(9, 2), torch.zeros(9, 2)), ("9 and 9", "15", "at least 19")),
        (lambda: classifier_accuracy(torch.zeros(2, 2), torch.zeros(9, 2), 1), ("2 and 9", "at least 5")),
        (
            lambda: classifier_accuracy(torch.zeros(9, 2), torch.zeros(9, 2), 0),
            ("n_neighbors = 0", "at least 1"),
        ),
        (
            lambda: distance_to_curve(torch.zeros(9, 2), torch.zeros(2, 2)),
            ("curve has 2 points", "at least 3"),
        ),
        (
            lambda: distance_to_curve(torch.zeros(9, 2), torch.zeros(9, 3)),
            ("curve has shape (9, 3)", "(n, 2)"),
        ),
        (lambda: distance_to_curve(torch.zeros(0, 2), torch.zeros(9, 2)), ("x is empty", "at least one")),
        (lambda: evaluate(data.moons, data.moons, n=0), ("n = 0", "at least 1")),
        (lambda: evaluate(data.moons, data.moons, sets=0), ("sets = 0", "at least 1")),
    ],
)
def test_bad_settings_are_refused(call, parts):
    with refused(*parts):
        call()
