"""Training to watch: the samples move onto the data while the model learns, and can be replayed."""

import math
import time
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

import numpy as np
import torch
import traitlets
from IPython import get_ipython
from IPython.display import display
from torch import Generator, Tensor, nn
from tqdm import tqdm

from diffusion_lib.contracts import Count, PlanePoints, Positive, checked, trainable, verb
from diffusion_lib.data.units import Standardiser
from diffusion_lib.measure.evaluation import Draw, fresh_sets, sliced_wasserstein
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.show.engine import page
from diffusion_lib.show.engine.settings import fits, training_settings
from diffusion_lib.show.widgets.frames import Axis, Frame, Layer, Panel, curve, points
from diffusion_lib.show.widgets.live_run import N_POINTS, SEED, LiveRun
from diffusion_lib.show.widgets.stepper import Stepper
from diffusion_lib.training import EachLabel, EachNoise, TrainingRun, train

# The Stepper's module, told to begin a training as soon as it is shown.
EXPORT = "export default {"
BEGIN_AT_ONCE = """
export default {
  render({ model, el }) {
    const remove = stepper.render({ model, el });
    bookLive.attach(model, el, { atOnce: true });
    return remove;
  },
};
"""
TAB_PICTURES = 16  # while the reader's browser trains: it draws them in little time


@checked
def picture_steps(steps: Count, pictures: Count) -> set[int]:
    """Steps at which to take pictures: from 1/128 of the steps to the last, evenly on a logarithmic scale."""
    return {max(1, round(steps * 2 ** (-7 * k / max(1, pictures - 1)))) for k in range(pictures)}


@checked
def train_live(
    model: Annotated[nn.Module, trainable, verb("trajectory")],
    x_0: PlanePoints,
    fresh: Draw,
    steps: Count = 2000,
    batch_size: Count = 1024,
    learning_rate: Positive = 2e-2,
    generator: Generator | None = None,
    pictures: Count = 10,
    roll: Standardiser | None = None,
    engine: Literal["torch", "tab"] = "torch",
    labels: EachLabel | None = None,
    noise: EachNoise | None = None,
) -> LiveRun:
    """Train `model` on points x_0 (n, 2), with their `labels` or `noise`, by `training.train`, and show it.

    Before training and `pictures` times during it, more often early on, the view gains a frame with samples
    of the model, and their distance to data from `fresh` (n, generator) → (n, 2), in noise floors, or in the
    data's unit where fresh data never differs. A plain script has a progress bar instead. Training can end
    early as in `train`; then the view says why.

    In the built book the recorded view lets readers train the same model in their browser, where the engine
    can: a `Diffusion`, an `NCSN` or a `Flow` with a `TimeMLP`, a `ConditionalDiffusion` with a
    `LabelledMLP`. It then draws fresh Swiss rolls, if x_0 is one in the standard units `roll`; else from some
    thousand points of x_0. With `engine="tab"` a notebook trains so, too: the cell ends at once, and the
    model has its new weights when the view says that it is trained.
    """
    moments = picture_steps(steps, pictures)
    in_reach = fits(model, batch_size)
    if engine == "tab" and not in_reach:
        raise ValueError(
            "engine = 'tab' trains a Diffusion, an NCSN or a Flow with a TimeMLP, or a ConditionalDiffusion "
            "with a LabelledMLP, of a width that is a multiple of 4 up to 128, on batches of up to 16,384; "
            "pass engine='torch' for this one"
        )
    camera = _Camera(model, x_0, fresh, steps, TabTrainer if engine == "tab" else Stepper)
    training = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    if engine == "tab":
        camera.let_readers_train(x_0, training, roll, labels, noise)
        camera.live.view.fill(camera.live)
        display(camera.live.view)
        return camera.live
    in_notebook = hasattr(get_ipython(), "kernel")
    if in_notebook:
        display(camera.live.view)
    camera.shoot(TrainingRun())
    with tqdm(total=steps, disable=in_notebook) as bar:

        def on_step(run: TrainingRun) -> None:
            bar.update()
            if len(run.losses) in moments:
                camera.shoot(run)

        run = train(model, x_0, steps, batch_size, learning_rate, generator, on_step, labels, noise)
    if run.stopped:
        camera.shoot(run)
    camera.live.run = run
    if in_reach:  # for the page alone, so it comes last: each picture sends again what the view has
        camera.let_readers_train(x_0, training, roll, labels, noise)
    return camera.live


