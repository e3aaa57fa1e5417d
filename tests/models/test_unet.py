"""The U-Net: its parts against PyTorch's own, what it may depend on, and that it fits the models."""

import math

import pytest
import torch
from support import EPS, normal, refused, seeded
from torch import nn
from torch.nn import functional as F

from diffusion_lib.data import PixelScale, digits
from diffusion_lib.models import ConditionalDiffusion, Diffusion, TimeMLP, UNet
from diffusion_lib.models.unet import Attention, ResidualBlock
from diffusion_lib.process.schedules import cosine
from diffusion_lib.solvers.steps import ddim, last
from diffusion_lib.training import train

SCHEDULE = cosine(20)
ROUNDING = 2000 * EPS  # sums of some hundred products of size 1, in another order, layer after layer


def stirred(net):
    """The network with no weight at 0, in float64: a new one gives 0 whatever it gets."""
    with torch.no_grad():
        for p in net.parameters():
            p += 0.3 * torch.randn(p.shape, generator=seeded(p.numel()))
    return net.double()


def network(shape=(1, 8, 8), widths=(8, 16), **settings):
    torch.manual_seed(0)
    return stirred(UNet(SCHEDULE, shape, widths, **settings))


@pytest.mark.parametrize(
    ("shape", "widths", "n_labels", "count"),
    [
        ((1, 8, 8), (32, 64), 0, 493_505),
        ((3, 16, 16), (32, 64, 64), 0, 758_211),
        ((1, 8, 8), (32, 64), 10, 494_785),
    ],
)
def test_the_parameters_are_counted_by_hand(shape, widths, n_labels, count):
    """Weights and biases of each part, from its sizes alone."""

    def conv(n_in, n_out, side=3):
        return n_in * n_out * side**2 + n_out

    level = 4 * widths[0]

    def block(n_in, n_out):
        skip = conv(n_in, n_out, 1) if n_in != n_out else 0
        return 2 * n_in + conv(n_in, n_out) + (level + 1) * n_out + 2 * n_out + conv(n_out, n_out) + skip

    last = widths[-1]
    total = conv(shape[0], widths[0]) + 2 * widths[0] + conv(widths[0], shape[0])
    total += (8 + n_labels + 1) * level + (level + 1) * level
    total += sum(block(w, w) + block(2 * w, w) for w in widths)
    total += sum(conv(a, b) + conv(b, 4 * a, 1) for a, b in zip(widths[:-1], widths[1:], strict=True))
    total += 2 * block(last, last) + 2 * last + conv(last, 3 * last, 1) + conv(last, last, 1)
    net = UNet(SCHEDULE, shape, widths, n_labels)
    assert sum(p.numel() for p in net.parameters()) == total == count


def test_attention_is_pytorchs():
    layer, x = stirred(Attention(16, heads=2)), normal(3, 16, 4, 4)
    parts = layer.query_key_value(layer.norm(x)).flatten(2).mT  # (B, pixels, 3 · channels)
    query, key, value = (part.unflatten(2, (2, 8)).transpose(1, 2) for part in parts.chunk(3, dim=2))
    mean = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2).mT
    expected = x + layer.out(mean.reshape(3, 16, 4, 4))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=ROUNDING)


def test_attention_by_hand():
    """Two pixels, four heads of two channels: each answer is a mean of values, weights adding to 1."""
    layer, x = stirred(Attention(8, heads=4)), normal(1, 8, 1, 2)
    parts = layer.query_key_value(layer.norm(x))[0, :, 0].detach()  # (3 · 8, pixels)
    mean = torch.zeros(8, 2, dtype=torch.float64)
    for head in range(4):
        query, key, value = (parts[8 * k + 2 * head : 8 * k + 2 * head + 2] for k in range(3))
        for i in range(2):
            odds = [math.exp(float(query[:, i] @ key[:, j]) / math.sqrt(2)) for j in range(2)]
            mean[2 * head : 2 * head + 2, i] = sum(o / sum(odds) * value[:, j] for j, o in enumerate(odds))
    expected = x + layer.out(mean.reshape(1, 8, 1, 2))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=ROUNDING)


def test_attention_knows_no_places():
    """Pixels in another order: their answers in that order."""
    layer, x = stirred(Attention(16)), normal(2, 16, 4, 4)
    order = torch.randperm(16, generator=seeded())
    mixed = layer(x.flatten(2)[:, :, order].reshape(x.shape))
    torch.testing.assert_close(mixed.flatten(2), layer(x).flatten(2)[:, :, order], rtol=0, atol=ROUNDING)


def test_a_block_is_two_convolutions_beside_a_shortcut():
    block, x, level = stirred(ResidualBlock(8, 16, 5)), normal(2, 8, 4, 4), normal(2, 5)
    h = F.conv2d(F.silu(F.group_norm(x, 8, block.norm_1.weight, block.norm_1.bias)),
                 block.conv_1.weight, block.conv_1.bias, padding=1)  # fmt: skip
    h = h + (level @ block.level.weight.T + block.level.bias).reshape(2, 16, 1, 1)
    h = F.conv2d(F.silu(F.group_norm(h, 8, block.norm_2.weight, block.norm_2.bias)),
                 block.conv_2.weight, block.conv_2.bias, padding=1)  # fmt: skip
    shortcut = torch.einsum("oi,bihw->bohw", block.skip.weight[:, :, 0, 0], x) + block.skip.bias.reshape(
        -1, 1, 1
    )
    torch.testing.assert_close(block(x, level), shortcut + h, rtol=0, atol=ROUNDING)


