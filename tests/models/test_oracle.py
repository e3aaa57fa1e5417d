"""The exact denoiser against closed forms, quadrature and brute force."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import truncnorm
from support import EPS, MAKERS, normal, refused

from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr, linear

SCHEDULE = even_log_snr(20, sigma_min=0.05)
STEPS = (1, 5, 10, 20)


@pytest.mark.parametrize("t", STEPS)
def test_for_two_points_it_is_a_hyperbolic_tangent(t):
    a = torch.tensor([0.6, -0.8], dtype=torch.float64)
    oracle, x_t = ExactDenoiser(torch.stack([a, -a]), SCHEDULE), normal(50, 2)
    alpha_bar = float(SCHEDULE.alpha_bar[t])
    angle = math.sqrt(alpha_bar) / (1 - alpha_bar) * (x_t @ a)
    # An error of the exponents, which are SNR · ‖x_t/√ᾱ_t − x_0‖² / 2, is an error of the tangent's argument.
    exponent = (alpha_bar / (1 - alpha_bar)) * (x_t.norm(dim=1).max() / math.sqrt(alpha_bar) + 1) ** 2
    torch.testing.assert_close(
        oracle(x_t, t), torch.tanh(angle)[:, None] * a, rtol=0, atol=10 * EPS * float(exponent)
    )


def brute_force(x_t, points, alpha_bar):
    """E[x_0 | x_t] for one point in NumPy: Bayes with the exponents of the forward density as they stand."""
    exponents = -((x_t - math.sqrt(alpha_bar) * points) ** 2).sum(axis=1) / (2 * (1 - alpha_bar))
    return np.exp(exponents - logsumexp(exponents)) @ points, np.abs(exponents).max()


@pytest.mark.parametrize("name", MAKERS)
def test_it_is_bayes_rule_by_brute_force(name):
    schedule, points, x_t = MAKERS[name](30), normal(40, 2), normal(12, 2, seed=1)
    oracle = ExactDenoiser(points, schedule)
    for t in (1, 10, 20, 30):
        found = oracle(x_t, t)
        for row in range(12):
            alpha_bar = float(schedule.alpha_bar[t])
            expected, exponent = brute_force(x_t[row].numpy(), points.numpy(), alpha_bar)
            # Exponents err by a few roundings of their size, and by the rounding of 1 − ᾱ on both sides.
            rounding = 40 * EPS * (exponent + 1) * float(points.abs().max())
            np.testing.assert_allclose(found[row], expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("t", [5, 10, 20])
def test_many_points_are_a_quadrature_of_a_density(t):
    """Data uniform on a segment: the posterior of x_0 is a normal cut off at the segment's ends."""
    n = 4000
    middle = (np.arange(n) + 0.5) / n * 2 - 1  # the midpoint rule on [−1, 1]
    points = torch.from_numpy(np.stack([middle, np.zeros(n)], axis=1))
    x_t = normal(20, 2)
    found = ExactDenoiser(points, SCHEDULE)(x_t, t)

    alpha_bar = float(SCHEDULE.alpha_bar[t])
    centre, width = x_t[:, 0].numpy() / math.sqrt(alpha_bar), math.sqrt((1 - alpha_bar) / alpha_bar)
    exact = truncnorm.mean((-1 - centre) / width, (1 - centre) / width, loc=centre, scale=width)
    reach = (
        np.abs(centre).max() + 1
    ) / width  # the midpoint rule's error: (h²/24) · curvature of the integrand
    np.testing.assert_allclose(found[:, 0], exact, rtol=0, atol=(2 / n / width) ** 2 * (1 + reach**2))
    assert found[:, 1].abs().max() == 0


def test_no_shifted_or_scaled_answer_errs_less():
    points, x_0 = normal(30, 2), normal(30, 2)
    oracle = ExactDenoiser(points, SCHEDULE)
    # The expectation over x_0 is a sum over the points, that over x_t a fine grid of noise.
    grid = torch.linspace(-6, 6, 61, dtype=torch.float64)
    eps = torch.cartesian_prod(grid, grid)
    weight = torch.exp(-0.5 * eps.square().sum(dim=1))
    alpha_bar = SCHEDULE.alpha_bar[10]
    x_t = (alpha_bar.sqrt() * x_0[:, None] + (1 - alpha_bar).sqrt() * eps).reshape(-1, 2)
    answer = oracle(x_t, 10).reshape(30, -1, 2)

    def error(answer):
        return ((answer - x_0[:, None]).square().sum(dim=2) @ weight / weight.sum()).mean()

    for other in (answer + 0.01, answer - 0.01, 1.01 * answer, 0.99 * answer):
        assert error(answer) < error(other)


