"""The fixed process q: what noise does to data, and its undoing from a known start.

gaussians   diagonal Gaussians, the one family of distributions the book computes with
schedules   how much signal each step keeps
forward     from data to noise
posterior   one step back when the start is known, and four ways to say the same thing about x_t
score       the score and the denoiser, two ways to learn it, what a point leaves open
"""

from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule
