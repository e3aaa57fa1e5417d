"""Where marks are: positions in any form, ranges and ticks, and the contracts for them."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Annotated, Any

import numpy as np

from diffusion_lib.contracts import a, list_of


def as_array(values: Any) -> np.ndarray:
    """Torch tensors, arrays and nested lists as a float64 array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)


def numbers_in(value: Any, name: str) -> np.ndarray:
    """The value as an array; ValueError for what has no numbers."""
    try:
        return as_array(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not made of numbers ({error}); pass a tensor or an array") from error


def positions(like: str = ""):
    """Points of the plane, in any form, as many as the argument `like` has."""

    def rule(value: Any, name: str, given: Mapping[str, Any]) -> None:
        shape = numbers_in(value, name).shape
        if len(shape) != 2 or shape[1] != 2:
            fix = f"{name}.T" if len(shape) == 2 and shape[0] == 2 else f"{name} as rows (x, y)"
            raise ValueError(f"{name} has shape {shape}; points are rows, (n, 2): pass {fix}")
        if like and shape != as_array(given[like]).shape:
            other = as_array(given[like]).shape
            raise ValueError(f"{like} and {name} have shapes {other} and {shape}; pass both in one shape")

    return rule


def spread(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Standard deviations for the argument `mean`: one, one for each row, or one for each coordinate."""
    radius, n = numbers_in(value, name), len(as_array(given["mean"]))
    if radius.shape not in [(), (1,), (n,), (1, 1), (1, 2), (n, 1), (n, 2)]:
        raise ValueError(f"{name} has shape {radius.shape} for {n} means; pass a number, ({n},) or ({n}, 2)")
    if (radius < 0).any():
        raise ValueError(f"{name} has a negative entry, {radius.min():g}; pass standard deviations, all ≥ 0")


def one_for_each(rows: str):
    """A string, or a list of them, one for each row of the argument called `rows`."""

    def rule(value: Any, name: str, given: Mapping[str, Any]) -> None:
        texts, n = [value] if isinstance(value, str) else value, len(as_array(given[rows]))
        list_of(a(str, "f'{value:.2f}'"))(texts, name, given)
        if len(texts) != n:
            raise ValueError(f"{name} has {len(texts)} strings for {n} rows of {rows}; pass one for each")

    return rule


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def increasing(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Two finite numbers, the smaller one first."""
    pair = isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_number, value))
    if not pair or not value[0] < value[1]:
        raise ValueError(f"{name} = {value!r}; pass two finite numbers, the smaller one first")


def ticks(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """(position, label) pairs."""
    pairs = isinstance(value, list | tuple) and all(
        isinstance(tick, tuple | list) and len(tick) == 2 and _is_number(tick[0]) for tick in value
    )
    if not pairs:
        raise ValueError(f"{name} = {value!r}; pass (position, label) pairs, such as [(0, 'zero')]")


Positions = Annotated[Any, positions()]
Spread = Annotated[Any, spread]
Range = Annotated[tuple[float, float], increasing]
Ticks = Annotated[Sequence[tuple[float, str]], ticks]
