"""Training in bad weather: the models of all chapters, with what goes wrong and what is odd but right."""

import math

import pytest
import torch
from support import normal, refused, seeded

from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.hvae import HVAE
from diffusion_lib.models.networks import HeadPerStep, TimeMLP
from diffusion_lib.models.reverse import FirstFormChain, SecondFormChain
from diffusion_lib.models.vae import VAE
from diffusion_lib.process.schedules import cosine, even_log_snr, linear
from diffusion_lib.training import KEEP_EVERY, train

# The five models that the chapters train, small, with T steps.
MODELS = {
    "VAE": lambda T: VAE(width=8),
    "HVAE": lambda T: HVAE(T, width=8),
    "first form": lambda T: FirstFormChain(TimeMLP(cosine(T), width=8), cosine(T)),
    "second form": lambda T: SecondFormChain(HeadPerStep(cosine(T), width=8), cosine(T)),
    "diffusion": lambda T: Diffusion(TimeMLP(cosine(T), width=8), cosine(T)),
}
every_model = pytest.mark.parametrize("name", MODELS)


def points():
    return (normal(500, 2) * 0.35 + torch.tensor([0.5, -1.0])).float()


def made(name, T=4):
    torch.manual_seed(0)
    return MODELS[name](T)


@every_model
@pytest.mark.parametrize(("learning_rate", "steps"), [(1e3, 60), (1e30, 60), (1e3, 1), (1e30, 1)])
def test_an_absurd_learning_rate_leaves_the_last_good_weights(name, learning_rate, steps):
    model = made(name)
    before = model.loss(points(), seeded(1)).item()
    with pytest.warns(
        UserWarning, match=r"ended early: .*: the learning rate .* may be too large, 1e-3 to 2e-2"
    ):
        run = train(model, points(), steps, 32, learning_rate, seeded())
    assert run.kept == 0
    assert model.loss(points(), seeded(1)).item() == before
    assert model.sample(3, seeded()).isfinite().all()


@every_model
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_data_that_is_not_finite_is_refused(name, bad):
    x_0 = points()
    x_0[3, 1] = bad
    with refused("x_0 has 1 points with NaN or infinite coordinates", "remove"):
        train(made(name), x_0, steps=1)


@every_model
@pytest.mark.parametrize(
    ("x_0", "T", "settings"),
    [
        (points()[:5], 4, {"batch_size": 64}),
        (points()[:1], 4, {}),
        (points()[:1], 1, {"batch_size": 1, "steps": 1}),
        (points(), 1, {}),
        (points().mT.contiguous().mT, 4, {}),
        (points()[::3], 4, {}),
        (points()[:1].expand(50, 2), 4, {}),
        (points().requires_grad_(), 4, {}),
    ],
    ids=["large batch", "one point", "one of all", "T = 1", "columns", "each third", "expanded", "gradients"],
)
def test_small_and_odd_but_right(name, x_0, T, settings):
    model = made(name, T)
    before = [p.detach().clone() for p in model.parameters()]
    run = train(model, x_0, **{"steps": 2, "batch_size": 16, "generator": seeded(), **settings})
    assert run.stopped == ""
    assert all(math.isfinite(loss) for loss in run.losses)
    assert any(not torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    assert model.sample(2, seeded()).isfinite().all()


@every_model
def test_the_layout_of_the_data_does_not_matter(name):
    losses = [
        train(made(name), x_0, steps=3, batch_size=16, generator=seeded()).losses
        for x_0 in (points(), points().mT.contiguous().mT)
    ]
    assert losses[0] == losses[1]


@every_model
def test_types_of_data_and_model_agree(name):
    with refused("x_0 is torch.float64", "model torch.float32", "pass x_0.to(torch.float32)"):
        train(made(name), points().double(), steps=1)
    with refused("x_0 is torch.float64", "pass x_0.to(torch.float32)"):
        made(name).loss(points().double())
    run = train(made(name).double(), points().double(), steps=2, generator=seeded())
    assert run.stopped == ""


@every_model
def test_what_is_not_on_the_cpu_is_refused(name):
    """The device "meta" is one that every machine has."""
    with refused("x_0 is on meta", "pass x_0.to('cpu')"):
        train(made(name), points().to("meta"), steps=1)
    with refused("x_0 is on cpu and the model on meta", "pass x_0.to('meta')"):
        train(made(name).to("meta"), points(), steps=1)


@every_model
def test_a_loss_that_turns_nan_half_way_brings_back_good_weights(name):
    model, calls = made(name), []
    right, seen = model.loss, []

    def loss(x_0, generator):
        calls.append(1)
        return right(x_0, generator) * (math.nan if len(calls) == KEEP_EVERY + 5 else 1)

    model.loss = loss
    with pytest.warns(UserWarning, match="ended early: the loss became nan: the learning rate"):
        run = train(
            model,
            points(),
            steps=2 * KEEP_EVERY,
            batch_size=16,
            generator=seeded(),
            on_step=lambda run: seen.append([p.detach().clone() for p in model.parameters()]),
        )
    assert run.kept == KEEP_EVERY
    assert all(torch.equal(*pair) for pair in zip(seen[KEEP_EVERY - 1], model.parameters(), strict=True))


def test_a_schedule_too_short_says_how_short_it_may_be():
    with refused("T = 15", "take T > 20"):
        linear(15)
    with refused("T = 1", "at least 2"):
        linear(1, 0.1, 0.2)  # one step has one beta
    with refused("T = 1", "at least 2"):
        even_log_snr(1)
