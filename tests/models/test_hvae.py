"""The hierarchical VAE against quadrature, exact Gaussian chains, and chapter 3's form of the bound."""

import math

import pytest
import torch
from support import EPS, K, normal, refused, seeded
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.models.hvae import FLOOR_STD, HVAE, START_STD, GaussianMLP
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import even_log_snr

frozen_or_not = pytest.mark.parametrize(
    "schedule", [None, even_log_snr(5, 0.05, 4)], ids=["learned", "frozen"]
)


@pytest.fixture(autouse=True)
def _seeded_weights(float64):
    torch.manual_seed(0)


class Function(nn.Module):
    """A plain function x → (mean, variance) in the place of a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return Gaussian(*self.function(x))


def constant(level, std):
    """Make a level put out mean x (or 0 without skip) and this standard deviation, whatever it sees."""
    nn.init.zeros_(level.body[-1].weight)
    half = len(level.body[-1].bias) // 2
    nn.init.zeros_(level.body[-1].bias[:half])
    nn.init.constant_(level.body[-1].bias[half:], math.log(math.expm1(std - FLOOR_STD)))


def density(gaussian):
    """PyTorch's own distribution with the same mean and variance."""
    return Independent(Normal(gaussian.mean, gaussian.var.sqrt().expand_as(gaussian.mean)), 1)


# --- one level ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_in", "n_out"), [(2, 2), (3, 2), (2, 3)])
def test_a_level_that_says_nothing_passes_on_what_it_gets(n_in, n_out):
    x = normal(5, n_in)
    silent = GaussianMLP(n_in, n_out)
    constant(silent, 0.3)
    both = min(n_in, n_out)
    assert torch.equal(silent(x).mean[:, :both], x[:, :both])
    assert (silent(x).mean[:, both:] == 0).all()
    torch.testing.assert_close(silent(x).var, torch.full((5, n_out), 0.09), rtol=20 * EPS, atol=0)
    without = GaussianMLP(n_in, n_out, skip=False)
    constant(without, 0.3)
    assert (without(x).mean == 0).all()


def test_a_level_begins_narrow_and_stays_above_the_floor():
    level = GaussianMLP(2, 2)
    nn.init.zeros_(level.body[-1].weight)
    expected = torch.full((1, 2), (FLOOR_STD + START_STD) ** 2)
    torch.testing.assert_close(level(normal(1, 2)).var, expected, rtol=20 * EPS, atol=0)
    nn.init.constant_(level.body[-1].bias, -1000.0)
    assert (level(normal(1, 2)).var == FLOOR_STD**2).all()


def test_a_level_sees_waves_of_its_input():
    # With weights that read one wave each, the mean is that wave.
    level, x = GaussianMLP(1, 1, width=4, skip=False), normal(6, 1)
    seen = []
    level.body[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    level(x)
    waves = [x, (1.5 * x).sin(), (3.5 * x).sin(), (1.5 * x).cos(), (3.5 * x).cos()]
    torch.testing.assert_close(seen[0], torch.cat(waves, dim=1), rtol=0, atol=2 * EPS)


# --- the bound ----------------------------------------------------------------------------------------------


@frozen_or_not
def test_the_terms_add_up_to_the_joint_form(schedule):
    model, x = HVAE(5, schedule=schedule), normal(7, 2)
    chain = model.infer(x, seeded())
    log_p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1).log_prob(chain[5])
    log_q = 0
    for t in range(1, 6):
        log_p = log_p + density(model.decode(chain[t], t)).log_prob(chain[t - 1])
        log_q = log_q + density(model.encode(chain[t - 1], t)).log_prob(chain[t])
    terms = model.terms(chain).detach()
    size = float(terms.abs().sum(dim=0).max())
    torch.testing.assert_close(terms.sum(dim=0), (log_q - log_p).detach(), rtol=0, atol=50 * EPS * size)


@frozen_or_not
def test_each_term_belongs_to_one_variable(schedule):
    model, x = HVAE(5, schedule=schedule), normal(7, 2)
    chain = model.infer(x, seeded())
    terms = model.terms(chain)
    first = -density(model.decode(chain[1], 1)).log_prob(x)
    torch.testing.assert_close(terms[0], first, rtol=1e-10, atol=1e-10)
    up, down = density(model.encode(chain[1], 2)), density(model.decode(chain[3], 3))
    middle = up.log_prob(chain[2]) - down.log_prob(chain[2])
    torch.testing.assert_close(terms[2], middle, rtol=1e-10, atol=1e-10)
    top = density(model.encode(chain[4], 5)).log_prob(chain[5])
    top = top - MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(chain[5])
    torch.testing.assert_close(terms[5], top, rtol=1e-10, atol=1e-10)


