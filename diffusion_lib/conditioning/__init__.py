"""Asking for something: what wraps a denoiser, or samples with one, so that what comes out fits a wish.

guidance     a label: guided denoisers, with a classifier of noisy points or without one
tilting      p(x) r(x) by tilted reverse steps, as in 2015
inpainting   some coordinates are seen: replacement, resampling, reconstruction guidance, DPS
particles    the same by twisted particles, whose weights make up for what the others approximate
"""

from diffusion_lib.conditioning.guidance import ClassifierGuided, Guided, NoisyClassifier
from diffusion_lib.conditioning.inpainting import SeenThrough, dps, reconstruction, repaint
from diffusion_lib.conditioning.particles import twisted
from diffusion_lib.conditioning.tilting import TiltedSteps, tilt_powers
