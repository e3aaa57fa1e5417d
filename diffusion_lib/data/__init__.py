"""Points to learn from: five named sets in the plane, and the change of units that training wants.

planes      the Swiss roll, its arms and its curve; moons, circles, eight Gaussians, a checkerboard
units       `Standardiser`
"""

from diffusion_lib.data.planes import (
    DATASETS,
    checkerboard,
    circles,
    eight_gaussians,
    labelled_swiss_roll,
    moons,
    roll_curve,
    roll_quadrature,
    swiss_roll,
)
from diffusion_lib.data.units import Standardiser
