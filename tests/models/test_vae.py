"""The VAE against quadrature, SciPy, a model whose answers are known, and simulation."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from support import EPS, K, normal, refused, seeded
from torch import nn

from diffusion_lib.models.vae import START_STD, VAE
from diffusion_lib.training import train

both = pytest.mark.parametrize("latent", [1, 2])


def float64(values):
    return torch.tensor(values, dtype=torch.float64)


def vae(latent=2, **settings):
    """An untrained model in float64, its outputs made larger so that every part of it matters."""
    torch.manual_seed(0)
    model = VAE(latent, **{"width": 8, **settings}).double()
    with torch.no_grad():
        for network in (model.encoder, model.decoder):
            network[-1].weight.mul_(3)
    return model


def broad(latent=2):
    """The same with a decoder wide enough for quadrature."""
    model = vae(latent)
    with torch.no_grad():
        model.decoder[-1].bias[2:] = -0.5
    return model


class Linear(nn.Module):
    """(mean, log variance) = (A x, constant): the network of a linear Gaussian model."""

    def __init__(self, matrix, log_var):
        super().__init__()
        self.matrix, self.log_var = matrix, log_var

    def forward(self, x):
        mean = x @ self.matrix.T
        return torch.cat([mean, self.log_var.expand_as(mean)], dim=-1)


def linear_vae():
    """A linear model with orthogonal columns and its exact posterior as encoder.

    x = A z + noise of variance v, so p(x) = N(0, A Aᵀ + v I), and p(z | x) has the variance
    (AᵀA/v + I)⁻¹, here diagonal, and the mean Var Aᵀ x/v.
    """
    model, v = vae(), 0.3
    turn = float64([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]])
    stretch = float64([1.5, 0.4])
    A = turn * stretch
    var = 1 / (stretch**2 / v + 1)
    model.decoder = Linear(A, float64([math.log(v - model.least_std**2)] * 2))
    model.encoder = Linear((A * var).T / v, var.log())
    model.prior = lambda n=1: VAE.prior(vae(), n)
    return model, multivariate_normal(np.zeros(2), (A @ A.T + v * torch.eye(2, dtype=torch.float64)).numpy())


# --- the three distributions --------------------------------------------------------------------------------


@both
def test_the_prior_is_standard_normal(latent):
    prior = vae(latent).prior(3)
    assert torch.equal(prior.mean, torch.zeros(3, latent).double())
    assert torch.equal(prior.var, torch.ones(3, latent).double())


@both
def test_networks_put_out_means_and_log_variances(latent):
    model, x, z = vae(latent), normal(5, 2), normal(5, latent, seed=1)
    q, p = model.encode(x), model.decode(z)
    assert (q.mean.shape, q.var.shape) == ((5, latent), (5, latent))
    torch.testing.assert_close(torch.cat([q.mean, q.var.log()], dim=1), model.encoder(x))
    torch.testing.assert_close(torch.cat([p.mean, (p.var - 0.02**2).log()], dim=1), model.decoder(z))


def test_a_fresh_decoder_is_narrow():
    torch.manual_seed(0)
    std = VAE().decode(torch.zeros(1, 2)).var.sqrt()
    assert ((std > START_STD / 1.2) & (std < START_STD * 1.2)).all()


def test_a_learned_variance_has_a_floor():
    model = vae(least_std=0.1)
    with torch.no_grad():
        model.decoder[-1].bias[2:] = -1000
    torch.testing.assert_close(model.decode(normal(5, 2)).var, float64([[0.01] * 2] * 5))


def test_a_fixed_variance_is_the_square_of_the_standard_deviation():
    model = vae(decoder_std=0.3)
    p = model.decode(normal(5, 2))
    torch.testing.assert_close(p.var, float64([0.09]))
    assert model.decoder[-1].out_features == 2  # nothing is learned that is not used


# --- the bound ----------------------------------------------------------------------------------------------


@both
def test_both_terms_are_scipys(latent):
    model, x, eps = vae(latent), normal(4, 2), normal(4, latent, seed=1)
    reconstruction, kl = model.elbo_terms(x, eps)
    q = model.encode(x)
    mean, std = q.mean.detach().numpy(), q.var.sqrt().detach().numpy()
    z = mean + std * eps.numpy()
    p = model.decode(torch.from_numpy(z))
    mean_x, std_x = p.mean.detach().numpy(), p.var.sqrt().detach().numpy()
    expected = norm.logpdf(x.numpy(), mean_x, std_x).sum(axis=1)
    # log p(x | z) is a difference of numbers near x, squared and divided by small variances.
    size = float((1 + x.abs()).max() ** 2 / p.var.detach().min())
    assert np.abs(reconstruction.detach().numpy() - expected).max() < 50 * EPS * size

    def integral(m, s):
        q, p = norm(m, s), norm(0, 1)
        f = quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), m - 30 * s, m + 30 * s, points=[m])
        return f[0]

    expected = [sum(integral(m, s) for m, s in zip(*row, strict=True)) for row in zip(mean, std, strict=True)]
    assert np.allclose(kl.detach().numpy(), expected, rtol=0, atol=1e-7)  # quad's own tolerance is 1.5e-8


def test_many_draws_are_many_single_draws():
    model, x, eps = vae(), normal(4, 2), normal(3, 4, 2, seed=1)
    together, kl = model.elbo_terms(x, eps)
    assert (together.shape, kl.shape) == ((3, 4), (4,))
    for k in range(3):
        torch.testing.assert_close(together[k], model.elbo_terms(x, eps[k])[0])


@both
def test_elbo_plus_gap_is_log_p(latent):
    """log p(x) and KL(q ‖ p(z | x)) by sums over a grid of z; their difference is the ELBO.

    The densities are smooth on a scale of 0.5 and gone at 8, so that sums of spacing 0.05 are exact for
    all that matters here.
    """
    model, x, n = broad(latent), normal(1, 2), 40_000
    line, spacing = np.linspace(-8, 8, 321, retstep=True)
    z = np.stack(np.meshgrid(*[line] * latent), axis=-1).reshape(-1, latent)
    with torch.no_grad():
        q, p = model.encode(x), model.decode(torch.from_numpy(z))
        reconstruction, kl = model.elbo_terms(x, normal(n, 1, latent, seed=2))
    likelihood = norm.logpdf(x.numpy(), p.mean.numpy(), p.var.sqrt().numpy()).sum(axis=1)
    log_joint = likelihood + norm.logpdf(z).sum(axis=1)
    log_p = math.log(np.exp(log_joint).sum() * spacing**latent)
    log_q = norm.logpdf(z, q.mean.numpy(), q.var.sqrt().numpy()).sum(axis=1)
    assert abs(np.exp(log_q).sum() * spacing**latent - 1) < 1e-9
    gap = (np.exp(log_q) * (log_q - (log_joint - log_p))).sum() * spacing**latent

    elbo, error = float(reconstruction.mean() - kl), float(reconstruction.std()) / math.sqrt(n)
    assert gap > 2 * K * error  # the gap is there to be seen
    assert abs(log_p - elbo - gap) < K * error


def test_with_the_exact_posterior_the_bound_is_tight_for_every_draw_weight():
    model, truth = linear_vae()
    x = normal(6, 2)
    with torch.no_grad():
        q, eps = model.encode(x), normal(6, 2, seed=1)
        z = q.mean + q.var.sqrt() * eps
        weight = model.decode(z).log_prob(x) + model.prior(6).log_prob(z) - q.log_prob(z)
    # p(x | z) p(z)/q(z | x) is p(x) whatever z, if q is the posterior.
    np.testing.assert_allclose(weight.numpy(), truth.logpdf(x.numpy()), rtol=0, atol=1e-12)


def test_the_loss_is_minus_the_mean_elbo():
    model, x = vae(), normal(500, 2)
    eps = torch.randn(500, 2, generator=seeded(3), dtype=torch.float64)
    reconstruction, kl = model.elbo_terms(x, eps)
    loss = model.loss(x, seeded(3))
    assert loss.shape == ()
    torch.testing.assert_close(loss, -(reconstruction - kl).mean())


def test_the_loss_reaches_every_weight():
    model = vae()
    model.loss(normal(8, 2), seeded()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_gradient_is_that_of_the_mean():
    """The loss's gradient, averaged over the noise, is the derivative of the averaged loss."""
    model, x, n = broad(), normal(1, 2), 20_000
    bias = model.encoder[-1].bias

    def value(step):
        """The ELBO by 30 × 30 Gauss–Hermite points in place of the noise, at a shifted first mean."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(30)
        grid = torch.from_numpy(np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 1, 2))
        w = torch.from_numpy(np.outer(weights, weights).reshape(-1) / weights.sum() ** 2)
        with torch.no_grad():
            bias[0] += step
            reconstruction, kl = model.elbo_terms(x, grid)
            bias[0] -= step
        return float((w * reconstruction[:, 0]).sum() - kl[0])

    slope = (value(1e-4) - value(-1e-4)) / 2e-4
    draws = []
    for block in range(20):
        (grad,) = torch.autograd.grad(-model.loss(x.expand(n // 20, 2), seeded(block)), bias)
        draws.append(float(grad[0]))
    error = np.std(draws, ddof=1) / math.sqrt(20)
    assert abs(np.mean(draws) - slope) < K * error + 1e-6  # 1e-6: difference quotient and quadrature


# --- sampling -----------------------------------------------------------------------------------------------


@both
def test_a_trajectory_is_prior_then_sample(latent):
    model = vae(latent)
    states = model.trajectory(7, seeded(4))
    assert states.shape == (2, 7, 2)
    torch.testing.assert_close(states[-1], model.sample(7, seeded(4)))
    z = torch.randn(7, latent, generator=seeded(4), dtype=torch.float64)
    assert torch.equal(states[0][:, :latent], z)
    assert (states[0][:, latent:] == 0).all()
    assert not torch.equal(model.sample(7, seeded(4)), model.sample(7, seeded(5)))


def test_samples_of_the_linear_model_have_its_distribution():
    """Mean and covariance of 40,000 samples: noise of the decoder included."""
    model, truth = linear_vae()
    n = 40_000
    x = model.sample(n, seeded(6)).numpy()
    cov = truth.cov
    assert (np.abs(x.mean(axis=0)) < K * np.sqrt(np.diag(cov) / n)).all()
    error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n)
    assert (np.abs(np.cov(x.T) - cov) < K * error).all()


def test_a_sample_has_the_decoders_noise():
    model, n = vae(decoder_std=0.3), 20_000
    z, x = model.trajectory(n, seeded(6))
    noise = x - model.decode(z).mean.detach()
    assert (noise.mean(dim=0).abs() < K * 0.3 / math.sqrt(n)).all()
    assert ((noise.var(dim=0) - 0.09).abs() < K * 0.09 * math.sqrt(2 / n)).all()


def test_training_finds_the_cause_behind_a_diagonal():
    """A model that ignores z cannot do better than two independent coordinates; a trained VAE does."""
    x = torch.randn(2000, 1, generator=seeded()).expand(2000, 2)
    torch.manual_seed(0)
    model = VAE(width=32)
    train(model, x, steps=600, batch_size=256, learning_rate=5e-3, generator=seeded())
    with torch.no_grad():
        losses = torch.stack([model.loss(x, seeded(i)) for i in range(10)])
    assert -losses.mean() > -math.log(2 * math.pi * math.e) + 0.5


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"latent": 3}, ("latent = 3", "dim = 2", "at most dim")),
        ({"latent": 0}, ("latent = 0", "at least 1")),
        ({"width": 0}, ("width = 0", "at least 1")),
        ({"hidden": 0}, ("hidden = 0", "at least 1")),
        ({"decoder_std": 0.0}, ("decoder_std = 0.0", "positive")),
        ({"decoder_std": math.nan}, ("decoder_std = nan", "positive")),
        ({"least_std": -0.1}, ("least_std = -0.1", "positive")),
    ],
)
def test_settings_out_of_range_are_refused(settings, parts):
    with refused(*parts):
        VAE(**settings)


def test_points_and_noise_of_another_shape_are_refused():
    model = vae()
    with refused("x has shape (3, 3)", "(n, 2)"):
        model.encode(normal(3, 3))
    with refused("x_0 has 1 points with NaN"):
        model.loss(torch.tensor([[math.nan, 0.0]]).double())
    with refused("z has shape (3, 1)", "(..., 2)"):
        model.decode(normal(3, 1))
    for shape in ((3, 1), (4, 2), (2, 2, 3, 2), (3, 3, 1)):
        with refused(f"eps has shape {shape}", "(3, 2)", "(K, 3, 2)"):
            model.elbo_terms(normal(3, 2), normal(*shape))
    with refused("n = 0", "at least 1"):
        model.sample(0)
