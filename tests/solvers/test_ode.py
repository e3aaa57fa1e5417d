"""The ODE's samplers against closed forms, their orders, diffusers' schedulers and each other."""

import math

import pytest
import torch
from support import EPS, normal, refused
from torch import nn

from diffusion_lib import data
from diffusion_lib.models import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import ddim, dpm_solver_pp_2m, euler, heun, last, log_even, power_even

SAMPLERS = {"Euler": euler, "Heun": heun, "DPM-Solver++(2M)": dpm_solver_pp_2m}
every = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
ORACLE = ExactDenoiser(normal(6, 2))


class Counting(nn.Module):
    """A denoiser of data N(0, s²), x̂_0 = z s²/(s² + σ²); it counts its calls."""

    def __init__(self, s=1.0):
        super().__init__()
        self.s, self.calls = s, 0

    def forward(self, z, sigma):
        self.calls += 1
        return z * self.s**2 / (self.s**2 + sigma**2)


# --- levels -------------------------------------------------------------------------------------------------


def test_levels_even_in_the_logarithm():
    assert log_even(5, 16.0, 1.0) == pytest.approx([16, 8, 4, 2, 1], rel=1e-14)


def test_levels_even_in_a_power():
    levels = power_even(8, 80.0, 0.002, rho=7.0)
    # Karras et al. 2022, eq. 5, as printed.
    printed = [(80 ** (1 / 7) + i / 7 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(8)]
    assert levels == pytest.approx(printed, rel=1e-12)


@pytest.mark.parametrize("make", [log_even, power_even])
def test_levels_that_do_not_fall_are_refused(make):
    with refused("sigma_min = 3.0, sigma_max = 2.0; take sigma_min < sigma_max"):
        make(5, 2.0, 3.0)


# --- the steps ----------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(("n", "calls"), [(1, (1, 1)), (2, (2, 3)), (10, (10, 19))])
def test_how_often_the_denoiser_is_called(sampler, n, calls):
    denoiser = Counting()
    states = list(sampler(denoiser, normal(3, 2), log_even(n, 5.0, 0.1)))
    assert len(states) == n + 1
    assert denoiser.calls == calls[sampler is heun]


@every
def test_one_level_is_the_denoisers_answer(sampler):
    z = normal(4, 2)
    assert torch.equal(last(sampler(ORACLE, z, [2.0])), ORACLE(z, 2.0))


@every
def test_data_of_one_point_is_met_exactly(sampler):
    point, z = normal(1, 2), normal(5, 2, seed=1)
    found = last(sampler(ExactDenoiser(point), z, log_even(7, 5.0, 0.1)))
    torch.testing.assert_close(found, point.expand(5, 2), rtol=0, atol=20 * EPS)


ORDERS = [(euler, 1), (heun, 2), (dpm_solver_pp_2m, 2)]


@pytest.mark.parametrize(("sampler", "order"), ORDERS, ids=[f"{f.__name__}" for f, _ in ORDERS])
def test_the_error_falls_with_its_order_for_gaussian_data(sampler, order):
    """The solution is z(σ) = z(σ_max) √(s² + σ²)/√(s² + σ_max²); the step to 0 is left out."""
    z, top, low, s = normal(5, 2), 5.0, 0.2, 0.7
    exact = z * math.sqrt((s**2 + low**2) / (s**2 + top**2))
    errors = []
    for n in (81, 161, 321):
        *_, end, _ = sampler(Counting(s), z, log_even(n, top, low))
        errors.append(float((end - exact).norm()))
    slopes = [math.log2(a / b) for a, b in zip(errors[:-1], errors[1:], strict=True)]
    assert slopes == pytest.approx([order] * 2, abs=0.1)


@pytest.mark.parametrize(("sampler", "order"), ORDERS, ids=[f"{f.__name__}" for f, _ in ORDERS])
def test_the_median_error_falls_with_its_order_on_the_roll(sampler, order):
    """On the exact field of the roll some paths take another arm: the median, not the mean, has a slope."""
    nodes, weights, _ = data.roll_quadrature(8)
    oracle = ExactDenoiser(data.Standardiser.fit(nodes)(nodes), weights)
    z, ends = 5 * normal(60, 2), {}
    for n in (80, 160, 1280):
        *_, ends[n], _ = sampler(oracle, z, log_even(n, 5.0, 0.2))
    coarse, fine = (float((ends[n] - ends[1280]).norm(dim=1).median()) for n in (80, 160))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.3)


def test_dpm_solver_takes_a_line_in_log_sigma_at_the_middle_of_its_step():
    """Where x̂_0 = b λ, whatever the point, x̄ is b λ at the middle of the step, however uneven the levels."""
    levels, z = [8.0, 3.0, 2.5, 0.4], normal(3, 1)
    states = list(dpm_solver_pp_2m(lambda z, sigma: torch.full_like(z, -math.log(sigma)), z, levels))
    for k in (1, 2):
        kept, middle = levels[k + 1] / levels[k], -math.log(levels[k] * levels[k + 1]) / 2
        torch.testing.assert_close(
            states[k + 1], kept * states[k] + (1 - kept) * middle, rtol=0, atol=20 * EPS
        )


