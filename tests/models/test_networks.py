"""The networks: shapes, what they may depend on, and that they can learn."""

import math

import numpy as np
import pytest
import torch
from support import EPS, LEAST_T, MAKERS, K, normal, refused, seeded
from torch import nn
from torch.nn import functional as F

from diffusion_lib.models.networks import HeadPerStep, TimeMLP, Waves, mlp
from diffusion_lib.process.schedules import even_log_snr, linear

SCHEDULE = linear(50)


def network(**settings):
    torch.manual_seed(0)
    return TimeMLP(SCHEDULE, **settings)


def heads(**settings):
    torch.manual_seed(0)
    return HeadPerStep(linear(30), **{"width": 8, **settings}).double()


both = pytest.mark.parametrize("make", [lambda: network(width=8).double(), heads], ids=["one", "heads"])
ROUNDING = 200 * EPS  # sums of about 60 products of size 1, in another order


def test_a_perceptron_has_the_layers_asked_for():
    net = mlp(3, 5, width=7, hidden=2)
    linears = [(layer.in_features, layer.out_features) for layer in net if isinstance(layer, nn.Linear)]
    assert linears == [(3, 7), (7, 7), (7, 5)]
    assert [type(layer) for layer in net[1::2]] == [nn.SiLU, nn.SiLU]
    assert net(torch.zeros(4, 3)).shape == (4, 5)


@pytest.mark.parametrize("name", ["n_in", "n_out", "width", "hidden"])
def test_a_perceptron_without_size_is_refused(name):
    sizes = {"n_in": 2, "n_out": 2, "width": 8, "hidden": 1} | {name: 0}
    with refused(f"{name} = 0", "at least 1"):
        mlp(**sizes)


# --- steps, rows and groups ---------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("t", [7, torch.tensor(7), torch.tensor([7]), torch.full((6,), 7)])
def test_one_step_or_one_for_each_point(make, t):
    net, x_t = make(), normal(6, 2)
    out = net(x_t, torch.as_tensor(t))
    assert out.shape == (6, 4 if isinstance(net, HeadPerStep) else 2)
    torch.testing.assert_close(out, net(x_t, torch.full((6,), 7)), rtol=0, atol=ROUNDING)


