"""What chapter 6 asks of samplers that follow the score, each with the exact score: no training error hides.

The judge of the roll's samples is the sliced Wasserstein distance, in noise floors; of the two modes', the
share of the big one, whose truth is 0.8.
"""

import math
from functools import cache
from itertools import combinations

import torch
from torch import Generator, Tensor

from diffusion_lib.data.planes import roll_quadrature, swiss_roll
from diffusion_lib.data.units import Standardiser
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.evaluation import sliced_wasserstein
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers.langevin import annealed_langevin, langevin, predictor_corrector
from diffusion_lib.solvers.steps import PosteriorSteps, ancestral, last

BIG = 0.8  # the share of the mode on the left
N_POINTS = 4000
SIGMA_MIN, SIGMA_MAX = 0.01, 8.0


# --- two modes on a line ------------------------------------------------------------------------------------


class TwoModes:
    """0.8 N(−a, 1) + 0.2 N(a, 1), seen through noise: points (n, 1); a is half the separation."""

    def __init__(self, separation: float):
        self.a = separation / 2

    def share(self, z: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """The chance that z, seen through noise σ, comes from the mode on the left: its responsibility."""
        var = 1 + torch.as_tensor(sigma).reshape(-1, 1) ** 2
        return torch.sigmoid(math.log(BIG / (1 - BIG)) - 2 * self.a * z / var)

    def score(self, z: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """∇ log p_σ(z): each mode pulls towards its centre, with its responsibility for a weight."""
        var = 1 + torch.as_tensor(sigma).reshape(-1, 1) ** 2
        return (self.a * (1 - 2 * self.share(z, sigma)) - z) / var

    def __call__(self, z: Tensor, sigma: Tensor) -> Tensor:
        """The denoiser, by Tweedie's formula."""
        return z + sigma.reshape(-1, 1) ** 2 * self.score(z, sigma)


def mode_weights(*, seed: int, separation: float, steps: int = 3000) -> dict[str, float]:
    """The big mode's share among 4,000 walkers, evenly spread over ±2a at the start, after `steps` of 0.3."""
    modes, noise = TwoModes(separation), Generator().manual_seed(seed)
    z = 2 * separation * (torch.rand(N_POINTS, 1, generator=noise, dtype=torch.float64) - 0.5)
    return {"share": float(modes.share(last(langevin(modes.score, z, 0.3, steps, noise))).mean())}


def annealed_weights(*, seed: int, sampler: str, steps: int = 1, separation: float = 10) -> dict[str, float]:
    """The big mode's share after annealed Langevin on 30 levels, or after ancestral sampling in 100 steps."""
    modes, noise = TwoModes(separation), Generator().manual_seed(seed)
    schedule = even_log_snr(100 if sampler == "ancestral" else 30, 0.02, 40.0)
    x_T = torch.randn(N_POINTS, 1, generator=noise, dtype=torch.float64)
    if sampler == "ancestral":
        states = ancestral(PosteriorSteps(modes, schedule), x_T, schedule.T, noise)
    else:
        z, levels = schedule.sigma[-1] * x_T, schedule.sigma[1:].flip(0).tolist()
        states = annealed_langevin(modes, z, levels, steps, 0.3, noise)
    return {"share": float(modes.share(last(states)).mean())}


# --- the roll -----------------------------------------------------------------------------------------------


@cache
def exact_roll() -> tuple[ExactDenoiser, list[Tensor], float]:
    """The roll's exact denoiser in standard units, eight sets of real points, and the noise floor."""
    scale = Standardiser.fit(swiss_roll(50_000, Generator().manual_seed(5)))
    nodes, weights, _ = roll_quadrature(64)
    points = scale(swiss_roll(8 * N_POINTS, Generator().manual_seed(6))).split(N_POINTS)
    pairs = list(combinations(points, 2))
    floor = sum(sliced_wasserstein(x, y) for x, y in pairs) / len(pairs)
    return ExactDenoiser(scale(nodes).float(), weights), list(points), floor


def in_floors(samples: Tensor) -> float:
    """The mean distance to eight sets of real points, in noise floors."""
    _, real, floor = exact_roll()
    return sum(sliced_wasserstein(samples, x) for x in real) / len(real) / floor


def step_size(*, seed: int, r: float, levels: int, steps: int) -> dict[str, float]:
    """Annealed Langevin on the roll: `steps` of h = rσ² at each of the levels."""
    denoiser, noise = exact_roll()[0], Generator().manual_seed(seed)
    sigmas = even_log_snr(levels, SIGMA_MIN, SIGMA_MAX).sigma[1:].flip(0).tolist()
    z = math.sqrt(1 + SIGMA_MAX**2) * torch.randn(N_POINTS, 2, generator=noise)
    return {"floors": in_floors(last(annealed_langevin(denoiser, z, sigmas, steps, r, noise)))}


def hundred_calls(*, seed: int, sampler: str) -> dict[str, float]:
    """Samplers that ask the denoiser about a hundred times: "ancestral", "corrector" (50 and 49 calls)."""
    denoiser, noise = exact_roll()[0], Generator().manual_seed(seed)
    x_T = torch.randn(N_POINTS, 2, generator=noise)
    schedule = even_log_snr(100 if sampler == "ancestral" else 50, SIGMA_MIN, SIGMA_MAX)
    if sampler == "ancestral":
        states = ancestral(PosteriorSteps(denoiser, schedule), x_T, schedule.T, noise)
    else:
        states = predictor_corrector(denoiser, x_T, schedule, 1, 0.3, noise)
    return {"floors": in_floors(last(states))}


SEEDS = (0, 1, 2)
EXPERIMENTS = (
    Experiment(mode_weights, grid(separation=(4, 6, 8, 10), seed=SEEDS)),
    Experiment(
        annealed_weights,
        grid(sampler=("annealed",), steps=(10, 100), seed=SEEDS) + grid(sampler=("ancestral",), seed=SEEDS),
    ),
    Experiment(
        step_size,
        grid(r=(0.1, 0.3, 1.0, 3.0), levels=(100,), steps=(1,), seed=SEEDS)
        + grid(r=(1.0,), levels=(10,), steps=(10,), seed=SEEDS),
    ),
    Experiment(hundred_calls, grid(sampler=("ancestral", "corrector"), seed=SEEDS)),
)
