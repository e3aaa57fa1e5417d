"""Guided denoisers against Bayes' rule on a law of a few points, where everything is a finite sum."""

import math

import pytest
import torch
from support import EPS, Function, K, normal, seeded

from diffusion_lib import data
from diffusion_lib.conditioning import ClassifierGuided, Guided, NoisyClassifier
from diffusion_lib.conditioning.guidance import slope
from diffusion_lib.models import ExactDenoiser
from diffusion_lib.process.posterior import from_x_0, to_x_0
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.training import train

POINTS = normal(6, 2)
CHANCES = torch.tensor([0.1, 0.3, 0.2, 0.1, 0.2, 0.1], dtype=torch.float64)
LIKELY = torch.tensor([0.9, 0.2, 0.5, 0.1, 0.7, 0.4], dtype=torch.float64)  # p(y | x_0) at the points
NULL = ExactDenoiser(POINTS, CHANCES)
ASKED = ExactDenoiser(POINTS, CHANCES * LIKELY)
Z, SIGMA = normal(9, 2, seed=1), 0.2 + normal(9, seed=2).square()


def log_likely(z, sigma):
    """log p(y | z, σ) = log E[p(y | x_0) | z]."""
    return NULL.expect(z, sigma, LIKELY).log()


@pytest.mark.parametrize(
    ("w", "asked"), [(0, "null"), (0.0, "null"), (1.0, "conditional"), (2.0, "null conditional")]
)
def test_an_answer_without_weight_is_not_asked_for(w, asked):
    calls = []
    parts = {name: lambda z, sigma, name=name: calls.append(name) or z for name in ("conditional", "null")}
    Guided(parts["conditional"], parts["null"], w)(Z, SIGMA)
    assert " ".join(calls) == asked


def test_guidance_is_the_sum_with_the_weights_w_and_1_minus_w():
    guided = Guided(lambda z, sigma: z + 1, lambda z, sigma: 3 * z, 2.5)
    assert torch.equal(guided(Z, SIGMA), 3 * Z + 2.5 * (Z + 1 - 3 * Z))


@pytest.mark.parametrize(("w", "should"), [(0.0, NULL), (1.0, ASKED)])
def test_scale_0_asks_for_nothing_and_scale_1_is_the_conditional(w, should):
    assert torch.allclose(Guided(ASKED, NULL, w)(Z, SIGMA), should(Z, SIGMA), rtol=0, atol=50 * EPS)


def test_ho_and_salimans_w_is_ours_minus_1():
    theirs = 1.5
    eps = {d: (Z - d(Z, 0.7)) / 0.7 for d in (ASKED, NULL)}
    mixed = (1 + theirs) * eps[ASKED] - theirs * eps[NULL]
    assert torch.allclose(Guided(ASKED, NULL, 1 + theirs)(Z, 0.7), Z - 0.7 * mixed, rtol=0, atol=1e-13)


def test_with_the_exact_classifier_it_is_the_exact_conditional_denoiser():
    found = ClassifierGuided(NULL, log_likely)(Z, SIGMA)
    assert torch.allclose(found, ASKED(Z, SIGMA), rtol=0, atol=1e-12)


@pytest.mark.parametrize("w", [-1.0, 0.0, 0.5, 3.0])
def test_with_exact_parts_both_kinds_of_guidance_are_one(w):
    one, other = Guided(ASKED, NULL, w), ClassifierGuided(NULL, log_likely, w)
    assert torch.allclose(one(Z, SIGMA), other(Z, SIGMA), rtol=0, atol=1e-11)


def test_the_slope_is_the_derivative_also_without_gradients():
    with torch.no_grad():
        found = slope(lambda z: log_likely(z, 0.8), Z)
    step = 1e-6 * torch.eye(2, dtype=torch.float64)
    differences = [(log_likely(Z + e, 0.8) - log_likely(Z - e, 0.8)) / 2e-6 for e in step]
    assert torch.allclose(found, torch.stack(differences, dim=1), rtol=0, atol=1e-8)
    assert not found.requires_grad


