"""Points to learn from: five named sets in the plane, and the change of units that training wants."""

from diffusion_lib.data.planes import (
    DATASETS,
    Standardiser,
    checkerboard,
    circles,
    eight_gaussians,
    moons,
    roll_curve,
    swiss_roll,
)

__all__ = [
    "DATASETS",
    "Standardiser",
    "checkerboard",
    "circles",
    "eight_gaussians",
    "moons",
    "roll_curve",
    "swiss_roll",
]
