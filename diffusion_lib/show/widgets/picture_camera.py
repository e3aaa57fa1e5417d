"""The pictures of a live training whose points are pictures themselves."""

import math
from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from diffusion_lib.contracts import hold, outside, rows
from diffusion_lib.measure.evaluation import Draw
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.show.widgets.camera import Camera
from diffusion_lib.show.widgets.frames import Layer, Panel
from diffusion_lib.show.widgets.live_run import SEED
from diffusion_lib.show.widgets.pictures import images
from diffusion_lib.solvers.steps import ddim, evaluating

COLUMNS, ROWS = 8, 4  # of pictures shown
CALLS = 20  # of the network, for each of them
HELD_OUT = 256  # pictures whose loss is shown


class PictureCamera(Camera):
    """Takes the pictures for a `Diffusion` of pictures: samples by a few steps of DDIM, the held-out loss."""

    def _prepare(self, x_0: Tensor, fresh: Draw) -> None:
        """Pictures held out, and the grey or colour that x_0 has at its ends."""
        self.low, self.high = float(x_0.min()), float(x_0.max())
        generator = torch.Generator(x_0.device).manual_seed(SEED)
        with outside():
            real = fresh(HELD_OUT, generator)
        hold(Annotated[Tensor, rows(tuple(x_0.shape[1:]))], real, "the result of fresh")
        self.real = real.to(x_0)
        self.has_floor = False
        self.unit = self._held_out_loss()

    def _samples_panel(self) -> Panel:
        return Panel((0, COLUMNS), (-ROWS, 0), "Samples")

    def _background(self) -> list[Layer]:
        return []

    @torch.no_grad()
    def _states(self) -> Tensor:
        like = next(self.model.parameters())
        generator = torch.Generator(like.device).manual_seed(SEED)
        x_T = standard_normal((COLUMNS * ROWS, *self.model.shape), like, generator)
        steps = range(self.model.T, 0, -max(1, self.model.T // CALLS))
        return torch.stack(list(ddim(self.model, x_T, self.model.schedule, list(steps))))

    def _drawing(self, samples: Tensor) -> Layer:
        shown = samples.nan_to_num(posinf=self.high, neginf=self.low)
        return images((shown - self.low) / (self.high - self.low), COLUMNS)

    def _distance_panel(self) -> Panel:
        panel = self._panel("Loss on pictures held out", lambda ratio: f"{ratio * self.unit:.2g}")
        ticks = [(math.log(part), f"{part * self.unit:.2g}") for part in (1, 0.1, 0.01)]
        return replace(panel, y=(math.log(0.005), math.log(2)), y_ticks=ticks)

    def _distance(self, x: Tensor) -> float:
        return self._held_out_loss()

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Always of the same pictures, steps and noise, so that it falls without trembling."""
        with evaluating(self.model):
            return float(self.model.loss(self.real, torch.Generator(self.real.device).manual_seed(SEED)))

    def _found(self, ratio: float, samples: Tensor) -> str:
        if not samples.isfinite().all():
            return "its samples are not finite numbers"
        if self.measure:
            return f"{self.measure.name} {ratio:.1f} × its floor"
        return f"loss on pictures held out {ratio * self.unit:.3f}"
