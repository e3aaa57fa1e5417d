"""The forward process against a chain simulated without the library."""

import math

import pytest
import torch
from scipy.stats import norm
from support import EPS, K, forward_chain, normal, refused, seeded
from torch.distributions import MultivariateNormal, Normal

from diffusion_lib.process import forward
from diffusion_lib.process.schedules import Schedule

BETA = [0.05, 0.3, 0.1, 0.6]
SCHEDULE = Schedule.from_beta(BETA)
N = 40_000
X_0 = torch.tensor([1.5, -0.5]).double()


@pytest.fixture(scope="module")
def chain():
    """x_0…x_T of N chains from X_0, made step by step from BETA alone: (T + 1, N, 2)."""
    return forward_chain(X_0.expand(N, 2), BETA)


def assert_moments(x, mean, var):
    """The columns of x have this mean and variance, within K standard errors."""
    assert ((x.mean(dim=0) - mean).abs() < K * math.sqrt(var / len(x))).all()
    assert ((x.var(dim=0) - var).abs() < K * var * math.sqrt(2 / len(x))).all()


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_one_jump_is_where_the_chain_arrives(chain, t):
    q_t = forward.marginal(X_0[None], t, SCHEDULE)
    assert_moments(chain[t], q_t.mean[0], float(q_t.var))


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_the_librarys_chain_arrives_there_too(t):
    states = forward.trajectory(X_0.expand(N, 2), SCHEDULE, seeded(1))
    kept = math.prod(1 - beta for beta in BETA[:t])
    assert states.shape == (5, N, 2)
    assert_moments(states[t], math.sqrt(kept) * X_0, 1 - kept)


@pytest.mark.parametrize("t", [2, 3, 4])
def test_the_librarys_chain_is_a_chain(t):
    """What step t adds is √β_t of noise, independent of where it came from."""
    states = forward.trajectory(X_0.expand(N, 2), SCHEDULE, seeded(2))
    added = states[t] - math.sqrt(1 - BETA[t - 1]) * states[t - 1]
    assert_moments(added, 0, BETA[t - 1])
    before = states[t - 1] - states[t - 1].mean(dim=0)
    correlation = (added * before).mean(dim=0) / (added.std(dim=0) * before.std(dim=0))
    assert (correlation.abs() < K / math.sqrt(N)).all()


@pytest.mark.parametrize("t", [1, 2, 3, 4])
def test_a_steps_density(t):
    x_prev, x_t = normal(5, 2), normal(5, 2, seed=1)
    beta = BETA[t - 1]
    theirs = norm.logpdf(x_t, math.sqrt(1 - beta) * x_prev, math.sqrt(beta)).sum(axis=1)
    ours = forward.step(x_prev, t, SCHEDULE).log_prob(x_t)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-13, atol=1e-13)


def test_diffuse_is_the_jump_with_given_noise(reference):
    x_0, eps, t = normal(6, 2), normal(6, 2, seed=1), torch.tensor([1, 2, 3, 4, 1, 4])
    theirs = reference(SCHEDULE).add_noise(x_0, eps, t - 1)
    torch.testing.assert_close(forward.diffuse(x_0, t, eps, SCHEDULE), theirs, rtol=0, atol=20 * EPS)


def test_rows_may_be_at_different_steps():
    x_0, t = normal(4, 2), torch.tensor([4, 1, 3, 2])
    for verb in (forward.step, forward.marginal):
        together = verb(x_0, t, SCHEDULE)
        for row, t_row in enumerate(t.tolist()):
            alone = verb(x_0[row : row + 1], t_row, SCHEDULE)
            assert torch.equal(together.mean[row], alone.mean[0])
            assert torch.equal(together.var[row], alone.var[0])


def test_the_librarys_chain_takes_its_steps_one_by_one():
    x_0 = normal(5, 2)
    states = forward.trajectory(x_0, SCHEDULE, seeded(1))
    eps = torch.randn(4, 5, 2, generator=seeded(1), dtype=torch.float64)  # row t − 1 for step t
    for t in range(1, 5):
        q = forward.step(states[t - 1], t, SCHEDULE)
        torch.testing.assert_close(states[t], q.mean + q.var.sqrt() * eps[t - 1], rtol=0, atol=20 * EPS)
    assert forward.trajectory(x_0.float(), SCHEDULE).dtype == torch.float32


