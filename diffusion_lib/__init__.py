"""What the book computes with, in rooms. A module imports only from those above its own.

contracts       what arguments must be, said in signatures and held at the door
data            points to learn from, and their units
process         the fixed process q: what noise does to data, and its undoing from a known start
solvers         samplers: from noise to a sample, given reverse steps or a denoiser
models          networks, the models of each chapter, the exact denoiser
training        one loop for all models
measure         how good samples are, beside their noise floor
experiments     what takes minutes to find, and what was found
show            figures, step-throughs, live training
"""

import sys

# The least versions, as in pyproject.toml: notebooks bring the library where no installer has checked them.
PYTHON, TORCH = (3, 11), (2, 3)

if sys.version_info < PYTHON:
    raise ImportError(
        f"diffusion_lib needs Python {PYTHON[0]}.{PYTHON[1]} or newer; this is {sys.version.split()[0]}"
    )
try:
    import torch
except ModuleNotFoundError as error:
    how = "'Get started' on pytorch.org says how to install it"
    raise ModuleNotFoundError(f"diffusion_lib needs PyTorch: {how}", name=error.name) from error
if tuple(map(int, torch.__version__.split(".")[:2])) < TORCH:
    raise ImportError(
        f"diffusion_lib needs PyTorch {TORCH[0]}.{TORCH[1]} or newer; this is {torch.__version__}"
    )
