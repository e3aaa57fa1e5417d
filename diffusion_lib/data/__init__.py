"""Points to learn from: five named sets in the plane, and the change of units that training wants.

planes      the Swiss roll, moons, circles, eight Gaussians, a checkerboard
units       `Standardiser`
"""

from diffusion_lib.data.planes import (
    DATASETS,
    checkerboard,
    circles,
    eight_gaussians,
    moons,
    roll_curve,
    swiss_roll,
)
from diffusion_lib.data.units import Standardiser
