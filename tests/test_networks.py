"""The networks: shapes, what they may depend on, and that they can learn."""

import math

import pytest
import torch
from support import LEAST_T, MAKERS, normal, refused, seeded
from torch import nn

from diffusion_lib.networks import TimeMLP, mlp
from diffusion_lib.schedules import even_log_snr, linear

SCHEDULE = linear(50)


def network(**settings):
    torch.manual_seed(0)
    return TimeMLP(SCHEDULE, **settings)


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


@pytest.mark.parametrize("t", [7, torch.tensor(7), torch.tensor([7]), torch.full((6,), 7)])
def test_one_step_or_one_for_each_point(t):
    net, x_t = network(), normal(6, 2).float()
    out = net(x_t, torch.as_tensor(t))
    assert out.shape == (6, 2)
    torch.testing.assert_close(out, net(x_t, torch.full((6,), 7)))


def test_rows_do_not_see_each_other():
    net, x_t, t = network(), normal(6, 2).float(), torch.tensor([1, 50, 3, 20, 20, 49])
    together = net(x_t, t)
    for row in range(6):
        alone = net(x_t[row : row + 1], t[row : row + 1])
        torch.testing.assert_close(together[row], alone[0])


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


@pytest.mark.parametrize("name", MAKERS)
def test_inputs_are_finite_and_bounded_for_every_schedule(name):
    for T in (LEAST_T[name], 100):
        net = TimeMLP(MAKERS[name](T))
        assert net.level.shape == (T + 1, 8)
        assert (net.level.abs() <= 1).all()


def test_waves_have_the_frequencies_asked_for():
    waves = network(n_directions=6, frequencies=(1.0, 4.0)).waves.waves
    assert waves.shape == (2, 12)
    torch.testing.assert_close(waves.norm(dim=0), torch.tensor([1.0] * 6 + [4.0] * 6))


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


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"n_directions": 0}, ("n_directions = 0", "at least 1")),
        ({"frequencies": ()}, ("frequencies = ()", "at least one")),
        ({"width": 0}, ("width = 0", "at least 1")),
        ({"hidden": math.inf}, ("hidden = inf", "whole number")),
    ],
)
def test_networks_without_size_are_refused(settings, parts):
    with refused(*parts):
        network(**settings)
