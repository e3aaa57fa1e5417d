"""The named sets against scikit-learn and exact moments; the change of units."""

import math

import pytest
import torch
from scipy.integrate import quad
from sklearn.datasets import make_swiss_roll
from support import EPS, K, normal, refused, seeded

from diffusion_lib import data

START, END = 1.5 * math.pi, 4.5 * math.pi


def roll_mean(f):
    """The mean of f(angle) when the angle is uniform, by quadrature (to about 1e-12)."""
    return quad(f, START, END)[0] / (END - START)


def roll_var():
    """The roll's variance, averaged over the two coordinates."""
    coordinates = [lambda a: a * math.cos(a) / 10, lambda a: a * math.sin(a) / 10]
    return sum(roll_mean(lambda a, f=f: f(a) ** 2) - roll_mean(f) ** 2 for f in coordinates) / 2


def test_the_roll_is_scikit_learns():
    seed = int(torch.randint(2**31, (1,), generator=seeded(3)))
    theirs, _ = make_swiss_roll(500, random_state=seed)
    ours = data.swiss_roll(500, seeded(3))
    assert torch.equal(ours, torch.from_numpy(theirs[:, [0, 2]] / 10).float())


def test_the_roll_lies_on_its_curve():
    x, curve = data.swiss_roll(300, seeded()).double(), data.roll_curve(20_000).double()
    spacing = (curve[1:] - curve[:-1]).norm(dim=1).max()
    assert torch.cdist(x, curve).min(dim=1).values.max() <= spacing / 2 + 1e-6  # float32 rounding


def test_the_curve_is_the_spiral_in_order():
    curve = data.roll_curve(101).double()
    angle = torch.linspace(START, END, 101, dtype=torch.float64)
    torch.testing.assert_close(curve.norm(dim=1), angle / 10, rtol=1e-6, atol=0)  # float32 coordinates
    turned = torch.atan2(curve[:, 1], curve[:, 0])
    torch.testing.assert_close(torch.cos(turned - angle), torch.ones(101).double(), rtol=0, atol=1e-6)


def test_the_arms_are_half_turns():
    x, arm = data.labelled_swiss_roll(3000, seeded())
    assert torch.equal(x, data.swiss_roll(3000, seeded()))
    radius = 10 * x.double().norm(dim=1)  # the angle, of which the roll's radius is a tenth
    assert torch.equal(arm, ((radius - START) / math.pi + 1e-7).floor().long() + 1)
    assert arm.unique().tolist() == [1, 2, 3]


def test_the_quadratures_arms_are_a_third_each():
    _, weights, arm = data.roll_quadrature(panels=2)
    for label in (1, 2, 3):
        assert abs(float(weights[arm == label].sum()) - 1 / 3) < 10 * EPS


def test_the_quadrature_integrates_the_roll():
    points, weights, _ = data.roll_quadrature(panels=4)
    assert points.shape == (192, 2)
    for k, turn in enumerate((math.cos, math.sin)):
        mean = roll_mean(lambda a, turn=turn: a * turn(a) / 10)
        square = roll_mean(lambda a, turn=turn: (a * turn(a) / 10) ** 2)
        assert abs(float(weights @ points[:, k]) - mean) < 1e-12  # SciPy's accuracy
        assert abs(float(weights @ points[:, k] ** 2) - square) < 1e-12


@pytest.mark.parametrize("draw", data.DATASETS.values(), ids=data.DATASETS)
def test_every_set_has_the_rolls_size(draw):
    x = draw(1_000_000, seeded(1)).double()
    squared = (x - x.mean(dim=0)).square().mean(dim=1)
    assert abs(squared.mean() - roll_var()) < K * squared.std() / math.sqrt(len(x))


@pytest.mark.parametrize("draw", [f for name, f in data.DATASETS.items() if name != "swiss_roll"])
def test_the_other_sets_are_centred(draw):
    x = draw(40_000, seeded(2)).double()
    assert (x.mean(dim=0).abs() < K * x.std(dim=0) / math.sqrt(len(x))).all()


def test_the_two_circles():
    n = 1000
    radius = data.circles(n, seeded()).double().norm(dim=1)
    outer = math.sqrt(2 * roll_var() * 2 / (1 + 0.25))  # half the points at R, half at R/2
    nearest = torch.minimum((radius - outer).abs(), (radius - outer / 2).abs())
    assert nearest.max() < 1e-6  # float32 rounding
    assert abs(int((radius > 0.75 * outer).sum()) - n / 2) < K * math.sqrt(n / 4)