def test_weights_of_the_chains_average_to_the_density():
    # E_q[p(x, z_1, z_2) / q(z_1, z_2 | x)] = p(x), here a double integral over two latents on a line. Wide
    # encoders keep the weights bounded.
    model, x = HVAE(2, latent=1, width=8), torch.tensor([[0.4, -0.2]])
    for level in model.encoders:
        constant(level, 1.6)
    for level in model.decoders:
        constant(level, 0.9)
    nn.init.normal_(model.decoders[0].body[-1].weight, std=0.3)
    z = torch.linspace(-9, 9, 1201)[:, None]
    step = 18 / 1200
    with torch.no_grad():
        p_2 = model.prior(len(z)).log_prob(z).exp()
        mean, var = model.decode(z, 2).mean, model.decode(z, 2).var
        p_1 = torch.exp(-((z.T - mean) ** 2) / (2 * var)) / (2 * math.pi * var).sqrt()  # row z_2, column z_1
        p_x = model.decode(z, 1).log_prob(x.expand(len(z), 2)).exp()
        exact = float((p_2[:, None] * p_1 * p_x).sum() * step**2)
        chain = model.infer(x.expand(200_000, 2), seeded())
        weight = (-model.terms(chain).sum(dim=0)).exp()
    se = float(weight.std()) / len(weight) ** 0.5
    assert abs(float(weight.mean()) - exact) < K * se + 1e-10
    assert se < 0.01 * exact
    assert float(-weight.log().mean()) > -math.log(exact)  # Jensen: the loss is above -log p(x)


def exact_chain():
    """A frozen encoder and its exact reverse chain for data N(0, I).

    Such data stays N(0, I) at each level, so q(z_{t−1} | z_t) = N(√α_t z_t, (1 − α_t) I).
    """
    schedule = even_log_snr(5, 0.05, 4)
    model = HVAE(5, schedule=schedule)
    for t in range(1, 6):
        kept, added = schedule.alpha[t].sqrt(), schedule.beta[t]
        model.decoders[t - 1] = Function(lambda z, k=kept, a=added: (k * z, a.expand(len(z), 1)))
    model.prior = lambda n: Gaussian(torch.zeros(n, 2), torch.ones(n, 2))
    return model


def test_the_bound_is_tight_for_the_exact_reverse_chain():
    # Every single chain gives −log N(x; 0, I), and so does their mean.
    model, x = exact_chain(), normal(9, 2)
    terms = model.terms(model.infer(x, seeded()))
    exact = -MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(x)
    rounding = 100 * EPS * float(terms.abs().sum(dim=0).max()) / float(model.schedule.beta[1])
    torch.testing.assert_close(terms.sum(dim=0), exact, rtol=0, atol=rounding)
    torch.testing.assert_close(model.loss(x, seeded(1)), exact.mean(), rtol=0, atol=rounding)


class SameSteps(ReverseChain):
    """Chapter 3's chain with the decoders of an HVAE as its steps."""

    def reverse(self, x_t, t):
        steps = [self.network.decode(x, int(i)) for x, i in zip(x_t, t, strict=True)]
        var = torch.stack([step.var for step in steps])
        added = torch.where(t == 1, self.schedule.beta[1], 0).reshape(-1, 1, 1)
        # A ReverseChain samples without the noise that its density has at t = 1.
        return Gaussian(torch.stack([step.mean for step in steps]), var - added)


def test_the_frozen_hierarchy_is_chapter_3_s_diffusion_model():
    model = HVAE(5, schedule=even_log_snr(5, 0.05, 4))
    chain = forward.trajectory(normal(11, 2), model.schedule, seeded())
    with torch.no_grad():
        ours, theirs = model.terms(list(chain)), SameSteps(model, model.schedule).first_form(chain)
    # Differences of densities whose squares are divided by β_1, the smallest variance.
    rounding = 100 * EPS * float(ours.abs().max()) / float(model.schedule.beta[1])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=rounding)
    torch.testing.assert_close(ours.sum(dim=0), theirs.sum(dim=0), rtol=0, atol=6 * rounding)


