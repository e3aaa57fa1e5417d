"""From noise to a sample, given reverse steps or a denoiser.

steps       ancestral sampling and DDIM, down the whole steps of a schedule
"""

from diffusion_lib.solvers.steps import (
    AtSteps,
    PosteriorSteps,
    ancestral,
    ddim,
    last,
)
