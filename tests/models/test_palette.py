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
from diffusion_lib.process.schedules import Schedule, cosine
from diffusion_lib.solvers.steps import ddim, last
from diffusion_lib.training import train

SCHEDULE = cosine(20)
ROUNDING = 2000 * EPS
SOLO = (3, 1, 1)  # a picture of one pixel


def network(shape=(3, 2, 2), colours=4, doubt=1e-12):
    torch.manual_seed(0)
    return PaletteMLP(SCHEDULE, shape, 16, 2, colours, 8, doubt).double()


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
    """exp(said) times the share times N(x_t; √ᾱ c, (1 − ᾱ) I) + doubt, normalised: by hand, at each pixel."""
    x_0 = normal(3, 3, 2, 2)
    net, t = stirred(network(doubt=0.2)), 7
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
            there = net.log_share[place] > NEVER
            own = (own.sum(dim=1) - own.sum(dim=1)[there].max()).exp() * there + 0.2
            odds = (said[row, place] + net.log_share[place] + own.log()).softmax(dim=0)
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
    ours = model(stirred(network(doubt=0.3)), x_0)
    dice = seeded(5)
    t = ours._random_steps(6, dice, x_0.device)
    signal, noise = (values[t].reshape(6, 1, 1, 1) for values in (SCHEDULE.signal, SCHEDULE.noise))
    eps = torch.randn(x_0.shape, generator=dice, dtype=torch.float64)
    x_t = signal * ours.network._misprinted(x_0, dice) + noise * eps
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


def test_a_pixel_alone_counts_so_much_and_no_more():
    """Of two equally likely colours, one stands there without noise; the other has `doubt` to 1 + `doubt`."""
    net = network(SOLO, 2, doubt=0.1)
    net.learn_palette(torch.tensor([-1.0, 1.0]).double().reshape(2, 1, 1, 1).expand(2, *SOLO))
    x_t = SCHEDULE.signal[1] * net.palette[0, :1].reshape(1, *SOLO)
    assert net.logits(x_t, 1).softmax(dim=2)[0, 0].tolist() == pytest.approx([1.1 / 1.2, 0.1 / 1.2], abs=1e-5)


def test_misprints_are_as_many_as_the_doubt_and_of_the_place():
    x_0 = flags(8000)
    net = network(doubt=0.3)
    net.learn_palette(x_0)
    wrong = net._misprinted(x_0, seeded(2))
    changed = net.choices(wrong) != net.choices(x_0)
    torch.testing.assert_close(net._painted(net.choices(wrong)), wrong, rtol=0, atol=ROUNDING)
    share = net.log_share[0].exp()
    expected = 0.3 * (1 - share.square().sum())  # now and then the other colour is the same
    assert changed.double().mean(dim=0).tolist() == pytest.approx([float(expected)] * 4, abs=0.015)
    both = (changed[:, 0] & changed[:, 3]).double().mean()
    assert float(both) == pytest.approx(float(expected**2), abs=0.01)  # each pixel by itself


def test_trained_with_doubt_it_overrules_a_single_pixel():
    """Three pixels of a flag agree, the fourth doesn't, and there's hardly any noise."""
    x_0 = flags(400).float()
    for doubt, most, least in ((0.1, 0.1, 0.0), (1e-12, 9.0, 0.5)):
        ours = model(network(doubt=doubt).float(), x_0)
        flag, odd = x_0[:50], x_0[:50].clone()
        odd[:, :, 0, 0] = ours.network._painted(1 - ours.network.choices(flag))[:, :, 0, 0]
        train(ours, x_0, 400, 128, 1e-2, seeded(1))
        guess = ours.denoise(SCHEDULE.signal[1].float() * odd, 1).detach()
        assert least <= float((guess - flag)[:, :, 0, 0].abs().mean()) < most


def test_the_refiner_of_a_schedule_that_stops_early_goes_on_where_it_stops():
    """Its steps and levels are the first of the whole schedule's, and a new one draws Bayes' own answer."""
    late = Schedule(SCHEDULE.alpha[:8])
    torch.testing.assert_close(late.sigma, SCHEDULE.sigma[:8], rtol=1e-12, atol=0)
    x_0 = flags(40)
    torch.manual_seed(0)
    net = PaletteMLP(late, (3, 2, 2), 16, 2, 4, 8, 1e-12).double()
    net.learn_palette(x_0)
    ours = PaletteDiffusion(net, late, "x_0", shape=(3, 2, 2))
    x_t = late.signal[7] * x_0 + late.noise[7] * 0.5 * normal(40, 3, 2, 2)
    found = last(ddim(ours, x_t, late, eta=1.0, generator=seeded(0)))
    torch.testing.assert_close(found, x_0, rtol=0, atol=0.01)


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
