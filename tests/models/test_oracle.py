"""The exact denoiser against closed forms, quadrature and brute force."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import fixed_quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, truncnorm
from support import EPS, MAKERS, normal, refused, seeded

from diffusion_lib import data
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr, linear
from diffusion_lib.solvers.steps import AtSteps

SCHEDULE = even_log_snr(20, sigma_min=0.05)
STEPS = (1, 5, 10, 20)


def at_steps(points, schedule=SCHEDULE, **settings):
    """The exact denoiser as a function of x_t and t."""
    return AtSteps(ExactDenoiser(points, **settings), schedule)


@pytest.mark.parametrize("t", STEPS)
def test_for_two_points_it_is_a_hyperbolic_tangent(t):
    a = torch.tensor([0.6, -0.8], dtype=torch.float64)
    oracle, x_t = at_steps(torch.stack([a, -a])), normal(50, 2)
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
    oracle = at_steps(points, schedule)
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
    found = at_steps(points)(x_t, t)

    alpha_bar = float(SCHEDULE.alpha_bar[t])
    centre, width = x_t[:, 0].numpy() / math.sqrt(alpha_bar), math.sqrt((1 - alpha_bar) / alpha_bar)
    exact = truncnorm.mean((-1 - centre) / width, (1 - centre) / width, loc=centre, scale=width)
    reach = (
        np.abs(centre).max() + 1
    ) / width  # the midpoint rule's error: (h²/24) · curvature of the integrand
    np.testing.assert_allclose(found[:, 0], exact, rtol=0, atol=(2 / n / width) ** 2 * (1 + reach**2))
    assert found[:, 1].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_for_pictures_too_it_is_bayes_rule(sigma, dtype):
    """Near two pictures that hardly differ, at little noise, all digits of the distances count."""
    pictures = normal(40, 3, 8, 8).to(dtype)
    pictures[1] = pictures[0] + sigma / 10
    z = (pictures[:12] + sigma * normal(12, 3, 8, 8, seed=1)).to(dtype)
    exponents = -(z.double()[:, None] - pictures.double()).square().sum(dim=(2, 3, 4)) / (2 * sigma**2)
    expected = torch.einsum("bi,ichw->bchw", exponents.softmax(dim=1), pictures.double())
    atol = 1e-8 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(ExactDenoiser(pictures)(z, sigma).double(), expected, rtol=0, atol=atol)


def test_weights_are_as_good_as_copies():
    points, z = normal(4, 3), normal(9, 3, seed=1)
    copies, weights = points[[0, 0, 0, 1, 3, 3]], torch.tensor([3.0, 1.0, 0.0, 2.0])
    found, expected = ExactDenoiser(points, weights.double()), ExactDenoiser(copies)
    torch.testing.assert_close(found(z, 0.8), expected(z, 0.8), rtol=0, atol=100 * EPS)
    torch.testing.assert_close(found.log_prob(z, 0.8), expected.log_prob(z, 0.8), rtol=0, atol=100 * EPS)


def test_the_log_density_is_that_of_a_mixture():
    points, z, weights = normal(5, 2), normal(9, 2, seed=1), torch.tensor([1.0, 2, 3, 4, 5]).double()
    found = ExactDenoiser(points, weights).log_prob(z, 0.7)
    density = sum(
        float(w) / 15 * multivariate_normal(point, 0.49).pdf(z.numpy())
        for w, point in zip(weights, points.numpy(), strict=True)
    )
    np.testing.assert_allclose(found, np.log(density), rtol=0, atol=1e-12)


def test_the_density_has_the_mass_1():
    grid = torch.linspace(-8, 8, 400, dtype=torch.float64)  # the midpoint rule on a smooth density: exact
    z, cell = torch.cartesian_prod(grid, grid), float(grid[1] - grid[0]) ** 2
    density = ExactDenoiser(normal(3, 2), torch.tensor([1.0, 2, 4]).double()).log_prob(z, 0.6).exp()
    assert abs(cell * float(density.sum()) - 1) < 1e-12


def test_any_function_of_the_data_has_an_expectation():
    points, z = normal(30, 2), normal(6, 2, seed=1)
    oracle, square = ExactDenoiser(points), points[:, :, None] * points[:, None]
    torch.testing.assert_close(oracle.expect(z, 0.5, torch.ones(30).double()), torch.ones(6).double())
    # The second Tweedie formula: Cov[x_0 | z] = σ² ∂x̂_0/∂z.
    mean, jacobian = oracle(z, 0.5), torch.func.vmap(torch.func.jacrev(lambda z: oracle(z[None], 0.5)[0]))(z)
    covariance = oracle.expect(z, 0.5, square) - mean[:, :, None] * mean[:, None]
    torch.testing.assert_close(covariance, 0.25 * jacobian, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.7, 0.05, 0.012])
def test_the_roll_is_a_quadrature_to_ten_digits(sigma):
    """Against SciPy's adaptive quadrature, at the panels that the docstring asks for."""
    nodes, weights, _ = data.roll_quadrature(max(8, math.ceil(0.65 / sigma)))
    z = data.swiss_roll(5, seeded(2)).double() + sigma * normal(5, 2)
    found = ExactDenoiser(nodes, weights)(z, sigma)
    ends = np.linspace(1.5 * math.pi, 4.5 * math.pi, 4000)
    for row, (x, y) in enumerate(z.tolist()):

        def joint(angle, x=x, y=y):
            gap = (x - angle * np.cos(angle) / 10) ** 2 + (y - angle * np.sin(angle) / 10) ** 2
            return np.exp(-gap / (2 * sigma**2))

        pieces = [
            fixed_quad(lambda a, f=f: joint(a) * f(a), p, q, n=12)[0]
            for f in (np.ones_like, lambda a: a * np.cos(a) / 10, lambda a: a * np.sin(a) / 10)
            for p, q in pairwise(ends)
        ]
        total, first, second = np.reshape(pieces, (3, -1)).sum(axis=1)
        np.testing.assert_allclose(found[row], [first / total, second / total], rtol=0, atol=1e-10)


