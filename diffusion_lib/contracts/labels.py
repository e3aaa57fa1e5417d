"""Rules for what goes with the points in training: their labels, their noise.

Labels are whole numbers that say what a point is of, 0 where nothing is said.
"""

from collections.abc import Mapping
from inspect import signature
from typing import Annotated, Any

import torch
from torch import Tensor

from diffusion_lib.contracts.rules import a
from diffusion_lib.contracts.tensors import like, rows, whole_steps


def labels(value, name, given):
    """One label, or one for each point: whole numbers 0…n_labels, where 0 says that there is none."""
    y = whole_steps(value, name, given, "label")
    most = next((int(n) for n in map(_most_labels, given.values()) if n is not None), None)
    low, high = int(y.min()), int(y.max())
    if low < 0 or (most is not None and high > most):
        known = "at least 0" if most is None else f"in 0…{most}"
        raise ValueError(f"{name} runs from {low} to {high}; pass labels {known}, 0 being no label")


def labels_of_points_to_come(value, name, given):
    """One label, or those of points that come later: (n,)."""
    labels(value, name, given | {"points": value} if isinstance(value, Tensor) else given)


def words(value, name, given):
    """Captions as rows of numbers of words, (n, L), 0 where there is none."""
    if not isinstance(value, Tensor) or value.dtype != torch.int64 or value.ndim != 2 or 0 in value.shape:
        found = f"shape {tuple(value.shape)}, {value.dtype}" if isinstance(value, Tensor) else type(value)
        raise ValueError(f'{name} has {found}; pass rows of numbers of words, tokens(["a sad face"])')
    if (low := int(value.min())) < 0:
        raise ValueError(f'{name} has {low}; pass numbers of words from 0, tokens(["a sad face"])')


def a_label_each(value, name, given):
    """One label, or a row of words, for each point of x_0, for a model whose loss takes labels."""
    a(Tensor)(value, name, given)
    (words if value.ndim == 2 else labels)(value, name, given)
    if len(value) != (n := len(given["x_0"])):
        raise ValueError(f"{name} has shape {tuple(value.shape)}; pass one for each point, shape ({n},)")
    _taken(name, given, "labels", "a ConditionalDiffusion")


def noise_each(value, name, given):
    """The noise that belongs to each point of x_0, for a model whose loss takes noise."""
    rows()(value, name, given)
    like("x_0")(value, name, given)
    _taken(name, given, "noise", "a Flow")


def _taken(name: str, given: Mapping[str, Any], parameter: str, taker: str) -> None:
    """Whether the model's loss has the parameter."""
    if parameter not in signature(given["model"].loss).parameters:
        kind = type(given["model"]).__name__
        raise ValueError(f"{name}: the loss of a {kind} takes none; pass {taker}")


def _most_labels(thing: Any) -> int | None:
    """How many labels a network knows, or that of a model."""
    classes = getattr(getattr(thing, "network", thing), "classes", None)
    return None if classes is None else len(classes) - 1


Labels = Annotated[int | Tensor, labels]
Words = Annotated[Tensor, words]
