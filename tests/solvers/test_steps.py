"""Samplers against diffusers' and against their definitions; blocks of rows, modes, memory."""

import inspect
import math

import pytest
import torch
from support import EPS, MAKERS, K, normal, refused, seeded
from torch import nn

from diffusion_lib.models import Diffusion, ExactDenoiser
from diffusion_lib.process.posterior import posterior, posterior_var
from diffusion_lib.process.schedules import even_log_snr, linear
from diffusion_lib.solvers import AtSteps, PosteriorSteps, ancestral, ddim, last
from diffusion_lib.solvers.steps import BLOCK, evaluating

POINTS = normal(6, 2)
ORACLE = ExactDenoiser(POINTS)


def final(sampler):
    """The last state, and how many there were."""
    states = list(sampler)
    return states[-1], len(states)


# --- DDIM ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def their_ddim():
    """A function (schedule, steps) → diffusers' DDIMScheduler in float64, made to visit just these steps."""
    from diffusers import DDIMScheduler

    def make(schedule, steps):
        scheduler = DDIMScheduler(
            num_train_timesteps=schedule.T,
            trained_betas=schedule.beta[1:].tolist(),
            prediction_type="sample",
            clip_sample=False,
            set_alpha_to_one=True,
        )
        scheduler.alphas_cumprod = schedule.alpha_bar[1:]
        scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
        scheduler.num_inference_steps = len(steps)
        scheduler.timesteps = torch.tensor([t - 1 for t in steps])
        return scheduler

    return make


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("name", ["linear", "even_log_snr"])
def test_ddim_is_diffusers(name, stride, eta, their_ddim, float64):
    """Their next step is t minus T/steps; ours is the next of the list. On an even grid they are one."""
    schedule = MAKERS[name](32)
    steps = list(range(32, 0, -stride))
    x_T = normal(7, 2, seed=1)
    ours = list(ddim(ORACLE, x_T, schedule, steps, eta, seeded(2)))
    scheduler, generator, x_t = their_ddim(schedule, steps), seeded(2), x_T
    for i, t in enumerate(steps):
        x_0_hat = AtSteps(ORACLE, schedule)(x_t, t)
        noise = torch.randn(x_t.shape, generator=generator) if eta else None
        x_t = scheduler.step(x_0_hat, t - 1, x_t, eta=eta, variance_noise=noise).prev_sample
        # ε̂ is divided by √(1 − ᾱ_t), at least √β_1; the oracle's weights turn on z's rounding over σ_1².
        rounding = 1e4 * EPS / float(schedule.beta[1])
        torch.testing.assert_close(ours[i + 1], x_t, rtol=0, atol=rounding)
    assert len(ours) == len(steps) + 1


def test_with_eta_1_over_all_steps_it_is_ancestral_sampling(float64):
    schedule, x_T = even_log_snr(20), normal(50, 2)
    noisy = last(ddim(ORACLE, x_T, schedule, eta=1.0, generator=seeded(3)))
    usual = last(ancestral(PosteriorSteps(ORACLE, schedule), x_T, 20, seeded(3)))
    torch.testing.assert_close(noisy, usual, rtol=0, atol=1e4 * EPS / float(schedule.beta[1]))


def test_without_noise_it_obeys_no_seed_and_ends_on_the_data(float64):
    schedule, x_T = even_log_snr(100, sigma_min=0.001), normal(50, 2)
    one, n = final(ddim(ORACLE, x_T, schedule, generator=seeded(1)))
    two, _ = final(ddim(ORACLE, x_T, schedule, generator=seeded(2)))
    assert torch.equal(one, two)
    assert n == 101
    assert torch.cdist(one, POINTS).min(dim=1).values.max() < 0.01  # ten times the least noise


def test_steps_that_do_not_fall_are_refused():
    schedule = linear(30)
    for steps in ([30, 30], [1, 30], [31, 1], [10, 0]):
        with refused("steps", "pass"):
            ddim(ORACLE, POINTS, schedule, steps)
    with refused("x_T has shape (4, 3)", "(n, 2)"):
        ddim(ORACLE, torch.zeros(4, 3, dtype=POINTS.dtype), schedule)
    with refused("eta = 1.5", "a number from 0 to 1"):
        ddim(ORACLE, POINTS, schedule, eta=1.5)


