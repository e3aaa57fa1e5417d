"""Both forms of the bound, and sampling, against torch.distributions, Bayes and exact Gaussian chains."""

import math

import pytest
import torch
from support import (
    EPS,
    Function,
    K,
    forward_chain,
    given_next,
    normal,
    posterior_by_bayes,
    refused,
    seeded,
    share_kept,
)
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import HeadPerStep, TimeMLP
from diffusion_lib.models.reverse import FirstFormChain, SecondFormChain
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule

BETA = [0.2, 0.3, 0.1, 0.6]  # neither rising nor falling, and stopping far from N(0, I)
T = len(BETA)
SCHEDULE = Schedule.from_beta(BETA)
# Densities and KL divergences are squares of numbers up to about 6, over variances down to β_1; the numbers
# carry the roundings of a few sums of about 50 terms.
ROUNDING = 200 * EPS * 6**2 / min(BETA)


def array(values):
    """A float64 tensor of these numbers."""
    return torch.tensor(values, dtype=torch.float64)


DIFFUSIONS = [(predict, var) for predict in ("x_0", "eps", "v", "u") for var in ("posterior", "beta")]
MAKERS = {
    "first form": lambda: FirstFormChain(TimeMLP(SCHEDULE, width=16), SCHEDULE),
    "second form": lambda: SecondFormChain(HeadPerStep(SCHEDULE, width=16), SCHEDULE),
    **{
        f"diffusion, {predict}, {var}": lambda predict=predict, var=var: Diffusion(
            TimeMLP(SCHEDULE, width=16), SCHEDULE, predict, reverse_var=var
        )
        for predict, var in DIFFUSIONS
    },
}
every_chain = pytest.mark.parametrize("name", MAKERS)
both_forms = pytest.mark.parametrize("form", ["first_form", "second_form"])


def untrained(name):
    """A model of this kind with random weights, in float64."""
    torch.manual_seed(0)
    return MAKERS[name]().double().requires_grad_(False)


class Linear(ReverseChain):
    """Steps N(slope_t x_t, var_t I), with any numbers."""

    def __init__(self, slope, var):
        super().__init__(None, SCHEDULE)
        self.slope, self.var = (array([0, *values]) for values in (slope, var))

    def reverse(self, x_t, t):
        t = torch.as_tensor(t)
        shape = (*t.shape, *[1] * (x_t.ndim - t.ndim))
        return Gaussian(self.slope[t].reshape(shape) * x_t, self.var[t].reshape(shape))


def gaussian(mean, var):
    """N(mean, var I) of torch.distributions, one for each row of `mean`."""
    return Independent(Normal(mean, torch.as_tensor(var, dtype=mean.dtype).sqrt().expand_as(mean)), 1)


STANDARD = gaussian(torch.zeros(2, dtype=torch.float64), 1.0)


def step(model, x_t, t):
    """The density p(x_{t−1} | x_t): that of the sampling step, but for its variance at t = 1."""
    p = model.reverse(x_t, t)
    return gaussian(p.mean, BETA[0] if t == 1 else p.var)


# --- the first form -----------------------------------------------------------------------------------------


@every_chain
def test_the_first_forms_rows_are_log_densities(name):
    model, x = untrained(name), forward_chain(2 * normal(20, 2, seed=1), BETA)
    rows = model.first_form(x)
    assert rows.shape == (T + 1, 20)
    for t in range(T + 1):
        q = gaussian(math.sqrt(1 - BETA[t - 1]) * x[t - 1], BETA[t - 1]).log_prob(x[t]) if t else 0
        p = (step(model, x[t + 1], t + 1) if t < T else STANDARD).log_prob(x[t])
        torch.testing.assert_close(rows[t], q - p, rtol=0, atol=ROUNDING)


def test_the_first_forms_sum_is_a_ratio_of_two_joint_densities():
    """q(x_{1:T} | x_0) and p(x_{0:T}) of a linear chain, each as one Gaussian in T or T + 1 dimensions."""
    slope, var = [0.9, 0.7, 1.1, 0.4], [0.0, 0.2, 0.3, 0.5]
    x = forward_chain(normal(20, 2, seed=1), BETA)
    kept = array([share_kept(BETA, t) for t in range(1, T + 1)])
    early, late = torch.maximum(kept[:, None], kept), torch.minimum(kept[:, None], kept)
    q = MultivariateNormal(
        (kept.sqrt()[:, None, None] * x[0]).movedim(0, -1),  # (n, 2, T)
        (late / early).sqrt() * (1 - early),  # Cov(x_s, x_t) = √(ᾱ_t/ᾱ_s) (1 − ᾱ_s) for s ≤ t
    )
    # x_{t−1} − slope_t x_t has variance var_t and x_T variance 1, all independent: D x with D bidiagonal.
    D = torch.eye(T + 1).double() - torch.diag(array(slope), 1)
    precision = D.T @ torch.diag(1 / array([BETA[0], *var[1:], 1.0])) @ D
    p = MultivariateNormal(torch.zeros(T + 1).double(), precision_matrix=precision)
    log_ratio = q.log_prob(x[1:].movedim(0, -1)) - p.log_prob(x.movedim(0, -1))  # (n, 2)
    found = Linear(slope, var).first_form(x).sum(dim=0)
    torch.testing.assert_close(found, log_ratio.sum(dim=1), rtol=0, atol=10 * ROUNDING)


