"""The model against diffusers, exact Gaussian cases and its own definition as a sum."""

import math

import pytest
import torch
from support import EPS, MAKERS, Function, K, normal, refused, seeded

from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.forward import diffuse
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.posterior import from_x_0, posterior, posterior_var
from diffusion_lib.process.schedules import Schedule, linear

PREDICT = {"x_0": "sample", "eps": "epsilon", "v": "v_prediction"}  # our names and diffusers'
REVERSE_VAR = {"posterior": "fixed_small", "beta": "fixed_large"}
both = pytest.mark.parametrize("reverse_var", REVERSE_VAR)
all_three = pytest.mark.parametrize("predict", PREDICT)


def bounded(x_t, t):
    """A smooth answer that depends on point and step, with slope at most 1/2 in x_t."""
    return 0.5 * torch.sin(x_t.flip(1) + 0.1 * t.reshape(-1, 1))


def model(predict="x_0", schedule=None, function=bounded, **settings):
    return Diffusion(Function(function), schedule or linear(30), predict, **settings)


def of_every_kind(predict, schedule, x_0_hat, **settings):
    """A model whose network is told to say `x_0_hat` in the given parameterisation."""

    def function(x_t, t):
        return from_x_0(x_0_hat(x_t, t), x_t, t, schedule, predict)

    return model(predict, schedule, function, **settings)


# --- one step, and all of them, against diffusers -----------------------------------------------------------


@all_three
@both
@pytest.mark.parametrize("name", MAKERS)
def test_one_reverse_step_is_that_of_diffusers(predict, reverse_var, name, reference):
    schedule = MAKERS[name](30)
    ours = model(predict, schedule, reverse_var=reverse_var)
    scheduler = reference(schedule, PREDICT[predict], REVERSE_VAR[reverse_var])
    x_t = normal(8, 2)
    # Their β_t is 1 − ᾱ_t/ᾱ_{t−1}, a difference of numbers near 1; their x̂_0 from ε is divided by √ᾱ_t.
    rounding = 20 * EPS * (1 / float(schedule.beta[1:].min()) + 1 / float(schedule.alpha_bar[-1].sqrt()))
    for t in range(30, 0, -1):
        theirs = scheduler.step(bounded(x_t, torch.tensor(t)), t - 1, x_t, seeded(t)).prev_sample
        found = ours.reverse(x_t, t).sample(seeded(t))
        size = 1 + x_t.abs().max() / schedule.alpha_bar[t].sqrt()  # of the terms that are added up
        torch.testing.assert_close(found, theirs, rtol=0, atol=float(rounding * size))


@both
def test_the_whole_chain_is_that_of_diffusers(reverse_var, reference, float64):
    schedule = linear(50)
    ours = model("x_0", schedule, reverse_var=reverse_var)
    states = ours.trajectory(16, seeded(3))
    generator, scheduler = seeded(3), reference(schedule, "sample", REVERSE_VAR[reverse_var])
    x_t = torch.randn(16, 2, generator=generator)
    for t in range(50, 0, -1):
        x_t = scheduler.step(bounded(x_t, torch.tensor(t)), t - 1, x_t, generator).prev_sample
        # x̂_0 has slope 1/2, and the posterior's weights with it stay below 1: no step makes an error grow.
        rounding = 20 * EPS / float(schedule.beta[1]) * (51 - t) * float(states.abs().max())
        torch.testing.assert_close(states[51 - t], x_t, rtol=0, atol=rounding)


# --- one step, from its definition --------------------------------------------------------------------------


@all_three
def test_denoising_undoes_the_parameterisation(predict):
    schedule = linear(30)
    said = of_every_kind(predict, schedule, bounded)
    x_t, t = normal(10, 2), torch.arange(1, 30, 3)
    smallest = float(schedule.alpha_bar[28] * (1 - schedule.alpha_bar[1]))
    torch.testing.assert_close(
        said.denoise(x_t, t), bounded(x_t, t), rtol=0, atol=40 * EPS / math.sqrt(smallest)
    )


@both
def test_the_reverse_step_is_the_posterior_at_the_prediction(reverse_var):
    schedule, x_t = linear(30), normal(6, 2)
    for t in (2, 15, 30):
        p = model(schedule=schedule, reverse_var=reverse_var).reverse(x_t, t)
        q = posterior(x_t, bounded(x_t, torch.tensor(t)), t, schedule)
        torch.testing.assert_close(p.mean, q.mean, rtol=0, atol=8 * EPS)
        expected = q.var if reverse_var == "posterior" else schedule.beta[t].reshape(1, 1)
        assert torch.equal(p.var, expected)


