"""Langevin's samplers against closed forms for normal data, and against their definitions."""

import sys

import pytest
import torch
from support import K, normal, refused, seeded
from torch import nn

from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.process.score import ScoreAt
from diffusion_lib.solvers.langevin import annealed_langevin, langevin, predictor_corrector
from diffusion_lib.solvers.steps import BLOCK, PosteriorSteps, ancestral, last

POINTS = normal(6, 2)
ORACLE = ExactDenoiser(POINTS)
SIGMAS = (3.0, 1.0, 0.4)


def of_normal_data(z, sigma):
    """The exact denoiser of x_0 ~ N(0, I)."""
    return z / (1 + torch.as_tensor(sigma).reshape(-1, 1) ** 2)


def assert_variance(x, wanted):
    """The variance of normal numbers, within its standard error; and their mean."""
    n = x.numel()
    assert abs(x.var() / wanted - 1) < K * (2 / n) ** 0.5
    assert abs(x.mean()) < K * (wanted / n) ** 0.5


# --- at one level -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "h"), [(1.0, 0.5), (0.5, 0.3), (2.0, 10.0)])
def test_langevin_ends_with_the_variance_of_the_formula(tau, h):
    """τ²/(1 − h/(4τ²)), in float64 to rounding once (1 − h/2τ²)^2k is."""
    z = last(langevin(lambda z: -z / tau**2, torch.zeros(40_000, 2).double(), h, 80, seeded(1)))
    assert_variance(z, tau**2 / (1 - h / (4 * tau**2)))


def test_one_step_by_hand():
    z = normal(9, 2)
    first, second = langevin(torch.sin, z, 0.2, 1, seeded(3))
    xi = torch.randn(9, 2, generator=seeded(3), dtype=torch.float64)
    assert torch.equal(first, z)
    torch.testing.assert_close(second, z + 0.1 * z.sin() + 0.2**0.5 * xi)


def test_too_large_a_step_goes_nowhere():
    z = last(langevin(lambda z: -z, torch.zeros(1000, 2).double(), 4.1, 400, seeded(1)))
    assert z.var() > 100


def test_langevin_follows_a_mixture():
    """Small steps at noise 1 on some points: the mean and the second moments of p_σ."""
    z = POINTS[torch.randint(6, (4000,), generator=seeded(4))] + normal(4000, 2, seed=5)
    moved = last(langevin(ScoreAt(ORACLE, 1.0), z, 0.05, 100, seeded(6)))
    exact = POINTS.T @ POINTS / 6 + torch.eye(2)
    # The bias of step size is about h/(4σ²) of the noise's variance: 0.0125.
    error = K * (2 / 4000) ** 0.5 * exact.diagonal().max() + 0.0125
    assert ((moved.T @ moved / 4000 - exact).abs() < error).all()


# --- from level to level ------------------------------------------------------------------------------------


def test_annealed_langevin_is_langevin_at_each_level():
    z = 3 * normal(8, 2)
    ours = list(annealed_langevin(ORACLE, z, SIGMAS, 4, 0.5, seeded(2)))
    noise, states = seeded(2), [z]
    for sigma in SIGMAS:
        states += list(langevin(ScoreAt(ORACLE, sigma), states[-1], 0.5 * sigma**2, 4, noise))[1:]
    assert len(ours) == 1 + 3 * 4 + 1
    torch.testing.assert_close(torch.stack(ours[:-1]), torch.stack(states))
    torch.testing.assert_close(ours[-1], ORACLE(states[-1], SIGMAS[-1]))


def test_without_final_denoising_the_noise_of_the_last_level_stays():
    far = torch.tensor([[-5.0, 0.0], [5.0, 0.0]]).double()
    settings = {"z": normal(20_000, 2), "sigmas": (2.0, 1.0, 0.5), "steps": 100, "r": 0.1}
    noisy = last(
        annealed_langevin(ExactDenoiser(far), **settings, generator=seeded(1), final_denoising=False)
    )
    clean = last(annealed_langevin(ExactDenoiser(far), **settings, generator=seeded(1)))
    assert_variance(noisy[:, 1], 0.25 / (1 - 0.1 / 4))
    assert clean[:, 1].abs().max() < 1e-12
    assert (clean[:, 0].abs() - 5).abs().max() < 1e-6


def test_annealed_langevin_on_normal_data_has_the_variance_of_its_recursion():
    z = 5 * normal(40_000, 2)
    states = annealed_langevin(of_normal_data, z, SIGMAS, 3, 0.8, seeded(2))
    var = 25.0
    for sigma in SIGMAS:
        for _ in range(3):
            h, precision = 0.8 * sigma**2, 1 / (1 + sigma**2)
            var = (1 - h / 2 * precision) ** 2 * var + h
    assert_variance(last(states), var / (1 + SIGMAS[-1] ** 2) ** 2)


# --- predictor and corrector --------------------------------------------------------------------------------


