"""What the steps of chapters 3 and 4 are, and that their losses estimate the bound."""

import math

import pytest
import torch
from support import EPS, Function, K, forward_chain, normal, posterior_by_bayes, seeded, share_kept
from torch.distributions import Independent, Normal, kl_divergence

from diffusion_lib.models.networks import HeadPerStep, TimeMLP
from diffusion_lib.models.reverse import FirstFormChain, SecondFormChain
from diffusion_lib.process import forward
from diffusion_lib.process.schedules import Schedule

BETA = [0.2, 0.3, 0.1, 0.6]
T = len(BETA)
SCHEDULE = Schedule.from_beta(BETA)
ROUNDING = 100 * EPS / min(BETA)  # a few sums and quotients of numbers up to about 5
every_step = pytest.mark.parametrize("t", range(1, T + 1))


def array(values):
    """A float64 tensor of these numbers."""
    return torch.tensor(values, dtype=torch.float64)


def first_form_chain():
    torch.manual_seed(0)
    return FirstFormChain(TimeMLP(SCHEDULE, width=16), SCHEDULE).double()


def second_form_chain():
    torch.manual_seed(0)
    return SecondFormChain(HeadPerStep(SCHEDULE, width=16), SCHEDULE).double()


def saying(*output):
    """A SecondFormChain whose network answers (m, l) everywhere."""
    return SecondFormChain(Function(lambda x_t, t: array(output).expand(*x_t.shape[:-1], 4)), SCHEDULE)


# --- the first form -----------------------------------------------------------------------------------------


@every_step
def test_the_true_last_noise_leads_back(t):
    x = forward_chain(normal(20, 2, seed=1), BETA)
    eps = (x[t] - math.sqrt(1 - BETA[t - 1]) * x[t - 1]) / math.sqrt(BETA[t - 1])
    step = FirstFormChain(Function(lambda x_t, t: eps), SCHEDULE).reverse(x[t], t)
    torch.testing.assert_close(step.mean, x[t - 1], rtol=0, atol=ROUNDING)


@every_step
def test_a_step_of_the_first_form_is_as_wide_as_the_forward_step(t):
    step = first_form_chain().reverse(normal(5, 2), t)
    assert abs(float(step.var) - (BETA[t - 1] if t > 1 else 0)) < EPS


def test_the_first_forms_loss_is_the_first_form_on_one_chain_for_each_point():
    model, x_0 = first_form_chain(), normal(7, 2)
    chain = forward.trajectory(x_0, SCHEDULE, seeded(1))
    assert model.loss(x_0, seeded(1)) == model.first_form(chain).sum(dim=0).mean()
    assert model.loss(x_0, seeded(1)) != model.loss(x_0, seeded(2))


# --- the second form ----------------------------------------------------------------------------------------


@every_step
def test_the_output_0_shrinks_and_steps_as_wide_as_the_posterior(t):
    """At x̂_0 = √ᾱ_t x_t the posterior's two weights add up to √α_t: the mean is √α_t x_t."""
    x_t = normal(20, 2)
    step = saying(0, 0, 0, 0).reverse(x_t, t)
    torch.testing.assert_close(step.mean, math.sqrt(1 - BETA[t - 1]) * x_t, rtol=0, atol=ROUNDING)
    x_0_hat = math.sqrt(share_kept(BETA, t)) * x_t
    mean, var = posterior_by_bayes(x_t, x_0_hat, t, BETA)
    torch.testing.assert_close(step.mean, mean, rtol=0, atol=ROUNDING)
    assert (step.var - var).abs().max() < ROUNDING


