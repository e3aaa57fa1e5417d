"""One widget for every step-through of the book: see `Stepper`."""

from diffusion_lib.show.widgets.camera import Measure
from diffusion_lib.show.widgets.frames import (
    Axis,
    Frame,
    Layer,
    Panel,
    arrows,
    curve,
    ellipses,
    labels,
    points,
)
from diffusion_lib.show.widgets.lens import index_lens, lens_panel, lens_table
from diffusion_lib.show.widgets.live import train_live
from diffusion_lib.show.widgets.live_run import LiveRun
from diffusion_lib.show.widgets.pictures import images
from diffusion_lib.show.widgets.stepper import Stepper

__all__ = [
    "Axis",
    "Frame",
    "Layer",
    "LiveRun",
    "Measure",
    "Panel",
    "Stepper",
    "arrows",
    "curve",
    "ellipses",
    "images",
    "index_lens",
    "labels",
    "lens_panel",
    "lens_table",
    "points",
    "train_live",
]
