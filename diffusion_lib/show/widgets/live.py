"""Training to watch: the samples move onto the data while the model learns, and can be replayed."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import traitlets
from IPython import get_ipython
from IPython.display import display
from torch import Generator, Tensor, nn
from tqdm import tqdm

from diffusion_lib.contracts import Count, Points, Positive, a, checked, rows, trainable, verb
from diffusion_lib.data.units import Standardiser
from diffusion_lib.measure.evaluation import Draw
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.show.engine import page
from diffusion_lib.show.engine.settings import fits
from diffusion_lib.show.widgets.camera import Camera, Measure
from diffusion_lib.show.widgets.live_run import LiveRun
from diffusion_lib.show.widgets.picture_camera import PictureCamera
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


def _shown(x_0, name, given):
    """Points of the plane, or pictures, which a `Diffusion` draws."""
    rows()(x_0, name, given)
    if x_0.ndim == 4 and x_0.shape[1] in (1, 3):
        a(Diffusion)(given["model"], "model", given)
    elif x_0.shape[1:] != (2,):
        shape = tuple(x_0.shape)
        raise ValueError(
            f"{name} has shape {shape}; pass points of the plane (n, 2) or pictures (n, C, H, W)"
        )


@checked
def picture_steps(steps: Count, pictures: Count) -> set[int]:
    """Steps at which to take pictures: from 1/128 of the steps to the last, evenly on a logarithmic scale."""
    return {max(1, round(steps * 2 ** (-7 * k / max(1, pictures - 1)))) for k in range(pictures)}


@checked
def train_live(
    model: Annotated[nn.Module, trainable, verb("trajectory")],
    x_0: Annotated[Points, _shown],
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
    measure: Annotated[Measure, a(Measure)] | None = None,
) -> LiveRun:
    """Train `model` on points x_0 (n, 2), with their `labels` or `noise`, by `training.train`, and show it.

    Before training and `pictures` times during it, more often early on, the view gains a frame with samples
    of the model, and their distance to data from `fresh` (n, generator) → (n, 2), in noise floors, or in the
    data's unit where fresh data never differs; with a `measure`, that instead. A plain script has a progress
    bar instead. Training can end early as in `train`; then the view says why.

    A `Diffusion` of pictures (n, C, H, W), C = 1 or 3, shows some that it draws by 20 calls of DDIM, and its
    loss on `fresh` ones, which should be held out.

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
    kind = PictureCamera if x_0.ndim == 4 else Camera
    if engine == "tab":
        camera = kind(model, x_0, fresh, steps, TabTrainer)
    else:
        camera = kind(model, x_0, fresh, steps, Stepper, measure)
    at = [0, *sorted(picture_steps(steps, TAB_PICTURES))]
    training = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate}
    if engine == "tab":
        camera.let_readers_train(at, x_0, training, roll, labels, noise)
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
        camera.let_readers_train(at, x_0, training, roll, labels, noise)
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