# --- the reverse steps of a denoiser ------------------------------------------------------------------------


@pytest.mark.parametrize("reverse_var", ["posterior", "beta"])
def test_a_denoisers_steps_are_the_posterior_at_its_answer(reverse_var):
    schedule, x_t = linear(30), normal(5, 2)
    reverse = PosteriorSteps(ORACLE, schedule, reverse_var)
    for t in (1, 2, 30):
        p, sigma = reverse(x_t, t), float(schedule.sigma[t])
        q = posterior(x_t, ORACLE(x_t / schedule.signal[t], sigma), t, schedule)
        torch.testing.assert_close(p.mean, q.mean, rtol=0, atol=1e3 * EPS)
        var = schedule.beta[t] if reverse_var == "beta" and t > 1 else posterior_var(schedule)[t]
        assert float(p.var) == pytest.approx(float(var), rel=4 * EPS)


def test_the_exact_denoiser_needs_no_model_to_be_sampled():
    """Ancestral sampling from two far points, unequally often in the data: each gets its share."""
    points = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [3.0, 0.0], [3.0, 0.0]])
    schedule, n = even_log_snr(60), 4000
    reverse = PosteriorSteps(ExactDenoiser(points), schedule, "beta")
    x_T = torch.randn(n, 2, generator=seeded())
    x_0 = last(ancestral(reverse, x_T, 60, seeded(1)))
    right = (x_0[:, 0] > 0).double().mean()
    assert (
        abs(right - 0.75) < K * math.sqrt(0.75 * 0.25 / n) + 0.01
    )  # 0.01: the chain's own error, from its T
    assert torch.cdist(x_0, points).min(dim=1).values.max() < 0.05


# --- generators of states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [ancestral, ddim])
def test_a_sampler_yields_states_one_after_the_other(sampler):
    schedule, x_T = linear(30), normal(4, 2)
    states = {
        ancestral: lambda: ancestral(PosteriorSteps(ORACLE, schedule), x_T, 30),
        ddim: lambda: ddim(ORACLE, x_T, schedule),
    }[sampler]()
    assert inspect.isgenerator(states)
    assert torch.equal(next(states), x_T)
    assert next(states).shape == (4, 2)
    assert len(list(states)) == 29


def test_a_sampler_takes_no_gradients():
    layer = nn.Linear(2, 2).double()
    schedule = linear(30)
    for states in (
        ddim(lambda z, sigma: layer(z), POINTS, schedule),
        ancestral(PosteriorSteps(lambda z, sigma: layer(z), schedule), POINTS, 30),
    ):
        assert not last(states).requires_grad
    assert layer(POINTS).requires_grad


def test_the_network_gets_rows_in_blocks_and_the_noise_is_drawn_whole():
    sizes = []

    class Watched(nn.Module):
        def forward(self, x_t, t):
            sizes.append(len(x_t))
            return 0.1 * x_t

    schedule, n = linear(21), BLOCK // 2 + 3  # two numbers a row
    model = Diffusion(Watched(), schedule, "x_0")
    found = model.sample(n, seeded(1))
    assert set(sizes) == {BLOCK // 2, 3}
    generator = seeded(1)
    x = torch.randn(n, 2, generator=generator)
    for t in range(21, 0, -1):
        q = posterior(x, 0.1 * x, t, schedule)
        x = q.mean + q.var.sqrt() * torch.randn(n, 2, generator=generator)
    assert torch.equal(found, x)


# --- modes --------------------------------------------------------------------------------------------------


def test_evaluating_gives_each_part_its_own_mode_again():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)))
    module[1][0].eval()  # frozen by the reader
    before = [part.training for part in module.modules()]
    within = []

    def fails():
        with evaluating(module.forward):
            within.extend(part.training for part in module.modules())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fails()
    assert within == [False] * 5
    assert [part.training for part in module.modules()] == before == [True, True, True, False, True]
    with evaluating(lambda x_t, t: x_t):  # a plain function has no mode
        pass
