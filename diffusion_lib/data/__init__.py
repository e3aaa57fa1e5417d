"""Points to learn from: named sets in the plane, pictures, and the change of units that training wants.

planes      the Swiss roll, its arms and its curve; moons, circles, eight Gaussians, a checkerboard
images      digits, pixel faces, patches of photographs, a folder of the reader's own
faces       what a pixel face is made of, in numbers and in words
captions    what can be said of faces, as numbers of words
units       `Standardiser`, `PixelScale`
"""

from diffusion_lib.data.captions import captions_of, tokens, wishes
from diffusion_lib.data.faces import caption, describe_faces, draw_faces, face_parts
from diffusion_lib.data.images import Digits, digits, doubled, folder, halved, photo_patches, pixel_faces
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
from diffusion_lib.data.units import PixelScale, Standardiser
