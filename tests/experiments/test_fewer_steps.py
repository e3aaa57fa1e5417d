"""Chapter 9's experiments: their judges on what is known, and the bars on how few calls will do."""

import math
from statistics import fmean

import pytest
import torch
from support import normal, seeded
from torch import nn

from diffusion_lib.experiments import fewer_steps, flows
from diffusion_lib.solvers import dpm_solver_pp_2m, last, log_even


class Counted(nn.Module):
    """The roll's exact denoiser; it counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, z, sigma):
        self.calls += 1
        return fewer_steps.exact()(z, sigma)


@pytest.mark.parametrize("sampler", ["η = 0", "η = 0.5", "η = 1", "Heun", "DPM++"])
@pytest.mark.parametrize("calls", fewer_steps.CALLS)
def test_each_sampler_has_the_calls_that_are_named(sampler, calls):
    denoiser = Counted()
    samples = fewer_steps.sampled(denoiser, normal(3, 2).float(), sampler, calls, seeded())
    assert samples.shape == (3, 2)
    assert denoiser.calls == calls


def test_fresh_points_are_at_the_floor_and_on_the_curve():
    points = fewer_steps.fresh(4000, seeded(3))
    assert 0.6 < fewer_steps.in_floors(points) < 1.6
    assert fewer_steps.off_the_curve(points) == 0
    assert fewer_steps.off_the_curve(points + 1.0) > 0.5


def test_the_exact_flow_map_ends_on_the_curve():
    x_T = torch.randn(50, 2, generator=seeded())
    ends = fewer_steps.flow_map(x_T)
    assert fewer_steps.off_the_curve(ends) == 0
    assert fewer_steps.judged("itself", ends, x_T)["itself, miss"] == 0
    assert fewer_steps.judged("away", ends + 1.0, x_T)["away, elsewhere"] == 1


def test_a_straight_walk_at_an_even_pace_has_no_bend():
    start, end, share = normal(5, 2), normal(5, 2, seed=1), torch.linspace(0, 1, 9)[:, None, None].double()
    assert flows.bend(start + share * (end - start)) < 1e-28
    # At the pace of share², the velocity is 2 share at the middles: ∫(2t − 1)² dt = 1/3, less 1/(3 N²).
    assert flows.bend(start + share**2 * (end - start)) == pytest.approx(1 / 3 - 1 / (3 * 8**2), rel=1e-12)


def test_recipes_draw_log_sigma_from_their_densities():
    log_sigma = fewer_steps.LEVELS.sigma[1:].log()
    for recipe, centre in (("logit-normal", 0.0), ("EDM", -1.2), ("rectified flow", 0.0)):
        chances = flows.RecipeDiffusion(recipe).chances
        assert abs(float(log_sigma[chances.argmax()]) - centre) < 0.05
    tau = fewer_steps.LEVELS.sigma[1:] / (1 + fewer_steps.LEVELS.sigma[1:])
    torch.testing.assert_close(flows.RecipeDiffusion("rectified flow").chances, tau * (1 - tau))
    ratio = flows.RecipeDiffusion("EDM").chances[10] / flows.RecipeDiffusion("EDM").chances[40]
    expected = math.exp(
        sum(sign * (float(log_sigma[i]) + 1.2) ** 2 / 2.88 for i, sign in ((40, 1), (10, -1)))
    )
    assert float(ratio) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "bar"), [(6, 2.7), (12, 1.4)])
def test_how_few_calls_of_the_exact_denoiser_will_do(calls, bar):
    """10,000 points against four sets of as many, three seeds."""
    floors = [
        fewer_steps.in_floors(
            last(
                dpm_solver_pp_2m(
                    fewer_steps.exact(),
                    fewer_steps.started(torch.randn(10_000, 2, generator=seeded(seed))),
                    log_even(calls, fewer_steps.SIGMA_MAX, fewer_steps.SIGMA_MIN),
                )
            )
        )
        for seed in (0, 1, 2)
    ]
    assert fmean(floors) < bar
