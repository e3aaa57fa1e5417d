"""The NCSN against the losses and samplers that it is made of, and how good its samples are."""

from statistics import fmean

import pytest
import torch
from support import K, normal, refused, seeded
from torch import nn

from diffusion_lib import data
from diffusion_lib.measure import evaluation
from diffusion_lib.models import NCSN, Diffusion, ExactDenoiser, TimeMLP
from diffusion_lib.process.posterior import from_x_0
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.process.score import ScoreAt, denoising_loss
from diffusion_lib.solvers import AtSteps, annealed_langevin
from diffusion_lib.training import train

LEVELS = even_log_snr(6, sigma_min=0.05, sigma_max=4)


def model(schedule=LEVELS, **settings):
    torch.manual_seed(0)
    return NCSN(TimeMLP(schedule), schedule, **settings)


class Exact(nn.Module):
    """The noise that the exact denoiser of some points sees in x_t."""

    def __init__(self, points, schedule):
        super().__init__()
        self.denoise, self.schedule = AtSteps(ExactDenoiser(points), schedule), schedule

    def forward(self, x_t, t):
        return from_x_0(self.denoise(x_t, t), x_t, t, self.schedule, "eps")


@pytest.mark.parametrize("t", [1, 3, 6])
def test_the_loss_is_denoising_score_matching_weighted_with_the_levels_variance(t):
    ours, x_0, eps = model().double(), normal(30, 2), normal(30, 2, seed=1)
    sigma = float(LEVELS.sigma[t])
    weighted = sigma**2 * denoising_loss(ScoreAt(ours, sigma), x_0, sigma, eps)
    torch.testing.assert_close(ours.squared_error(x_0, t, eps), weighted)


def test_at_its_levels_and_between_them_it_answers_as_a_diffusion():
    ours = model().double()
    twin = Diffusion(ours.network, LEVELS)
    z = normal(12, 2)
    for sigma in (LEVELS.sigma[2], 0.31, LEVELS.sigma[1:].repeat(2), torch.linspace(0.01, 9, 12).double()):
        torch.testing.assert_close(ours(z, sigma), twin(z, sigma), rtol=1e-9, atol=1e-9)


def test_at_a_level_the_network_is_called_once():
    ours, calls = model(steps=5), []
    ours.network.register_forward_hook(lambda *_: calls.append(1))
    ours.sample(10)
    assert len(calls) == 6 * 5 + 1


def test_a_trajectory_has_the_states_that_enter_the_levels():
    ours = model(steps=3, r=0.4)
    states = ours.trajectory(50, seeded(1))
    noise = seeded(1)
    z = (1 + LEVELS.sigma[6] ** 2).sqrt().float() * torch.randn(50, 2, generator=noise)
    every = list(annealed_langevin(ours, z, LEVELS.sigma[1:].flip(0).tolist(), 3, 0.4, noise))
    assert states.shape == (7, 50, 2)
    torch.testing.assert_close(states, torch.stack([*every[0:18:3], every[-1]]))
    assert torch.equal(ours.sample(50, seeded(1)), states[-1])


def test_a_walk_starts_as_wide_as_noisy_data_of_variance_1():
    start = model(steps=1).trajectory(50_000, seeded(3))[0]
    assert abs(start.var() / (1 + 4**2) - 1) < K * (2 / 100_000) ** 0.5


def test_with_the_exact_network_the_samples_are_the_points():
    points = torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.3, -1.2]])
    exact = NCSN(Exact(points, LEVELS), LEVELS, steps=20)
    samples = exact.sample(2000, seeded(1))
    nearest = torch.cdist(samples, points).min(dim=1)
    assert nearest.values.max() < 1e-3
    assert nearest.indices.bincount(minlength=3).min() > 400


def test_refusals():
    with refused("steps"):
        model(steps=0)
    with refused("r = "):
        model(r=-1.0)


@pytest.mark.slow
def test_quality_on_the_roll():
    """Chapter 6's model, with 451 calls of the network a sample: the mean of three seeds."""
    roll = data.swiss_roll(50_000, seeded(5))
    scale = data.Standardiser.fit(roll)
    x_0 = scale(roll)
    real = scale(data.swiss_roll(80_000, seeded(9))).split(10_000)
    floor = fmean(map(evaluation.sliced_wasserstein, real[:4], real[4:]))
    levels = even_log_snr(50, sigma_min=0.01, sigma_max=8)
    apart, accuracy = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        ours = NCSN(TimeMLP(levels), levels, steps=9, r=0.4)
        train(ours, x_0, steps=2000, generator=seeded(seed))
        samples = ours.sample(10_000, seeded(seed))
        apart += [evaluation.sliced_wasserstein(samples, other) for other in real[:4]]
        accuracy.append(evaluation.classifier_accuracy(samples, real[0]))
    assert fmean(apart) / floor <= 1.5
    assert fmean(accuracy) <= 0.52
