"""What the experiments of chapter 10 measure with: the linear denoiser, and the loss of any denoiser."""

import numpy as np
import pytest
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


def test_the_loss_of_no_denoiser_at_all_is_that_of_the_data():
    """With x̂_0 = z the error is σε, and σ²/(1 − ᾱ_t) is 1/ᾱ_t; at one step out of two, T/2 and T."""
    alpha_bar = pictures.SCHEDULE.alpha_bar[[1, 501]]
    x_0 = torch.zeros(2, 1, 64, 64)
    found = pictures.loss_of(lambda z, sigma: z, x_0)
    assert abs(found / float((1 / alpha_bar).mean()) - 1) < 0.1


def test_an_exact_denoiser_is_asked_with_a_noise_level_for_each_picture():
    """On its own pictures it has nearly no loss at little noise, which one σ for all would spoil."""
    x_0 = torch.randn(10, 1, 2, 2, generator=seeded(5)) * 30  # far apart: always recognised, but at the end
    assert pictures.loss_of(pictures.ExactDenoiser(x_0), x_0[:5]) < 1e-3


def test_few_digits_are_learnt_by_heart_step_by_step(monkeypatch):
    monkeypatch.setattr(pictures, "share_copied", lambda x, train: len(x) / len(train))
    found = pictures.memorising(n=2, seed=0, steps=8)
    assert {key.split(" at ")[1] for key in found} == {"1", "2", "4", "8"}
    assert all(np.isfinite(value) for value in found.values())
    assert found["copies at 8"] == 200 / 2  # of 200 samples, beside the two digits


def test_copies_are_counted_among_the_few_digits_of_the_training(monkeypatch):
    """A sampler that gives the training digits back copies all of them, whatever the network is."""
    few = pictures.divided().train[torch.randperm(1437, generator=seeded(0))[:4]]
    monkeypatch.setattr(pictures, "draw", lambda model, n, seed: pictures.SCALE(few).repeat(n // 4, 1, 1, 1))
    found = pictures.memorising(n=4, seed=0, steps=8)
    assert [found[f"copies at {done}"] for done in (1, 2, 4, 8)] == [1.0] * 4


def test_a_player_that_copies_scores_as_the_training_digits_do(monkeypatch):
    """Real digits have no losses; the exact minimiser's own loss is far below the held-out one."""
    floor = pictures.player(name="training digits", seed=0)
    assert set(floor) == {"Fréchet distance", "nearest training picture", "copies"}
    assert floor["nearest training picture"] == 0
    monkeypatch.setattr(pictures, "draw", lambda *_: pictures.SCALE(pictures.divided().train[:500]))
    exact = pictures.player(name="exact", seed=0)
    assert exact["nearest training picture"] == 0
    assert exact["own loss"] < 0.1 * exact["held-out loss"]


@pytest.mark.parametrize(
    ("name", "steps", "averaged", "stratified"),
    [
        ("U-Net", 8, True, True),
        ("perceptron", 8, True, True),
        ("perceptron, twice the steps", 16, True, True),
        ("without averaging", 8, False, True),
        ("without stratified steps", 8, True, False),
        ("without attention", 8, True, True),
    ],
)
def test_a_network_lacks_what_its_name_says(name, steps, averaged, stratified, monkeypatch):
    told = {}
    monkeypatch.setattr(pictures, "train", lambda model, x, steps, *_, ema: told.update(steps=steps, ema=ema))
    model = pictures.trained(name, 0, 8)
    assert told == {"steps": steps, "ema": 0.99 if averaged else None}
    assert model.stratified is stratified
    kinds = {type(module).__name__ for module in model.modules()}
    assert ("PictureMLP" in kinds) is name.startswith("perceptron")
    assert ("Attention" in kinds) is (not name.startswith("perceptron") and name != "without attention")


def test_a_player_that_is_misspelt_is_not_trained():
    with pytest.raises(ValueError, match="pass one of training digits"):
        pictures.player(name="Unet", seed=0)


def test_ten_points_of_the_roll_are_soon_copied():
    """Few steps, so it copies some only; samples of the roll itself are near ten points by chance alone."""
    found = pictures.few_points(n=10, seed=0, steps=300)
    assert found["near"] > 2 * found["fresh near"] > 0
    assert all(found[name] > 0 for name in ("to the set", "to the roll"))