@both
def test_rows_do_not_see_each_other(make):
    net, x_t, t = make(), normal(6, 2), torch.tensor([1, 30, 3, 20, 20, 29])
    together = net(x_t, t)
    for row in range(6):
        alone = net(x_t[row : row + 1], t[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("size", [1, 5, 30])  # 30 as well: as many points in a group as there are groups
def test_a_group_is_its_points_at_its_step(size):
    net, x_t, t = heads(), normal(30, size, 2), torch.arange(1, 31)
    together = net.grouped(x_t, t)
    for s in (0, 1, 17, 29):
        torch.testing.assert_close(together[s], net(x_t[s], t[s]), rtol=0, atol=ROUNDING)
    some = torch.tensor([4, 4, 30])  # not all steps, and not in order
    torch.testing.assert_close(net.grouped(x_t[:3], some)[2], net(x_t[2], 30), rtol=0, atol=ROUNDING)
    rows = net(x_t.flatten(0, 1), t.repeat_interleave(size)).reshape(together.shape)
    torch.testing.assert_close(rows, together, rtol=0, atol=ROUNDING)


# --- one network for all steps ------------------------------------------------------------------------------


def test_it_sees_the_points_and_the_step():
    net, x_t = network(), normal(6, 2).float()
    assert not torch.allclose(net(x_t, torch.tensor(1)), net(x_t, torch.tensor(50)))
    assert not torch.allclose(net(x_t, torch.tensor(1)), net(x_t + 0.1, torch.tensor(1)))


def test_the_noise_level_is_what_it_sees_of_a_step():
    """Two schedules that reach the same σ at different steps look the same to the network there."""
    torch.manual_seed(0)
    long = TimeMLP(even_log_snr(21))
    torch.manual_seed(0)
    short = TimeMLP(even_log_snr(11))  # its step 6 has the level of step 11 of the other: the middle
    x_t = normal(4, 2).float()
    torch.testing.assert_close(long(x_t, torch.tensor(11)), short(x_t, torch.tensor(6)))


def test_no_step_sees_the_row_of_step_0():
    one, many = network().double(), heads()
    one.level[0] = math.nan
    many.hidden.data[0] = many.out.data[0] = math.nan
    for net in (one, many):
        x_t, t = normal(net.T, 2), torch.arange(1, net.T + 1)
        assert net(x_t, t).isfinite().all()


@pytest.mark.parametrize("name", MAKERS)
def test_inputs_are_finite_and_bounded_for_every_schedule(name):
    for T in (LEAST_T[name], 100):
        net = TimeMLP(MAKERS[name](T))
        assert net.level.shape == (T + 1, 8)
        assert (net.level.abs() <= 1).all()


def test_waves_are_sines_and_cosines_over_the_plane():
    waves, x = Waves(n_directions=3, frequencies=(1.0, 4.0)).double(), normal(5, 2)
    angle = np.arange(3) * np.pi / 3
    along = x.numpy() @ np.stack([np.cos(angle), np.sin(angle)])  # x · u for each direction u
    phase = np.concatenate([along, 4 * along], axis=1)
    expected = np.concatenate([x.numpy(), np.sin(phase), np.cos(phase)], axis=1)
    assert waves.n_features == expected.shape[1]
    eps32 = torch.finfo(torch.float32).eps  # the directions are kept in float32
    np.testing.assert_allclose(waves(x), expected, rtol=0, atol=4 * eps32 * np.abs(phase).max())


def test_waves_have_the_frequencies_asked_for():
    waves = network(n_directions=6, frequencies=(1.0, 4.0)).waves.waves
    assert waves.shape == (2, 12)
    torch.testing.assert_close(waves.norm(dim=0), torch.tensor([1.0] * 6 + [4.0] * 6))


def test_no_wave_is_another_one_or_its_mirror_image():
    waves = Waves().waves.T  # f · u of each wave
    for image in (waves, -waves):
        apart = torch.cdist(waves, image).fill_diagonal_(math.inf)
        assert apart.min() > 0.1  # the nearest, of frequency 1.5, are π/12 apart: 1.5 · 0.26


def test_weights_alone_are_stored():
    assert all(key.startswith("body.") for key in network().state_dict())


def test_it_can_fit_what_a_denoiser_must():
    """x_0 from x_t at two steps whose answers differ: a plain regression that no constant solves."""
    net = network(width=32)
    x_t = torch.randn(256, 2, generator=seeded())
    t = torch.tensor([1, 50]).repeat(128)
    target = torch.where(t[:, None] == 1, x_t, -x_t)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss = (net(x_t, t) - target).square().mean()
        loss.backward()
        optimiser.step()
    assert loss < target.var() / 10  # without the step, nothing below the variance can be reached


# --- one head for each step ---------------------------------------------------------------------------------


def test_a_head_is_two_layers_on_the_shared_features():
    net, x_t = heads(n_out=3), normal(5, 2)
    trunk = net.trunk[1]
    features = F.silu(F.linear(Waves().double()(x_t), trunk.weight, trunk.bias))
    for t in (1, 30):
        hidden, out = net.hidden[t], net.out[t]
        inner = F.silu(F.linear(features, hidden[:-1].T, bias=hidden[-1]))
        expected = F.linear(inner, out[:-1].T, bias=out[-1])
        torch.testing.assert_close(net(x_t, torch.tensor(t)), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("layer", ["hidden", "out"])
def test_a_head_answers_for_its_step_alone(layer):
    net, x_t = heads(), normal(30, 5, 2)
    t = torch.arange(1, 31)
    before = net.grouped(x_t, t)
    with torch.no_grad():
        getattr(net, layer)[7] += 0.1
    changed = (net.grouped(x_t, t) != before).flatten(1).any(dim=1)
    assert changed.tolist() == [step == 7 for step in range(1, 31)]


def test_the_trunk_knows_no_step():
    net, x_t = heads(), normal(5, 2)
    assert not torch.allclose(net(x_t, torch.tensor(3)), net(x_t, torch.tensor(4)))
    with torch.no_grad():
        for layer in (net.hidden, net.out):
            layer[:] = layer[1].clone()
    outputs = net.grouped(x_t.expand(30, 5, 2), torch.arange(1, 31))
    assert (outputs == outputs[0]).all()


def test_heads_start_as_linear_layers_do_and_weights_alone_are_stored():
    net = heads(width=9)
    for layer in (net.hidden, net.out):
        assert layer.shape[1] == 9 + 1
        assert layer.abs().max() <= 1 / 3  # even between ±1/√9, of variance 1/27
        root_n = math.sqrt(layer.numel())
        assert layer.mean().abs() < K * math.sqrt(1 / 27) / root_n
        # The square of such a number has the standard deviation 2/(3√5) · 1/9.
        assert (layer.square().mean() - 1 / 27).abs() < K * 2 / (3 * math.sqrt(5)) / 9 / root_n
    assert set(net.state_dict()) == {"trunk.1.weight", "trunk.1.bias", "hidden", "out"}


# --- wrong input --------------------------------------------------------------------------------------------


@both
def test_groups_of_points_are_refused(make):
    with refused("x_t has shape (30, 5, 2)", "points are rows, (n, 2)", "pass x_t.flatten(0, 1)"):
        make()(normal(30, 5, 2), torch.arange(1, 31))


@pytest.mark.parametrize("name", ["width", "n_out"])
def test_heads_without_size_are_refused(name):
    with refused(f"{name} = 0", "at least 1"):
        heads(**{name: 0})


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"n_directions": 0}, ("n_directions = 0", "at least 1")),
        ({"frequencies": ()}, ("frequencies is empty", "at least one")),
        ({"width": 0}, ("width = 0", "at least 1")),
        ({"hidden": math.inf}, ("hidden = inf", "whole number")),
    ],
)
def test_networks_without_size_are_refused(settings, parts):
    with refused(*parts):
        network(**settings)
