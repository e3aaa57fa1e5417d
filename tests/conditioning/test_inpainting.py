"""Filling in what is not seen: each method against its definition, and where it is exact."""

import pytest
import torch
from support import EPS, K, normal, seeded

from diffusion_lib.conditioning import SeenThrough, dps, reconstruction, repaint
from diffusion_lib.models import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import PosteriorSteps, ancestral, last

SCHEDULE = even_log_snr(30)
SEEN = torch.tensor([0.4, torch.nan], dtype=torch.float64)
START = normal(4000, 2)
COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()


def tied(z, sigma):
    """E[x_0 | z] for x_0 ~ N(0, C) with correlation 0.8: C (C + σ²I)⁻¹ z."""
    sigma = torch.as_tensor(sigma, dtype=z.dtype).reshape(-1, 1, 1).expand(len(z), 1, 1)
    C = COVARIANCE.to(z)
    return (C @ torch.linalg.solve(C + sigma**2 * torch.eye(2).to(z), z[:, :, None])).squeeze(2)


def free(z, sigma):
    """E[x_0 | z] for x_0 ~ N(0, I)."""
    return z / (1 + torch.as_tensor(sigma, dtype=z.dtype).reshape(-1, 1) ** 2)


def recorded(denoiser):
    """The denoiser, and a list of what it is asked."""
    asked = []

    def ask(z, sigma):
        asked.append((z, torch.as_tensor(sigma).flatten()[0]))
        return denoiser(z, sigma)

    return ask, asked


def test_the_seen_part_has_at_each_step_the_law_that_the_forward_process_gives_it():
    *_, last_but_one, end = states = list(repaint(tied, SEEN, START, SCHEDULE, 1, seeded()))
    assert len(states) == SCHEDULE.T + 1
    assert (end[:, 0] == 0.4).all()
    for t in (1, 10, 25):
        seen, signal, noise = states[SCHEDULE.T - t][:, 0], SCHEDULE.signal[t], SCHEDULE.noise[t]
        assert abs(seen.mean() - 0.4 * signal) < K * noise / 4000**0.5
        assert abs(seen.std() / noise - 1) < K * (1 / 8000) ** 0.5
    assert last_but_one is states[-2]


def test_what_the_denoiser_is_asked_has_the_noise_that_it_is_told():
    asked, calls = recorded(tied)
    samples = last(repaint(asked, SEEN, START, SCHEDULE, 1, seeded()))
    assert torch.allclose(samples[:, 0], SEEN[0].expand(4000), rtol=0, atol=EPS)
    for z, sigma in calls[1::7]:  # the first is pure noise
        noise = (z[:, 0] - SEEN[0]) / sigma
        assert abs(noise.mean()) < K / 4000**0.5
        assert abs(noise.square().mean() - 1) < K * (2 / 4000) ** 0.5


def test_independent_coordinates_are_filled_in_from_their_own_law():
    samples = last(repaint(free, SEEN, START, SCHEDULE, 1, seeded()))
    plain = last(ancestral(PosteriorSteps(free, SCHEDULE), START, SCHEDULE.T, seeded()))
    assert abs(samples[:, 1].std() - plain[:, 1].std()) < K * (2 / 8000) ** 0.5


def test_more_repeats_bring_the_conditional_nearer():
    """With correlation 0.8 the second coordinate has mean 0.8 · 0.4, given the first."""
    found = [last(repaint(tied, SEEN, START[:2000], SCHEDULE, k, seeded()))[:, 1] for k in (1, 10)]
    off = [abs(x.mean() - 0.32) for x in found]
    assert off[1] < 0.5 * off[0]
    assert off[1] < 0.05


