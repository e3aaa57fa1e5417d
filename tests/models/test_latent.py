"""The autoencoder of pictures: chapter 1's bound, a unit for its latents, and pictures that come back."""

import math

import pytest
import torch
from support import normal, refused, seeded

from diffusion_lib.data import PixelScale, doubled, halved, pixel_faces
from diffusion_lib.models import PictureVAE, load, save
from diffusion_lib.training import train


def small():
    torch.manual_seed(0)
    vae = PictureVAE(decoder_std=0.1, width=8)
    with torch.no_grad():
        for p in vae.parameters():
            p += 0.1 * torch.randn(p.shape, generator=seeded(p.numel()))
    return vae


def faces(n, seed=0):
    return doubled(PixelScale(255)(pixel_faces(n, seeded(seed))))


def test_the_loss_is_the_bound_without_its_constant():
    """−log p(x | z) at the same noise, by PyTorch's Normal, and the KL to N(0, I), by PyTorch's."""
    vae, x = small(), faces(3)
    q = vae.encode(x)
    eps = torch.randn(3, 4, 8, 8, generator=seeded(5))
    posterior = torch.distributions.Normal(q.mean, q.var.sqrt())
    likelihood = torch.distributions.Normal(vae.decode(q.mean + q.var.sqrt() * eps), 0.1)
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    constant = 3 * 32 * 32 * (math.log(0.1) + 0.5 * math.log(2 * math.pi))
    expected = (kl.flatten(1).sum(dim=1) - likelihood.log_prob(x).flatten(1).sum(dim=1)).mean() - constant
    torch.testing.assert_close(vae.loss(x, seeded(5)), expected, rtol=1e-4, atol=0)


def test_latents_have_the_unit_that_was_measured():
    vae, x = small(), faces(300)
    assert vae.unit == 1
    vae.measure_unit(x)
    z = vae.to_latents(x)
    assert abs(float(z.std()) - 1) < 1e-5
    torch.testing.assert_close(z * vae.unit, vae.encode(x).mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        vae.to_pictures(z), vae.decode(vae.encode(x).mean).clamp(-1, 1), rtol=0, atol=1e-5
    )


def test_doubled_pictures_are_halved_exactly():
    x = normal(2, 3, 4, 5)
    assert torch.equal(doubled(x)[:, :, ::2, ::2], x)
    assert torch.equal(doubled(x)[:, :, 1::2, 1::2], x)
    assert torch.equal(halved(doubled(x)), x)
    torch.testing.assert_close(halved(x[:, :, :, :4])[0, 0, 0, 0], x[0, 0, :2, :2].mean())


def test_it_learns_faces():
    torch.manual_seed(0)
    vae, x = PictureVAE(width=8), faces(200)
    run = train(vae, x, 60, 32, 3e-3, seeded())
    assert sum(run.losses[-5:]) < 0.4 * sum(run.losses[:5])


def test_it_comes_back_from_a_file_with_its_unit(tmp_path):
    vae, path = small(), tmp_path / "vae.safetensors"
    vae.measure_unit(faces(20))
    save(vae, path)
    found = load(path)
    assert found.settings == vae.settings
    assert torch.equal(found.to_latents(faces(2)), vae.to_latents(faces(2)))
    assert load(path, small()).unit == vae.unit
    with refused("model has width = 16 and the file 8"):
        load(path, PictureVAE(decoder_std=0.1, width=16))
    with refused("model is a Linear"):
        save(torch.nn.Linear(2, 2), path)


@pytest.mark.parametrize("half", [False, True])
def test_a_file_of_half_the_size_has_three_digits(half, tmp_path):
    vae = small()
    save(vae, tmp_path / "vae.safetensors", half=half)
    found = load(tmp_path / "vae.safetensors")
    for mine, kept in zip(vae.parameters(), found.parameters(), strict=True):
        assert kept.dtype == torch.float32
        torch.testing.assert_close(kept, mine, rtol=2**-11 if half else 0, atol=1e-7 if half else 0)
    size = (tmp_path / "vae.safetensors").stat().st_size
    n = sum(p.numel() for p in vae.parameters())
    assert size < (2 if half else 4) * n + 8000
