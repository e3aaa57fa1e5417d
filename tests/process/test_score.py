"""Scores against derivatives of log densities, closed forms, and sums over all points."""

import pytest
import torch
from support import EPS, K, normal, refused
from torch import nn

from diffusion_lib.models.networks import mlp
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.score import ScoreAt, covariance, denoising_loss, implicit_loss, score_of, x_0_of

POINTS, WEIGHTS = normal(7, 2), normal(7, seed=1).abs()
ORACLE = ExactDenoiser(POINTS, WEIGHTS)
Z = 2 * normal(40, 2, seed=2)
MATRIX = torch.tensor([[-0.7, 0.4], [-0.1, -1.3]], dtype=torch.float64)


def linear(z):
    """A score function that is no gradient, since its matrix is not symmetric."""
    return z @ MATRIX.T


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_the_score_is_the_derivative_of_the_log_density(sigma):
    z = Z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(ORACLE.log_prob(z, sigma).sum(), z)
    ours = score_of(ORACLE(Z, sigma), Z, sigma)
    torch.testing.assert_close(ours, slope, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ScoreAt(ORACLE, sigma)(Z), ours, rtol=0, atol=0)


def test_tweedie_for_normal_data():
    """x_0 ~ N(0, I): z ~ N(0, (1 + σ²) I), with score −z/(1 + σ²) and mean z/(1 + σ²)."""
    sigma = normal(40, seed=3).abs() + 0.1
    share = 1 / (1 + sigma[:, None] ** 2)
    torch.testing.assert_close(x_0_of(-share * Z, Z, sigma), share * Z)
    torch.testing.assert_close(score_of(share * Z, Z, sigma), -share * Z)


def test_both_ways_for_points_of_any_shape():
    z, score = normal(5, 3, 4, 4), normal(5, 3, 4, 4, seed=1)
    torch.testing.assert_close(score_of(x_0_of(score, z, 0.7), z, 0.7), score)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_the_covariance_is_that_of_the_points(sigma):
    """Against the mean of products minus the product of means, under the points' chances given z."""
    product = ORACLE.expect(Z, sigma, POINTS[:, :, None] * POINTS[:, None])
    mean = ORACLE(Z, sigma)
    direct = product - mean[:, :, None] * mean[:, None]
    torch.testing.assert_close(covariance(ORACLE, Z, sigma), direct, rtol=0, atol=1e-11)


def test_the_covariance_of_normal_data_and_one_sigma_for_each_row():
    sigma = normal(40, seed=3).abs() + 0.1

    def denoiser(z, sigma):
        return z / (1 + sigma[:, None] ** 2)

    share = (sigma**2 / (1 + sigma**2))[:, None, None]
    torch.testing.assert_close(covariance(denoiser, Z, sigma), share * torch.eye(2, dtype=torch.float64))


def test_the_covariances_rows_are_answers_and_its_columns_coordinates():
    found = covariance(lambda z, sigma: linear(z), Z, 2.0)
    torch.testing.assert_close(found, 4 * MATRIX.expand(40, 2, 2))


def test_a_denoising_loss_by_hand():
    eps = normal(40, 2, seed=4)
    by_hand = torch.stack([((e / 0.5 + linear(x + 0.5 * e)) ** 2).sum() for x, e in zip(Z, eps, strict=True)])
    torch.testing.assert_close(denoising_loss(linear, Z, 0.5, eps), by_hand)


def test_the_denoising_loss_is_the_explicit_one_and_a_constant():
    """x_0 ~ N(0, I) and s(z) = Az: what remains for the exact score is D/σ² − D/(1 + σ²)."""
    n, sigma = 200_000, 0.8
    x_0, eps = normal(n, 2, seed=5), normal(n, 2, seed=6)
    gap = MATRIX + torch.eye(2) / (1 + sigma**2)
    explicit = float((gap @ gap.T).trace()) * (1 + sigma**2)
    constant = 2 / sigma**2 - 2 / (1 + sigma**2)
    loss = denoising_loss(linear, x_0, sigma, eps)
    assert abs(loss.mean() - explicit - constant) < K * loss.std() / n**0.5


def test_the_implicit_loss_is_the_explicit_one_less_the_scores_square():
    """z ~ N(0, τ² I), whose score has the mean square D/τ²."""
    n, tau = 200_000, 1.3
    z = tau * normal(n, 2, seed=7)
    gap = MATRIX + torch.eye(2) / tau**2
    loss = implicit_loss(linear, z)
    assert abs(loss.mean() - float((gap @ gap.T).trace()) * tau**2 + 2 / tau**2) < K * loss.std() / n**0.5
    torch.testing.assert_close(loss, linear(z).square().sum(dim=1) + 2 * MATRIX.trace())


def test_the_implicit_loss_trains():
    torch.manual_seed(0)
    network = mlp(2, 2, width=8).double()
    implicit_loss(network, Z).mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network[:-1].parameters())
    step = 1e-5

    def along(i):
        with torch.no_grad():
            moved = torch.zeros(2, dtype=torch.float64)
            moved[i] = step
            return (network(Z + moved) - network(Z - moved))[:, i] / (2 * step)

    by_differences = network(Z).square().sum(dim=1) + 2 * (along(0) + along(1))
    torch.testing.assert_close(implicit_loss(network, Z), by_differences, rtol=1e-7, atol=1e-7)


def test_no_gradient_is_needed_around_a_covariance():
    torch.manual_seed(0)
    network = nn.Linear(2, 2).double()
    with torch.no_grad():
        found = covariance(lambda z, sigma: network(z), Z, 1.0)
    torch.testing.assert_close(found, network.weight.detach().expand(40, 2, 2), atol=10 * EPS, rtol=0)


def test_refusals():
    with refused("x_0_hat and z have shapes"):
        score_of(Z, Z[:3], 1.0)
    with refused("sigma"):
        x_0_of(Z, Z, 0.0)
    with refused("score"):
        implicit_loss(3, Z)