# --- the bound ----------------------------------------------------------------------------------------------


@both
@all_three
def test_a_bound_term_is_the_kl_of_posterior_and_reverse_step(predict, reverse_var):
    schedule, x_0, eps = linear(30), normal(6, 2), normal(6, 2, seed=1)
    ours = of_every_kind(predict, schedule, bounded, reverse_var=reverse_var)
    for t in range(2, 31):
        x_t = diffuse(x_0, t, eps, schedule)
        expected = posterior(x_t, x_0, t, schedule).kl(ours.reverse(x_t, t))
        # Means err by roundings of their size, 4; they are squared over the variance, at least β̃_2.
        rounding = 100 * EPS * 4 / float(posterior_var(schedule)[2])
        torch.testing.assert_close(ours.bound_term(x_0, t, eps), expected, rtol=rounding, atol=rounding)


@both
def test_the_first_bound_term_is_a_log_density(reverse_var):
    schedule, x_0, eps = linear(30), normal(6, 2), normal(6, 2, seed=1)
    x_0_hat = bounded(diffuse(x_0, 1, eps, schedule), torch.tensor(1))
    expected = -Gaussian(x_0_hat, schedule.beta[1].reshape(1)).log_prob(x_0)
    found = model(schedule=schedule, reverse_var=reverse_var).bound_term(x_0, 1, eps)
    torch.testing.assert_close(found, expected, rtol=100 * EPS / float(schedule.beta[1]), atol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_the_weight_is_half_the_fall_of_the_snr(name):
    schedule = MAKERS[name](30)
    kept = schedule.alpha_bar
    snr = kept[1:] / (1 - kept[1:])  # t = 1…T
    expected = (snr[:-1] - snr[1:]) / 2
    # Both sides have differences of numbers near 1, the smallest β.
    rounding = 40 * EPS / float(schedule.beta[1:].min())
    torch.testing.assert_close(
        model(schedule=schedule).bound_weight[2:], expected, rtol=rounding, atol=rounding
    )


@all_three
def test_the_bound_loss_is_an_unbiased_estimate_of_the_whole_sum(predict):
    schedule, x_0 = Schedule.from_beta([0.3, 0.2, 0.4]), normal(1, 2)  # short: the prior's part is not small
    ours = of_every_kind(predict, schedule, bounded, weighting="bound")
    n, repeats = 20_000, 10
    whole = ours.prior_kl(x_0.expand(n, 2))
    for t in range(1, 4):
        whole = whole + ours.bound_term(x_0.expand(n, 2), t, normal(n, 2, seed=t))
    generator = seeded(99)
    losses = torch.stack([ours.loss(x_0.expand(n, 2), generator) for _ in range(repeats)])
    standard_error = math.hypot(float(whole.std()) / math.sqrt(n), float(losses.std()) / math.sqrt(repeats))
    # With 10 repeats the standard error itself is uncertain: Student's t has 5σ's odds at about 2 K.
    assert abs(losses.mean() - whole.mean()) < 2 * K * standard_error
    assert (
        whole.mean() - ours.prior_kl(x_0).mean() < losses.mean() - 2 * K * standard_error
    )  # it is told apart


# Four points with mean 0 and covariance I: over them, a quadratic has the mean that it has over N(0, I).
ROUND = math.sqrt(2) * torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)


def expected_bound(ours, x_0):
    """The negative ELBO of each x_0, exactly, for a network linear in x_t: each term is quadratic in ε."""
    bound = ours.prior_kl(x_0)
    for t in range(1, ours.T + 1):
        bound = bound + sum(ours.bound_term(x_0, t, eps.expand_as(x_0)) for eps in ROUND) / len(ROUND)
    return bound


def linear_model(schedule, var=1.0, **settings):
    """The perfect network for data N(0, var · I): E[x_0 | x_t] = √ᾱ_t var x_t / (ᾱ_t var + 1 − ᾱ_t)."""

    def x_0_hat(x_t, t):
        kept = schedule.alpha_bar[t].reshape(-1, 1)
        return kept.sqrt() * var / (kept * var + 1 - kept) * x_t

    return model("x_0", schedule, x_0_hat, **settings)


def chain_variance(ours, schedule):
    """The variance of x_0 under a linear model's own chain, last step included with its density's β_1."""
    var = 1.0
    one = torch.ones(1, 2, dtype=torch.float64)
    for t in range(schedule.T, 0, -1):
        step = ours.reverse(one, t)
        added = float(step.var) if t > 1 else float(schedule.beta[1])
        var = float(step.mean[0, 0]) ** 2 * var + added
    return var


