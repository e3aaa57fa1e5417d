"""From noise to a sample, given reverse steps or a denoiser.

steps       ancestral sampling and DDIM, down the whole steps of a schedule
ode         Euler, Heun and DPM-Solver++ along the probability-flow ODE, at any noise levels
"""

from diffusion_lib.solvers.ode import dpm_solver_pp_2m, euler, heun, log_even, power_even
from diffusion_lib.solvers.steps import (
    AtSteps,
    PosteriorSteps,
    ancestral,
    ddim,
    last,
)
