"""Information and rates against closed forms, entropies by quadrature, and the bound of a chain."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from support import K, normal, refused, seeded

from diffusion_lib.measure.information import information, mmse, rate_distortion, spreads
from diffusion_lib.measure.likelihood import noisy_entropy
from diffusion_lib.models import ExactDenoiser
from diffusion_lib.solvers import log_even


def gaussian(z, sigma):
    """The denoiser of N(0, 1)."""
    return z / (1 + torch.as_tensor(sigma).reshape(-1, *[1] * (z.ndim - 1)) ** 2)


def test_error_and_information_of_a_gaussian_in_closed_form():
    levels = log_even(400, 50.0, 0.1)
    exact = [s**2 / (1 + s**2) for s in levels]
    found = mmse(gaussian, normal(100_000, 1), 0.5, seeded(1))
    assert found == pytest.approx(0.2, abs=K * 0.2 * math.sqrt(2 / 100_000))
    integral, steps = information(levels, exact)
    assert integral == pytest.approx(0.5 * math.log(1 + 100), abs=1e-3)
    assert steps > integral
    finer = information(log_even(4000, 50.0, 0.1), [s**2 / (1 + s**2) for s in log_even(4000, 50.0, 0.1)])
    assert 0.08 < (finer[1] - finer[0]) / (steps - integral) < 0.12  # the sum falls onto the integral


def test_of_equally_likely_points_all_bits_arrive():
    """At little noise z says which of N points it was: ln N nats."""
    points = 3 * normal(16, 2)
    levels = log_even(80, 100.0, 0.02)
    x_0 = points.repeat(500, 1)
    errors = [mmse(ExactDenoiser(points), x_0, s, seeded(i)) for i, s in enumerate(levels)]
    integral, _ = information(levels, errors)
    assert integral == pytest.approx(math.log(16), abs=0.03)


def test_information_is_a_difference_of_entropies():
    points, sigma = normal(5, 2), 0.4
    levels = log_even(60, 60.0, sigma)
    x_0 = points.repeat(3000, 1)
    integral, _ = information(
        levels, [mmse(ExactDenoiser(points), x_0, s, seeded(i)) for i, s in enumerate(levels)]
    )
    by_entropy = noisy_entropy(ExactDenoiser(points), sigma) - math.log(2 * math.pi * math.e * sigma**2)
    assert integral == pytest.approx(by_entropy, abs=0.02)


def test_spreads_are_errors_a_coordinate():
    levels = [2.0, 0.5, 0.1]
    found = spreads(gaussian, normal(50_000, 2), levels, seeded(7))
    exact = [1.0, *(math.sqrt(s**2 / (1 + s**2)) for s in levels[:-1])]
    np.testing.assert_allclose(found, exact, rtol=0.02)
    assert found == [float(f"{r:.3g}") for r in found]


def test_rates_are_kl_divergences_of_gaussians():
    """One level from nothing: KL(N(x_0, σ²) ‖ N(0, σ² + 1)) by scipy's densities at draws of q."""
    x_0, sigma = normal(3, 2), 0.5
    bits, off = rate_distortion(gaussian, x_0, [sigma], [1.0], seeded(0))
    p = multivariate_normal(np.zeros(2), (sigma**2 + 1) * np.eye(2))
    for row, found in zip(x_0.numpy(), bits[0], strict=True):
        q = multivariate_normal(row, sigma**2 * np.eye(2))
        draws = row + sigma * normal(200_000, 2, seed=2).numpy()
        terms = (q.logpdf(draws) - p.logpdf(draws)) / math.log(2)
        assert abs(float(found) - terms.mean()) < K * terms.std() / len(draws) ** 0.5
    assert off.shape == bits.shape == (1, 3)


def test_for_gaussian_data_the_rate_is_the_information_whatever_the_steps():
    """The forecast is then right, r² being the posterior's variance: Σ KL = I(x_0; z), not more."""
    x_0 = normal(40_000, 1)
    for levels in ([0.1], [1.0, 0.1], log_even(6, 3.0, 0.1)):
        r = [1.0, *(math.sqrt(s**2 / (1 + s**2)) for s in levels[:-1])]
        bits, off = rate_distortion(gaussian, x_0, levels, r, seeded(3))
        error = float(bits[-1].std()) / 200
        assert abs(float(bits[-1].mean()) - 0.5 * math.log2(1 + 100)) < K * error
        assert float(off[-1].square().mean()) == pytest.approx(0.01 / 1.01, rel=0.04)


def test_what_is_refused():
    with refused("errors has 1 numbers; pass one for each of the 2 levels"):
        information([1.0, 0.5], [1.0])
    with refused("levels", "does not fall"):
        information([1.0, 1.5], [1.0, 1.0])
    with refused("spread has 1 numbers; pass one for each of the 2 levels"):
        rate_distortion(gaussian, normal(3, 2), [1.0, 0.5], [1.0])
