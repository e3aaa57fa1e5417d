"""An objective: a model's losses, row by row, from numbers drawn elsewhere."""

import torch
from support import Function, normal

from diffusion_lib.many.recipes import Objective
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
