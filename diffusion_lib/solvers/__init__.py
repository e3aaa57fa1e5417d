"""From noise to a sample, given reverse steps or a denoiser.

steps       ancestral sampling and DDIM, down the whole steps of a schedule
langevin    following a score with noise: at one level, from level to level, as a corrector
"""

from diffusion_lib.solvers.langevin import annealed_langevin, langevin, predictor_corrector
from diffusion_lib.solvers.steps import (
    AtSteps,
    PosteriorSteps,
    ancestral,
    ddim,
    last,
)
