"""From noise to a sample, given reverse steps or a denoiser.

steps       ancestral sampling and DDIM, down the whole steps of a schedule
"""

from diffusion_lib.solvers.steps import (
    AtSteps as AtSteps,
    ancestral as ancestral,
    ddim as ddim,
    last as last,
    reverse_step as reverse_step,
)
