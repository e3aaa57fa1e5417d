"""The noise conditional score network: one score for all noise levels, annealed Langevin sampling."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Count, Network, Positive, Shape, checked
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.solvers.langevin import annealed_langevin
from diffusion_lib.solvers.steps import last


@checked
class NCSN(Diffusion):
    """Denoising score matching at the levels σ_1 < … < σ_T, each weighted with σ_t² (Song & Ermon 2019).

    The score is s(z, σ_t) = −ε_θ/σ_t, so that σ_t² ‖s + ε/σ_t‖² = ‖ε − ε_θ‖²: the loss is chapter 5's, and
    so is the network, of x_t = z/√(1 + σ_t²) and t. What differs is how it is used: no reverse step, but
    `steps` of Langevin's at each level, from the noisiest, T, to 1, and a last answer x̂_0. (The paper counts
    levels from the noisiest, its σ_1.)

    Args:
        network: maps points x_t (B, *shape) and levels t (B,), int64, to the guessed noise (B, *shape).
        schedule: its T levels are `schedule.sigma[1:]`.
        steps: Langevin's, at each level; a sample takes T · steps + 1 calls of the network.
        r: their size h = rσ_t², as a share of the level's variance.
        shape: of one point.
    """

    def __init__(
        self, network: Network, schedule: Schedule, steps: Count = 10, r: Positive = 1.0, shape: Shape = (2,)
    ):
        super().__init__(network, schedule, predict="eps", shape=shape)
        self.steps, self.r = steps, r

    def _states(self, n: int, generator: Generator | None) -> Iterator[Tensor]:
        """z when it enters each of the levels T, …, 1, and the samples: T + 1 states."""
        like = next(self.parameters(), torch.empty(0))
        wide = (1 + self.schedule.sigma[self.T] ** 2).sqrt().to(like)
        z = wide * standard_normal((n, *self.shape), like, generator)
        sigmas = self.schedule.sigma[1:].flip(0).tolist()
        states = annealed_langevin(self, z, sigmas, self.steps, self.r, generator)
        yield from islice(states, 0, self.T * self.steps, self.steps)
        yield last(states)
