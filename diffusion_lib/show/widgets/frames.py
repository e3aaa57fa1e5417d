"""What a `Stepper` shows: panels, axes, and frames made of layers.

These are plain descriptions. `stepper` packs them into the widget's state, and the JavaScript beside it draws
them; neither knows what the points mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from diffusion_lib.contracts import Index, Positive, checked
from diffusion_lib.show.widgets.positions import (
    Positions,
    Range,
    Spread,
    Ticks,
    as_array,
    one_for_each,
    positions,
)

Role = Literal["data", "model", "noise", "accent", "text"]
Anchor = Literal["left", "middle", "right"]


@checked
@dataclass(frozen=True)
class Panel:
    """One drawing area showing the box `x` × `y` in the units of the data.

    With `equal`, a unit is as long in x as in y and the panel takes the shape of its box; otherwise `aspect`
    is its width over its height. A `wide` panel has a row of its own; the others stand side by side, except
    on a phone. Ticks are (position, label) pairs; there are none unless given. Raises `ValueError` when a
    range does not increase, the aspect is not positive, or a tick is no such pair.
    """

    x: Range = (-2.5, 2.5)
    y: Range = (-2.5, 2.5)
    title: str = ""
    equal: bool = True
    x_ticks: Ticks = ()
    y_ticks: Ticks = ()
    x_label: str = ""
    y_label: str = ""
    aspect: Positive = 1.0
    wide: bool = False

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


@checked
@dataclass(frozen=True)
class Axis:
    """One thing the reader steps through: its name and the value of each step, shown as `str(value)`."""

    name: str
    values: Sequence[Any] = ()


@dataclass(frozen=True, eq=False)
class Layer:
    """One kind of mark: made by `points`, `arrows`, `ellipses`, `curve`, `labels` or `images`.

    Each block is an (n, 2) array of positions in the panel's units; arrows, ellipses and images have two. The
    `sheet` of images is a PNG, which is drawn from corner to corner.
    """

    kind: str
    role: str
    panel: int
    blocks: tuple[np.ndarray, ...]
    options: dict[str, Any]
    sheet: bytes = b""


@checked
@dataclass(frozen=True, eq=False)
class Frame:
    """One step: a sentence that says what is seen, and the layers in drawing order, the last on top."""

    text: str
    layers: Sequence[Layer] = ()


@checked
def points(
    x: Positions,
    role: Role = "data",
    panel: Index = 0,
    *,
    size: Positive = 2.0,
    faint: bool = False,
    name: str = "",
) -> Layer:
    """Dots at `x`, shape (n, 2), of radius `size` in screen pixels.

    `faint` makes a layer pale; `name` lists it in the legend. A row with NaN is not drawn. Raises
    `ValueError` for a shape other than (n, 2) or an unknown role, as all layers do.
    """
    return _layer("points", role, panel, [x], size=float(size), faint=faint, name=name)


@checked
def arrows(
    start: Positions,
    end: Annotated[Any, positions(like="start")],
    role: Role = "accent",
    panel: Index = 0,
    *,
    faint: bool = False,
    name: str = "",
) -> Layer:
    """Arrows from the rows of `start` to the rows of `end`, both of shape (n, 2)."""
    return _layer("arrows", role, panel, [start, end], faint=faint, name=name)


@checked
def ellipses(
    mean: Positions,
    std: Spread,
    role: Role = "accent",
    panel: Index = 0,
    *,
    faint: bool = False,
    name: str = "",
) -> Layer:
    """Axis-aligned Gaussians, drawn as their outlines at one and at two standard deviations.

    `mean` has shape (n, 2); `std`, never a variance, is a number or has shape (n,) or (n, 2).
    """
    radius = as_array(std)
    radius = radius[:, None] if radius.ndim == 1 else radius
    return _layer("ellipses", role, panel, [mean, as_array(mean) + radius], faint=faint, name=name)


@checked
def curve(
    xy: Positions,
    role: Role = "data",
    panel: Index = 0,
    *,
    dashed: bool = False,
    faint: bool = False,
    name: str = "",
) -> Layer:
    """A line through the rows of `xy`, shape (n, 2); a row with NaN breaks it."""
    return _layer("curve", role, panel, [xy], dashed=dashed, faint=faint, name=name)


@checked
def labels(
    xy: Positions,
    texts: Annotated[Sequence[str], one_for_each("xy")],
    role: Role = "text",
    panel: Index = 0,
    *,
    bold: bool = False,
    faint: bool = False,
    anchor: Anchor = "middle",
) -> Layer:
    """One string at each row of `xy`, shape (n, 2), which is its middle, its `left` or its `right` end.

    The font has 12 to 15 screen pixels, more in a wider panel. Text is not wrapped, and is cut at the panel's
    edge. `faint` text is less pale than other faint marks, so that it can be read.
    """
    strings = [texts] if isinstance(texts, str) else list(texts)
    align = "" if anchor == "middle" else anchor
    return _layer("labels", role, panel, [xy], texts=strings, bold=bold, faint=faint, anchor=align)


def _layer(kind: str, role: str, panel: int, blocks: list[Any], **options: Any) -> Layer:
    """A layer; options at their falsy default are left out of the state."""
    kept = {key: value for key, value in options.items() if value}
    return Layer(kind, role, int(panel), tuple(map(as_array, blocks)), kept)
