"""Samples of p(x) r(x) by reverse steps that r tilts: what Sohl-Dickstein et al. 2015 did first."""

from typing import Literal

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import OverTime, Points, Steps, checked
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, at
from diffusion_lib.solvers.steps import ReverseStep


@checked
class TiltedSteps(nn.Module):
    """Steps proportional to p(x_{t−1} | x_t) r(x_{t−1})^{k_{t−1}}, for a Gaussian r: for `ancestral`.

    With a step N(μ, v) and r = N(m, s²), the product is the Gaussian of variance v/(1 + k v/s²) and mean
    (μ + (k v/s²) m)/(1 + k v/s²): for small v, the step moves by k v ∇ log r(μ). A step of variance 0 stays.

    Args:
        reverse: the steps of a model or a denoiser, such as `PosteriorSteps(denoiser, schedule)`.
        r: one Gaussian, whose mean (*shape) or (n, *shape) and variance go with the points.
        powers: k_0…k_T, (T + 1,), at least 0; see `tilt_powers`.

    Raises:
        ValueError: for arguments that are not what is asked for, and for a negative power.

    Source: Sohl-Dickstein et al. 2015, eqs 20 to 22, and appendix C.
    """

    def __init__(self, reverse: ReverseStep, r: Gaussian, powers: OverTime):
        super().__init__()
        if not (powers >= 0).all():
            raise ValueError(f"powers has the entry {float(powers.min()):g}; pass powers of at least 0")
        if not (r.var > 0).all():
            raise ValueError("r has a variance of 0, which leaves no choice; make it positive")
        self.reverse, self.r, self.powers, self.T = reverse, r, powers, len(powers) - 1

    def forward(self, x_t: Points, t: Steps) -> Gaussian:
        """The step from x_t (n, *shape) at t, () or (n,)."""
        step = self.reverse(x_t, t)
        pull = at(self.powers, torch.as_tensor(t) - 1, x_t) * step.var / self.r.var.to(x_t)  # k v / s²
        mean = (step.mean + pull * self.r.mean.to(x_t)) / (1 + pull)
        return Gaussian(mean, step.var / (1 + pull), step.event_dims)


@checked
def tilt_powers(schedule: Schedule, kind: Literal["every step", "annealed", "alpha_bar"]) -> Tensor:
    """The powers k_t of r over t = 0…T, all with k_0 = 1: shape (T + 1,).

    "every step": 1. "annealed": 1 − t/T. "alpha_bar": ᾱ_t, the share of the variance that is signal. The
    first two are the paper's.
    """
    t = torch.arange(schedule.T + 1, dtype=torch.float64)
    return {
        "every step": torch.ones_like(t),
        "annealed": 1 - t / schedule.T,
        "alpha_bar": schedule.alpha_bar.clone(),
    }[kind]
