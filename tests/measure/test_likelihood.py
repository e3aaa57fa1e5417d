"""Likelihoods against quadrature over the plane, closed forms, SciPy's solver and determinants."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad, quad, solve_ivp
from scipy.stats import norm
from support import K, normal, refused, seeded
from torch import nn

from diffusion_lib import data
from diffusion_lib.measure.likelihood import Blurred, importance_bound, noisy_entropy, ode_log_prob
from diffusion_lib.models import Diffusion, ExactDenoiser
from diffusion_lib.process import forward
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import AtSteps, log_even

DELTA = 0.05


def roll(panels=16):
    """The roll by quadrature, in standard units that need no draw."""
    nodes, weights, _ = data.roll_quadrature(panels)
    mean = (weights[:, None] * nodes).sum(dim=0)
    return (nodes - mean) / 0.68, weights


def noisy(n, sigma, seed=0):
    """n points of the roll with noise."""
    nodes, weights = roll(64)
    rows = torch.multinomial(weights, n, replacement=True, generator=seeded(seed))
    return nodes[rows] + sigma * normal(n, 2, seed=seed + 1)


class Line(nn.Module):
    """The denoiser of N(0, s²), per coordinate."""

    def __init__(self, s):
        super().__init__()
        self.s = torch.tensor(s, dtype=torch.float64)

    def forward(self, z, sigma):
        sigma = torch.as_tensor(sigma, dtype=z.dtype).reshape(-1, 1)
        return z * self.s**2 / (self.s**2 + sigma**2)


# --- the exact density --------------------------------------------------------------------------------------


def test_the_noisy_rolls_density_is_an_integral_over_the_curve():
    mean = sum(w * x for w, x in zip(*reversed(roll()), strict=True))  # of standard units: 0
    assert mean.abs().max() < 1e-12
    nodes, weights, _ = data.roll_quadrature(16)
    centre = (weights[:, None] * nodes).sum(dim=0).numpy()
    oracle = ExactDenoiser(*roll())
    z = noisy(6, DELTA)

    def density(angle, at):
        point = (angle * np.array([math.cos(angle), math.sin(angle)]) / 10 - centre) / 0.68
        return math.exp(-((at - point) ** 2).sum() / (2 * DELTA**2)) / (2 * math.pi * DELTA**2)

    for at, found in zip(z.numpy(), oracle.log_prob(z, DELTA), strict=True):
        ends = np.linspace(1.5 * math.pi, 4.5 * math.pi, 61)
        parts = [quad(density, a, b, args=(at,), epsabs=1e-13) for a, b in zip(ends, ends[1:], strict=False)]
        whole = sum(value for value, _ in parts) / (3 * math.pi)
        assert float(found) == pytest.approx(math.log(whole), abs=1e-6)


def test_the_noisy_rolls_density_integrates_to_one():
    side = torch.arange(-3.2, 3.2, 0.04, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    total = ExactDenoiser(*roll()).log_prob(grid, DELTA).exp().sum() * 0.04**2
    assert float(total) == pytest.approx(1, abs=1e-9)


def test_entropy_of_a_gaussian_and_of_one_point():
    s = 0.7
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    gauss = ExactDenoiser(torch.tensor(s * node)[:, None], torch.tensor(weight / weight.sum()))
    exact = 0.5 * math.log(2 * math.pi * math.e * (s**2 + 1))
    assert noisy_entropy(gauss, 1.0, order=24) == pytest.approx(exact, abs=1e-6)
    point = noisy_entropy(ExactDenoiser(torch.zeros(1, 2).double()), 0.1)
    assert point == pytest.approx(math.log(2 * math.pi * math.e * 0.01), abs=1e-9)


def test_entropy_of_the_roll_is_an_integral_over_the_plane():
    oracle = ExactDenoiser(*roll(8))
    side = torch.arange(-3.6, 3.6, 0.04, dtype=torch.float64)
    log_p = oracle.log_prob(torch.cartesian_prod(side, side), 0.2)
    whole = -float((log_p.exp() * log_p).sum()) * 0.04**2
    assert noisy_entropy(oracle, 0.2) == pytest.approx(whole, abs=1e-4)


def test_a_density_of_the_plane_by_scipy():
    """Where SciPy needs no help: two points, little noise."""
    oracle = ExactDenoiser(torch.tensor([[0.5, 0.0], [-0.5, 0.2]]).double())

    def density(y, x):
        return float(oracle.log_prob(torch.tensor([[x, y]]).double(), 0.6).exp())

    assert dblquad(density, -4, 4, -4, 4, epsabs=1e-3)[0] == pytest.approx(1, abs=1e-3)


# --- the denoiser of noisy data -----------------------------------------------------------------------------


def test_noisy_gaussian_data_is_gaussian_data():
    blurred, direct = Blurred(Line(1.0), 0.5), Line(math.sqrt(1.25))
    z = normal(20, 2)
    for sigma in (0.1, 1.0, torch.linspace(0.1, 2, 20, dtype=torch.float64)):
        torch.testing.assert_close(blurred(z, sigma), direct(z, sigma), rtol=0, atol=1e-14)


def test_a_blurred_denoiser_is_the_exact_one_of_many_noisy_points():
    points = normal(3, 1)
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    many = (points + 0.4 * torch.tensor(node)).reshape(-1, 1)
    direct = ExactDenoiser(many, torch.tensor(weight).repeat(3))
    z = normal(9, 1, seed=1)
    found = Blurred(ExactDenoiser(points), 0.4)(z, 0.6)
    torch.testing.assert_close(found, direct(z, 0.6), rtol=0, atol=1e-8)


# --- the importance-weighted bound --------------------------------------------------------------------------


def model(T=20, kind="beta"):
    schedule = even_log_snr(T, sigma_min=0.05)
    return Diffusion(
        AtSteps(Blurred(ExactDenoiser(*roll()), DELTA), schedule), schedule, "x_0", reverse_var=kind
    )


def test_one_path_estimates_the_bound():
    x_0, chain = noisy(2000, DELTA), model()
    one = importance_bound(chain, x_0, 1, seeded(1))
    other = chain.second_form(forward.trajectory(x_0, chain.schedule, seeded(2))).sum(dim=0)
    error = (one.var() / len(one) + other.var() / len(other)).sqrt()
    assert abs(float(one.mean() - other.mean())) < K * float(error)


def test_more_paths_come_nearer_to_the_truth_and_stay_above():
    x_0, chain = noisy(400, DELTA), model(10)
    exact = -ExactDenoiser(*roll()).log_prob(x_0, DELTA)
    gaps = [importance_bound(chain, x_0, k, seeded(3)) - exact for k in (1, 4, 32)]
    error = [float(gap.std() / len(gap) ** 0.5) for gap in gaps]
    means = [float(gap.mean()) for gap in gaps]
    assert means[0] > means[1] > means[2] > -K * error[2]
    assert means[2] < means[0] / 2


def test_with_enough_paths_it_is_the_models_own_density():
    """Linear steps from N(0, 1): p(x_0) is a Gaussian, here of one coordinate."""
    schedule = even_log_snr(2, sigma_min=0.3, sigma_max=1.0)
    own = Diffusion(AtSteps(Line(0.8), schedule), schedule, "x_0", reverse_var="beta", shape=(1,))
    var = 1.0  # of x_t, Gaussian all the way
    for t in (2, 1):
        step = own.reverse(torch.ones(1, 1).double(), t)
        added = 0.0 if t > 1 else float(schedule.beta[1])  # p(x_0 | x_1) is scored with variance β_1
        var = float(step.mean) ** 2 * var + float(step.var) + added
    x_0 = torch.tensor([[0.3], [-1.1]]).double()
    found = importance_bound(own, x_0, 20_000, seeded(0))
    exact = -norm(0, math.sqrt(var)).logpdf(x_0.numpy()).ravel()
    np.testing.assert_allclose(found, exact, atol=0.02)


# --- the ODE ------------------------------------------------------------------------------------------------


def test_the_oracles_ode_likelihood_is_within_a_hundredth_at_160_calls():
    z, oracle = noisy(200, DELTA), ExactDenoiser(*roll())
    found = ode_log_prob(oracle, z, log_even(81, 20.0, DELTA))
    missed = found - oracle.log_prob(z, DELTA)
    assert abs(float(missed.mean())) < 0.01
    assert float(missed.abs().max()) < 0.05


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_of_gaussian_data_of_variance_one_the_ode_is_exact_but_for_the_steps(divergence):
    z = 1.2 * normal(30, 1)
    found = ode_log_prob(Line(1.0), z, log_even(1000, 20.0, 0.5), divergence=divergence, generator=seeded(0))
    exact = norm(0, math.sqrt(1.25)).logpdf(z.numpy()).ravel()
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_heuns_error_falls_with_the_square_of_the_steps():
    z = normal(9, 2)
    exact = torch.tensor(norm(0, math.sqrt(0.5)).logpdf(z.numpy()).sum(axis=1))
    errors = []
    for n in (40, 80, 160):
        ends = ode_log_prob(Line(0.5), z, log_even(n + 1, 20.0, 0.5))
        errors.append(float((ends - exact).mean()))
    # Differences, as N(0, 1 + σ_max²) at the end is that of data of variance 1: an error that stays.
    assert 3.5 < (errors[0] - errors[1]) / (errors[1] - errors[2]) < 4.5


def test_scipys_solver_finds_the_same():
    points = normal(4, 2)
    oracle, z = ExactDenoiser(points), normal(2, 2, seed=5)

    def slope(log_sigma, state):
        at = torch.tensor(state[:2])[None]
        sigma = math.exp(log_sigma)
        jacobian = torch.func.jacrev(lambda x: oracle(x[None], sigma)[0])(at[0])
        return [*(at - oracle(at, sigma))[0].tolist(), 2 - float(jacobian.trace())]

    found = ode_log_prob(oracle, z, log_even(801, 20.0, 0.3))
    for row, one in zip(z, found, strict=True):
        path = solve_ivp(slope, (math.log(0.3), math.log(20.0)), [*row.tolist(), 0.0], rtol=1e-6, atol=1e-8)
        *end, gained = path.y[:, -1]
        exact = norm(0, math.sqrt(401)).logpdf(end).sum() + gained
        assert float(one) == pytest.approx(exact, abs=2e-4)


def test_hutchinsons_mean_over_its_vectors_is_the_exact_divergences():
    oracle, z = ExactDenoiser(*roll(8)), noisy(5, 0.3)
    levels = log_even(12, 20.0, 0.3)
    exact = ode_log_prob(oracle, z, levels)
    many = z.repeat(1000, 1)
    found = ode_log_prob(oracle, many, levels, divergence="hutchinson", generator=seeded(0)).reshape(1000, 5)
    error = found.std(dim=0) / 1000**0.5
    assert ((found.mean(dim=0) - exact).abs() < K * error + 1e-9).all()
    assert float(found.std(dim=0).mean()) > 0.02  # it is an estimate


def test_each_step_of_eulers_claims_more_than_its_own_map():
    """An Euler step z → z + h u has the determinant ∏(1 + h eᵢ), and claims exp(h Σ eᵢ) for it."""
    oracle, z = ExactDenoiser(*roll(8)), noisy(200, 0.3)
    levels = [0.33, 0.3]  # a step so short that the map folds nothing: 1 + h eᵢ > 0
    h = math.log(0.33 / 0.3)
    claimed = ode_log_prob(oracle, z, levels, method="euler")

    def step(x):
        return x + h * (x - oracle(x, 0.3))

    ends = step(z)
    columns = [torch.autograd.functional.jvp(step, z, e.expand_as(z))[1] for e in torch.eye(2).double()]
    det = torch.stack(columns, dim=2).det()
    assert (det > 0).all()
    own = norm(0, math.sqrt(1 + 0.33**2)).logpdf(ends.numpy()).sum(axis=1) + det.log().numpy()
    assert (claimed.numpy() >= own - 1e-12).all()
    assert float((claimed - torch.tensor(own)).mean()) > 1e-3


def test_networks_are_asked_in_eval_mode_and_keep_no_graph():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, z, sigma):
            return self.net(z)

    denoiser = Net()
    one = ode_log_prob(denoiser, normal(4, 2), [2.0, 1.0])
    assert torch.equal(one, ode_log_prob(denoiser, normal(4, 2), [2.0, 1.0]))
    assert not one.requires_grad
    assert denoiser.training


def test_what_is_refused():
    oracle, z = ExactDenoiser(normal(4, 2)), normal(3, 2)
    with refused("levels", "fall"):
        ode_log_prob(oracle, z, [0.1, 1.0])
    with refused("levels", "at least two"):
        ode_log_prob(oracle, z, [0.1])
    with refused("oracle is a Line; pass an ExactDenoiser"):
        noisy_entropy(Line(1.0), 0.1)
    with refused("delta = 0; pass a positive number"):
        Blurred(oracle, 0)