def test_a_repeat_goes_one_forward_step_back_up():
    """With the denoiser 0 the free part is a·x_t + noise; before the second turn x_t has a known variance."""
    asked, calls = recorded(lambda z, sigma: torch.zeros_like(z))
    x_T = START * 0
    list(repaint(asked, SEEN, x_T, SCHEDULE, 2, seeded()))
    t = SCHEDULE.T
    z, sigma = calls[1]
    x_t = z * SCHEDULE.signal[t]
    assert torch.isclose(sigma.double(), SCHEDULE.sigma[t])
    before = 1 - SCHEDULE.alpha_bar[t - 1]
    var = SCHEDULE.alpha[t] * before + SCHEDULE.beta[t]
    assert abs(x_t[:, 0].var() / var - 1) < K * (2 / 4000) ** 0.5
    assert abs(x_t[:, 0].mean() - SCHEDULE.signal[t] * 0.4) < K * (var / 4000) ** 0.5


def test_the_guess_of_log_p_is_the_gaussians_around_the_answer():
    z, sigma = normal(5, 2), torch.tensor([0.1, 0.5, 1.0, 2.0, 9.0]).double()
    var = sigma**2 / (1 + sigma**2)
    exact = torch.distributions.Normal(tied(z, sigma)[:, 0], var.sqrt()).log_prob(SEEN[0])
    assert torch.allclose(SeenThrough(tied, SEEN)(z, sigma), exact, rtol=0, atol=1e-12)


def test_reconstruction_guidance_is_exact_for_standard_normal_data():
    """There x_0 given z is N(z/(1 + σ²), σ²/(1 + σ²)), as the guess assumes: x̂_0 is y where seen."""
    z, sigma = normal(5, 2), 0.7
    found = reconstruction(free, SEEN)(z, sigma)
    exact = torch.stack([SEEN[:1].expand(5), free(z, sigma)[:, 1]], dim=1)
    assert torch.allclose(found, exact, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("w", [0.0, 0.5])
def test_its_scale_is_that_of_the_guidance(w):
    z = normal(5, 2)
    plain, full, part = (reconstruction(tied, SEEN, s)(z, 0.5) for s in (0.0, 1.0, w))
    assert torch.allclose(part, plain + w * (full - plain), rtol=0, atol=1e-12)


def test_dps_steps_against_the_gradient_of_the_norm():
    x_T, states = normal(3, 2), []
    for step_size in (1e-9, 0.25):
        states.append(next(s for i, s in enumerate(dps(tied, SEEN, x_T, SCHEDULE, step_size, seeded())) if i))
    t = SCHEDULE.T

    def norm(x):
        return (tied(x / SCHEDULE.signal[t], SCHEDULE.sigma[t])[:, 0] - 0.4).abs()

    step = 1e-6 * torch.eye(2).double()
    gradient = torch.stack([(norm(x_T + e) - norm(x_T - e)) / 2e-6 for e in step], dim=1)
    assert torch.allclose(states[1] - states[0], -0.25 * gradient, rtol=0, atol=1e-8)


def test_dps_with_a_small_step_brings_the_seen_part_nearer():
    plain = last(ancestral(PosteriorSteps(tied, SCHEDULE), START, SCHEDULE.T, seeded()))
    asked = last(dps(tied, SEEN, START, SCHEDULE, 0.1, seeded()))
    assert (asked[:, 0] - 0.4).abs().mean() < 0.6 * (plain[:, 0] - 0.4).abs().mean()


@pytest.mark.parametrize("method", [repaint, dps])
def test_the_unseen_may_differ_from_row_to_row(method):
    seen = torch.tensor([[0.4, torch.nan], [torch.nan, -1.0]]).double()
    oracle = ExactDenoiser(torch.tensor([[0.4, 1.0], [0.3, -1.0]]).double())
    samples = last(method(oracle, seen, normal(2, 2), SCHEDULE))
    assert samples.shape == (2, 2)
    assert torch.isfinite(samples).all()


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (
            torch.tensor([torch.nan, torch.nan]).double(),
            "seen has shape .* and 0 finite numbers; pass",
        ),
        (torch.tensor([1, 2]), "seen is torch.int64; pass a point with NaN where it is not seen"),
        (torch.zeros(3).double(), "pass one point, or one for each row of x_T"),
    ],
)
def test_what_is_seen_is_a_point(seen, message):
    with pytest.raises(ValueError, match=message):
        repaint(tied, seen, START, SCHEDULE)