@pytest.mark.parametrize("name", MAKERS)
def test_for_standard_normal_data_the_bound_is_the_likelihood(name):
    """Then the chain is exact, q(x_{t−1} | x_t) = N(√α_t x_t, β_t I), and no bound is lost at any point."""
    schedule, x_0 = MAKERS[name](30), normal(6, 2)
    ours = linear_model(schedule, reverse_var="beta")
    x_t = normal(5, 2, seed=1)
    rounding = 40 * EPS / float(schedule.beta[1:].min())
    for t in range(2, 31):
        kept = schedule.alpha[t].reshape(1, 1)
        exact = Gaussian(kept.sqrt() * x_t, 1 - kept)
        assert (ours.reverse(x_t, t).kl(exact) < rounding).all()
    log_prob = Gaussian(torch.zeros_like(x_0), torch.ones(1).double()).log_prob(x_0)
    torch.testing.assert_close(expected_bound(ours, x_0), -log_prob, rtol=0, atol=30 * 10 * rounding)


def test_for_standard_normal_data_the_bound_loss_is_the_entropy():
    ours = linear_model(Schedule.from_beta([0.3, 0.2, 0.4]), reverse_var="beta", weighting="bound")
    generator = seeded(7)
    batches = [torch.randn(2000, 2, generator=generator, dtype=torch.float64) for _ in range(30)]
    losses = torch.stack([ours.loss(x_0, generator) for x_0 in batches])
    standard_error = losses.std() / math.sqrt(len(losses))  # uncertain itself: of 30 batches
    assert abs(losses.mean() - math.log(2 * math.pi * math.e)) < 1.5 * K * standard_error
    assert 1.5 * K * standard_error < 0.2  # a loss without the factor T is 1.6 lower


@both
@pytest.mark.parametrize("var", [0.1, 1.0, 3.0])
def test_the_bound_is_never_above_the_likelihood(reverse_var, var):
    schedule, x_0 = linear(30), normal(20, 2) * 2
    ours = linear_model(schedule, var, reverse_var=reverse_var)
    chain = chain_variance(ours, schedule)
    log_prob = Gaussian(torch.zeros_like(x_0), torch.full((1,), chain, dtype=torch.float64)).log_prob(x_0)
    rounding = 30 * 400 * EPS / float(schedule.beta[1])
    assert (-expected_bound(ours, x_0) <= log_prob + rounding).all()


def test_more_steps_bring_the_bound_closer():
    var, gaps = 0.1, []
    x_0 = math.sqrt(var) * ROUND  # the bound is quadratic in x_0 too: these four stand for all of N(0, var I)
    entropy = 1 + math.log(2 * math.pi * var)
    for T in (30, 100, 300):
        gaps.append(float(expected_bound(linear_model(linear(T), var), x_0).mean()) - entropy)
    assert gaps[0] > gaps[1] > gaps[2] > 0


# --- training loss ------------------------------------------------------------------------------------------


@all_three
def test_the_squared_error_is_that_of_the_predicted_quantity(predict):
    schedule, x_0, eps, t = (
        linear(30),
        normal(6, 2),
        normal(6, 2, seed=1),
        torch.tensor([1, 5, 9, 13, 20, 30]),
    )
    kept = schedule.alpha_bar[t][:, None]
    x_t = kept.sqrt() * x_0 + (1 - kept).sqrt() * eps
    target = {"x_0": x_0, "eps": eps, "v": kept.sqrt() * eps - (1 - kept).sqrt() * x_0}[predict]
    expected = (bounded(x_t, t) - target).square().sum(dim=1)
    found = model(predict, schedule).squared_error(x_0, t, eps)
    torch.testing.assert_close(found, expected, rtol=20 * EPS, atol=20 * EPS)


@all_three
def test_a_network_that_knows_has_no_loss(predict):
    """Data that is one point: x_0 is known from the start, and with it everything else."""
    schedule, point = linear(30), torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    knows = of_every_kind(predict, schedule, lambda x_t, t: point.expand_as(x_t))
    smallest_noise = float(1 - schedule.alpha_bar[1])
    assert knows.loss(point.expand(100, 2), seeded()) < (20 * EPS) ** 2 / smallest_noise


def test_the_simple_loss_gives_every_step_the_same_share():
    """With a network that says 0 the error is ‖ε‖², of mean 2, unless some t is drawn that does not exist."""
    drawn = []

    def says_nothing(x_t, t):
        drawn.append(t)
        return torch.zeros_like(x_t)

    n = 30_000
    loss = model("eps", linear(30), says_nothing).loss(normal(n, 2), seeded())
    assert abs(loss - 2) < K * 2 / math.sqrt(n)  # ‖ε‖² has standard deviation 2
    counts = torch.bincount(drawn[0], minlength=31)
    assert counts[0] == 0
    assert len(counts) == 31
    assert ((counts[1:] - n / 30).abs() < K * math.sqrt(n / 30)).all()


