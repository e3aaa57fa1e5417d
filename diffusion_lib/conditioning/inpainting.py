"""Some coordinates are seen, the others wanted: four samplers that fill in, none of them exact.

What is seen is a point, or one for each row, with NaN where a coordinate is not seen.
"""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.conditioning.guidance import ClassifierGuided, slope
from diffusion_lib.contracts import Count, Points, Positive, Sigma, checked
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.solvers.steps import AtSteps, Denoiser, PosteriorSteps, drawn_back, evaluating


def _partly_seen(value, name, given):
    """A point, or one for each row, with finite numbers where it is seen and NaN where it is not."""
    example = "such as torch.tensor([0.0, torch.nan])"
    if not isinstance(value, Tensor) or not value.is_floating_point():
        found = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} is {found}; pass a point with NaN where it is not seen, {example}")
    if value.ndim == 0 or value.isinf().any() or value.isnan().all():
        found = f"{name} has shape {tuple(value.shape)} and {int(value.isfinite().sum())} finite numbers"
        raise ValueError(f"{found}; pass a point with NaN where it is not seen, {example}")
    x = given.get("x_T")
    if x is not None and (value.shape not in (x.shape, x.shape[1:]) or value.device != x.device):
        found = f"{name} has shape {tuple(value.shape)} on {value.device}, x_T {tuple(x.shape)} on {x.device}"
        raise ValueError(f"{found}; pass one point, or one for each row of x_T")


Seen = Annotated[Tensor, _partly_seen]


@checked
@torch.no_grad()
def repaint(
    denoiser: Denoiser,
    seen: Seen,
    x_T: Points,
    schedule: Schedule,
    repeats: Count = 1,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """x_T, …, x_0 (n, *shape), the seen part replaced at each step by what the forward process makes of it.

    At t − 1 the seen coordinates y are √ᾱ_{t−1} y + √(1 − ᾱ_{t−1}) ε, the others those of the reverse step.
    With `repeats` = 1 that is replacement (Song et al. 2021, appendix I.2). With more, each step is taken so
    many times, with a forward step x_t = √α_t x_{t−1} + √β_t ε in between, so that the two parts can agree
    (Lugmayr et al. 2022, Algorithm 1, with jumps of one step).
    """
    step, x_t, known = PosteriorSteps(denoiser, schedule), x_T, ~seen.isnan()
    y = seen.nan_to_num().to(x_T)
    yield x_t
    for t in range(schedule.T, 0, -1):
        for turn in range(repeats):
            if turn:
                eps = standard_normal(x_t.shape, x_t, generator)
                x_t = schedule.alpha[t].sqrt() * x_t + schedule.beta[t].sqrt() * eps
            free = drawn_back(step, x_t, t, generator, of=denoiser)
            noise = standard_normal(x_t.shape, x_t, generator)
            noisy_y = schedule.signal[t - 1] * y + schedule.noise[t - 1] * noise
            x_t = torch.where(known, noisy_y, free)  # at t − 1
        yield x_t


@checked
class SeenThrough(nn.Module):
    """log N(y; x̂_0(z, σ), s²) of the seen coordinates y, with s² = σ²/(1 + σ²): a guess of log p(y | z, σ).

    It takes what is left open about x_0 for a Gaussian around the denoiser's answer, with the variance that
    it has for data that is N(0, I). For σ → 0 it is sharp, for large σ the spread of such data.

    Source: Song et al. 2023 (ΠGDM), section 3.2.
    """

    def __init__(self, denoiser: Denoiser, seen: Seen):
        super().__init__()
        self.denoiser, self.seen = denoiser, seen
        self.shape = getattr(denoiser, "shape", ())  # of one point

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """The log density in nats at points z (B, *shape), σ one number or (B,): (B,)."""
        return log_seen(self.denoiser(z, sigma), self.seen.to(z), sigma)


def log_seen(x_0_hat: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
    """log N(y; x̂_0, s²) of the seen coordinates, where y is not NaN, with s² = σ²/(1 + σ²): (B,)."""
    sigma = torch.as_tensor(sigma, dtype=x_0_hat.dtype, device=x_0_hat.device).expand(len(x_0_hat))
    var = (sigma.square() / (1 + sigma.square())).reshape(-1, *[1] * (x_0_hat.ndim - 1))
    terms = (y.nan_to_num() - x_0_hat).square() / var + (2 * torch.pi * var).log()
    return -0.5 * (terms * ~y.isnan()).flatten(1).sum(dim=1)


@checked
def reconstruction(denoiser: Denoiser, seen: Seen, w: float = 1.0) -> ClassifierGuided:
    """Reconstruction guidance: the denoiser plus w σ² ∇_z log N(y; x̂_0(z, σ), s²), a denoiser again.

    Source: Ho et al. 2022 (video diffusion), section 3.1; with the s² of `SeenThrough`, ΠGDM.
    """
    return ClassifierGuided(denoiser, SeenThrough(denoiser, seen), w)


@checked
@torch.no_grad()
def dps(
    denoiser: Denoiser,
    seen: Seen,
    x_T: Points,
    schedule: Schedule,
    step_size: Positive = 0.3,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """x_T, …, x_0 (n, *shape): each reverse step, less `step_size` · ∇_{x_t} ‖y − x̂_0(x_t)‖.

    The norm is over the seen coordinates. Its gradient, not that of its square, has a length of about one at
    most: the step size is in the data's unit, and no noise level enters.

    Source: Chung et al. 2023, Algorithm 1, with ζ_t = ζ/‖y − x̂_0‖, where a factor 2 goes into ζ.
    """
    step, denoise, x_t = PosteriorSteps(denoiser, schedule), AtSteps(denoiser, schedule), x_T
    known, y = ~seen.isnan(), seen.nan_to_num().to(x_T)
    yield x_t

    def missed(x: Tensor, t: int) -> Tensor:
        """‖y − x̂_0(x_t)‖ over the seen coordinates, (B,)."""
        apart = (denoise(x, t) - y).where(known, torch.zeros((), dtype=x.dtype, device=x.device))
        return (apart.flatten(1).square().sum(dim=1) + 1e-20).sqrt()

    for t in range(schedule.T, 0, -1):
        eps = standard_normal(x_t.shape, x_t, generator)
        with evaluating(denoiser):
            uphill = slope(lambda x, t=t: missed(x, t), x_t)
            x_t = step(x_t, t).from_noise(eps) - step_size * uphill
        yield x_t
