"""The posterior against Bayes by quadrature and against diffusers; the conversions against each other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from support import EPS, LEAST_T, MAKERS, normal, refused

from diffusion_lib.process import schedules
from diffusion_lib.process.forward import diffuse
from diffusion_lib.process.posterior import (
    from_x_0,
    posterior,
    posterior_var,
    posterior_weights,
    to_x_0,
)
from diffusion_lib.process.schedules import Schedule

KINDS = ("x_0", "eps", "score", "v", "u")

BETA = [0.05, 0.3, 0.1, 0.6]
SCHEDULE = Schedule.from_beta(BETA)
coordinates = st.floats(-10, 10)


def bayes(x_t, x_0, t):
    """Mean and variance of q(x_{t−1} | x_t, x_0) for numbers, by Bayes' rule on a grid, from BETA alone."""
    kept = math.prod(1 - beta for beta in BETA[: t - 1])
    prior = norm(math.sqrt(kept) * x_0, math.sqrt(1 - kept))
    grid = np.linspace(prior.mean() - 14 * prior.std(), prior.mean() + 14 * prior.std(), 20_001)
    weight = prior.pdf(grid) * norm.pdf(x_t, math.sqrt(1 - BETA[t - 1]) * grid, math.sqrt(BETA[t - 1]))
    weight /= weight.sum()  # equal spacing: for a Gaussian the sum is exact to rounding
    mean = (weight * grid).sum()
    return mean, (weight * (grid - mean) ** 2).sum()


@pytest.mark.parametrize("t", [2, 3, 4])
@pytest.mark.parametrize(("x_t", "x_0"), [(0.25, 1.0), (-1.0, 0.5), (2.0, -1.5)])
def test_the_posterior_is_bayes_rule(t, x_t, x_0):
    q = posterior(torch.tensor([[x_t] * 2]).double(), torch.tensor([[x_0] * 2]).double(), t, SCHEDULE)
    mean, var = bayes(x_t, x_0, t)
    rounding = 20_001 * EPS * 14  # of a sum of that many terms, on a grid that reaches 14 at most
    assert (q.mean - mean).abs().max() < rounding
    assert abs(float(q.var) - var) < rounding


@pytest.mark.parametrize("name", MAKERS)
def test_the_posterior_is_that_of_diffusers(name, reference):
    schedule = MAKERS[name](30)
    scheduler = reference(schedule, "sample")
    x_t, x_0 = normal(8, 2), normal(8, 2, seed=1)
    # They get β_t as 1 − ᾱ_t/ᾱ_{t−1}: a rounding of 1, large beside the smallest β. No 1 − ᾱ is smaller.
    rounding = 20 * EPS / float(schedule.beta[1:].min())
    for t in range(2, 31):
        q = posterior(x_t, x_0, t, schedule)
        noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(t), dtype=x_t.dtype)
        theirs = scheduler.step(x_0, t - 1, x_t, torch.Generator().manual_seed(t)).prev_sample
        torch.testing.assert_close(q.mean + q.var.sqrt() * noise, theirs, rtol=rounding, atol=10 * rounding)
        torch.testing.assert_close(
            q.var.squeeze(), scheduler._get_variance(t - 1), rtol=rounding, atol=10 * EPS
        )


def test_at_the_first_step_the_posterior_is_the_data(reference):
    x_t, x_0 = normal(8, 2), normal(8, 2, seed=1)
    q = posterior(x_t, x_0, 1, SCHEDULE)
    assert torch.equal(q.mean, x_0)
    assert (q.var == 0).all()
    # diffusers reports a variance of 1e-20 there, so that it has a logarithm, and does not use it.
    scheduler = reference(SCHEDULE, "sample")
    assert scheduler._get_variance(0) == pytest.approx(1e-20)
    torch.testing.assert_close(scheduler.step(x_0, 0, x_t).prev_sample, x_0, rtol=0, atol=20 * EPS / BETA[0])


@given(st.sampled_from(sorted(MAKERS)), st.integers(0, 300))
def test_the_posterior_is_narrower_than_what_it_combines(name, more):
    schedule = MAKERS[name](LEAST_T[name] + more)
    var, slack = posterior_var(schedule)[1:], 1 + 8 * EPS
    assert (var >= 0).all()
    assert (var <= schedule.beta[1:] * slack).all()
    assert (var <= (1 - schedule.alpha_bar[:-1]) * slack).all()


