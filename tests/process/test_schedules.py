"""Schedules against the papers' formulas, a public library, and what every schedule must keep to."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import EPS, LEAST_T, MAKERS, Function, normal, refused, share_kept

from diffusion_lib.models import Diffusion
from diffusion_lib.process import schedules
from diffusion_lib.process.schedules import Schedule, at
from diffusion_lib.solvers import dpm_solver_pp_2m, last, power_even

names = st.sampled_from(sorted(MAKERS))


@given(names, st.integers(0, 1500))
def test_every_schedule_of_every_length_keeps_the_contract(name, more):
    T = LEAST_T[name] + more
    schedule = MAKERS[name](T)
    assert schedule.T == T
    assert len(schedule.alpha) == len(schedule.alpha_bar) == len(schedule.beta) == len(schedule.snr) == T + 1
    assert schedule.alpha.dtype == schedule.alpha_bar.dtype == torch.float64
    assert schedule.alpha[0] == schedule.alpha_bar[0] == 1
    assert schedule.beta[0] == 0
    assert ((schedule.alpha[1:] > 0) & (schedule.alpha[1:] < 1)).all()
    assert schedule.snr[0] == math.inf
    assert (schedule.snr[1:] < schedule.snr[:-1]).all()


@pytest.mark.parametrize("name", MAKERS)
def test_alpha_bar_is_the_product(name):
    schedule = MAKERS[name](50)
    for t in (1, 7, 50):
        product = math.prod(schedule.alpha[1 : t + 1].tolist())
        assert abs(schedule.alpha_bar[t] / product - 1) < 2 * t * EPS
    torch.testing.assert_close(schedule.snr[1:], schedule.alpha_bar[1:] / (1 - schedule.alpha_bar[1:]))


def test_linear_is_the_papers_and_keeps_its_noise_at_any_length():
    schedule = schedules.linear(1000)
    assert (schedule.beta[1] - 1e-4).abs() < 4 * EPS
    assert (schedule.beta[1000] - 0.02).abs() < 4 * EPS
    assert (schedule.beta[1:].diff() - (0.02 - 1e-4) / 999).abs().max() < 4 * EPS
    # The total of −log α is ∫ (0.1 + 19.9 u) du = 10.05, up to terms of β² and 1/T: 20²/(3T) in all.
    for T in (200, 1000, 5000):
        total = -schedules.linear(T).alpha_bar[-1].log()
        assert abs(total - 10.05) < 200 / T


def test_linear_takes_other_ends():
    schedule = schedules.linear(3, beta_1=0.1, beta_T=0.5)
    torch.testing.assert_close(schedule.alpha[1:], torch.tensor([0.9, 0.7, 0.5], dtype=torch.float64))


def test_cosine_is_the_papers_formula():
    T, s = 100, 0.008
    level = np.cos((np.arange(T + 1) / T + s) / (1 + s) * np.pi / 2) ** 2
    below_the_clip = torch.from_numpy(level / level[0])[:-1]
    torch.testing.assert_close(schedules.cosine(T).alpha_bar[:-1], below_the_clip, rtol=1e-11, atol=0)
    assert schedules.cosine(T).beta[-1] == pytest.approx(0.999, abs=EPS)


def test_sigmoid_rises_from_1e_5_to_nearly_three_tenths():
    beta = schedules.sigmoid(40).beta
    u = np.linspace(-18, 10, 40)
    torch.testing.assert_close(
        beta[1:], torch.from_numpy(1e-5 + (0.3 - 1e-5) / (1 + np.exp(-u))), rtol=0, atol=4 * EPS
    )


def test_even_log_snr_is_even_between_its_ends():
    schedule = schedules.even_log_snr(50, sigma_min=0.01, sigma_max=10)
    log_sigma = -0.5 * schedule.snr[1:].log()
    even = torch.linspace(math.log(0.01), math.log(10), 50, dtype=torch.float64)
    # 1 − ᾱ is 1e-4 at t = 1, so a rounding of ᾱ counts 10⁴ times; 50 factors bring a rounding each.
    torch.testing.assert_close(log_sigma, even, rtol=0, atol=50 * EPS * 1e4)


def test_even_log_snr_begins_and_ends_with_the_noise_asked_for():
    """sigma is noise over signal after the steps 1…t, here from the product of their 1 − β."""
    beta = schedules.even_log_snr(50, sigma_min=0.01, sigma_max=10).beta[1:].tolist()
    for t, sigma in ((1, 0.01), (50, 10)):
        kept = share_kept(beta, t)
        assert math.sqrt((1 - kept) / kept) == pytest.approx(sigma, rel=50 * EPS * 1e4)  # 1 − ᾱ_1 is 1e-4


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schedules.linear, {"beta_schedule": "linear"}),
        (schedules.cosine, {"beta_schedule": "squaredcos_cap_v2"}),
    ],
)
def test_the_papers_schedules_are_those_of_diffusers(ours, theirs, reference):
    scheduler = type(reference(ours(50)))(num_train_timesteps=1000, **theirs)
    eps32 = torch.finfo(torch.float32).eps  # theirs are float32
    torch.testing.assert_close(ours(1000).beta[1:].float(), scheduler.betas, rtol=8 * eps32, atol=eps32)


def test_from_beta_counts_from_one():
    schedule = Schedule.from_beta([0.1, 0.2])
    torch.testing.assert_close(schedule.alpha, torch.tensor([1, 0.9, 0.8], dtype=torch.float64))
    torch.testing.assert_close(schedule.alpha_bar, torch.tensor([1, 0.9, 0.72], dtype=torch.float64))


def test_at_gives_columns_in_the_type_of_the_points():
    values, x = torch.arange(5.0).double(), torch.zeros(3, 2)
    assert at(values, 4, x).tolist() == [[4.0]]
    column = at(values, torch.tensor([1, 0, 3]), x)
    assert column.tolist() == [[1.0], [0.0], [3.0]]
    assert column.dtype == torch.float32


def test_at_gives_one_entry_to_each_group():
    values, x = torch.arange(5.0).double(), torch.zeros(3, 7, 2)
    groups = at(values, torch.tensor([1, 0, 3]), x)
    assert groups.tolist() == [[[1.0]], [[0.0]], [[3.0]]]
    assert at(values, 4, x).tolist() == [[[4.0]]]
    assert groups.dtype == torch.float32


def test_at_serves_a_single_number_too():
    values = torch.arange(3.0)
    for t in (2, torch.tensor(2), torch.tensor([2])):
        assert at(values, t, torch.tensor(1.0)).item() == 2


def test_a_schedule_keeps_its_values_and_equals_itself():
    alpha = torch.tensor([1.0, 0.9, 0.5], dtype=torch.float64)
    schedule = Schedule(alpha)
    alpha[1] = 0.1
    assert schedule.alpha.tolist() == [1, 0.9, 0.5]
    assert schedule == schedule
    assert schedule != Schedule(alpha)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("T", [0, -1, 10.5, True])
def test_a_chain_has_a_whole_number_of_steps(name, T):
    with refused(f"T = {T!r}", "whole number"):
        MAKERS[name](T)


def test_the_nearest_levels_are_those_of_whole_steps():
    schedule = schedules.even_log_snr(5, sigma_min=0.01, sigma_max=100)  # at 0.01, 0.1, 1, 10, 100
    assert schedule.nearest([500, 30, 3, 1.2, 0.9, 0.04, 0.001]) == pytest.approx([100, 10, 1, 0.1, 0.01])


def test_at_the_nearest_levels_a_network_is_asked_once():
    schedule, asked = schedules.cosine(1000), []
    model = Diffusion(Function(lambda x_t, t: asked.append(t) or x_t), schedule, shape=(2,))
    levels = schedule.nearest(power_even(20, 80.0, 0.02))
    last(dpm_solver_pp_2m(model, normal(3, 2), levels))
    assert len(levels) == len(asked) == 20


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: schedules.linear(20), ("T = 20", "beta_T = 1", "take T > 20")),
        (lambda: schedules.linear(100, beta_1=0.0), ("beta_1 = 0", "between 0 and 1")),
        (lambda: schedules.linear(100, beta_T=math.nan), ("beta_T = nan", "between 0 and 1")),
        (lambda: schedules.cosine(10, s=-1), ("s = -1", "a number of at least 0")),
        (lambda: schedules.cosine(10, s=10**400), ("s = 1000", "number")),
        (lambda: schedules.even_log_snr(10, sigma_min=True), ("sigma_min = True", "number")),
        (lambda: schedules.cosine(10, beta_max=1.0), ("beta_max = 1.0", "between 0 and 1")),
        (lambda: schedules.even_log_snr(1), ("T = 1", "at least 2")),
        (lambda: schedules.even_log_snr(10, sigma_min=0), ("sigma_min = 0", "a positive number")),
        (lambda: schedules.even_log_snr(10, 2.0, 1.0), ("sigma_max = 1.0", "sigma_min < sigma_max")),
        (lambda: Schedule(torch.ones(1)), ("alpha has shape (1,)", "T ≥ 1")),
        (lambda: Schedule(torch.ones(2, 2)), ("alpha has shape (2, 2)", "T + 1 values")),
        (lambda: Schedule(torch.tensor([0.5, 0.8])), ("starts with 0.5", "α_0 = 1")),
        (lambda: Schedule(torch.tensor([1.0, 1.0])), ("from 1.0 to 1.0", "0 < α_t < 1")),
        (lambda: Schedule(torch.tensor([1.0, math.nan])), ("nan", "0 < α_t < 1")),
        (lambda: Schedule.from_beta([0.1, -0.1]), ("from -0.1 to 0.1", "0 < β_t < 1")),
        (lambda: Schedule.from_beta([0.9] * 400), ("alpha_bar", "T = 400", "take fewer steps")),
    ],
)
def test_impossible_schedules_are_refused(make, parts):
    with refused(*parts):
        make()