def test_new_parts_pass_on_what_they_get_and_a_new_network_says_nothing():
    x = normal(2, 16, 4, 4).float()
    assert torch.equal(ResidualBlock(16, 16, 5)(x, torch.ones(2, 5)), x)
    assert torch.equal(Attention(16)(x), x)
    assert not UNet(SCHEDULE, (1, 8, 8), (8, 16))(x.reshape(8, 1, 8, 8), 3).any()


@pytest.mark.parametrize("t", [7, torch.tensor(7), torch.tensor([7]), torch.full((6,), 7)])
def test_one_step_or_one_for_each_picture(t):
    net, x_t = network(), normal(6, 1, 8, 8)
    torch.testing.assert_close(net(x_t, t), net(x_t, torch.full((6,), 7)), rtol=0, atol=ROUNDING)


def test_pictures_do_not_see_each_other():
    net, x_t, t = network(n_labels=2), normal(5, 1, 8, 8), torch.tensor([1, 5, 9, 13, 20])
    together = net(x_t, t, torch.tensor([0, 1, 2, 1, 0]))
    for row, label in enumerate([0, 1, 2, 1, 0]):
        alone = net(x_t[row : row + 1], t[row], label)[0]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=ROUNDING)


def test_every_pixel_sees_every_pixel():
    net, x = network(), normal(1, 1, 8, 8)
    slopes = torch.autograd.functional.jacobian(lambda x: net(x, 5), x).reshape(64, 64)
    assert (slopes != 0).all()


def test_the_step_enters_as_for_a_perceptron():
    net, other = network().float(), TimeMLP(SCHEDULE)
    assert torch.equal(net.waves, other.level)
    assert not torch.allclose(net(torch.ones(1, 1, 8, 8), 3), net(torch.ones(1, 1, 8, 8), 4))


def test_weights_alone_are_stored():
    kept = dict(network().named_parameters())
    assert network().state_dict().keys() == kept.keys()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 8), (2, 4, 4)])
def test_it_fits_the_models(shape):
    net = network(shape)
    for predict in ("x_0", "eps", "v"):
        model = Diffusion(net, SCHEDULE, predict, shape=shape)
        x = normal(3, *shape)
        assert model.loss(x, seeded()).ndim == 0
        assert model.denoise(x, torch.tensor([1, 7, 20])).shape == model(x, 0.3).shape == x.shape
        assert model.sample(2, seeded()).shape == (2, *shape)
        assert last(ddim(model, x, SCHEDULE, [20, 10])).shape == x.shape


def test_it_can_be_told_labels():
    net = network(n_labels=3)
    model, x = ConditionalDiffusion(net, SCHEDULE, "v", shape=(1, 8, 8)), normal(4, 1, 8, 8)
    assert torch.equal(model.given(2)._ask(x, 7), net(x, 7, 2))
    assert torch.equal(model._ask(x, 7), net(x, 7, 0))
    assert not torch.allclose(net(x, 7, 1), net(x, 7, 2))


def test_more_faces_than_a_block_has_can_each_be_told_a_label():
    model = ConditionalDiffusion(network((3, 16, 16), n_labels=2), SCHEDULE, "v", shape=(3, 16, 16))
    labels = torch.arange(50) // 5 % 3  # a block has 42 faces
    found = model.given(labels).sample(50, seeded())
    for label in (0, 1, 2):
        alone = model.given(label).sample(50, seeded())
        torch.testing.assert_close(found[labels == label], alone[labels == label], rtol=0, atol=1e-6)


def test_a_label_is_one_input_more_beside_the_level():
    net, x, t = network(n_labels=3), normal(4, 1, 8, 8), torch.arange(1, 5)
    told = net(x, t, 2)
    with torch.no_grad():
        net.level[0].bias += net.level[0].weight[:, 8 + 1]
    torch.testing.assert_close(net(x, t), told, rtol=0, atol=ROUNDING)


def test_it_learns_digits():
    x_0 = PixelScale(16)(digits().train)
    torch.manual_seed(0)
    model = Diffusion(UNet(SCHEDULE, (1, 8, 8), (8, 16)), SCHEDULE, "v", shape=(1, 8, 8))
    run = train(model, x_0, 60, 64, 3e-3, seeded())
    # v of an image with one scale of noise has about 64 · 0.7 = 45 to explain; a third is learnt at once.
    assert sum(run.losses[-10:]) < 0.67 * sum(run.losses[:5]) * 2


def test_gradients_reach_every_weight():
    net = network(n_labels=1)
    net(normal(2, 1, 8, 8), 3, 1).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"widths": (12,)}, ("widths = (12,)", "pass multiples of 8")),
        ({"shape": (1, 6, 8), "widths": (8, 8, 8)}, ("shape = (1, 6, 8)", "sides that 4 divides")),
        ({"shape": (64,)}, ("shape = (64,)", "pass (C, H, W)")),
        ({"n_labels": -1}, ("n_labels = -1", "at least 0")),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, parts):
    with refused(*parts):
        UNet(SCHEDULE, **settings)


def test_pictures_of_another_shape_are_refused():
    with refused("x_t has shape (2, 64)", "points are rows, (n, 1, 8, 8)", "pass x_t.reshape(-1, 1, 8, 8)"):
        network()(normal(2, 64), 3)
    with refused("x_t is torch.float32", "pass x_t.to(torch.float64)"):
        network()(torch.zeros(2, 1, 8, 8), 3)
    with refused("t runs from 21 to 21"):
        network()(normal(2, 1, 8, 8), 21)
    with refused("labels runs from 1 to 1", "0…0"):
        network()(normal(2, 1, 8, 8), 2, 1)


def test_no_normalisation_mixes_noise_levels():
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network().modules())
