"""Training to watch: the samples move onto the data while the model learns, and can be replayed."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

import torch
import traitlets
from IPython import get_ipython
from IPython.display import display
from torch import Generator, Tensor, nn
from tqdm import tqdm

from diffusion_lib.contracts import Count, PlanePoints, Positive, checked, trainable, verb
from diffusion_lib.data.units import Standardiser
from diffusion_lib.measure.evaluation import Draw, fresh_sets, sliced_wasserstein
from diffusion_lib.show.engine import page
from diffusion_lib.show.engine.settings import fits, training_settings
from diffusion_lib.show.widgets.frames import Axis, Frame, Layer, Panel, curve, points
from diffusion_lib.show.widgets.stepper import Stepper
from diffusion_lib.training import EachLabel, TrainingRun, train

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
N_POINTS = 600  # in each picture: enough to see the shape, few enough to sample in some milliseconds
TAB_PICTURES = 16  # while the reader's browser trains: it draws them in little time
SEED = 1  # every picture starts from the same noise, so that points move continuously from one to the next


@checked
def picture_steps(steps: Count, pictures: Count) -> set[int]:
    """Steps at which to take pictures: from 1/128 of the steps to the last, evenly on a logarithmic scale."""
    return {max(1, round(steps * 2 ** (-7 * k / max(1, pictures - 1)))) for k in range(pictures)}


@dataclass
class LiveRun:
    """A finished live training.

    Attributes:
        run: losses, seconds and, if it ended early, the reason.
        view: the widget that was shown; it can be scrubbed and displayed again.
        steps: the training steps at which pictures were taken, the first being 0.
        trajectories: the model's trajectory at each of them, a list of (steps of the model + 1, points, 2).
        drawing_seconds: the time spent on sampling and drawing, on top of `run.seconds`.
    """

    run: TrainingRun
    view: Stepper
    steps: list[int] = field(default_factory=list)
    trajectories: list[Tensor] = field(default_factory=list)
    drawing_seconds: float = 0.0

    def reverse_process(
        self, t: Sequence[int], n_points: Count = 300, background: Sequence[Layer] = ()
    ) -> Stepper:
        """A widget of training step and t: where `n_points` are at each of the falling steps `t`.

        It opens at the end of both. In the built book it shows the model that the reader has trained, too.
        """
        text = "The model of training step {step}, at t = {t}."
        frames = [
            Frame(text.format(step=step, t=now), [points(states[-1 - now, :n_points], role="model")])
            for step, states in zip(self.steps, self.trajectories, strict=True)
            for now in t
        ]
        axes = [Axis("training step", self.steps), Axis("t", t)]
        start = (len(self.steps) - 1, len(t) - 1)
        view = Stepper(
            "Training and the reverse process", axes, frames, background=background, start=start
        )
        view.content = {**view.content, "follows": {"t": list(t), "points": n_points, "text": text}}
        return view

    def __repr__(self) -> str:
        ended = f", {self.run.stopped}" if self.run.stopped else ""
        steps = self.steps[-1] if self.steps else len(self.run.losses)
        return f"LiveRun(training steps: {steps}, pictures: {len(self.view)}{ended})"


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
) -> LiveRun:
    """Train `model` on points x_0 (n, 2), with their `labels`, by `training.train`, and show how it goes.

    Before training and `pictures` times during it, more often early on, the view gains a frame with samples
    of the model, and their distance to data from `fresh` (n, generator) → (n, 2), in noise floors, or in the
    data's unit where fresh data never differs. A plain script has a progress bar instead. Training can end
    early as in `train`; then the view says why.

    In the built book the recorded view lets readers train the same model in their browser, where the engine
    can: a `Diffusion` with a `TimeMLP`, or a `ConditionalDiffusion` with a `LabelledMLP`. It then draws fresh
    Swiss rolls, if x_0 is one in the standard units `roll`; else from some thousand points of x_0. With
    `engine="tab"` a notebook trains so, too: the cell ends at once, and the model has its new weights when
    the view says that it is trained.
    """
    moments = picture_steps(steps, pictures)
    in_reach = fits(model, batch_size)
    if engine == "tab" and not in_reach:
        raise ValueError(
            "engine = 'tab' trains a Diffusion with a TimeMLP, or a ConditionalDiffusion with a "
            "LabelledMLP, of a width that is a multiple of 4 up to 128, on batches of up to 16,384; pass "
            "engine='torch' for this one"
        )
    camera = _Camera(model, x_0, fresh, steps, TabTrainer if engine == "tab" else Stepper)
    if in_reach:
        training = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
        camera.let_readers_train(x_0, training, roll, labels)
    if engine == "tab":
        camera.live.view.fill(model.network, camera.live.run)
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

        run = train(model, x_0, steps, batch_size, learning_rate, generator, on_step, labels)
    if run.stopped:
        camera.shoot(run)
    camera.live.run = run
    return camera.live


def script() -> str:
    """What lets a page's reader train: a script beside the engine's, with `bookLive` (see `live.js`)."""
    return Path(__file__).with_name("live.js").read_text(encoding="utf-8")


class TabTrainer(Stepper):
    """The same view in a notebook, for a training in the browser that shows it: it begins when it is shown.

    At its end the browser sends the losses, the seconds, why it ended early, if it did, and the weights. A
    training that went astray, or never began, leaves the network as it was.
    """

    _esm = page.script() + script() + str(Stepper._esm).replace(EXPORT, "const stepper = {") + BEGIN_AT_ONCE
    _css = str(Stepper._css)

    coordinates = traitlets.Bytes().tag(sync=True, from_json=lambda x, _: bytes(x))  # not a memoryview
    trained = traitlets.Dict().tag(sync=True)

    def fill(self, network: nn.Module, run: TrainingRun) -> None:
        """Put what comes back into the network and the run."""

        def on_end(change: dict[str, Any]) -> None:
            end = change["new"]
            run.losses[:] = end["losses"]
            run.seconds = end.get("seconds", 0.0)
            run.stopped = "" if end["reason"] == "done" else end["message"] or end["reason"]
            if end["reason"] in ("done", "stopped") and end["weights"]:
                run.kept = len(end["losses"])
                with torch.no_grad():
                    for parameter, values in zip(network.parameters(), end["weights"], strict=True):
                        parameter.copy_(torch.tensor(values).reshape(parameter.shape))

        self.observe(on_end, "trained")


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
        self.live = LiveRun(TrainingRun(), view)

    def let_readers_train(
        self, x_0: Tensor, training: dict[str, Any], roll: Standardiser | None, labels: Tensor | None
    ) -> None:
        """Give the recorded view what the page needs to train the model itself: see `live.js`."""
        at = [0, *sorted(picture_steps(self.steps, TAB_PICTURES))]
        pictures = {"at": at, "points": N_POINTS, "seed": SEED, "states": True}
        settings = training_settings(self.model, x_0, training, pictures, roll, labels)
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
        trajectory = self.model.trajectory(N_POINTS, torch.Generator(self.real.device).manual_seed(SEED))
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
