"""Tilted steps against products of densities, by grids, and where they are exact."""

import math

import pytest
import torch
from support import normal, seeded

from diffusion_lib.conditioning import TiltedSteps, tilt_powers
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import PosteriorSteps, ancestral, last

SCHEDULE = even_log_snr(20)
R = Gaussian(torch.tensor([0.7, -0.2]).double(), torch.tensor([0.5]).double())


def gaussian_denoiser(z, sigma):
    """E[x_0 | z] for x_0 ~ N(0, I)."""
    return z / (1 + torch.as_tensor(sigma, dtype=z.dtype).reshape(-1, 1) ** 2)


@pytest.mark.parametrize("kind", ["every step", "annealed", "alpha_bar"])
@pytest.mark.parametrize("t", [2, 9, 20])
def test_a_step_is_the_product_of_the_densities(kind, t):
    steps, powers = PosteriorSteps(gaussian_denoiser, SCHEDULE), tilt_powers(SCHEDULE, kind)
    x_t = normal(1, 2)
    plain, tilted = steps(x_t, t), TiltedSteps(steps, R, powers)(x_t, t)
    for i in (0, 1):
        mu, std = float(plain.mean[0, i]), float(plain.var.sqrt())
        x = torch.linspace(mu - 12 * std, mu + 12 * std, 20_001, dtype=torch.float64)
        log_r = -(x - R.mean[i]).square() / (2 * R.var)
        density = torch.exp(-(x - mu).square() / (2 * std**2) + powers[t - 1] * log_r)
        mean = (x * density).sum() / density.sum()
        var = ((x - mean).square() * density).sum() / density.sum()
        assert math.isclose(tilted.mean[0, i], mean, rel_tol=0, abs_tol=1e-10)
        assert math.isclose(tilted.var, var, rel_tol=1e-8)


def test_a_power_counts_for_the_state_that_has_its_index():
    powers = torch.zeros(21).double()
    powers[5] = 1
    steps = PosteriorSteps(gaussian_denoiser, SCHEDULE)
    tilted, x_t = TiltedSteps(steps, R, powers), normal(3, 2)
    moved = [t for t in range(2, 21) if not torch.equal(tilted(x_t, t).mean, steps(x_t, t).mean)]
    assert moved == [6]  # from x_6 to x_5


def test_the_tilts_log_density_is_that_of_the_step_and_of_r_but_for_a_constant():
    steps, x, t = PosteriorSteps(gaussian_denoiser, SCHEDULE), normal(50, 2, seed=3), 8
    x_t = normal(1, 2).expand(50, 2)
    tilted = TiltedSteps(steps, R, torch.full((21,), 0.7).double())(x_t, t)
    left_over = tilted.log_prob(x) - steps(x_t, t).log_prob(x) - 0.7 * R.log_prob(x)
    assert left_over.std() < 1e-8 * tilted.log_prob(x).abs().max()


def test_the_powers_are_those_of_the_paper_and_the_signals_share():
    t = torch.arange(21).double()
    assert torch.equal(tilt_powers(SCHEDULE, "every step"), torch.ones(21).double())
    assert torch.equal(tilt_powers(SCHEDULE, "annealed"), 1 - t / 20)
    assert torch.equal(tilt_powers(SCHEDULE, "alpha_bar"), SCHEDULE.alpha_bar)


def test_the_last_step_stays_a_point():
    tilted = TiltedSteps(PosteriorSteps(gaussian_denoiser, SCHEDULE), R, tilt_powers(SCHEDULE, "annealed"))
    step = tilted(normal(4, 2), 1)
    assert torch.equal(step.var.expand(4, 1), torch.zeros(4, 1).double())


def test_r_to_the_power_alpha_bar_comes_nearer_to_the_tilted_law_than_r_at_every_step():
    """For x_0 ~ N(0, I) the tilted law is the product N(0, I) r: its variance is 1/3."""
    schedule, off = even_log_snr(100), {}
    x_T = torch.randn(4000, 2, generator=seeded(), dtype=torch.float64)
    exact = Gaussian(torch.zeros(2).double(), torch.ones(1).double()).product(R)
    for kind in ("every step", "alpha_bar"):
        tilted = TiltedSteps(PosteriorSteps(gaussian_denoiser, schedule), R, tilt_powers(schedule, kind))
        samples = last(ancestral(tilted, x_T, 100, seeded(1)))
        off[kind] = (samples.var(dim=0) / exact.var - 1).abs().max()
        assert ((samples.mean(dim=0) - exact.mean).abs() < 0.15).all()
    assert off["alpha_bar"] < 0.8 * off["every step"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"powers": -torch.ones(21)}, "powers has the entry -1; pass powers of at least 0"),
        ({"r": Gaussian(torch.zeros(2), torch.zeros(1))}, "r has a variance of 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    given = {"r": R, "powers": torch.ones(21)} | settings
    with pytest.raises(ValueError, match=message):
        TiltedSteps(PosteriorSteps(gaussian_denoiser, SCHEDULE), **given)
