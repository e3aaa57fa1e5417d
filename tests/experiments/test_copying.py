"""What the experiments of chapter 10 measure with: the linear denoiser, and the loss of any denoiser."""

import numpy as np
import torch
from support import seeded

from diffusion_lib.experiments import pictures


def test_the_gaussian_denoiser_is_the_conditional_mean_of_a_gaussian():
    x = torch.randn(50, 1, 2, 2, generator=seeded(1)) @ torch.tensor([[1.0, 0.5], [0.0, 0.3]]) + 1
    z, sigma = torch.randn(3, 1, 2, 2, generator=seeded(2)), torch.tensor([0.2, 1.0, 3.0])
    found = pictures.GaussianDenoiser(x)(z, sigma).flatten(1)
    flat = x.flatten(1).double().numpy()
    mean, cov = flat.mean(axis=0), np.cov(flat.T)
    for row, place, std in zip(found, z.flatten(1).double().numpy(), sigma.tolist(), strict=True):
        wanted = mean + cov @ np.linalg.solve(cov + std**2 * np.eye(4), place - mean)
        np.testing.assert_allclose(row.numpy(), wanted, atol=1e-5)


def test_the_loss_of_a_denoiser_is_the_loss_of_v_that_training_sees():
    """The same pictures, steps and noise, by the model's own squared error of v."""
    model = pictures.unet((1, 8, 8), (8, 16), 0)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=seeded(3))
    x_0 = torch.randn(40, 1, 8, 8, generator=seeded(4))
    t = 1 + torch.arange(40) * 1000 // 40
    eps = torch.randn(x_0.shape, generator=seeded(0))
    with torch.no_grad():
        wanted = model.squared_error(x_0, t, eps).mean() / 64
    assert abs(pictures.loss_of(model, x_0) / float(wanted) - 1) < 1e-2  # float32, divided by 1 − ᾱ_1


def test_an_exact_denoiser_is_asked_with_a_noise_level_for_each_picture():
    """On its own pictures it has nearly no loss at little noise, which one σ for all would spoil."""
    x_0 = torch.randn(10, 1, 2, 2, generator=seeded(5)) * 30  # far apart: always recognised, but at the end
    assert pictures.loss_of(pictures.ExactDenoiser(x_0), x_0[:5]) < 1e-3


def test_few_digits_are_learnt_by_heart_step_by_step():
    found = pictures.memorising(n=2, seed=0, steps=8)
    assert {key.split(" at ")[1] for key in found} == {"1", "2", "4", "8"}
    assert all(np.isfinite(value) for value in found.values())