# --- DDIM and diffusers -------------------------------------------------------------------------------------


def test_euler_is_ddim_without_noise():
    schedule = even_log_snr(40)
    steps, x_T = [40, 33, 20, 11, 4, 1], normal(7, 2)
    levels = [float(schedule.sigma[t]) for t in steps]
    ours = list(euler(ORACLE, x_T / schedule.signal[40], levels))
    theirs = list(ddim(ORACLE, x_T, schedule, steps))
    for z, x_t, t in zip(ours, theirs, [*steps, 0], strict=True):
        torch.testing.assert_close(z * schedule.signal[t], x_t, rtol=0, atol=1e-14)


LEVELS = power_even(9, 12.0, 0.05)


def their_run(scheduler, sigmas, into, said, z):
    """Diffusers' sampler at these noise levels, in float64: a call for each but the last, which is 0.

    `into` makes z of their state at σ, and `said` of x̂_0 what their model says; z is the start.
    """
    steps = torch.arange(len(sigmas) - 1, 0, -1)  # names of the steps: any that differ
    scheduler.num_inference_steps = len(steps)
    scheduler.timesteps, scheduler.sigmas = steps, torch.tensor(sigmas, dtype=torch.float64)
    state = z / into(sigmas[0])
    calls = [sigmas[0], *sigmas[1:-1:2]] if len(sigmas) > len(LEVELS) + 1 else sigmas
    for k, t in enumerate(steps):
        sigma = calls[(k + 1) // 2] if calls is not sigmas else sigmas[k]
        scheduler._step_index = k
        z = state * into(sigma)
        state = scheduler.step(said(z, sigma), t, state).prev_sample
    return state


def test_dpm_solver_is_that_of_diffusers(float64):
    from diffusers import DPMSolverMultistepScheduler

    theirs = DPMSolverMultistepScheduler(prediction_type="sample", final_sigmas_type="zero")
    z = 12 * normal(7, 2)
    found = their_run(theirs, [*LEVELS, 0.0], lambda sigma: math.sqrt(1 + sigma**2), ORACLE, z)
    torch.testing.assert_close(last(dpm_solver_pp_2m(ORACLE, z, LEVELS)), found, rtol=0, atol=1e-13)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of levels that we replace
def test_heun_is_that_of_diffusers(float64):
    from diffusers import HeunDiscreteScheduler

    theirs, z = HeunDiscreteScheduler(prediction_type="sample"), 12 * normal(7, 2)
    twice = [LEVELS[0], *(level for level in LEVELS[1:] for _ in range(2)), 0.0]
    found = their_run(theirs, twice, lambda _: 1.0, ORACLE, z)
    torch.testing.assert_close(last(heun(ORACLE, z, LEVELS)), found, rtol=0, atol=1e-13)


def test_euler_is_diffusers_euler_for_straight_paths(float64):
    """Their state is (1 − t) x_0 + tε with t = σ/(1 + σ), and their model says the velocity ε − x_0."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    z, scheduler = 12 * normal(7, 2), FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(len(LEVELS))
    t = torch.tensor([level / (1 + level) for level in LEVELS] + [0.0], dtype=torch.float64)
    scheduler.sigmas, scheduler.timesteps = t, 1000 * t[:-1]
    x = z / (1 + LEVELS[0])
    for k, sigma in enumerate(LEVELS):
        scheduler._step_index = k
        now = x * (1 + sigma)
        x_0_hat = ORACLE(now, sigma)
        x = scheduler.step((now - x_0_hat) / sigma - x_0_hat, scheduler.timesteps[k], x).prev_sample
    torch.testing.assert_close(last(euler(ORACLE, z, LEVELS)), x, rtol=0, atol=1e-5)  # their state is float32


# --- what samplers have in common ---------------------------------------------------------------------------


@every
def test_levels_are_held(sampler):
    for levels, message in [
        ([], "levels is empty"),
        ([1.0, 2.0], "levels = [1.0, 2.0] does not fall"),
        ([1.0, 0.0], "levels[1] = 0.0; pass a positive number"),
        (3.0, "levels is a float; pass a list or a tuple"),
    ]:
        with refused("levels", message):
            sampler(ORACLE, normal(3, 2), levels)


@every
def test_networks_are_asked_in_eval_mode_without_gradients(sampler):
    class Network(nn.Linear):
        def forward(self, z, sigma):
            assert not self.training
            return super().forward(z)

    network = Network(2, 2)
    end = last(sampler(network, normal(3, 2).float(), [2.0, 1.0]))
    assert network.training
    assert not end.requires_grad