@given(st.sampled_from(sorted(MAKERS)), st.integers(0, 300))
def test_a_posterior_of_noiseless_points_stays_on_the_path(name, more):
    """With x_t = √ᾱ_t x_0 the mean is √ᾱ_{t−1} x_0: the weights agree with each other."""
    schedule = MAKERS[name](LEAST_T[name] + more)
    x_t_weight, x_0_weight = posterior_weights(schedule)
    signal = schedule.alpha_bar.sqrt()
    mean = x_t_weight[1:] * signal[1:] + x_0_weight[1:]
    # β_t and 1 − ᾱ_t are rounded as differences from 1; the smallest of them is β_1, or a β_t.
    assert (mean - signal[:-1]).abs().max() < 20 * EPS * (1 + more) / float(schedule.beta[1:].min())


@pytest.mark.parametrize("kind", KINDS)
@given(
    name=st.sampled_from(sorted(MAKERS)),
    t=st.integers(1, 60),
    x_0=st.tuples(coordinates, coordinates),
    x_t=st.tuples(coordinates, coordinates),
)
def test_conversions_invert(kind, name, t, x_0, x_t):
    schedule = MAKERS[name](60)
    x_0, x_t = (torch.tensor([x], dtype=torch.float64) for x in (x_0, x_t))
    back = to_x_0(from_x_0(x_0, x_t, t, schedule, kind), x_t, t, schedule, kind)
    # ε is a difference of terms up to 10, divided by √(1 − ᾱ) and multiplied by it again; then divided by √ᾱ.
    # For v the same, the noise part once more without its divisor.
    rounding = 10 * 20 * EPS / math.sqrt(float(schedule.alpha_bar[t] * (1 - schedule.alpha_bar[t])))
    assert (back - x_0).abs().max() < rounding


@pytest.mark.parametrize("t", [1, 2, 4])
def test_each_kind_is_what_its_name_says(t):
    x_0, eps = normal(5, 2), normal(5, 2, seed=1)
    x_t = diffuse(x_0, t, eps, SCHEDULE)
    kept = math.prod(1 - beta for beta in BETA[:t])
    signal, noise = math.sqrt(kept), math.sqrt(1 - kept)
    start, reach = x_t.clone().requires_grad_(), signal * x_0
    log_q = -((start - reach) ** 2).sum() / (2 * (1 - kept))
    (score,) = torch.autograd.grad(log_q, start)
    expected = {"x_0": x_0, "eps": eps, "score": score, "v": signal * eps - noise * x_0, "u": eps - x_0}
    for kind in KINDS:
        found = from_x_0(x_0, x_t, t, SCHEDULE, kind)
        torch.testing.assert_close(found, expected[kind], rtol=0, atol=100 * EPS / (1 - kept))


def test_rows_may_be_at_different_steps():
    x_t, x_0, t = normal(4, 2), normal(4, 2, seed=1), torch.tensor([4, 1, 3, 2])
    together = posterior(x_t, x_0, t, SCHEDULE)
    for row, t_row in enumerate(t.tolist()):
        alone = posterior(x_t[row : row + 1], x_0[row : row + 1], t_row, SCHEDULE)
        assert torch.equal(together.mean[row], alone.mean[0])
        assert torch.equal(together.var[row], alone.var[0])


@pytest.mark.parametrize(
    "call",
    [
        posterior,
        lambda x_t, x_0, t, s: to_x_0(x_0, x_t, t, s, "v"),
        lambda x_t, x_0, t, s: from_x_0(x_0, x_t, t, s, "eps"),
    ],
    ids=["posterior", "to_x_0", "from_x_0"],
)
def test_bad_input_is_refused(call):
    x = normal(3, 2)
    for t in (0, 5):
        with refused(f"t runs from {t} to {t}", "1…T", "T = 4"):
            call(x, x, t, SCHEDULE)
    with refused("t has type torch.float", "whole numbers"):
        call(x, x, torch.tensor(1.0), SCHEDULE)
    with refused("t has shape (2,)", "3 rows", "one for each row"):
        call(x, x, torch.tensor([1, 2]), SCHEDULE)
    with refused("x_t", "(3, 2)", "(2, 2)", "one shape"):
        call(x, x[:2], 1, SCHEDULE)
    first = "x_t" if call is posterior else "x_0" if "eps" in str(call.__code__.co_consts) else "value"
    with refused(f"{first} has shape (3,)", "(n, …)"):
        call(x[:, 0], x[:, 0], 1, SCHEDULE)
    with refused(f"{first} is empty", "at least one"):
        call(x[:0], x[:0], 1, SCHEDULE)
    with refused("x_t has 3 points with NaN", "remove"):
        call(x * math.nan, x, 1, SCHEDULE)


def test_nan_data_and_unknown_kinds_are_refused():
    x = normal(3, 2)
    with refused("x_0 has 3 points with NaN", "remove"):
        posterior(x, x * math.nan, 1, SCHEDULE)
    for convert in (to_x_0, from_x_0):
        with refused("kind = 'noise'", "choose one of", "'eps'"):
            convert(x, x, 1, schedules.linear(30), "noise")