@pytest.mark.parametrize("draw", data.DATASETS.values(), ids=data.DATASETS)
def test_two_draws_are_independent(draw):
    x, y = draw(500, seeded(1)), draw(500, seeded(2))
    assert len(set(map(tuple, x.tolist())) & set(map(tuple, y.tolist()))) < 25, "the same points again"


def test_eight_gaussians_are_eight_and_round():
    x = data.eight_gaussians(40_000, seeded()).double()
    scale = math.sqrt(
        roll_var() / 0.51
    )  # a circle of radius 1 has variance 1/2 a coordinate; 0.1² comes on top
    angle = torch.arange(8) * math.pi / 4
    centres = scale * torch.stack([angle.cos(), angle.sin()], dim=1)
    distance, nearest = torch.cdist(x, centres.double()).min(dim=1)
    counts = torch.bincount(nearest, minlength=8)
    assert ((counts - 5000).abs() < K * math.sqrt(40_000 * 1 / 8 * 7 / 8)).all()
    squared = (distance / scale).square()  # mean 2 · 0.1², standard deviation the same
    assert abs(squared.mean() - 0.02) < K * 0.02 / math.sqrt(len(x))


def test_the_checkerboard_has_points_on_dark_squares_alone():
    x = data.checkerboard(10_000, seeded()).double()
    squares = x / math.sqrt(roll_var() / (4 / 3)) + 2  # back to the board [0, 4]²
    off_lines = ((squares - squares.round()).abs() > 1e-5).all(dim=1)  # float32 rounding at a line
    column, row = squares[off_lines].floor().long().T
    assert ((column + row) % 2 == 0).all()
    assert len(torch.unique(4 * column + row)) == 8


@pytest.mark.parametrize("draw", data.DATASETS.values(), ids=data.DATASETS)
def test_a_seed_gives_the_same_points(draw):
    x = draw(64, seeded(5))
    assert x.shape == (64, 2)
    assert x.dtype == torch.float32
    assert torch.equal(x, draw(64, seeded(5)))
    assert not torch.equal(x, draw(64, seeded(6)))


@pytest.mark.parametrize("draw", data.DATASETS.values(), ids=data.DATASETS)
def test_any_number_of_points_but_none(draw):
    assert draw(1, seeded()).shape == (1, 2)
    assert draw(7, seeded()).isfinite().all()
    with refused("n = 0", "at least 1"):
        draw(0)
    with refused("n = 2.5", "whole number"):
        draw(2.5)


def test_a_curve_has_at_least_two_points():
    with refused("n = 1", "at least 2"):
        data.roll_curve(1)


def test_standard_units():
    x = normal(200, 2) * torch.tensor([3.0, 0.5]) + torch.tensor([10.0, -4.0])
    units = data.Standardiser.fit(x)
    z = units(x)
    assert z.mean(dim=0).abs().max() < 100 * EPS  # coordinates up to 20, averaged, divided by 2
    assert abs(z.square().mean() - 1) < 100 * EPS
    torch.testing.assert_close(units.undo(z), x, rtol=4 * EPS, atol=40 * EPS)


def test_standard_units_of_a_square():
    x = torch.tensor([[4.0, 5.0], [4.0, -1.0], [-2.0, 5.0], [-2.0, -1.0]])  # (1 ± 3, 2 ± 3)
    units = data.Standardiser.fit(x)
    assert units(x).tolist() == [[1, 1], [1, -1], [-1, 1], [-1, -1]]
    assert units.undo(torch.tensor([[0.0, 0.0], [2.0, 0.0]])).tolist() == [[1, 2], [7, 2]]


def test_standard_units_keep_proportions():
    x = normal(200, 2) * torch.tensor([3.0, 0.5])
    z = data.Standardiser.fit(x)(x)
    torch.testing.assert_close(z.std(dim=0)[0] / z.std(dim=0)[1], x.std(dim=0)[0] / x.std(dim=0)[1])


def test_points_on_an_upright_line_have_a_scale():
    x = torch.stack([torch.full((50,), 3.0), torch.linspace(0, 1, 50)], dim=1)
    assert data.Standardiser.fit(x).std > 0


@pytest.mark.parametrize(
    "x", [torch.full((9, 2), 0.1), torch.full((9, 2), 1e6), torch.zeros(9, 2), torch.ones(1, 2)]
)
def test_constant_data_is_refused(x):
    with refused("x is constant", f"{len(x)} points", "varies"):
        data.Standardiser.fit(x)


def test_nan_data_is_refused():
    with refused("x has 1 points with NaN", "remove"):
        data.Standardiser.fit(torch.tensor([[0.0, 1.0], [math.nan, 0.0]]))