@every_step
def test_the_output_moves_x_0_hat_and_scales_each_variance(t):
    x_t, m, log_ratio = normal(20, 2), array([0.75, -1.25]), array([1.0, -0.5])
    step = saying(*m, *log_ratio).reverse(x_t, t)
    kept = share_kept(BETA, t)
    mean, var = posterior_by_bayes(x_t, math.sqrt(kept) * x_t - math.sqrt(1 - kept) * m, t, BETA)
    torch.testing.assert_close(step.mean, mean, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(step.var, (var * log_ratio.exp()).expand(20, 2), rtol=0, atol=ROUNDING)


def test_the_last_step_has_no_noise_to_scale():
    assert (saying(0, 0, 3.0, 3.0).reverse(normal(5, 2), 1).var == 0).all()


@pytest.mark.parametrize("n", [1, 3, 4, 7, 8, 11])
def test_the_second_forms_loss_deals_its_points_out(n):
    """The loss again, term by term: ⌈n/T⌉ points each, from the first on, and round again at the end."""
    model, x_0 = second_form_chain(), normal(n, 2)
    rows = math.ceil(n / T)
    order = [i % n for i in range(T * rows)]
    assert max(order.count(i) for i in range(n)) <= T  # and all are used:
    assert set(order) == set(range(n))
    eps = torch.randn(T, rows, 2, generator=seeded(1), dtype=torch.float64)
    total = 0
    for t in range(1, T + 1):
        start, kept = x_0[order[(t - 1) * rows : t * rows]], share_kept(BETA, t)
        x_t = math.sqrt(kept) * start + math.sqrt(1 - kept) * eps[t - 1]
        step = model.reverse(x_t, t)
        if t == 1:
            p = Independent(Normal(step.mean, math.sqrt(BETA[0])), 1)
            total = total - p.log_prob(start).mean()
            continue
        mean, var = posterior_by_bayes(x_t, start, t, BETA)
        q, p = Normal(mean, math.sqrt(var)), Normal(step.mean, step.var.sqrt())
        total = total + kl_divergence(q, p).sum(dim=1).mean()
    prior = Normal(math.sqrt(kept) * start, math.sqrt(1 - kept))
    total = total + kl_divergence(prior, Normal(0.0, 1.0)).sum(dim=1).mean()
    assert abs(model.loss(x_0, seeded(1)) - total) < 100 * ROUNDING


@pytest.mark.parametrize("maker", [first_form_chain, second_form_chain])
@pytest.mark.parametrize("n", [3, 7])
def test_both_losses_estimate_the_whole_sum(maker, n):
    """Batches of n random points, also fewer than T, against the second form on many forward chains."""
    model, data = maker().requires_grad_(False), normal(5, 2) + array([4.0, 0.0])
    many, repeats = 40_000, 3000
    generator = seeded(9)
    x_0 = data[torch.randint(5, (many,), generator=generator)]
    whole = model.second_form(forward_chain(x_0, BETA, seed=3)).sum(dim=0)
    batches = data[torch.randint(5, (repeats, n), generator=generator)]
    losses = torch.stack([model.loss(batch, generator) for batch in batches])
    standard_error = (whole.var() / many + losses.var() / repeats).sqrt()
    assert abs(losses.mean() - whole.mean()) < K * standard_error
    assert model.prior_kl(data).mean() > 2 * K * standard_error  # a loss without the prior's part is seen


# --- training -----------------------------------------------------------------------------------------------


def test_gradients_reach_every_head():
    model = second_form_chain()
    model.loss(normal(T, 2), seeded()).backward()  # one point for each step
    for head in (model.network.hidden, model.network.out):
        reached = head.grad.abs().sum(dim=1) > 0  # (T + 1, outputs)
        assert not reached[0].any()  # there is no step 0
        assert reached[2:].all()
    assert (model.network.out.grad[1, :, :2] != 0).any()
    assert (model.network.out.grad[1, :, 2:] == 0).all()  # p(x_0 | x_1) has a fixed variance
    assert (model.network.hidden.grad[1] != 0).any()


@pytest.mark.parametrize("maker", [first_form_chain, second_form_chain])
def test_the_loss_has_gradients_and_obeys_its_seed(maker):
    model, x_0 = maker().float(), normal(9, 2).float()
    loss = model.loss(x_0, seeded(1))
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert loss == model.loss(x_0, seeded(1)) != model.loss(x_0, seeded(2))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