def script() -> str:
    """What lets a page's reader train: a script beside the engine's, with `bookLive` (see `live.js`)."""
    files = (Path(__file__).with_name(name) for name in ("recording.js", "live.js"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


class TabTrainer(Stepper):
    """The same view in a notebook, for a training in the browser that shows it: it begins when it is shown.

    At its end the browser sends the losses, the seconds, why it ended early, if it did, the weights, and
    `snapshots`, those of each picture as float32, from which the kernel samples the trajectories anew. A
    training that went astray, or never began, leaves the network as it was.
    """

    _esm = page.script() + script() + str(Stepper._esm).replace(EXPORT, "const stepper = {") + BEGIN_AT_ONCE
    _css = str(Stepper._css)

    coordinates = traitlets.Bytes().tag(sync=True, from_json=lambda x, _: bytes(x))  # not a memoryview
    snapshots = traitlets.Bytes().tag(sync=True, from_json=lambda x, _: bytes(x))
    trained = traitlets.Dict().tag(sync=True)

    def fill(self, live: LiveRun) -> None:
        """Put what comes back into the run and its model."""

        def on_end(change: dict[str, Any]) -> None:
            end, run = change["new"], live.run
            run.losses[:] = end["losses"]
            run.seconds = end.get("seconds", 0.0)
            run.stopped = "" if end["reason"] == "done" else end["message"] or end["reason"]
            if end["reason"] in ("done", "stopped") and end["weights"]:
                run.kept = len(end["losses"])
                self._take_pictures(live, end.get("steps", []))
                _put(live.model.network, torch.cat([torch.tensor(values) for values in end["weights"]]))

        self.observe(on_end, "trained")

    def _take_pictures(self, live: LiveRun, steps: list[int]) -> None:
        """Sample from the weights of each picture."""
        live.steps[:] = steps
        live.trajectories.clear()
        for weights in np.frombuffer(self.snapshots, "<f4").reshape(len(steps), -1) if steps else ():
            _put(live.model.network, torch.tensor(weights))
            live.trajectories.append(live.trajectory())


@torch.no_grad()
def _put(network: nn.Module, weights: Tensor) -> None:
    """Weights, all in one row, in the place of a network's."""
    parameters = list(network.parameters())
    for parameter, values in zip(parameters, weights.split([p.numel() for p in parameters]), strict=True):
        parameter.copy_(values.reshape(parameter.shape))


class _Camera:
    """Takes the pictures of one training run."""

    def __init__(self, model: nn.Module, x_0: Tensor, fresh: Draw, steps: int, look: type[Stepper] = Stepper):
        self.model, self.steps = model, steps
        self.box = 1.15 * float(x_0.detach().abs().max()) or 1.0
        sets = fresh_sets(fresh, N_POINTS, 9, torch.Generator(x_0.device).manual_seed(SEED))
        self.real, *others = (x.to(x_0) for x in sets)
        floor = fmean(self._distance(x) for x in others)
        self.has_floor = floor > 1e-5 * self.box  # less is rounding
        self.unit = floor if self.has_floor else 10.0 ** math.floor(math.log10(self.box) - 2)
        self.history: list[tuple[float, float]] = []
        cloud = Panel((-self.box, self.box), (-self.box, self.box), "Samples over data")
        quality = self._quality()
        background = [points(self.real, role="data", faint=True)]
        if self.has_floor:
            background.append(curve([[x, 0.0] for x in quality.x], role="data", panel=1, dashed=True))
        view = look("Live training", [Axis("training step")], [], [cloud, quality], background)
        self.live = LiveRun(TrainingRun(), view, model)

    def let_readers_train(
        self,
        x_0: Tensor,
        training: dict[str, Any],
        roll: Standardiser | None,
        labels: Tensor | None,
        noise: Tensor | None,
    ) -> None:
        """Give the recorded view what the page needs to train the model itself: see `live.js`."""
        at = [0, *sorted(picture_steps(self.steps, TAB_PICTURES))]
        states = not isinstance(self.model, NCSN)  # of which there are hundreds, at a few levels
        pictures = {"at": at, "points": N_POINTS, "seed": SEED, "states": states}
        settings = training_settings(self.model, x_0, training, pictures, roll, labels, noise)
        trainer = {"settings": settings, "unit": self.unit, "has_floor": self.has_floor}
        self.live.view.content = {**self.live.view.content, "trainer": trainer}

    def _quality(self) -> Panel:
        """The panel of the distance over the training steps, both on logarithmic scales."""
        marks = sorted({max(1, round(self.steps / k)) for k in (128, 16, 4, 1)})
        written = "{}×".format if self.has_floor else lambda r: f"{r * self.unit:g}"
        return Panel(
            x=(math.log(marks[0]) - 0.1, math.log(self.steps) + 0.1),
            y=(math.log(0.5), math.log(500)),
            title="Sliced Wasserstein distance" + (", in floors" if self.has_floor else ""),
            equal=False,
            x_ticks=[(math.log(step), str(step)) for step in marks],
            y_ticks=[(math.log(r), written(r)) for r in (1, 10, 100)],
            x_label="training step",
        )

    def shoot(self, run: TrainingRun) -> None:
        """Sample, measure, and add a frame."""
        start = time.perf_counter()
        trajectory = self.live.trajectory()
        ratio = self._distance(trajectory[-1]) / self.unit
        if run.losses:  # a logarithmic axis has no place for step 0
            self.history.append((math.log(len(run.losses)), math.log(ratio) if ratio else -math.inf))
        outside = float((trajectory[-1].abs() > self.box).any(dim=1).float().mean())
        frame = Frame(self._sentence(run, ratio, outside), self._layers(trajectory[-1]))
        self.live.view.append(frame, len(run.losses))
        self.live.steps.append(len(run.losses))
        self.live.trajectories.append(trajectory)
        self.live.drawing_seconds += time.perf_counter() - start

    def _distance(self, x: Tensor) -> float:
        """Distance to data; NaN, drawn as a gap, when a model gone astray gives no finite samples."""
        return sliced_wasserstein(x, self.real) if x.isfinite().all() else math.nan

    def _layers(self, samples: Tensor) -> list[Layer]:
        history = torch.tensor(self.history).reshape(-1, 2)
        return [
            points(samples, role="model"),
            curve(history, role="model", panel=1),
            points(history, role="model", panel=1, size=3),
        ]

    def _sentence(self, run: TrainingRun, ratio: float, outside: float) -> str:
        done, distance = len(run.losses), f"distance to data {ratio:.1f} × the noise floor"
        if not self.has_floor:
            distance = f"distance to data {ratio * self.unit:.2g}; no noise floor: fresh data never differs"
        if math.isnan(ratio):
            distance = "its samples are not finite numbers"
        if outside > 0.05:
            share = "most" if outside > 0.5 else "some"
            distance += f" ({share} samples lie outside the picture)"
        if run.stopped:
            return f"Ended at step {done}: {run.stopped}. The model is that of step {run.kept}: {distance}."
        if done == 0:
            return f"Before training: {distance}."
        progress = f"loss {fmean(run.losses[-50:]):.3f}, {distance}"
        if done == self.steps:
            return f"Trained {done} steps in {run.seconds:.1f} s: {progress}."
        left = (self.steps - done) / run.steps_per_second
        return (
            f"Step {done} of {self.steps}: {progress}, {run.steps_per_second:.0f} steps/s, {left:.1f} s left."
        )
