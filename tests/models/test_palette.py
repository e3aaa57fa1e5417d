"""Pictures of few colours: Bayes' rule at each pixel, palettes that are the pictures' own, a loss by hand."""

import pytest
import torch
from support import EPS, normal, refused, seeded

from diffusion_lib.models import (
    ExactDenoiser,
    PaletteDiffusion,
    PaletteMLP,
    PictureMLP,
    load,
    save,
)
from diffusion_lib.models.palette import NEVER
from diffusion_lib.process.schedules import cosine
from diffusion_lib.training import train

SCHEDULE = cosine(20)
ROUNDING = 2000 * EPS
SOLO = (3, 1, 1)  # a picture of one pixel


def network(shape=(3, 2, 2), colours=4, **settings):
    torch.manual_seed(0)
    return PaletteMLP(SCHEDULE, shape, 16, 2, colours, 8, **settings).double()


def model(net, x_0):
    net.learn_palette(x_0)
    return PaletteDiffusion(net, SCHEDULE, "x_0", shape=tuple(x_0.shape[1:]), stratified=True)


def stirred(net):
    with torch.no_grad():
        for p in net.parameters():
            p += 0.3 * torch.randn(p.shape, generator=seeded(p.numel()))
    return net


def flags(n):
    """Pictures of 2 × 2 pixels in one of two colours, the same at all of them."""
    two = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.5, -1.0]], dtype=torch.float64)
    rows = two[torch.randint(2, (n,), generator=seeded(n))]
    return rows[:, :, None, None].expand(n, 3, 2, 2).contiguous()


def test_of_one_pixel_a_new_network_is_the_exact_denoiser():
    """No blocks have spoken yet, so what is left is Bayes' rule, with each colour's share for its prior."""
    colours = normal(3, *SOLO)
    points = colours[[0, 0, 0, 1, 2, 2]]
    ours, exact = model(network(SOLO), points), ExactDenoiser(points)
    for sigma in SCHEDULE.sigma[[1, 4, 9, 15, 20]]:
        z = points + sigma * normal(6, *SOLO)
        torch.testing.assert_close(ours(z, sigma), exact(z, sigma), rtol=0, atol=1e-5)  # a float32 schedule


def test_what_the_blocks_say_is_added_to_the_logarithms():
    """exp(said) times the share times N(x_t; √ᾱ c, (1 − ᾱ) I), normalised: by hand, at each pixel."""
    x_0 = normal(3, 3, 2, 2)
    net, t = stirred(network()), 7
    net.learn_palette(x_0)
    x_t = normal(2, 3, 2, 2)
    h, level = net._seen(x_t, t)
    said = net.leave(h * (1 + net.gain(level))).reshape(2, 4, 4)
    alpha_bar = SCHEDULE.alpha_bar[t].float().double()
    expected = torch.empty(2, 3, 4, dtype=torch.float64)
    for row in range(2):
        for place in range(4):
            pixel, c = x_t[row].flatten(1)[:, place], net.palette[place]
            own = torch.distributions.Normal(alpha_bar.sqrt() * c, (1 - alpha_bar).sqrt()).log_prob(pixel)
            odds = (said[row, place] + net.log_share[place] + own.sum(dim=1)).softmax(dim=0)
            expected[row, :, place] = odds @ c
    torch.testing.assert_close(net(x_t, t), expected.reshape(2, 3, 2, 2), rtol=0, atol=1e-5)


def test_few_colours_are_kept_as_they_are():
    net, x_0 = network(colours=5), normal(3, 3, 2, 2)[[0, 0, 1, 2]]
    net.learn_palette(x_0)
    chosen = net.palette[torch.arange(4), net.choices(x_0)].mT.reshape(x_0.shape)
    torch.testing.assert_close(chosen, x_0, rtol=0, atol=ROUNDING)
    assert sorted(net.log_share[2].exp().tolist()) == pytest.approx([0, 0, 0.25, 0.25, 0.5])
    assert int((net.log_share == NEVER).sum()) == 4 * 2