def test_no_shifted_or_scaled_answer_errs_less():
    points, x_0 = normal(30, 2), normal(30, 2)
    oracle = at_steps(points)
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
    oracle = at_steps(point)
    for t in STEPS:
        torch.testing.assert_close(oracle(normal(7, 2, seed=1), t), point.expand(7, 2), rtol=2 * EPS, atol=0)


@pytest.mark.parametrize("sigma", [1e15, 1e20, 1e30])
def test_so_much_noise_that_its_square_overflows_gives_the_mean(sigma):
    points = normal(50, 2).float()
    z = points[:5] + sigma * normal(5, 2).float()
    assert torch.allclose(ExactDenoiser(points)(z, sigma), points.mean(dim=0).expand(5, 2), atol=1e-6)


def test_hardly_any_noise_gives_the_nearest_point_without_overflow():
    schedule = linear(1000)
    points = torch.tensor([[0.0, 0.0], [30.0, 0.0]])
    x_t = torch.tensor([[29.0, 0.5], [-4.0, 1.0], [1e6, 0.0]])
    assert at_steps(points, schedule)(x_t, 1).tolist() == [[30.0, 0.0], [0.0, 0.0], [30.0, 0.0]]


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_do_not_show(chunk):
    points, x_t, t = normal(20, 2), normal(10, 2, seed=1), torch.arange(1, 11)
    whole, pieces = (at_steps(points, chunk=c)(x_t, t) for c in (1000, chunk))
    torch.testing.assert_close(pieces, whole, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 4, 4)])
def test_points_may_have_any_shape(shape):
    points, z = normal(20, *shape), normal(6, *shape, seed=1)
    found = ExactDenoiser(points)(z, 0.7)
    flat = ExactDenoiser(points.flatten(1))(z.flatten(1), 0.7)
    assert found.shape == (6, *shape)
    assert torch.equal(found.flatten(1), flat)


def test_each_point_has_its_own_noise():
    oracle, z, sigma = ExactDenoiser(normal(20, 2)), normal(6, 2, seed=1), torch.linspace(0.1, 3, 6).double()
    together = oracle(z, sigma)
    for row in range(6):
        alone = oracle(z[row : row + 1], float(sigma[row]))
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=100 * EPS)


def test_the_answer_has_the_type_of_the_question():
    points, z = normal(20, 2), normal(10, 2, seed=1)
    assert ExactDenoiser(points)(z.float(), 0.5).dtype == torch.float32
    assert ExactDenoiser(points.float())(z, 0.5).dtype == torch.float64


def test_bad_points_are_refused():
    with refused("points is empty", "at least one"):
        ExactDenoiser(torch.zeros(0, 2))
    with refused("points has shape (4,)", "(n, …)"):
        ExactDenoiser(torch.zeros(4))
    with refused("points has 4 points with NaN", "remove"):
        ExactDenoiser(torch.full((4, 2), math.nan))
    with refused("chunk = 0", "at least 1"):
        ExactDenoiser(torch.zeros(4, 2), chunk=0)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3), "there are 4 points; pass one for each, shape (4, …)"),
        (torch.ones(4, 1), "pass one number for each, shape (4,)"),
        (torch.zeros(4), "runs from 0 to 0; pass finite weights"),
        (torch.tensor([1.0, -1, 1, 1]), "runs from -1 to 1; pass finite weights"),
        (torch.tensor([1.0, math.inf, 1, 1]), "runs from 1 to inf; pass finite weights"),
        ([1.0, 1, 1, 1], "weights is list"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with refused("weights", message):
        ExactDenoiser(normal(4, 2), weights)


def test_bad_questions_are_refused():
    oracle, z = ExactDenoiser(normal(4, 2)), normal(3, 2)
    for sigma in (0, -1.0, math.nan, math.inf, torch.tensor([1.0, 0.0, 1.0])):
        with refused("sigma has entries that are not positive", "pass standard deviations"):
            oracle(z, sigma)
    with refused("sigma is torch.float32 of shape (2,) for 3 points", "one for each point"):
        oracle(z, torch.ones(2))
    with refused("sigma = 'x'", "a positive number"):
        oracle(z, "x")
    with refused("z has shape (2,)", "(n, 2)", "pass z[None]"):
        oracle(z[0], 1)
    with refused("z is empty", "at least one"):
        oracle(z[:0], 1)
    with refused("z has 3 points with NaN", "remove"):
        oracle(z * math.nan, 1)
    with refused("z is list", "pass torch.as_tensor(z)"):
        oracle(z.tolist(), 1)
