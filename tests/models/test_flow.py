"""The flow against its formulas, the samplers that it equals in other coordinates, and the exact denoiser."""

from itertools import pairwise

import pytest
import torch
from support import normal, refused, seeded
from torch import nn

from diffusion_lib import data
from diffusion_lib.measure import evaluation
from diffusion_lib.models import Diffusion, ExactDenoiser, Flow, TimeMLP
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import straight
from diffusion_lib.solvers import ddim, euler, last
from diffusion_lib.training import train

PATH = straight(12)


def model(schedule=PATH, **settings):
    torch.manual_seed(0)
    return Flow(TimeMLP(schedule, width=16), schedule, **settings).double()


class Velocity(nn.Module):
    """What a denoiser says of u at a point of the path: (x − x̂_0)/t."""

    def __init__(self, denoiser, schedule):
        super().__init__()
        self.denoiser, self.t = denoiser, schedule.straight_time

    def forward(self, x, i):
        t = self.t[i, None]
        return (x - self.denoiser(x / (1 - t), (t / (1 - t)).flatten())) / t


def test_times_are_even_and_end_just_below_one():
    expected = torch.linspace(0, 1, 13, dtype=torch.float64)
    torch.testing.assert_close(PATH.straight_time[:-1], expected[:-1], rtol=0, atol=1e-12)
    assert float(PATH.straight_time[-1]) == pytest.approx(0.9999, abs=1e-9)
    torch.testing.assert_close(PATH.sigma[1:12], expected[1:12] / (1 - expected[1:12]))


def test_the_loss_is_that_of_the_velocity_at_points_of_the_straight_path():
    ours, x_0, eps = model(), normal(40, 2), normal(40, 2, seed=1)
    i = torch.randint(1, 13, (40,), generator=seeded(2))
    t = (i[:, None].double() / 12).clamp(max=0.9999)
    error = ours.network((1 - t) * x_0 + t * eps, i) - (eps - x_0)
    torch.testing.assert_close(ours.squared_error(x_0, i, eps), error.square().sum(dim=1), rtol=1e-9, atol=0)


def test_given_noise_is_that_of_the_loss():
    ours, x_0, eps = model(), normal(40, 2), normal(40, 2, seed=1)
    i = torch.randint(1, 13, (40,), generator=seeded(2))
    expected = ours.squared_error(x_0, i, eps).mean()
    torch.testing.assert_close(ours.loss(x_0, seeded(2), noise=eps), expected)


def test_drawn_noise_has_one_time_a_point():
    ours, x_0 = model(), normal(40, 2)
    drawn = seeded(3)
    i = torch.randint(1, 13, (40,), generator=drawn)
    expected = ours.squared_error(x_0, i, standard_normal(x_0.shape, x_0, drawn)).mean()
    torch.testing.assert_close(ours.loss(x_0, seeded(3)), expected)


def test_a_trajectory_follows_the_velocity():
    ours = model(calls=4)
    states = ours.trajectory(30, seeded(1))
    torch.testing.assert_close(states[0], standard_normal((30, 2), states[0], seeded(1)))
    for (i, lower), (x, after) in zip(pairwise((12, 9, 6, 3, 0)), pairwise(states), strict=True):
        u = ours.network(x, torch.full((30,), i)).detach()
        gone = (min(i / 12, 0.9999) - lower / 12) * u
        torch.testing.assert_close(after, x - gone, rtol=0, atol=1e-9)
    torch.testing.assert_close(ours.sample(30, seeded(1)), states[-1])