def test_one_can_differentiate_through_a_guided_denoiser():
    guided = ClassifierGuided(NULL, log_likely)
    assert torch.autograd.gradcheck(lambda z: guided(z, 0.8), Z.clone().requires_grad_())


@pytest.mark.parametrize("kind", ["eps", "v", "score"])
def test_the_same_scale_guides_eps_v_and_the_score(kind):
    schedule = even_log_snr(10)
    x_t, t, w = Z, 6, 2.0
    z, sigma = x_t / schedule.signal[t], float(schedule.sigma[t])
    said = {d: from_x_0(d(z, sigma), x_t, t, schedule, kind) for d in (ASKED, NULL)}
    mixed = said[NULL] + w * (said[ASKED] - said[NULL])
    found = Guided(ASKED, NULL, w)(z, sigma)
    assert torch.allclose(to_x_0(mixed, x_t, t, schedule, kind), found, rtol=0, atol=1e-11)


# --- the classifier of noisy points -------------------------------------------------------------------------


def test_the_classifiers_answers_are_log_probabilities():
    torch.manual_seed(0)
    classifier = NoisyClassifier(3).double()
    answer = classifier(Z, SIGMA)
    assert torch.allclose(answer.exp().sum(dim=1), torch.ones(9).double(), rtol=0, atol=1e-12)
    assert torch.equal(classifier.given(2)(Z, SIGMA), answer[:, 1])
    each = torch.tensor([1, 2, 3] * 3)
    assert torch.equal(classifier.given(each)(Z, SIGMA), answer[torch.arange(9), each - 1])


def test_its_loss_is_the_mean_of_minus_log_p_at_levels_even_in_log_sigma():
    seen = []

    class Probe(NoisyClassifier):
        def forward(self, z, sigma):
            seen.append((z, sigma))
            return super().forward(z, sigma)

    probe, n = Probe(2, sigma_min=0.1, sigma_max=10.0), 40_000
    x_0, labels = torch.zeros(n, 2), torch.ones(n).long()
    loss = probe.loss(x_0, seeded(), labels)
    ((z, sigma),) = seen
    assert torch.allclose(loss, -probe(z, sigma)[:, 0].mean())
    share = (sigma.log() - math.log(0.1)) / math.log(100)
    assert 0 <= share.min()
    assert share.max() <= 1
    assert abs(share.mean() - 0.5) < K * (1 / 12 / n) ** 0.5
    noise = z / sigma[:, None]
    assert abs(noise.square().mean() - 1) < K * (2 / (2 * n)) ** 0.5


def test_it_learns_the_arms_of_noisy_points():
    scale = data.Standardiser.fit(data.swiss_roll(10_000, seeded()))
    x_0, arm = data.labelled_swiss_roll(20_000, seeded(1))
    torch.manual_seed(0)
    classifier = NoisyClassifier(3)
    train(classifier, scale(x_0), steps=300, generator=seeded(), labels=arm)
    nodes, weights, of = data.roll_quadrature(16)
    oracle = ExactDenoiser(scale(nodes.float()), weights.float())
    x, y = data.labelled_swiss_roll(2000, seeded(2))
    z = scale(x) + 0.3 * torch.randn(2000, 2, generator=seeded(3))
    exact = oracle.expect(z, 0.3, torch.nn.functional.one_hot(of - 1, 3).float())
    best, own = ((-p.gather(1, y[:, None] - 1)).mean() for p in (exact.log(), classifier(z, 0.3)))
    assert own < best + 0.08


@pytest.mark.parametrize("bad", [0, 4, torch.tensor([1, 5])])
def test_a_classifier_has_no_label_0(bad):
    with pytest.raises(ValueError, match="pass labels in 1…3: a classifier has no label 0"):
        NoisyClassifier(3).given(bad)


def test_levels_must_rise():
    with pytest.raises(ValueError, match="take sigma_min < sigma_max"):
        NoisyClassifier(3, sigma_min=2.0, sigma_max=1.0)


def test_modes_of_both_networks_are_set_while_sampling():
    parts = Guided(Function(ASKED), Function(NULL), 2.0)
    assert [type(part) for part in parts.children()] == [Function, Function]