def test_the_frozen_encoder_is_the_forward_process():
    schedule = even_log_snr(5, 0.05, 4)
    model, x = HVAE(5, schedule=schedule), normal(20_000, 2) * 0.5
    assert len(list(model.encoders.parameters())) == 0
    z_T = model.infer(x, seeded(1))[5]
    left = z_T - schedule.alpha_bar[5].sqrt() * x
    var = float(1 - schedule.alpha_bar[5])  # of q(z_T | x), by variances that add up
    se = var * (2 / left.numel()) ** 0.5
    assert abs(float(left.square().mean()) - var) < K * se


@frozen_or_not
def test_the_loss_is_the_mean_of_the_terms_and_reaches_all_networks(schedule):
    model, x = HVAE(5, schedule=schedule), normal(6, 2)
    loss = model.loss(x, seeded(4))
    expected = model.terms(model.infer(x, seeded(4))).sum(dim=0).mean()
    assert torch.equal(loss, expected)
    loss.backward()
    assert all(bool((p.grad != 0).any()) for p in model.parameters())


def test_the_gradient_is_that_of_the_loss_with_the_noise_held_fixed():
    model, x = HVAE(3, width=4), normal(6, 2)
    weight = model.encoders[1].body[-1].bias
    model.loss(x, seeded(4)).backward()
    step, values = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0] += sign * step
            values.append(float(model.loss(x, seeded(4))))
            weight[0] -= sign * step
    difference = (values[0] - values[1]) / (2 * step)
    size = abs(values[0])
    assert abs(float(weight.grad[0]) - difference) < 1e-4 * (1 + abs(difference)) + EPS * size / step


# --- sampling -----------------------------------------------------------------------------------------------


def test_ancestral_sampling_adds_the_noise_of_every_level():
    model, n = HVAE(4), 50_000
    for t, level in enumerate(model.decoders, start=1):
        constant(level, 0.2 * t)
    path = model.trajectory(n, seeded())
    assert path.shape == (5, n, 2)
    for done, var in enumerate([1.0, 1.64, 2.0, 2.16, 2.2]):  # 1 + 0.8² + 0.6² + 0.4² + 0.2²
        se = var * (2 / (2 * n)) ** 0.5
        assert abs(float(path[done].square().mean()) - var) < K * se


def test_the_exact_chain_stays_standard_normal():
    n = 20_000
    path = exact_chain().trajectory(n, seeded())
    assert (path.mean(dim=1).abs() < K / math.sqrt(n)).all()
    assert ((path.var(dim=1) - 1).abs() < K * math.sqrt(2 / n)).all()


def test_sample_is_the_end_of_the_trajectory():
    model = HVAE(3)
    assert torch.equal(model.sample(5, seeded(2)), model.trajectory(5, seeded(2))[-1])


def test_latents_may_have_another_dimension():
    model = HVAE(3, latent=4)
    assert [len(z.T) for z in model.infer(normal(5, 2), seeded())] == [2, 4, 4, 4]
    assert [len(z.T) for z in model.states(5, seeded())] == [4, 4, 4, 2]
    assert model.sample(5, seeded()).shape == (5, 2)
    assert torch.isfinite(model.loss(normal(5, 2), seeded()))
    with refused("latent = 4", "needs latent = dim", "states(n)"):
        model.trajectory(5)


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"T": 0}, ["T = 0", "at least 1"]),
        ({"latent": 0}, ["latent = 0", "at least 1"]),
        ({"width": 0}, ["width = 0", "at least 1"]),
        ({"T": 4, "schedule": even_log_snr(5)}, ["schedule has T = 5", "T = 4", "same T"]),
        ({"T": 5, "latent": 3, "schedule": even_log_snr(5)}, ["latent = 3", "latent = 2"]),
    ],
)
def test_settings_that_make_no_hierarchy(settings, parts):
    with refused(*parts):
        HVAE(**settings)


def test_states_that_do_not_fit():
    model = HVAE(2, latent=3)
    with refused("t runs from 3", "1…T"):
        model.decode(normal(5, 3), 3)
    with refused("z_t has shape (5, 2)", "(n, 3)"):
        model.decode(normal(5, 2), 1)
    with refused("z_prev has shape (5, 3)", "(n, 2)"):
        model.encode(normal(5, 3), 1)
    with refused("x has 1 points with NaN"):
        model.infer(torch.tensor([[0.0, math.nan]]))
    with refused("chain is 2 states", "which are 3"):
        model.terms([normal(5, 2), normal(5, 3)])
    with refused("n = 0"):
        model.sample(0)