# --- the second form ----------------------------------------------------------------------------------------


@every_chain
def test_the_second_forms_rows_are_kl_divergences(name):
    model, x = untrained(name), forward_chain(2 * normal(20, 2, seed=1), BETA)
    rows = model.second_form(x)
    assert rows.shape == (T + 1, 20)
    torch.testing.assert_close(rows[0], -step(model, x[1], 1).log_prob(x[0]), rtol=0, atol=ROUNDING)
    for t in range(1, T):
        q = gaussian(*posterior_by_bayes(x[t + 1], x[0], t + 1, BETA))
        kl = kl_divergence(q, step(model, x[t + 1], t + 1))
        torch.testing.assert_close(rows[t], kl, rtol=0, atol=ROUNDING)
    kept = share_kept(BETA, T)
    prior = kl_divergence(gaussian(math.sqrt(kept) * x[0], 1 - kept), STANDARD)
    torch.testing.assert_close(rows[T], prior, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(model.prior_kl(x[0]), prior, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(("predict", "var"), DIFFUSIONS)
def test_the_second_forms_rows_are_the_bound_terms_of_diffusion(predict, var):
    model, x = untrained(f"diffusion, {predict}, {var}"), forward_chain(normal(20, 2, seed=1), BETA)
    rows = model.second_form(x)
    for t in range(1, T + 1):
        kept = share_kept(BETA, t)
        eps = (x[t] - math.sqrt(kept) * x[0]) / math.sqrt(1 - kept)
        torch.testing.assert_close(rows[t - 1], model.bound_term(x[0], t, eps), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize(
    ("form", "looks_at"),
    [
        ("first_form", [{0, 1}, {0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4}]),
        ("second_form", [{0, 1}, {0, 2}, {0, 3}, {0, 4}, {0}]),
    ],
)
@every_chain
def test_which_states_a_row_looks_at(name, form, looks_at):
    model, x = untrained(name), forward_chain(normal(20, 2, seed=1), BETA)
    before = getattr(model, form)(x)
    for state in range(T + 1):
        moved = x.clone()
        moved[state] += 0.1
        changed = (getattr(model, form)(moved) - before).abs().amax(dim=1) > ROUNDING
        assert changed.tolist() == [state in states for states in looks_at]


# --- the two forms, and one that is wrong -------------------------------------------------------------------


@every_chain
def test_both_forms_have_one_mean(name):
    """Their rows differ by entropies alone, and these cancel in the sum.

    Row t of both has −E log p(x_t | x_{t+1}). The first form adds the mean of log q(x_t | x_{t−1}), which is
    −log(2πe β_t) in two dimensions, the second that of log q(x_t | x_{t+1}, x_0), −log(2πe β̃_{t+1}); in row T
    that of log q(x_T | x_0), −log(2πe (1 − ᾱ_T)).
    """
    n, model = 40_000, untrained(name)
    x = forward_chain(normal(n, 2, seed=1) * array([1.5, 0.3]) + 1, BETA)
    difference = model.first_form(x) - model.second_form(x)
    zero = torch.zeros(1, 2).double()
    var = [posterior_by_bayes(zero, zero, t + 1, BETA)[1] for t in range(1, T)] + [1 - share_kept(BETA, T)]
    expected = array([0.0] + [math.log(v / beta) for v, beta in zip(var, BETA, strict=True)])
    assert abs(expected.sum()) < 20 * EPS
    standard_error = difference.std(dim=1) / math.sqrt(n)
    assert ((difference.mean(dim=1) - expected).abs() <= K * standard_error + ROUNDING).all()
    total = difference.sum(dim=0)
    assert total.mean().abs() < K * total.std() / math.sqrt(n)
    assert (expected[1:].abs() > 2 * K * standard_error[1:]).all()  # a row that forgets its entropy is seen


def ideal(name):
    """The exact chain of data N(0, I), p(x_{t−1} | x_t) = N(√α_t x_t, β_t I), as a model of each kind.

    For the four classes: the mean noise of the last step, given x_t, is √β_t x_t; x̂_0 = √ᾱ_t x_t is what
    SecondFormChain makes of the output 0, and its log-ratio is log(β_t/β̃_t).
    """
    alpha = [1 - beta for beta in BETA]
    if name == "base":
        return Linear([math.sqrt(a) for a in alpha], [0, *BETA[1:]])
    beta = array([0.0, *BETA])
    kept = array([share_kept(BETA, t) for t in range(T + 1)])
    log_ratio = torch.zeros_like(kept)
    log_ratio[2:] = torch.log((1 - kept[2:]) / (1 - kept[1:-1]))  # β̃_t = β_t (1 − ᾱ_{t−1})/(1 − ᾱ_t)

    def column(values, t, x_t):
        return values[t].reshape(*t.shape, *[1] * (x_t.ndim - t.ndim))

    def output(x_t, t):
        return torch.cat([0 * x_t, column(log_ratio, t, x_t).expand_as(x_t)], dim=-1)

    if name == "first form":
        return FirstFormChain(Function(lambda x_t, t: column(beta, t, x_t).sqrt() * x_t), SCHEDULE)
    if name == "second form":
        return SecondFormChain(Function(output), SCHEDULE)
    x_0_hat = Function(lambda x_t, t: column(kept, t, x_t).sqrt() * x_t)
    return Diffusion(x_0_hat, SCHEDULE, "x_0", reverse_var="beta")


every_ideal = pytest.mark.parametrize("name", ["base", "first form", "second form", "diffusion"])


@every_ideal
def test_null_the_ideal_steps_are_those_of_the_joint_gaussian(name):
    """Data N(0, I): q(x_{t−1} | x_t) from the joint Gaussian of the two, and no KL to the model's step."""
    model, x_t = ideal(name), normal(10, 2)
    for t in range(1, T + 1):
        q = gaussian(*given_next(x_t, BETA[t - 1], mean=0.0, var=1.0))
        assert kl_divergence(q, step(model, x_t, t)).abs().max() < ROUNDING


@every_ideal
def test_null_the_first_form_is_the_likelihood_on_every_single_chain(name):
    """q(x_{1:T} | x_0) p(x_0) is p(x_{0:T}) then, so the sum is −log p(x_0) without any scatter."""
    x = forward_chain(normal(50, 2, seed=1), BETA)
    found = ideal(name).first_form(x).sum(dim=0)
    torch.testing.assert_close(found, -STANDARD.log_prob(x[0]), rtol=0, atol=10 * ROUNDING)


@every_ideal
@both_forms
def test_null_the_bound_is_the_entropy(name, form):
    n = 40_000
    x = forward_chain(normal(n, 2, seed=1), BETA)
    total = getattr(ideal(name), form)(x).sum(dim=0)
    entropy = math.log(2 * math.pi * math.e)  # of N(0, I) in two dimensions, in nats
    assert abs(total.mean() - entropy) < K * total.std() / math.sqrt(n)


@pytest.mark.parametrize("t", range(1, T))
def test_an_independent_x_t_gives_another_term(t):
    """The first form's term is not E[KL(q(x_t | x_{t−1}) ‖ p(x_t | x_{t+1}))], though often so written.

    That KL averages over an x_t that knows nothing of x_{t+1}; in the bound both lie on one chain. For the
    ideal chain of data N(0, I), in two dimensions, the term is log(2πe β_{t+1}) − log(2πe β_t), a difference
    of entropies. The KL's square, E‖√α_t x_{t−1} − √α_{t+1} x_{t+1}‖², adds 2 α_{t+1} β_t/β_{t+1} to it.
    """
    n, model, beta, beta_next = 40_000, ideal("base"), BETA[t - 1], BETA[t]
    x = forward_chain(normal(n, 2, seed=1), BETA)
    right = model.first_form(x)[t]
    q = gaussian(math.sqrt(1 - beta) * x[t - 1], beta)
    wrong = kl_divergence(q, step(model, x[t + 1], t + 1))
    excess = 2 * (1 - beta_next) * beta / beta_next
    for found, expected in ((right, 0), (wrong, excess)):
        error = found.mean() - math.log(beta_next / beta) - expected
        assert abs(error) < K * found.std() / math.sqrt(n)
    assert excess > 2 * K * (right.std() + wrong.std()) / math.sqrt(n)  # the two are told apart


# --- sampling -----------------------------------------------------------------------------------------------


@every_chain
def test_a_trajectory_takes_every_step_once(name, float64):
    model = untrained(name)
    states = model.trajectory(7, seeded(1))
    assert states.shape == (T + 1, 7, 2)
    generator = seeded(1)
    x = torch.randn(7, 2, generator=generator)
    assert torch.equal(states[0], x)
    for t in range(T, 0, -1):
        p, eps = model.reverse(x, t), torch.randn(7, 2, generator=generator)
        x = p.mean + p.var.sqrt() * eps
        torch.testing.assert_close(states[T + 1 - t], x, rtol=0, atol=ROUNDING)


@every_chain
def test_the_last_step_adds_no_noise(name, float64):
    model = untrained(name)
    assert (model.reverse(normal(5, 2), 1).var == 0).all()
    states = model.trajectory(5, seeded())
    torch.testing.assert_close(states[-1], model.reverse(states[-2], 1).mean, rtol=0, atol=ROUNDING)


def test_samples_are_the_trajectorys_end_and_obey_the_seed():
    torch.manual_seed(0)
    model = MAKERS["first form"]()
    states = model.trajectory(7, seeded(1))
    assert torch.equal(states[-1], model.sample(7, seeded(1)))
    assert not torch.equal(states[-1], model.sample(7, seeded(2)))
    assert not states.requires_grad


@every_ideal
def test_the_ideal_chain_stays_standard_normal(name, float64):
    n = 20_000
    states = ideal(name).trajectory(n, seeded())
    assert (states.mean(dim=1).abs() < K / math.sqrt(n)).all()
    var = torch.ones(T + 1, 1)
    var[-1] = 1 - BETA[0]  # the step without noise
    assert ((states.var(dim=1) - var).abs() < K * var * math.sqrt(2 / n)).all()


# --- points, rows and groups --------------------------------------------------------------------------------


@every_chain
def test_rows_may_be_at_different_steps(name):
    model, x_t, t = untrained(name), normal(4, 2), torch.tensor([4, 1, 3, 2])
    together = model.reverse(x_t, t)
    for row, t_row in enumerate(t.tolist()):
        alone = model.reverse(x_t[row : row + 1], t_row)
        torch.testing.assert_close(together.mean[row], alone.mean[0], rtol=0, atol=ROUNDING)
        torch.testing.assert_close(together.var[row], alone.var[0], rtol=0, atol=ROUNDING)


# --- wrong input --------------------------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize(
    ("chain", "parts"),
    [
        ([1.0], ("chain is list", "(5, n, 2)", "forward.trajectory")),
        (torch.zeros(5, 2), ("chain is (5, 2)", "(5, n, 2)")),
        (torch.zeros(4, 3, 2), ("chain is (4, 3, 2)", "(5, n, 2)")),
        (torch.zeros(5, 3, 3), ("chain is (5, 3, 3)", "(5, n, 2)")),
        (torch.zeros(5, 0, 2), ("chain is empty", "at least one")),
        (torch.full((5, 3, 2), math.nan), ("chain has 15 points with NaN", "remove")),
    ],
)
def test_what_is_no_chain_is_refused(form, chain, parts):
    with refused(*parts):
        getattr(untrained("first form"), form)(chain)


@every_chain
def test_bad_points_and_steps_are_refused(name):
    model, x_t = untrained(name), normal(3, 2)
    for t in (0, T + 1):
        with refused(f"t runs from {t} to {t}", "1…T", f"T = {T}"):
            model.reverse(x_t, t)
    with refused("t has shape (2,)", "x_t has 3 rows"):
        model.reverse(x_t, torch.tensor([1, 2]))
    with refused("x_t has shape (3, 3)", "(n, 2)"):
        model.reverse(torch.zeros(3, 3), 1)
    with refused("x_t has 3 points with NaN", "remove"):
        model.reverse(x_t * math.nan, 1)
    for method in (model.prior_kl, model.loss):
        with refused("x_0 is empty", "at least one"):
            method(x_t[:0])
        with refused("x_0 has 3 points with NaN", "remove"):
            method(x_t * math.nan)


@pytest.mark.parametrize("n", [0, -1, 2.0])
def test_a_number_of_samples_that_is_none_is_refused(n):
    model = untrained("first form")
    for verb in (model.sample, model.trajectory):
        with refused(f"n = {n}", "whole number of at least 1"):
            verb(n)


@pytest.mark.parametrize("maker", [Diffusion, FirstFormChain, SecondFormChain, ReverseChain])
def test_network_and_chain_share_one_schedule(maker):
    for network in (TimeMLP, HeadPerStep):
        with refused("network is for T = 3", f"schedule has T = {T}", "one schedule"):
            maker(network(Schedule.from_beta(BETA[:3])), SCHEDULE)


def test_a_chain_must_say_what_its_steps_are():
    with pytest.raises(NotImplementedError, match="ReverseChain must say what its steps are"):
        ReverseChain(TimeMLP(SCHEDULE), SCHEDULE).reverse(normal(3, 2).float(), 1)
