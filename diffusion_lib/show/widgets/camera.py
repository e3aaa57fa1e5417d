"""The pictures of a live training: samples, a figure over the training steps, and a sentence."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Positive, a_function, checked, outside
from diffusion_lib.data.units import Standardiser
from diffusion_lib.measure.evaluation import Draw, fresh_sets, sliced_wasserstein
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.show.engine.settings import training_settings
from diffusion_lib.show.widgets.frames import Axis, Frame, Layer, Panel, curve, points
from diffusion_lib.show.widgets.live_run import N_POINTS, SEED, LiveRun
from diffusion_lib.show.widgets.stepper import Stepper
from diffusion_lib.training import TrainingRun


@checked
@dataclass(frozen=True)
class Measure:
    """A figure for the right-hand panel of a live training, in units of a floor.

    Attributes:
        name: what it is, as in "distance to data".
        of: a function of the model and of samples (n, *shape), which gives a number.
        floor: what it would be if the model had nothing left to learn; above 0.
    """

    name: str
    of: Annotated[Callable[[nn.Module, Tensor], float], a_function("lambda model, samples: 1.0")]
    floor: Positive


class Camera:
    """Takes the pictures of one training run, of a model of points of the plane."""

    def __init__(
        self,
        model: nn.Module,
        x_0: Tensor,
        fresh: Draw,
        steps: int,
        look: type[Stepper] = Stepper,
        measure: Measure | None = None,
    ):
        self.model, self.steps, self.measure = model, steps, measure
        self.history: list[tuple[float, float]] = []
        self._prepare(x_0, fresh)
        panels = [self._samples_panel(), self._figure_panel()]
        background = self._background()
        if measure or self.has_floor:
            background.append(curve([[x, 0.0] for x in panels[1].x], role="data", panel=1, dashed=True))
        view = look("Live training", [Axis("training step")], [], panels, background)
        self.live = LiveRun(TrainingRun(), view, model)

    # --- what is shown of the plane

    def _prepare(self, x_0: Tensor, fresh: Draw) -> None:
        """Real points, and what others score against them."""
        self.box = 1.15 * float(x_0.detach().abs().max()) or 1.0
        sets = fresh_sets(fresh, N_POINTS, 9, torch.Generator(x_0.device).manual_seed(SEED))
        self.real, *others = (x.to(x_0) for x in sets)
        floor = fmean(self._distance(x) for x in others)
        self.has_floor = floor > 1e-5 * self.box  # less is rounding
        self.unit = floor if self.has_floor else 10.0 ** math.floor(math.log10(self.box) - 2)

    def _samples_panel(self) -> Panel:
        return Panel((-self.box, self.box), (-self.box, self.box), "Samples over data")

    def _background(self) -> list[Layer]:
        return [points(self.real, role="data", faint=True)]

    def _states(self) -> Tensor:
        """The states of the samples, from noise on."""
        return self.live.trajectory()

    def _drawing(self, samples: Tensor) -> Layer:
        return points(samples, role="model")

    def _figure_panel(self) -> Panel:
        """The panel of the figure over the training steps, both on logarithmic scales."""
        if self.measure:
            name = self.measure.name
            return self._panel(f"{name[0].upper()}{name[1:]}, in floors", "{}×".format)
        return self._distance_panel()

    def _distance_panel(self) -> Panel:
        title = "Sliced Wasserstein distance"
        if self.has_floor:
            return self._panel(f"{title}, in floors", "{}×".format)
        return self._panel(title, lambda ratio: f"{ratio * self.unit:g}")

    def _panel(self, title: str, written: Callable[[float], str]) -> Panel:
        marks = sorted({max(1, round(self.steps / k)) for k in (128, 16, 4, 1)})
        return Panel(
            x=(math.log(marks[0]) - 0.1, math.log(self.steps) + 0.1),
            y=(math.log(0.5), math.log(500)),
            title=title,
            equal=False,
            x_ticks=[(math.log(step), str(step)) for step in marks],
            y_ticks=[(math.log(ratio), written(ratio)) for ratio in (1, 10, 100)],
            x_label="training step",
        )

    def _figure(self, samples: Tensor) -> float:
        """What the right-hand panel shows, in its unit."""
        if self.measure:
            with outside():
                return float(self.measure.of(self.model, samples)) / self.measure.floor
        return self._distance(samples) / self.unit

    def _distance(self, x: Tensor) -> float:
        """Distance to data; NaN, drawn as a gap, when a model gone astray gives no finite samples."""
        return sliced_wasserstein(x, self.real) if x.isfinite().all() else math.nan

    def _found(self, ratio: float, samples: Tensor) -> str:
        """The figure in words, and whether samples lie outside."""
        found = f"distance to data {ratio:.1f} × the noise floor"
        if not self.has_floor:
            found = f"distance to data {ratio * self.unit:.2g}; no noise floor: fresh data never differs"
        if self.measure:
            found = f"{self.measure.name} {ratio:.1f} × its floor"
        if not samples.isfinite().all():
            found = "its samples are not finite numbers"
        outside_box = float((samples.abs() > self.box).any(dim=1).float().mean())
        if outside_box > 0.05:
            share = "most" if outside_box > 0.5 else "some"
            found += f" ({share} samples lie outside the picture)"
        return found

    # --- what all have

    def let_readers_train(
        self,
        at: list[int],
        x_0: Tensor,
        training: dict[str, Any],
        roll: Standardiser | None,
        labels: Tensor | None,
        noise: Tensor | None,
    ) -> None:
        """Give the recorded view what the page needs to train the model itself: see `live.js`.

        The page measures the distance to data, whatever the recording shows: `panel` is for that.
        """
        states = not isinstance(self.model, NCSN)  # of which there are hundreds, at a few levels
        pictures = {"at": at, "points": N_POINTS, "seed": SEED, "states": states}
        settings = training_settings(self.model, x_0, training, pictures, roll, labels, noise)
        trainer = {"settings": settings, "unit": self.unit, "has_floor": self.has_floor}
        if self.measure:
            trainer["panel"] = self._distance_panel().describe()
        self.live.view.content = {**self.live.view.content, "trainer": trainer}

    def shoot(self, run: TrainingRun) -> None:
        """Sample, measure, and add a frame."""
        start = time.perf_counter()
        states = self._states()
        ratio = self._figure(states[-1])
        if run.losses:  # a logarithmic axis has no place for step 0
            self.history.append((math.log(len(run.losses)), math.log(ratio) if ratio > 0 else -math.inf))
        frame = Frame(self._sentence(run, self._found(ratio, states[-1])), self._layers(states[-1]))
        self.live.view.append(frame, len(run.losses))
        self.live.steps.append(len(run.losses))
        self.live.trajectories.append(states)
        self.live.drawing_seconds += time.perf_counter() - start

    def _layers(self, samples: Tensor) -> list[Layer]:
        history = torch.tensor(self.history).reshape(-1, 2)
        return [
            self._drawing(samples),
            curve(history, role="model", panel=1),
            points(history, role="model", panel=1, size=3),
        ]

    def _sentence(self, run: TrainingRun, found: str) -> str:
        done = len(run.losses)
        if run.stopped:
            return f"Ended at step {done}: {run.stopped}. The model is that of step {run.kept}: {found}."
        if done == 0:
            return f"Before training: {found}."
        progress = f"loss {fmean(run.losses[-50:]):.3f}, {found}"
        if done == self.steps:
            return f"Trained {done} steps in {run.seconds:.1f} s: {progress}."
        left = (self.steps - done) / run.steps_per_second
        return (
            f"Step {done} of {self.steps}: {progress}, {run.steps_per_second:.0f} steps/s, {left:.1f} s left."
        )
