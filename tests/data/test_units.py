"""`diffusion_lib.data.units`: what cannot be compared entry by entry is compared as a whole."""

import torch

from diffusion_lib.data import Standardiser
from diffusion_lib.show.widgets import Frame, points


def test_records_with_arrays_equal_themselves_alone():
    def made():
        layer = points(torch.zeros(3, 2))
        return [Standardiser(torch.zeros(2), 1.0), layer, Frame("Three points.", [layer])]

    for one, other in zip(made(), made(), strict=True):
        assert one == one
        assert one != other
        assert len({one, other}) == 2