def test_of_many_colours_the_palette_has_means_of_clusters():
    """Four heaps, far apart, of unequal size: the palette is their weighted means, whatever the seed."""
    centres = 10 * torch.eye(4, 3).double()
    heap = torch.arange(60).remainder(10).clamp(max=3)  # of ten pixels 1, 1, 1 and 7
    pixels = centres[heap] + 0.1 * normal(60, 3)
    pixels[30:] = pixels[9]  # half of them are one and the same: colours count as often as they're seen
    heap[30:] = heap[9]
    net = network(SOLO)
    net.learn_palette(pixels.reshape(60, *SOLO))
    means = torch.stack([pixels[heap == k].mean(dim=0) for k in range(4)])
    at = torch.cdist(means, net.palette[0]).argmin(dim=1)
    torch.testing.assert_close(net.palette[0, at], means, rtol=0, atol=1e-9)
    assert net.log_share[0, at].exp().tolist() == pytest.approx([0.05, 0.05, 0.05, 0.85])


def test_a_colour_that_is_not_there_is_never_chosen_and_has_no_share():
    net = stirred(network())
    net.learn_palette(torch.ones(2, 3, 2, 2).double())  # one colour; the three other places are empty, 0
    assert not net.choices(torch.zeros(5, 3, 2, 2).double()).any()
    shares = net.logits(normal(5, 3, 2, 2), 20).softmax(dim=2)
    assert (shares[..., 0] == 1).all()


def test_learning_a_palette_again_forgets_the_first():
    net = network()
    net.learn_palette(normal(4, 3, 2, 2))
    net.learn_palette(torch.ones(2, 3, 2, 2).double())
    assert not net.palette[:, 1:].any()
    assert (net.log_share[:, 1:] == NEVER).all()


def test_the_loss_by_hand():
    """−log p(c | x_t), the mean over pixels and pictures, at the steps and with the noise that it drew."""
    x_0 = flags(6)
    ours = model(stirred(network()), x_0)
    dice = seeded(5)
    t = ours._random_steps(6, dice, x_0.device)
    x_t = SCHEDULE.signal[t].double()[:, None, None, None] * x_0 + SCHEDULE.noise[t].double()[
        :, None, None, None
    ] * torch.randn(x_0.shape, generator=dice, dtype=torch.float64)
    p = ours.network.logits(x_t, t).softmax(dim=2)
    right = p.gather(2, ours.network.choices(x_0)[:, :, None])
    torch.testing.assert_close(ours.loss(x_0, seeded(5)), -right.log().mean(), rtol=0, atol=1e-6)


def test_trained_it_learns_what_pixels_tell_each_other():
    """All four pixels are alike: the exact denoiser adds up their evidence, a new network does not."""
    x_0 = flags(400).float()
    ours = model(network().float(), x_0)
    exact, sigma = ExactDenoiser(x_0), float(SCHEDULE.sigma[12])
    z = x_0 + sigma * torch.randn(x_0.shape, generator=seeded(3))
    off = lambda: float((ours(z, sigma) - exact(z, sigma)).detach().square().mean())  # noqa: E731
    before = off()
    run = train(ours, x_0, 400, 128, 1e-2, seeded(1))
    assert not run.stopped
    assert off() < before / 20


def test_a_network_that_names_no_colours_is_refused():
    x_0 = flags(4)
    for net, predict in ((PictureMLP(SCHEDULE, (3, 2, 2), 8, 1), "x_0"), (network(), "v")):
        wrong = PaletteDiffusion(net, SCHEDULE, predict, shape=(3, 2, 2))
        with refused("PaletteMLP"):
            wrong.loss(x_0.to(next(net.parameters()).dtype))


def test_it_comes_back_from_its_file_with_its_palette(tmp_path):
    x_0 = flags(9)
    ours = model(stirred(network()), x_0).float()
    save(ours, tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors")
    assert type(again) is PaletteDiffusion
    z = normal(3, 3, 2, 2).float()
    assert torch.equal(again(z, 0.7), ours(z, 0.7))
    save(ours, tmp_path / "half.safetensors", half=True)
    assert (load(tmp_path / "half.safetensors")(z, 0.7) - ours(z, 0.7)).abs().max() < 0.01
