"""Chapter 9, straight paths: a flow and its reflow, and recipes that weigh the noise levels differently."""

import math
from statistics import fmean

import torch
from torch import Generator, Tensor

from diffusion_lib.experiments.fewer_steps import (
    LEVELS,
    SEEDS,
    T,
    curve,
    exact,
    fresh,
    in_floors,
    off_the_curve,
    sampled,
)
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.evaluation import distance_to_curve
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.schedules import straight
from diffusion_lib.solvers.steps import Denoiser, in_blocks
from diffusion_lib.training import train

TIMES = straight(128)


def bend(states: Tensor) -> float:
    """How far the velocity of paths (N + 1, n, 2) is from that of their chords: a mean square, relative."""
    chord = states[0] - states[-1]
    velocity = (states[:-1] - states[1:]) * (len(states) - 1)
    return float((velocity - chord).square().sum(-1).mean() / chord.square().sum(-1).mean())


def flows(*, seed: int, n: int = 10_000, steps: int = 3000) -> dict[str, float]:
    """A flow, then its reflow, which is the same network trained on with pairs: floors by Euler's steps."""
    noise, found = Generator().manual_seed(seed), {}
    torch.manual_seed(seed)
    model = Flow(TimeMLP(TIMES), TIMES)
    train(model, fresh(50_000, noise), steps=steps, generator=noise)
    x_0, eps = model.pairs(20_000, noise)
    for name in ("flow", "reflow"):
        found[f"{name}, bend"] = bend(model.trajectory(2000, noise))
        for calls in (1, 2, 4, 8, 16, 32):
            samples = Flow(model.network, TIMES, calls=calls).sample(n, noise)
            found[f"{name}, {calls}"] = in_floors(samples)
            found[f"{name}, {calls}, off the curve"] = off_the_curve(samples)
        if name == "flow":
            train(model, x_0, steps=steps, learning_rate=1e-2, generator=noise, noise=eps)
    return found


# --- recipes ------------------------------------------------------------------------------------------------

# What is guessed, and the density of log σ while training, not normalised.
RECIPES = {
    "chapter 5": ("eps", lambda log_sigma: 1 + 0 * log_sigma),
    "rectified flow": ("u", lambda log_sigma: 1 / (2 * torch.cosh(log_sigma / 2)) ** 2),
    "logit-normal": ("u", lambda log_sigma: (-(log_sigma**2) / 2).exp()),
    "EDM": ("v", lambda log_sigma: (-((log_sigma + 1.2) ** 2) / (2 * 1.2**2)).exp()),
}


class RecipeDiffusion(Diffusion):
    """A model on levels even in log σ whose loss takes them as often as the recipe says."""

    def __init__(self, recipe: str):
        predict, density = RECIPES[recipe]
        super().__init__(TimeMLP(LEVELS), LEVELS, predict=predict)
        self.chances = density(LEVELS.sigma[1:].log())

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The squared error of what is guessed, at steps drawn by their chances."""
        t = 1 + torch.multinomial(self.chances, len(x_0), replacement=True, generator=generator)
        return self.squared_error(x_0, t, torch.randn(x_0.shape, generator=generator)).mean()


def error(denoiser: Denoiser, steps: range, noise: Generator) -> float:
    """Root mean square of the denoiser's distance to the exact one, over these steps."""
    squares = []
    for t in steps:
        sigma = float(LEVELS.sigma[t])
        z = fresh(500, noise) + sigma * torch.randn(500, 2, generator=noise)
        guess = in_blocks(lambda rows, sigma=sigma: denoiser(rows, sigma), z, of=denoiser)
        squares.append(float((guess - exact()(z, sigma)).square().sum(dim=1).mean()))
    return math.sqrt(fmean(squares))


def recipes(*, recipe: str, seed: int, n: int = 10_000, steps: int = 1500) -> dict[str, float]:
    """One budget of training: floors by DPM++ at 17 calls, and the error at little, middle and much noise."""
    noise = Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = RecipeDiffusion(recipe)
    train(model, fresh(50_000, noise), steps=steps, generator=noise)
    samples = sampled(model, torch.randn(n, 2, generator=noise), "DPM++", 17, noise)
    found = {"floors": in_floors(samples), "away": distance_to_curve(samples, curve())}
    with torch.no_grad():
        for name, part in (("little", range(1, 23)), ("middle", range(23, 45)), ("much", range(45, T + 1))):
            found[f"error, {name}"] = error(model, part, noise)
    return found


EXPERIMENTS = (
    Experiment(flows, grid(seed=SEEDS)),
    Experiment(recipes, grid(recipe=tuple(RECIPES), seed=SEEDS)),
)
