"""What a `Stepper` shows: panels, axes, and frames made of layers.

These are plain descriptions. `stepper` packs them into the widget's state, and the JavaScript beside it draws
them; neither knows what the points mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from diffusion_lib.checks import check_choice, check_count, check_items, check_positive, check_type

ROLES = ("data", "model", "noise", "accent", "text")
ANCHORS = ("left", "middle", "right")

Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Panel:
    """One drawing area showing the box `x` × `y` in the units of the data.

    With `equal`, a unit is as long in x as in y and the panel takes the shape of its box; otherwise `aspect`
    is its width over its height. A `wide` panel has a row of its own; the others stand side by side, except
    on a phone. Ticks are (position, label) pairs; there are none unless given. Raises `ValueError` when a
    range does not increase, the aspect is not positive, or a tick is no such pair.
    """

    x: tuple[float, float] = (-2.5, 2.5)
    y: tuple[float, float] = (-2.5, 2.5)
    title: str = ""
    equal: bool = True
    x_ticks: Ticks = ()
    y_ticks: Ticks = ()
    x_label: str = ""
    y_label: str = ""
    aspect: float = 1.0
    wide: bool = False

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            _check_range(getattr(self, name), name)
            _check_ticks(getattr(self, f"{name}_ticks"), f"{name}_ticks")
        check_positive(self.aspect, "aspect", "1.5, the width over the height")
        for name in ("title", "x_label", "y_label"):
            check_type(getattr(self, name), name, str, "'t'")
        for name in ("equal", "wide"):
            check_type(getattr(self, name), name, bool, "True")

    def describe(self) -> dict[str, Any]:
        """The panel as JSON."""
        (left, right), (bottom, top) = self.x, self.y
        aspect = (right - left) / (top - bottom) if self.equal else self.aspect
        return {
            "x": [float(left), float(right)],
            "y": [float(bottom), float(top)],
            "title": self.title,
            "equal": self.equal,
            "aspect": round(float(aspect), 4),
            "wide": self.wide,
            "ticks": [[[float(at), str(label)] for at, label in t] for t in (self.x_ticks, self.y_ticks)],
            "labels": [self.x_label, self.y_label],
        }


@dataclass(frozen=True)
class Axis:
    """One thing the reader steps through: its name and the value of each step, shown as `str(value)`."""

    name: str
    values: Sequence[Any] = ()

    def __post_init__(self) -> None:
        check_type(self.name, "name", str, "'t'")
        if isinstance(self.values, str) or not isinstance(self.values, Sequence):
            raise ValueError(f"values is a {type(self.values).__name__}; pass a list, or range(T + 1)")


@dataclass(frozen=True)
class Layer:
    """One kind of mark: made by `points`, `arrows`, `ellipses`, `curve` or `labels`.

    Each block is an (n, 2) array of positions in the panel's units; arrows and ellipses have two.
    """

    kind: str
    role: str
    panel: int
    blocks: tuple[np.ndarray, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """One step: a sentence that says what is seen, and the layers in drawing order, the last on top."""

    text: str
    layers: Sequence[Layer] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        check_type(self.text, "text", str, "'The data, at t = 0.'")
        check_items(self.layers, "layers", Layer, "points(x_0)")


def points(
    x: Any, role: str = "data", panel: int = 0, *, size: float = 2.0, faint: bool = False, name: str = ""
) -> Layer:
    """Dots at `x`, shape (n, 2), of radius `size` in screen pixels.

    `faint` makes a layer pale; `name` lists it in the legend. A row with NaN is not drawn. Raises
    `ValueError` for a shape other than (n, 2) or an unknown role, as all layers do.
    """
    check_positive(size, "size", "2, a radius in pixels")
    return _layer("points", role, panel, [_rows(x, "x")], size=float(size), faint=faint, name=name)


def arrows(
    start: Any, end: Any, role: str = "accent", panel: int = 0, *, faint: bool = False, name: str = ""
) -> Layer:
    """Arrows from the rows of `start` to the rows of `end`, both of shape (n, 2)."""
    blocks = [_rows(start, "start"), _rows(end, "end")]
    shapes = [block.shape for block in blocks]
    if shapes[0] != shapes[1]:
        raise ValueError(f"start and end have shapes {shapes[0]} and {shapes[1]}; pass both in one shape")
    return _layer("arrows", role, panel, blocks, faint=faint, name=name)


def ellipses(
    mean: Any, std: Any, role: str = "accent", panel: int = 0, *, faint: bool = False, name: str = ""
) -> Layer:
    """Axis-aligned Gaussians, drawn as their outlines at one and at two standard deviations.

    `mean` has shape (n, 2); `std`, never a variance, is a number or has shape (n,) or (n, 2).
    """
    centre, radius = _rows(mean, "mean"), _array(std, "std")
    radius = radius[:, None] if radius.ndim == 1 else radius
    if radius.shape not in [(), (1, 1), (1, 2), (len(centre), 1), (len(centre), 2)]:
        n = len(centre)
        raise ValueError(f"std has shape {radius.shape} for {n} means; pass a number, ({n},) or ({n}, 2)")
    if (radius < 0).any():
        raise ValueError(f"std has a negative entry, {radius.min():g}; pass standard deviations, all ≥ 0")
    return _layer("ellipses", role, panel, [centre, centre + radius], faint=faint, name=name)


def curve(
    xy: Any, role: str = "data", panel: int = 0, *, dashed: bool = False, faint: bool = False, name: str = ""
) -> Layer:
    """A line through the rows of `xy`, shape (n, 2); a row with NaN breaks it."""
    return _layer("curve", role, panel, [_rows(xy, "xy")], dashed=dashed, faint=faint, name=name)


def labels(
    xy: Any,
    texts: Sequence[str],
    role: str = "text",
    panel: int = 0,
    *,
    bold: bool = False,
    faint: bool = False,
    anchor: str = "middle",
) -> Layer:
    """One string at each row of `xy`, shape (n, 2), which is its middle, its `left` or its `right` end.

    The font has 12 to 15 screen pixels, more in a wider panel. Text is not wrapped, and is cut at the panel's
    edge. `faint` text is less pale than other faint marks, so that it can be read.
    """
    at, strings = _rows(xy, "xy"), [texts] if isinstance(texts, str) else texts
    check_items(strings, "texts", str, "f'{value:.2f}'")
    if len(strings) != len(at):
        raise ValueError(f"texts has {len(strings)} strings for {len(at)} rows of xy; pass one for each")
    check_choice(anchor, "anchor", ANCHORS)
    align = "" if anchor == "middle" else anchor
    return _layer("labels", role, panel, [at], texts=list(strings), bold=bold, faint=faint, anchor=align)


def _layer(
    kind: str,
    role: str,
    panel: int,
    blocks: list[np.ndarray],
    *,
    name: str = "",
    faint: bool = False,
    bold: bool = False,
    dashed: bool = False,
    **options: Any,
) -> Layer:
    """A checked layer; options at their falsy default are left out of the state."""
    check_choice(role, "role", ROLES)
    check_count(panel, "panel", least=0)
    check_type(name, "name", str, "'data'")
    flags = {"faint": faint, "bold": bold, "dashed": dashed}
    for flag, value in flags.items():
        check_type(value, flag, bool, "True")
    kept = {key: value for key, value in (options | flags | {"name": name}).items() if value}
    return Layer(kind, role, int(panel), tuple(blocks), kept)


def _array(values: Any, name: str) -> np.ndarray:
    """Torch tensors, arrays and nested lists as a float64 array."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not made of numbers ({error}); pass a tensor or an array") from error


def _rows(values: Any, name: str) -> np.ndarray:
    """An array of positions, shape (n, 2)."""
    array = _array(values, name)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} has shape {array.shape}; points are rows: reshape it to (n, 2)")
    return array


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _check_range(limits: Any, name: str) -> None:
    """Raise unless `limits` is a pair of finite numbers that increases."""
    pair = isinstance(limits, tuple | list) and len(limits) == 2 and all(map(_is_number, limits))
    if not pair or not limits[0] < limits[1]:
        raise ValueError(f"{name} = {limits!r}; pass two finite numbers, the smaller one first")


def _check_ticks(ticks: Any, name: str) -> None:
    """Raise unless `ticks` is a sequence of (position, label) pairs."""
    pairs = isinstance(ticks, list | tuple) and all(
        isinstance(tick, tuple | list) and len(tick) == 2 and _is_number(tick[0]) for tick in ticks
    )
    if not pairs:
        raise ValueError(f"{name} = {ticks!r}; pass (position, label) pairs, such as [(0, 'zero')]")
