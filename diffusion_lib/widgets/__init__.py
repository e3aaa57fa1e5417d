"""One widget for every step-through of the book: see `Stepper`."""

from diffusion_lib.widgets.frames import Axis, Frame, Layer, Panel, arrows, curve, ellipses, points
from diffusion_lib.widgets.stepper import Stepper

__all__ = ["Axis", "Frame", "Layer", "Panel", "Stepper", "arrows", "curve", "ellipses", "points"]
