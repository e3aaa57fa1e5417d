"""Diagonal Gaussians against SciPy, quadrature and simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from support import EPS, K, normal, refused, seeded

from diffusion_lib.process.gaussians import Gaussian

means = st.floats(-10, 10)
variances = st.floats(1e-3, 1e3)


def float64(values):
    return torch.tensor(values, dtype=torch.float64)


def gaussian(mean, var):
    """A one-dimensional Gaussian of shape (1,)."""
    return Gaussian(float64([mean]), float64([var]))


def rounding(*smallest):
    """Rounding of a log density at |x|, |mean| ≤ 10: a dozen operations on terms up to 20²/var."""
    return 12 * EPS * (400 / min(smallest) + 20)


def test_log_prob_is_scipys():
    mean, var, x = normal(5, 3), normal(5, 3, seed=1).exp(), normal(5, 3, seed=2)
    theirs = [multivariate_normal.logpdf(x[i], mean[i], np.diag(var[i])) for i in range(5)]
    torch.testing.assert_close(Gaussian(mean, var).log_prob(x), torch.tensor(theirs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (1, 2), (2,), (4, 2)])
def test_one_variance_serves_all_it_broadcasts_to(shape):
    mean, var, x = normal(4, 2), normal(*shape, seed=1).exp(), normal(4, 2, seed=2)
    full = Gaussian(mean, var.expand(4, 2))
    assert torch.equal(Gaussian(mean, var).log_prob(x), full.log_prob(x))
    assert torch.equal(Gaussian(mean, var).sample(seeded()), full.sample(seeded()))
    other = Gaussian(normal(4, 2, seed=3), torch.ones(4, 2).double())
    torch.testing.assert_close(Gaussian(mean, var).kl(other), full.kl(other))


def test_samples_have_the_mean_and_the_variance():
    n, mean, var = 40_000, float64([3.0, -1.0]), float64([4.0, 0.01])
    x = Gaussian(mean.expand(n, 2), var).sample(seeded())
    assert ((x.mean(dim=0) - mean).abs() < K * (var / n).sqrt()).all()
    assert ((x.var(dim=0) - var).abs() < K * var * math.sqrt(2 / n)).all()


def test_a_point_mass_samples_its_point():
    mean = normal(3, 2)
    assert torch.equal(Gaussian(mean, torch.zeros(1)).sample(seeded()), mean)


def test_a_seed_gives_the_same_sample():
    q = Gaussian(normal(3, 2), torch.ones(1))
    assert torch.equal(q.sample(seeded(4)), q.sample(seeded(4)))
    assert not torch.equal(q.sample(seeded(4)), q.sample(seeded(5)))


@pytest.mark.parametrize(
    ("m", "v", "n", "w"), [(0, 1, 0, 1), (1, 0.3, -1, 2), (-2, 5, 0.5, 0.7), (0, 2, 0, 0.1)]
)
def test_kl_is_the_integral(m, v, n, w):
    p, q = norm(m, math.sqrt(v)), norm(n, math.sqrt(w))
    reach = 40 * math.sqrt(v)  # beyond it p is 0 in float64
    integral, error = quad(
        lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), m - reach, m + reach, points=[m], limit=200
    )
    assert abs(gaussian(m, v).kl(gaussian(n, w)) - integral) < error + 1e-12


def test_kl_adds_over_the_last_axis():
    p = Gaussian(normal(5, 2), normal(5, 2, seed=1).exp())
    q = Gaussian(normal(5, 2, seed=2), normal(5, 2, seed=3).exp())
    columns = [
        Gaussian(p.mean[:, i : i + 1], p.var[:, i : i + 1]).kl(
            Gaussian(q.mean[:, i : i + 1], q.var[:, i : i + 1])
        )
        for i in range(2)
    ]
    torch.testing.assert_close(p.kl(q), columns[0] + columns[1], rtol=4 * EPS, atol=4 * EPS)


@given(means, variances, means, variances)
def test_kl_is_never_negative(m, v, n, w):
    assert gaussian(m, v).kl(gaussian(n, w)) >= -4 * EPS * max(1, v / w)


@given(means, variances)
def test_kl_to_itself_is_zero(m, v):
    assert gaussian(m, v).kl(gaussian(m, v)) == 0


def test_kl_from_a_point_mass_is_infinite():
    assert gaussian(0, 0).kl(gaussian(1, 1)) == math.inf


@given(means, variances, means, variances)
def test_the_product_commutes(m, v, n, w):
    ab, ba = gaussian(m, v).product(gaussian(n, w)), gaussian(n, w).product(gaussian(m, v))
    assert torch.equal(ab.mean, ba.mean)
    assert torch.equal(ab.var, ba.var)


@given(means, variances, means, variances, means)
def test_the_product_is_proportional_to_the_product_of_the_densities(m, v, n, w, x):
    density = gaussian(m, v).product(gaussian(n, w))
    ours = density.log_prob(float64([x])) + norm.logpdf(m, n, math.sqrt(v + w))
    theirs = norm.logpdf(x, m, math.sqrt(v)) + norm.logpdf(x, n, math.sqrt(w))
    assert abs(ours - theirs) < 4 * rounding(v, w, float(density.var))


def test_a_product_with_a_point_mass_is_the_point_mass():
    product = gaussian(3, 0).product(gaussian(-1, 2))
    assert (product.mean, product.var) == (3, 0)


@pytest.mark.parametrize("var", [torch.tensor([-0.1]), torch.tensor([1.0, -0.1]), torch.tensor(math.nan)])
def test_a_negative_variance_is_refused(var):
    with refused("var has the entry", "nan" if var.isnan().any() else "-0.1", "at least 0"):
        Gaussian(torch.zeros(3, 2), var)


@pytest.mark.parametrize("shape", [(3,), (2, 2), (3, 3), (1, 3, 2)])
def test_a_variance_of_another_shape_is_refused(shape):
    with refused(f"var has shape {shape}", "mean (3, 2)", "(n, 1)"):
        Gaussian(torch.zeros(3, 2), torch.ones(shape))


def test_what_is_no_float_tensor_is_refused():
    with refused("var is float", "floating-point tensor"):
        Gaussian(torch.zeros(2), 1.0)
    with refused("mean is torch.int64", "mean.float()"):
        Gaussian(torch.tensor([0, 0]), torch.ones(2))


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (2, 2)])
def test_points_that_do_not_fit_are_refused(shape):
    p = Gaussian(torch.zeros(3, 2), torch.ones(1))
    with refused(f"x has shape {shape}", "mean (3, 2)", "equally many columns"):
        p.log_prob(torch.zeros(shape))
    other = Gaussian(torch.zeros(shape), torch.ones(1))
    for method in (p.kl, p.product):
        with refused(f"other.mean has shape {shape}", "mean (3, 2)", "equally many columns"):
            method(other)


def test_a_point_mass_has_no_density():
    with refused("var has a 0", "above 0"):
        gaussian(0, 0).log_prob(torch.zeros(1).double())
    with refused("other.var has a 0", "above 0"):
        gaussian(0, 1).kl(gaussian(0, 0))
    with refused("both variances are 0", "make one positive"):
        gaussian(0, 0).product(gaussian(0, 0))