SCHEDULE = even_log_snr(8, sigma_min=0.05, sigma_max=5)


def test_without_a_corrector_it_is_ancestral_sampling():
    x_T = normal(8, 2)
    ours = list(predictor_corrector(ORACLE, x_T, SCHEDULE, 0, generator=seeded(2)))
    theirs = list(ancestral(PosteriorSteps(ORACLE, SCHEDULE), x_T, 8, seeded(2)))
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs))


def test_with_a_corrector_normal_data_has_the_variance_of_its_recursion():
    r, steps = 0.5, 2
    x_T, var = normal(40_000, 2), 1.0
    for t in range(8, 0, -1):
        kept, before = float(SCHEDULE.alpha_bar[t]), float(SCHEDULE.alpha_bar[t - 1])
        alpha = kept / before
        # E[x_0 | x_t] = √ᾱ_t x_t, and the posterior's mean is then (√α_t) x_t; its variance is β̃_t.
        var = alpha * var + (1 - alpha) * (1 - before) / (1 - kept)
        for _ in range(steps if t > 1 else 0):  # in x_t, whose score is −x_t: step h = r (1 − ᾱ)
            h = r * (1 - before)
            var = (1 - h / 2) ** 2 * var + h
    states = list(predictor_corrector(of_normal_data, x_T, SCHEDULE, steps, r, seeded(3)))
    assert len(states) == 9
    assert_variance(states[-1], var)


def test_the_corrector_treats_each_point_alone(monkeypatch):
    """A step size from a batch's norm would make a point's path depend on the others."""
    x_T, fixed = normal(6, 2), normal(500, 2, seed=8)

    class Noise:
        """Draws that do not depend on how many points there are, in turn."""

        def __init__(self):
            self.turn = 0

        def __call__(self, shape, like, generator):
            self.turn += 1
            return fixed[self.turn : self.turn + shape[0]].to(like)

    def all_draw(noise):  # the room's entrance has the function `langevin`, not the module
        for module in ("langevin", "steps"):
            monkeypatch.setattr(sys.modules[f"diffusion_lib.solvers.{module}"], "standard_normal", noise)

    all_draw(Noise())
    alone = last(predictor_corrector(ORACLE, x_T[:2], SCHEDULE))
    all_draw(Noise())
    among = last(predictor_corrector(ORACLE, torch.cat([x_T[:2], 100 * x_T]), SCHEDULE))
    torch.testing.assert_close(alone, among[:2])


def test_the_corrector_stands_where_the_next_predictor_does():
    """Corrector steps that move nothing ask at the level, and at the place z, of the predictor after them."""
    asked = []

    def watching(z, sigma):
        asked.append((float(sigma[0]), z))
        return of_normal_data(z, sigma)

    last(predictor_corrector(watching, normal(16_000, 2), SCHEDULE, 1, 1e-14, seeded(2)))
    levels = SCHEDULE.sigma[1:].flip(0).repeat_interleave(2)[1:].tolist()
    assert [sigma for sigma, _ in asked] == pytest.approx(levels)
    for (_, corrected), (_, predicted) in zip(asked[1::2], asked[2::2], strict=True):
        torch.testing.assert_close(corrected, predicted, rtol=0, atol=1e-5)
    alpha, kept = SCHEDULE.alpha[8], SCHEDULE.alpha_bar  # x_7 of normal data: √α_8 x_8 and β̃_8
    var = alpha + (1 - alpha) * (1 - kept[7]) / (1 - kept[8])
    assert_variance(asked[1][1], var / kept[7])


# --- blocks and modes ---------------------------------------------------------------------------------------


class Watching(nn.Module):
    """A denoiser that notes its mode and how many rows it gets."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, z, sigma):
        self.seen.append((self.training, len(z)))
        assert sigma.shape == z.shape[:1]
        return 0 * z


@pytest.mark.parametrize("name", ["langevin", "annealed", "corrector"])
def test_denoisers_get_blocks_of_rows_in_eval_mode(name):
    watching, x = Watching(), normal(BLOCK, 2)
    states = {
        "langevin": lambda: langevin(ScoreAt(watching, 1.0), x, 0.1, 1),
        "annealed": lambda: annealed_langevin(watching, x, [1.0], 1),
        "corrector": lambda: predictor_corrector(watching, x, SCHEDULE),
    }[name]()
    assert last(states).shape == x.shape
    assert not any(mode for mode, _ in watching.seen)
    assert max(n for _, n in watching.seen) == BLOCK // 2
    assert watching.training


def test_refusals():
    z = normal(3, 2)
    with refused("sigmas", "fall"):
        annealed_langevin(ORACLE, z, [1.0, 1.0])
    with refused("sigmas"):
        annealed_langevin(ORACLE, z, [])
    with refused("h = "):
        langevin(torch.sin, z, -0.1, 3)
    with refused("corrector_steps"):
        predictor_corrector(ORACLE, z, SCHEDULE, -1)
