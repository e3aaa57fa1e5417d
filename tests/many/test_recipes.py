"""An objective: a model's losses, row by row, from numbers drawn elsewhere."""

import torch
from support import ROOT, Function, normal

from diffusion_lib.data.captions import captions_of, tokens
from diffusion_lib.data.faces import face_parts
from diffusion_lib.many.recipes import RECIPES, Objective, ToldObjective, captioned_faces, made
from diffusion_lib.models.conditional import TextDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.process.schedules import linear

SCHEDULE = linear(40)


def asked(u):
    """The steps that the network is asked about."""
    seen = []
    model = Diffusion(Function(lambda x, t: seen.append(t) or 0 * x), SCHEDULE)
    x_0 = normal(len(u), 2).float()
    Objective(model)(x_0, torch.stack([u, u], dim=1), torch.ones_like(x_0))
    return seen[0]


def test_every_step_has_the_same_share_of_u():
    u = (torch.arange(400) + 0.5) / 400
    assert asked(u).bincount().tolist() == [0] + [10] * 40


def test_the_ends_of_u_are_steps():
    assert asked(torch.tensor([0.0, 1 - 2**-24])).tolist() == [1, 40]


def test_the_losses_are_the_models():
    model = Diffusion(Function(lambda x, t: x), SCHEDULE)
    x_0, eps = normal(6, 2, seed=1).float(), normal(6, 2, seed=2).float()
    u = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 0.99])[:, None].repeat(1, 2)
    found = Objective(model)(x_0, u, eps)
    assert found.equal(model.squared_error(x_0, torch.tensor([1, 9, 17, 25, 33, 40]), eps))


def test_a_told_objective_drops_the_captions_that_u_says_and_no_others():
    heard = []

    class Listener(torch.nn.Module):
        def forward(self, x, t, words=None):
            heard.append((t, words))
            return 0 * x

    model = TextDiffusion(Listener(), SCHEDULE, dropout=0.25, shape=(2,))
    x_0, words = normal(4, 2).float(), torch.arange(1, 13).reshape(4, 3)
    u = torch.tensor([[0.0, 0.1], [0.5, 0.25], [0.99, 0.9], [0.5, 0.2]])
    found = ToldObjective(model)(x_0, u, normal(4, 2, seed=3).float(), words)
    t, told = heard[0]
    assert t.tolist() == [1, 21, 40, 21]
    assert told.tolist() == [[0, 0, 0], [4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert found.shape == (4,)


def test_the_recipe_of_words_tells_each_face_its_own_caption(monkeypatch):
    monkeypatch.setattr("diffusion_lib.many.recipes.WEIGHTS", ROOT / "book" / "weights")
    z_0, words = captioned_faces(40)
    full = tokens(captions_of(face_parts(40, torch.Generator().manual_seed(0))))
    said = [[set(row[row > 0].tolist()) for row in rows] for rows in (words, full)]
    assert all(some <= every for some, every in zip(*said, strict=True))
    assert 0.4 < sum(map(len, said[0])) / sum(map(len, said[1])) < 0.9  # a third left out
    assert z_0.shape == (40, 4, 8, 8)
    assert 0.7 < float(z_0.std()) < 1.3
    objective = made(RECIPES["words"], seed=0)
    u, eps = torch.rand(40, 2), torch.randn_like(z_0)
    assert objective(z_0, u, eps, words).mean() / 256 < 1.5  # an untrained network answers 0: v's variance
