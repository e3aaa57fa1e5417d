"""A diffusion model that can be asked for something: one network for all labels, and for none."""

from typing import Annotated, Literal

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import (
    Labels,
    Network,
    Points,
    Shape,
    Words,
    between,
    checked,
    labels_of_points_to_come,
)
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.solvers.steps import ReverseVar, rows_in_hand


@checked
class ConditionalDiffusion(Diffusion):
    """A `Diffusion` whose network may be told a label y: it learns q(x_0 | y), and q(x_0) for label 0.

    As it stands it is the model of q(x_0), and `given(y)` is that of q(x_0 | y). In training each label is
    dropped, made 0, with the probability `dropout`, so that one network learns both (Ho & Salimans 2022).

    Args:
        network: maps points x_t (B, *shape), steps t (B,) and labels (B,) to the predicted quantity; without
            labels, that of label 0. A `LabelledMLP`, say.
        schedule, predict, reverse_var, shape: as in `Diffusion`.
        dropout: a probability, 0 ≤ dropout < 1.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        predict: Literal["x_0", "eps", "v", "u"] = "eps",
        dropout: Annotated[float, between(-1e-9, 1, "a probability below 1, such as 0.1")] = 0.1,
        reverse_var: ReverseVar = "posterior",
        shape: Shape = (2,),
    ):
        super().__init__(network, schedule, predict, "simple", reverse_var, shape)
        self.dropout, self.settings = dropout, (predict, "simple", reverse_var, shape)

    def given(self, labels: Annotated[int | Tensor, labels_of_points_to_come]) -> Diffusion:
        """The model of q(x_0 | y) for one label, or for rows of points with one label each: (B,)."""
        return Diffusion(_Told(self.network, labels), self.schedule, *self.settings)

    def loss(self, x_0: Points, generator: Generator | None = None, labels: Labels = 0) -> Tensor:
        """L_simple on points x_0 (B, *shape) and their labels, (B,), of which some are dropped; a scalar."""
        labels = torch.as_tensor(labels, device=x_0.device).expand(len(x_0))
        return self.given(_some_dropped(labels, self.dropout, generator)).loss(x_0, generator)


@checked
class TextDiffusion(Diffusion):
    """A `Diffusion` whose network reads captions: it learns q(x_0 | caption), and q(x_0) for no caption.

    As it stands it is the model of q(x_0), and `given(words)` is that of q(x_0 | words). In training a whole
    caption is dropped, made zeros, with the probability `dropout`. The loss takes stratified steps.

    Args:
        network: maps points x_t (B, *shape), steps t (B,) and words (B, L) to the predicted quantity; without
            words, that of no caption. A `TextMLP`, say.
        schedule, predict, reverse_var, shape: as in `Diffusion`.
        dropout: a probability, 0 ≤ dropout < 1.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        predict: Literal["x_0", "eps", "v", "u"] = "v",
        dropout: Annotated[float, between(-1e-9, 1, "a probability below 1, such as 0.1")] = 0.1,
        reverse_var: ReverseVar = "posterior",
        shape: Shape = (4, 8, 8),
    ):
        super().__init__(network, schedule, predict, "simple", reverse_var, shape, stratified=True)
        self.dropout, self.settings = dropout, (predict, "simple", reverse_var, shape, True)

    def given(self, words: Words) -> Diffusion:
        """The model of q(x_0 | words) for one caption (1, L), or for rows of points with one each: (B, L)."""
        return Diffusion(_Told(self.network, words), self.schedule, *self.settings)

    def loss(self, x_0: Points, generator: Generator | None = None, labels: Words | None = None) -> Tensor:
        """L_simple on points x_0 (B, *shape) and their words (B, L), some captions dropped; a scalar."""
        if labels is None:
            return super().loss(x_0, generator)
        return self.given(_some_dropped(labels, self.dropout, generator)).loss(x_0, generator)


def _some_dropped(labels: Tensor, dropout: float, generator: Generator | None) -> Tensor:
    """Labels (B,), or words (B, L), a row of which is made 0 with this probability."""
    kept = torch.rand(len(labels), generator=generator, device=labels.device) >= dropout
    return labels * kept.reshape(-1, *[1] * (labels.ndim - 1))


class _Told(nn.Module):
    """A network of points, steps and labels, or words, with these told."""

    def __init__(self, network: Network, labels: int | Tensor):
        super().__init__()
        self.network, self.labels = network, labels

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        each = isinstance(self.labels, Tensor) and self.labels.ndim and len(self.labels) > 1
        return self.network(x_t, t, self.labels[rows_in_hand()] if each else self.labels)