def steps_of(ours, n, seed):
    """The steps that a loss on n points draws."""
    seen = []
    ours.squared_error = lambda x_0, t, eps: seen.append(t) or torch.zeros(len(x_0))
    ours.loss(torch.zeros(n, 2), seeded(seed))
    return seen[0]


def test_stratified_steps_are_spread_evenly_over_a_batch():
    ours = model("eps", linear(30), stratified=True)
    assert torch.equal(steps_of(ours, 30, 0).sort().values, torch.arange(1, 31))
    assert torch.equal(torch.bincount(steps_of(ours, 90, 1), minlength=31)[1:], torch.full((30,), 3))
    for seed in range(20):  # six steps a fifth of 30 apart
        t = steps_of(ours, 5, seed).sort().values
        assert (t.diff() == 6).all()
        assert 1 <= t[0] <= 6


def test_each_stratified_step_is_uniform():
    ours, draws = model("eps", linear(24), stratified=True), 2400
    t = torch.stack([steps_of(ours, 4, seed) for seed in range(draws)])
    for row in t.T:
        found = torch.bincount(row, minlength=25)[1:].double() / draws
        assert (found - 1 / 24).abs().max() < K * math.sqrt(1 / 24 / draws)


def test_a_stratified_loss_is_right_on_average_and_scatters_less():
    x_0, found = normal(32, 2), {}
    for stratified in (True, False):
        ours = model("eps", linear(30), lambda x_t, t: x_t * t[:, None] / 30, stratified=stratified)
        losses = torch.stack([ours.loss(x_0, seeded(seed)) for seed in range(2000)])
        found[stratified] = losses.mean(), losses.std() / math.sqrt(2000)
    (even, even_error), (free, free_error) = found[True], found[False]
    assert abs(even - free) < K * math.hypot(even_error, free_error)
    assert even_error < 0.9 * free_error


def test_the_loss_has_gradients_and_obeys_its_seed():
    schedule, x_0 = linear(30), normal(64, 2).float()
    for weighting in ("simple", "bound"):
        ours = Diffusion(TimeMLP(schedule), schedule, weighting=weighting)
        loss = ours.loss(x_0, seeded(1))
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert loss == ours.loss(x_0, seeded(1)) != ours.loss(x_0, seeded(2))
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())


# --- wrong input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["predict", "weighting", "reverse_var"])
def test_unknown_choices_are_refused(argument):
    with refused(f"{argument} = 'noise'", "choose one of"):
        Diffusion(Function(bounded), linear(30), **{argument: "noise"})


def methods(ours):
    """Each method that takes points and a step, as a function of the two."""
    return {
        "x_t": [ours.denoise, ours.reverse],
        "x_0": [lambda x, t: ours.squared_error(x, t, x), lambda x, t: ours.bound_term(x, t, x)],
    }


@pytest.mark.parametrize("name", ["x_t", "x_0"])
def test_bad_points_and_steps_are_refused(name):
    x = normal(3, 2)
    for method in methods(model())[name]:
        for t in (0, 31):
            with refused(f"t runs from {t} to {t}", "1…T", "T = 30"):
                method(x, t)
        with refused("t has type torch.float", "whole numbers"):
            method(x, 0.5)
        with refused("t has shape (2,)", f"{name} has 3 rows"):
            method(x, torch.tensor([1, 2]))
        with refused(f"{name} has shape (3, 3)", "(n, 2)"):
            method(torch.zeros(3, 3), 1)
        with refused(f"{name} is empty", "at least one"):
            method(x[:0], 1)
        with refused(f"{name} has 3 points with NaN", "remove"):
            method(x * math.nan, 1)


@pytest.mark.parametrize("method", ["squared_error", "bound_term"])
def test_noise_that_does_not_fit_is_refused(method):
    x = normal(3, 2)
    with refused("x_0 and eps", "(3, 2)", "(1, 2)"):
        getattr(model(), method)(x, 1, x[:1])
    with refused("eps has 3 points with NaN", "remove"):
        getattr(model(), method)(x, 1, x * math.nan)


def test_bad_data_is_refused():
    for x_0, parts in (
        (torch.zeros(0, 2), ("empty", "at least one")),
        (torch.zeros(3, 3), ("(3, 3)", "(n, 2)")),
        (torch.full((3, 2), math.nan), ("3 points with NaN", "remove")),
    ):
        with refused("x_0", *parts):
            model().loss(x_0)