# A square of a number up to about 5, over the smallest variance.
ROUNDING = 20 * EPS * 5**2 / min(BETA)


def test_a_chains_density_is_that_of_its_steps():
    x = normal(5, 6, 2)
    rows = forward.log_prob(x, SCHEDULE)
    assert rows.shape == (5, 6)
    assert (rows[0] == 0).all()
    for t in range(1, 5):
        q = Normal(math.sqrt(1 - BETA[t - 1]) * x[t - 1], math.sqrt(BETA[t - 1]))
        torch.testing.assert_close(rows[t], q.log_prob(x[t]).sum(dim=1), rtol=0, atol=ROUNDING)


def test_a_chains_density_is_one_gaussian_of_all_its_states():
    """log q(x_{1:T} | x_0) at once: Cov(x_s, x_t) = √(ᾱ_t/ᾱ_s) (1 − ᾱ_s) for s ≤ t."""
    x = normal(5, 6, 2)
    kept = (1 - torch.tensor(BETA, dtype=torch.float64)).cumprod(dim=0)
    early, late = torch.maximum(kept[:, None], kept), torch.minimum(kept[:, None], kept)
    mean = (kept.sqrt()[:, None, None] * x[0]).movedim(0, -1)  # (n, 2, T)
    q = MultivariateNormal(mean, (late / early).sqrt() * (1 - early))
    together = q.log_prob(x[1:].movedim(0, -1)).sum(dim=1)
    torch.testing.assert_close(forward.log_prob(x, SCHEDULE).sum(dim=0), together, rtol=0, atol=10 * ROUNDING)


def test_the_data_is_left_alone_and_the_seed_decides():
    x_0 = normal(3, 2)
    first, again, other = (forward.trajectory(x_0, SCHEDULE, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first[0], x_0)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("verb", [forward.step, forward.marginal])
def test_bad_input_is_refused(verb):
    x = normal(3, 2)
    name = "x_prev" if verb is forward.step else "x_0"
    for t in (0, 5):
        with refused(f"t runs from {t} to {t}", "1…T", "T = 4"):
            verb(x, t, SCHEDULE)
    with refused("t has type torch.float", "whole numbers"):
        verb(x, 1.0, SCHEDULE)
    with refused("t has shape (2,)", f"{name} has 3 rows", "one for each row"):
        verb(x, torch.tensor([1, 2]), SCHEDULE)
    with refused(f"{name} has shape (3,)", "(n, …)"):
        verb(x[:, 0], 1, SCHEDULE)
    with refused(f"{name} is empty", "at least one"):
        verb(x[:0], 1, SCHEDULE)
    with refused(f"{name} has 3 points with NaN", "remove"):
        verb(x * math.nan, 1, SCHEDULE)


def test_bad_input_to_the_jump_and_the_chain_is_refused():
    x = normal(3, 2)
    with refused("x_0 and eps", "(3, 2)", "(2, 2)"):
        forward.diffuse(x, 1, x[:2], SCHEDULE)
    with refused("eps has 3 points with NaN", "remove"):
        forward.diffuse(x, 1, x * math.nan, SCHEDULE)
    with refused("t runs from 0", "1…T"):
        forward.diffuse(x, 0, x, SCHEDULE)
    with refused("x_0 has shape (3,)", "(n, …)"):
        forward.trajectory(torch.zeros(3), SCHEDULE)
    for chain in (x, normal(4, 3, 2)):
        with refused(f"chain is {tuple(chain.shape)}", "(5, n, …)", "forward.trajectory"):
            forward.log_prob(chain, SCHEDULE)
    with refused("chain has 15 points with NaN", "remove"):
        forward.log_prob(torch.full((5, 3, 2), math.nan), SCHEDULE)
