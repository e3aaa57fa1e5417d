"""A live training's record: its pictures, and the widgets that step through the model that it trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from diffusion_lib.conditioning.guidance import Guided
from diffusion_lib.contracts import Count, Index, a, at_least, between, checked, list_of, some
from diffusion_lib.models.conditional import ConditionalDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.show.widgets.frames import Axis, Frame, Layer, arrows, points
from diffusion_lib.show.widgets.stepper import Stepper
from diffusion_lib.solvers.steps import AtSteps
from diffusion_lib.training import TrainingRun

N_POINTS = 600  # in each picture: enough to see the shape, few enough to sample in some milliseconds
SEED = 1  # every picture starts from the same noise, so that points move continuously from one to the next

Wanted = Annotated[Sequence[int], some(at_least(1))]
Scales = Annotated[Sequence[float], some(between())]
Layers = Annotated[Sequence[Layer], list_of(a(Layer))]


def _kept(t, name, given):
    """Steps that fall, of the model whose pictures the run has."""
    given["self"].need_pictures()
    some(at_least(0))(t, name, given)
    T = len(given["self"].trajectories[0]) - 1
    if t[0] > T or any(later >= earlier for earlier, later in pairwise(t)):
        raise ValueError(f"{name} = {list(t)}; pass steps that fall, between T = {T} and 0, such as [{T}, 0]")


@dataclass
class LiveRun:
    """A live training.

    Attributes:
        run: losses, seconds and, if it ended early, the reason.
        view: the widget that was shown; it can be scrubbed and displayed again.
        model: the model that was trained.
        steps: the training steps at which pictures were taken, the first being 0.
        trajectories: the model's trajectory at each of them, a list of (steps of the model + 1, points, 2).
        drawing_seconds: the time spent on sampling and drawing, on top of `run.seconds`.
    """

    run: TrainingRun
    view: Stepper
    model: nn.Module
    steps: list[int] = field(default_factory=list)
    trajectories: list[Tensor] = field(default_factory=list)
    drawing_seconds: float = 0.0

    def trajectory(self) -> Tensor:
        """The model's, from the noise that every picture starts from."""
        device = next(self.model.parameters()).device
        return self.model.trajectory(N_POINTS, torch.Generator(device).manual_seed(SEED))

    def need_pictures(self) -> None:
        """Refuse a run that has none: its training in the tab goes on, or failed."""
        if not self.trajectories:
            raise ValueError(
                "the live training has no pictures yet; run this cell again when its view says that the "
                "model is trained"
            )

    @checked
    def reverse_process(
        self, t: Annotated[Sequence[int], _kept], n_points: Count = 300, background: Layers = ()
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
        title = "Training and the reverse process"
        view = Stepper(title, axes, frames, background=background, start=start)
        return _following(view, t=list(t), points=n_points, text=text)

    @checked
    def guesses(self, n_points: Count = 400, n_arrows: Index = 30, background: Layers = ()) -> Stepper:
        """A widget of t, from T to 0: `n_points` of the trained model, and arrows to its guesses x̂_0(x_t, t).

        In the built book it shows the model that the reader has trained, too.
        """
        self.need_pictures()
        a(Diffusion)(self.model, "the trained model", {})
        if isinstance(self.model, Flow | NCSN):
            kind = type(self.model).__name__
            raise ValueError(f"the trained model, {kind}, takes no reverse steps; pass a Diffusion")
        sigma, T = self.model.schedule.sigma, self.model.T
        text = "At t = {} the noise is {:.2g} times the signal, and the guesses lie {{away}} away on average."
        texts = [text.format(t, sigma[t]) for t in range(T, 0, -1)] + ["At t = 0: the samples."]
        frames = []
        for k, (x_t, text) in enumerate(zip(self.trajectories[-1][:, :n_points], texts, strict=True)):
            guess = self.model.denoise(x_t, T - k).detach() if k < T else x_t
            shown = [arrows(x_t[:n_arrows], guess[:n_arrows], role="accent")] if k < T else []
            away = f"{(guess - x_t).norm(dim=1).mean():.2g}"
            frames.append(Frame(text.format(away=away), [points(x_t, role="model"), *shown]))
        title = "The reverse process, and what the network takes the data to be"
        view = Stepper(title, [Axis("t", range(T, -1, -1))], frames, background=background)
        return _following(view, points=n_points, arrows=n_arrows, texts=texts)

    @checked
    def asked(self, labels: Wanted, w: Scales, n_points: Count = 300, background: Layers = ()) -> Stepper:
        """A widget of label and w: samples of the trained model, guided towards the label with the scale w.

        In the built book it shows the model that the reader has trained, too. It opens at w = 1, if that is
        one of them. For a `ConditionalDiffusion`.
        """
        self.need_pictures()
        a(ConditionalDiffusion)(self.model, "the trained model", {})
        wishes = [{"label": label, "guidance": scale} for label in labels for scale in w]
        frames = [
            Frame(
                f"Label {wish['label']}, w = {wish['guidance']:g}.",
                [points(self._guided(**wish, n=n_points), role="model")],
            )
            for wish in wishes
        ]
        axes, start = [Axis("label", labels), Axis("w", w)], (0, list(w).index(1) if 1 in w else 0)
        view = Stepper("What the trained model draws", axes, frames, background=background, start=start)
        return _following(view, asked=wishes, points=n_points)

    def _guided(self, label: int, guidance: float, n: int) -> Tensor:
        """n samples, guided."""
        schedule, reverse_var = self.model.schedule, self.model.settings[2]
        denoiser = AtSteps(Guided(self.model.given(label), self.model, guidance), schedule)
        device = next(self.model.parameters()).device
        model = Diffusion(denoiser, schedule, "x_0", reverse_var=reverse_var)
        return model.sample(n, torch.Generator(device).manual_seed(SEED))

    def __repr__(self) -> str:
        ended = f", {self.run.stopped}" if self.run.stopped else ""
        steps = self.steps[-1] if self.steps else len(self.run.losses)
        return f"LiveRun(training steps: {steps}, pictures: {len(self.view)}{ended})"


def _following(view: Stepper, **follows: Any) -> Stepper:
    """The view, told how a page's own training is to be shown in it: see `live.js`."""
    view.content = {**view.content, "follows": follows}
    return view
