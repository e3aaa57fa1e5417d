"""Samplers that follow the score and stir: at one noise level, from level to level, and as a corrector.

A sampler is a generator function: it yields the states. Noise is drawn for all points at once; denoisers and
score functions are called for some rows at a time, in eval mode. Of a step, h is the size, and r = h/σ² the
size beside the noise level's.
"""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Count, Index, Levels, Points, Positive, checked
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.process.score import Denoiser, ScoreAt, ScoreFunction
from diffusion_lib.solvers.steps import PosteriorSteps, drawn_back, in_blocks


@checked
@torch.no_grad()
def langevin(
    score: ScoreFunction, z: Points, h: Positive, steps: Count, generator: Generator | None = None
) -> Iterator[Tensor]:
    """The points z (n, *shape), then the state after each of the `steps`:

        z ← z + (h/2) score(z) + √h ξ        ξ ~ N(0, I)

    As h shrinks and the steps become many, z follows the density whose score it is. With a finite h the
    spread is too large: for N(0, τ²) the variance ends at τ²/(1 − h/(4τ²)), and beyond h = 4τ² nowhere.
    """
    yield z
    for _ in range(steps):
        z = _step(score, z, h, generator)
        yield z


def _step(score: ScoreFunction, z: Tensor, h: float, generator: Generator | None) -> Tensor:
    """One of Langevin's steps, for all points at once."""
    xi = standard_normal(z.shape, z, generator)
    return z + h / 2 * in_blocks(score, z) + h**0.5 * xi


@checked
@torch.no_grad()
def annealed_langevin(
    denoiser: Denoiser,
    z: Points,
    sigmas: Levels,
    steps: Count = 10,
    r: Positive = 0.3,
    generator: Generator | None = None,
    final_denoising: bool = True,
) -> Iterator[Tensor]:
    """Langevin's steps at falling noise levels, `steps` at each, of the size h = rσ²: all states (n, *shape).

    First z, then len(sigmas) · steps states, and with `final_denoising` x̂_0(z, σ) at the last level, which
    takes away the noise that the last state still has. z should be drawn from about N(0, (1 + σ²) I), with
    the first level for σ.

    Source: Song & Ermon 2019, Algorithm 1, with r = ε/σ_L²; final denoising: Jolicoeur-Martineau et al. 2021.
    """
    yield z
    for sigma in sigmas:
        for _ in range(steps):
            z = _step(ScoreAt(denoiser, sigma), z, r * sigma**2, generator)
            yield z
    if final_denoising:
        yield z + sigmas[-1] ** 2 * in_blocks(ScoreAt(denoiser, sigmas[-1]), z)


@checked
@torch.no_grad()
def predictor_corrector(
    denoiser: Denoiser,
    x_T: Points,
    schedule: Schedule,
    corrector_steps: Index = 1,
    r: Positive = 0.3,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """x_T, …, x_0 (n, *shape): ancestral steps, each followed by Langevin's at the level it has reached.

    The corrector's size is h = rσ_t² for z = x_t/√ᾱ_t, the same for all points; there is none at t = 0.
    Source: Song et al. 2021 (score SDE), appendix G, where h comes from norms over a whole batch instead.
    """
    predict = PosteriorSteps(denoiser, schedule)
    x_t = x_T
    yield x_t
    for t in range(schedule.T, 0, -1):
        x_t = drawn_back(predict, x_t, t, generator, of=denoiser)
        signal, sigma = float(schedule.signal[t - 1]), float(schedule.sigma[t - 1])
        for _ in range(corrector_steps if t > 1 else 0):
            x_t = signal * _step(ScoreAt(denoiser, sigma), x_t / signal, r * sigma**2, generator)
        yield x_t
