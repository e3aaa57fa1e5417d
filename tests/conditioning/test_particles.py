"""Twisted particles: their weights against importance sampling, their law against the exact one."""

import math

import pytest
import torch
from support import K, normal, seeded

from diffusion_lib.conditioning import SeenThrough, particles, reconstruction, twisted
from diffusion_lib.conditioning.particles import _drawn_anew, _look
from diffusion_lib.experiments import conditions
from diffusion_lib.models import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import PosteriorSteps, last

SEEN = torch.tensor([0.0, torch.nan]).double()
# Points at three heights, dense in x_1: the density at x_1 = 0 of each height is its weight.
HEIGHTS, WEIGHTS = (-2.0, 0.0, 2.0), torch.tensor([0.6, 0.1, 0.3]).double()


def oracle():
    """Three horizontal segments from −2 to 2, as 400 points each, with these weights."""
    x_1 = torch.linspace(-2, 2, 400, dtype=torch.float64)
    points = torch.cat([torch.stack([x_1, torch.full_like(x_1, h)], dim=1) for h in HEIGHTS])
    return ExactDenoiser(points, WEIGHTS.repeat_interleave(400))


def shares(samples):
    """The shares of the three heights."""
    nearest = (samples[:, 1:] - torch.tensor(HEIGHTS).double()).abs().argmin(dim=1)
    return torch.bincount(nearest, minlength=3) / len(samples)


def test_particles_have_the_exact_shares():
    n, particles = 500, 4
    x_T = torch.randn(n * particles, 2, generator=seeded(), dtype=torch.float64)
    states = list(twisted(oracle(), SEEN, x_T, even_log_snr(40, 0.02), particles, seeded(1)))
    assert len(states) == 41
    assert all(x.shape == x_T.shape for x in states)
    assert (states[-1][:, 0] == 0).all()
    found = shares(states[-1][::particles])
    error = (WEIGHTS * (1 - WEIGHTS) / n).sqrt()
    assert ((found - WEIGHTS).abs() < K * error).all()


def test_on_the_roll_weights_mend_what_guidance_guesses():
    """Against the exact weights of the four crossings of a line; guidance alone is about 0.1 apart."""
    _, points, weights, _ = conditions.roll(8)
    places, exact = conditions.crossings(0.0)
    x_T = torch.randn(600 * 8, 2, generator=seeded())
    seen = torch.tensor([0.0, torch.nan])
    samples = last(twisted(ExactDenoiser(points, weights), seen, x_T, even_log_snr(60, 0.05), 8, seeded(1)))
    nearest = torch.cdist(samples[::8], places).argmin(dim=1)
    found = torch.bincount(nearest, minlength=4) / 600
    assert (found - exact).abs().sum() / 2 < 0.07


def test_the_weights_of_a_whole_path_are_its_last_twist_and_the_ratios_of_its_steps(monkeypatch):
    """Without drawing anew, all twists but the last cancel."""
    looks = []

    def kept(states, log_w, *_):
        looks.append(log_w)
        return *states, log_w

    monkeypatch.setattr(particles, "_drawn_anew", kept)
    schedule = even_log_snr(4, 0.3, 2)
    states = list(twisted(oracle(), SEEN, normal(6, 2), schedule, 3, seeded(1)))
    plain = PosteriorSteps(oracle(), schedule)
    turned = PosteriorSteps(reconstruction(oracle(), SEEN), schedule)
    log_w = SeenThrough(oracle(), SEEN)(states[3] / schedule.signal[1], schedule.sigma[1])
    for t in (4, 3, 2):
        x_t, x_before = states[4 - t : 6 - t]
        log_w = log_w + plain(x_t, t).log_prob(x_before) - turned(x_t, t).log_prob(x_before)
    assert torch.allclose(looks[-1], log_w)


def test_many_particles_have_the_law_of_the_plain_chain_weighed_at_its_last_noisy_step():
    """The twists before that decide nothing, even at starts that they like very differently."""
    n, schedule = 4000, even_log_snr(3, 0.3, 1)
    starts = torch.tensor([[0.1, 1.2], [1.0, -1.2]]).double().repeat(n // 2, 1)
    found = last(twisted(oracle(), SEEN, starts, schedule, n, seeded()))[:, 1].mean()
    plain, x_t = PosteriorSteps(oracle(), schedule), starts.repeat(5, 1)
    for t in (3, 2):
        x_t = plain(x_t, t).from_noise(torch.randn(x_t.shape, generator=seeded(t), dtype=x_t.dtype))
    z, sigma = x_t / schedule.signal[1], schedule.sigma[1]
    weights = SeenThrough(oracle(), SEEN)(z, sigma).softmax(dim=0)
    assert abs(found - (weights * oracle()(z, sigma)[:, 1]).sum()) < 0.1


def test_one_look_gives_the_answer_its_twist_and_the_slope():
    schedule, denoiser, x_t, t = even_log_snr(10), oracle(), normal(5, 2), 7
    twist = SeenThrough(denoiser, SEEN)
    x_0_hat, log_g, uphill = _look(twist, x_t, t, schedule)
    z, sigma = x_t / schedule.signal[t], schedule.sigma[t]
    assert torch.equal(x_0_hat, denoiser(z, sigma))
    assert torch.allclose(log_g, twist(z, sigma))
    step = 1e-6 * torch.eye(2).double()
    slope = torch.stack([(twist(z + e, sigma) - twist(z - e, sigma)) / 2e-6 for e in step], dim=1)
    assert torch.allclose(uphill, slope, rtol=1e-6, atol=1e-6)


def test_chains_are_drawn_anew_by_their_weights_and_only_among_themselves():
    w = torch.tensor([[0.9, 0.05, 0.05], [0.3, 0.3, 0.4]]).double().repeat(2000, 1)
    rows = torch.arange(12_000)
    drawn, log_w = _drawn_anew((rows,), w.log().flatten(), 3, 0.5, seeded())
    assert torch.equal(drawn // 3, rows // 3)
    rich = drawn.reshape(-1, 3)[1::2]
    assert torch.equal(rich, rows.reshape(-1, 3)[1::2])  # their weights are nearly equal
    assert torch.allclose(log_w.reshape(-1, 3)[1::2], w[1::2].log())
    poor = drawn.reshape(-1, 3)[::2] % 3
    assert abs((poor == 0).double().mean() - 0.9) < K * math.sqrt(0.09 / 6000)
    assert (log_w.reshape(-1, 3)[::2] == 0).all()


def test_at_the_end_every_chain_is_drawn_anew():
    log_w = torch.tensor([0.0, 0.0, 0.1]).double()
    _, again = _drawn_anew((torch.arange(3),), log_w, 3, 1.0, seeded())
    assert (again == 0).all()


def test_one_particle_needs_no_weights():
    x_T = normal(20, 2)
    samples = last(twisted(oracle(), SEEN, x_T, even_log_snr(10), 1, seeded()))
    assert torch.isfinite(samples).all()


def test_rows_must_make_whole_chains():
    with pytest.raises(ValueError, match="x_T has 7 rows, particles = 2; pass a multiple of it as rows"):
        twisted(oracle(), SEEN, normal(7, 2), even_log_snr(10), 2)