def test_one_point_is_always_the_answer():
    point = normal(1, 2)
    oracle = ExactDenoiser(point, SCHEDULE)
    for t in STEPS:
        torch.testing.assert_close(oracle(normal(7, 2, seed=1), t), point.expand(7, 2), rtol=2 * EPS, atol=0)


def test_hardly_any_noise_gives_the_nearest_point_without_overflow():
    schedule = linear(1000)
    points = torch.tensor([[0.0, 0.0], [30.0, 0.0]])
    x_t = torch.tensor([[29.0, 0.5], [-4.0, 1.0], [1e6, 0.0]])
    assert ExactDenoiser(points, schedule)(x_t, 1).tolist() == [[30.0, 0.0], [0.0, 0.0], [30.0, 0.0]]


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_do_not_show(chunk):
    points, x_t, t = normal(20, 2), normal(10, 2, seed=1), torch.arange(1, 11)
    whole, pieces = (ExactDenoiser(points, SCHEDULE, c)(x_t, t) for c in (1000, chunk))
    torch.testing.assert_close(pieces, whole, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("chunk", [2, 1000])
def test_a_group_is_its_points_at_its_step(size, chunk):
    points, x_t, t = normal(20, 2), normal(4, size, 2, seed=1), torch.tensor(STEPS)
    oracle = ExactDenoiser(points, SCHEDULE, chunk)
    together, at_one = oracle(x_t, t), oracle(x_t, 7)
    assert together.shape == (4, size, 2)
    for s in range(4):
        torch.testing.assert_close(together[s], oracle(x_t[s], STEPS[s]), rtol=0, atol=100 * EPS)
        torch.testing.assert_close(at_one[s], oracle(x_t[s], 7), rtol=0, atol=100 * EPS)


def test_the_answer_has_the_type_of_the_question():
    points, x_t = normal(20, 2), normal(10, 2, seed=1)
    assert ExactDenoiser(points, SCHEDULE)(x_t.float(), 5).dtype == torch.float32
    assert ExactDenoiser(points.float(), SCHEDULE)(x_t, 5).dtype == torch.float64


def test_bad_points_are_refused():
    with refused("points is empty", "at least one"):
        ExactDenoiser(torch.zeros(0, 2), SCHEDULE)
    with refused("points has shape (4, 3)", "(n, 2)"):
        ExactDenoiser(torch.zeros(4, 3), SCHEDULE)
    with refused("points has 4 points with NaN", "remove"):
        ExactDenoiser(torch.full((4, 2), math.nan), SCHEDULE)
    with refused("chunk = 0", "at least 1"):
        ExactDenoiser(torch.zeros(4, 2), SCHEDULE, chunk=0)


def test_bad_questions_are_refused():
    oracle, x_t = ExactDenoiser(normal(4, 2), SCHEDULE), normal(3, 2)
    for t in (0, 21):
        with refused(f"t runs from {t}", "1…T", "T = 20"):
            oracle(x_t, t)
    with refused("t has type torch.float", "whole numbers"):
        oracle(x_t, 1.0)
    with refused("t has shape (2,)", "x_t has 3 rows"):
        oracle(x_t, torch.tensor([1, 2]))
    with refused("x_t has shape (2,)", "(n, 2)"):
        oracle(x_t[0], 1)
    with refused("x_t is empty", "at least one"):
        oracle(x_t[:0], 1)
    with refused("x_t has 3 points with NaN", "remove"):
        oracle(x_t * math.nan, 1)
    with refused("x_t is list", "floating-point tensor"):
        oracle(x_t.tolist(), 1)
    groups = normal(5, 3, 2)
    with refused("t has shape (3,)", "x_t has 5 rows"):
        oracle(groups, torch.tensor([1, 2, 3]))
    with refused("x_t has 15 points with NaN", "remove"):
        oracle(groups * math.nan, 1)
