"""From noise to a sample, given reverse steps or a denoiser.

steps       ancestral sampling and DDIM, down the whole steps of a schedule
ode         Euler, Heun and DPM-Solver++ along the probability-flow ODE, at any noise levels
langevin    following a score with noise: at one level, from level to level, as a corrector
"""

from diffusion_lib.solvers.langevin import annealed_langevin, langevin, predictor_corrector
from diffusion_lib.solvers.ode import dpm_solver_pp_2m, euler, heun, log_even, power_even
from diffusion_lib.solvers.steps import (
    AtSteps,
    PosteriorSteps,
    ancestral,
    ddim,
    last,
)
