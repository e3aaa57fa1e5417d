"""Points to learn from: five named sets in the plane, and the change of units that training wants.

planes      the Swiss roll, moons, circles, eight Gaussians, a checkerboard
units       `Standardiser`
"""

from diffusion_lib.data.planes import (
    DATASETS as DATASETS,
    checkerboard as checkerboard,
    circles as circles,
    eight_gaussians as eight_gaussians,
    moons as moons,
    roll_curve as roll_curve,
    swiss_roll as swiss_roll,
)
from diffusion_lib.data.units import Standardiser as Standardiser