@pytest.mark.parametrize("calls", [1, 3, 12])
def test_its_samples_are_those_of_ddim_and_of_euler_in_sigma(calls):
    ours = model(calls=calls)
    x = standard_normal((30, 2), torch.empty(0).double(), seeded(1))
    steps = list(range(12, 0, -12 // calls))
    length = (PATH.signal + PATH.noise)[12]  # of x_t, of a path's point of length 1
    by_ddim = last(ddim(ours, length * x, PATH, steps))
    by_euler = last(euler(ours, x * length / PATH.signal[12], PATH.sigma[steps].tolist()))
    torch.testing.assert_close(ours.sample(30, seeded(1)), by_ddim, rtol=0, atol=1e-9)
    torch.testing.assert_close(by_euler, by_ddim, rtol=0, atol=1e-9)


def test_with_the_right_velocity_it_is_the_exact_denoiser():
    exact = ExactDenoiser(normal(20, 2))
    ours = Flow(Velocity(exact, PATH), PATH)
    z = normal(30, 2, seed=1)
    for i in (1, 5, 11):
        sigma = float(PATH.sigma[i])
        torch.testing.assert_close(ours(z, sigma), exact(z, sigma), rtol=0, atol=1e-9)


def test_its_bound_is_that_of_a_diffusion_with_the_same_denoiser():
    exact = ExactDenoiser(normal(20, 2))
    ours = Flow(Velocity(exact, PATH), PATH)
    twin = Diffusion(Asked(exact), PATH, predict="x_0")
    x_0, eps, t = normal(12, 2, seed=1), normal(12, 2, seed=2), torch.arange(1, 13)
    torch.testing.assert_close(
        ours.bound_term(x_0, t, eps), twin.bound_term(x_0, t, eps), rtol=1e-7, atol=1e-7
    )


class Asked(nn.Module):
    """A denoiser as a network of x_t and t."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x_t, t):
        return self.denoiser(x_t / PATH.signal[t, None], PATH.sigma[t])


class Constant(nn.Module):
    """The velocity 2 everywhere."""

    def forward(self, x, i):
        return torch.full_like(x, 2)


def test_a_sample_is_its_noise_less_the_velocity():
    x_0, eps = Flow(Constant(), PATH, calls=3).pairs(30, seeded(1))
    torch.testing.assert_close(eps - x_0, torch.full_like(x_0, 2 * 0.9999))


def test_pairs_are_the_ends_of_trajectories():
    ours = model(calls=3)
    x_0, eps = ours.pairs(30, seeded(1))
    states = ours.trajectory(30, seeded(1))
    assert torch.equal(x_0, states[-1])
    assert torch.equal(eps, states[0])


def test_pairs_on_straight_lines_leave_nothing_to_learn():
    """u is 2 at all points of the paths from x_0 to ε = x_0 + 2."""

    x_0 = normal(20, 2)
    ours = Flow(Constant(), PATH)
    assert float(ours.loss(x_0, seeded(), noise=x_0 + 2)) == pytest.approx(0, abs=1e-20)
    assert float(ours.loss(x_0, seeded(), noise=x_0 + 1)) == pytest.approx(2)


@pytest.mark.parametrize(("calls", "advice"), [(5, "such as 4"), (24, "such as 12")])
def test_calls_that_do_not_divide_T_are_refused(calls, advice):
    with refused(f"calls = {calls} does not divide T = 12", advice):
        model(calls=calls)


def test_a_straight_schedule_that_stops_falling_is_refused():
    with refused("T = 100, end = 0.9", "take end > 0.99"):
        straight(100, end=0.9)


@pytest.mark.slow
def test_the_roll_and_its_reflow():
    """Two dozen calls come near the roll; after reflow one comes nearer than the flow's one."""
    schedule, points = straight(24), data.swiss_roll(5000, seeded(5))
    scale = data.Standardiser.fit(points)
    torch.manual_seed(0)
    flow = Flow(TimeMLP(schedule), schedule)
    train(flow, scale(points), steps=500, batch_size=512, generator=seeded(1))
    x_0, eps = flow.pairs(5000, seeded(2))
    torch.manual_seed(1)
    again = Flow(TimeMLP(schedule), schedule, calls=1)
    train(again, x_0, steps=500, batch_size=512, generator=seeded(3), noise=eps)
    flow_once = Flow(flow.network, schedule, calls=1)
    fresh = scale(data.swiss_roll(5000, seeded(6)))
    many, one, once = (
        evaluation.sliced_wasserstein(m.sample(5000, seeded(4)), fresh) for m in (flow, again, flow_once)
    )
    assert many < 0.05
    assert one < 0.2 * once
