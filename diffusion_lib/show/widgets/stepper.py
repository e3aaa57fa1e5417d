"""The Stepper: a widget that steps through recorded frames, in a notebook and in the built page."""

import base64
import math
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any

import anywidget
import numpy as np
import traitlets

from diffusion_lib.contracts import Positive, a, checked, list_of, some
from diffusion_lib.show.widgets.frames import Axis, Frame, Layer, Panel

# A coordinate travels as an int16. The panel's box is the middle third of the range, so that marks which
# stray by up to one box width stay where they are; beyond that they are moved to the edge of the range, out
# of sight.
LARGEST = 32767
MISSING = -32768
BOXES = 3


def quantise(x: np.ndarray, panel: Panel) -> np.ndarray:
    """Positions (n, 2) in a panel's units as int16 (n, 2): steps of 3/65534 box widths from the box's centre.

    Rows with NaN become MISSING.
    """
    low, width = _box(panel)
    steps = ((x - low) / width - 0.5) * (2 * LARGEST / BOXES)
    missing = np.isnan(x).any(axis=1)
    steps[missing] = 0  # a NaN has no integer
    steps = np.rint(np.clip(steps, -LARGEST, LARGEST)).astype("<i2")
    steps[missing] = MISSING
    return steps


def dequantise(steps: np.ndarray, panel: Panel) -> np.ndarray:
    """The inverse of `quantise` up to half a step, as float64 (n, 2)."""
    low, width = _box(panel)
    x = low + width * (0.5 + steps * (BOXES / (2 * LARGEST)))
    x[(steps == MISSING).any(axis=1)] = np.nan
    return x


def _one_or_two_axes(axes, name, given):
    """One or two axes whose lengths multiply to the number of frames."""
    list_of(a(Axis))(axes, name, given)
    list_of(a(Frame))(given["frames"], "frames", given)
    if len(axes) not in (1, 2):
        raise ValueError(f"{name} has {len(axes)} entries; pass one Axis or two")
    shape, n = " × ".join(f"{len(axis.values)} {axis.name}" for axis in axes), len(given["frames"])
    if math.prod(len(axis.values) for axis in axes) != n:
        raise ValueError(f"frames has {n} entries but the {name} have {shape}; pass one for each pair")


def _indices(start, name, given):
    """One index for each axis, or one for all."""
    axes = given["axes"]
    each = start if isinstance(start, list | tuple) else [start] * len(axes)
    lengths = [max(len(axis.values), 1) for axis in axes]  # a growing stepper may begin with no frame
    whole = len(each) == len(axes) and all(isinstance(index, Integral) for index in each)
    if not whole or not all(0 <= i < length for i, length in zip(each, lengths, strict=True)):
        raise ValueError(f"{name} = {start!r} but the axes have {lengths} steps; pass one index each")


@checked
class Stepper(anywidget.AnyWidget):
    """Steps through `frames` along one or two axes, by slider, keyboard or play button.

    `frames` are in C order over the axes: with two, the second axis moves fastest. `background` lies under
    every frame. `start` is the index of the frame shown at first, one number for each axis. With `autoplay`
    the widget plays along its last axis over and over, unless the reader's system asks for reduced motion;
    `fps` is the number of frames a second.

    The whole picture is in two synced traits, `content` (JSON) and `coordinates` (int16 pairs), so it is
    drawn with or without a kernel. Positions and sheets of images that occur in several layers or frames are
    stored once.

    Raises `ValueError`, naming the argument, when the number of frames is not the product of the axes'
    lengths, when a layer names a panel that is not there, or when `start`, `fps` or the number of axes is out
    of range.
    """

    _esm = Path(__file__).with_name("stepper.js")
    _css = Path(__file__).with_name("stepper.css")

    content = traitlets.Dict().tag(sync=True)
    coordinates = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        label: str,
        axes: Annotated[Sequence[Axis], _one_or_two_axes],
        frames: Sequence[Frame] = (),
        panels: Annotated[Sequence[Panel], some(a(Panel))] = (Panel(),),
        background: Sequence[Layer] = (),
        start: Annotated[int | Sequence[int], _indices] = 0,
        autoplay: bool = False,
        fps: Positive = 12,
    ) -> None:
        self._packer = _Packer(panels)
        content = {
            "label": label,
            "panels": [panel.describe() for panel in panels],
            "axes": [{"name": axis.name, "values": [str(value) for value in axis.values]} for axis in axes],
            "background": self._packer.layers(background, "background"),
            "frames": [self._packer.frame(frame, f"frames[{i}]") for i, frame in enumerate(frames)],
            "sheets": list(self._packer.sheets),
            "start": list(map(int, start if isinstance(start, list | tuple) else [start] * len(axes))),
            "autoplay": autoplay,
            "fps": float(fps),
        }
        super().__init__(content=content, coordinates=bytes(self._packer.data))

    def append(self, frame: Frame, value: Any) -> None:
        """Add a frame at `value`, the end of the only axis; shown unless the reader looks at an older one.

        Each call sends the whole state again, so that what is recorded at any moment is complete, which costs
        a millisecond or two for some hundred kilobytes. A recorded view opens at its newest frame. Raises
        `ValueError` for a stepper with two axes.
        """
        axes = self.content["axes"]
        if len(axes) != 1:
            raise ValueError(f"axes has {len(axes)} entries; only one axis can grow: pass all frames at once")
        frames = self.content["frames"]
        packed = self._packer.frame(frame, f"frames[{len(frames)}]")
        grown = {
            **self.content,
            "axes": [{"name": axes[0]["name"], "values": [*axes[0]["values"], str(value)]}],
            "frames": [*frames, packed],
            "sheets": list(self._packer.sheets),
            "start": [len(frames)],
        }
        with self.hold_sync():  # one message, so that no view sees a frame before its coordinates
            self.coordinates = bytes(self._packer.data)
            self.content = grown

    def __len__(self) -> int:
        return len(self.content["frames"])

    def __repr__(self) -> str:
        # The same in every run, so that a notebook's stored output can be compared.
        return f"Stepper({self.content['label']!r}, {len(self)} frames)"


class _Packer:
    """Turns layers into JSON that points into one growing array of coordinates."""

    def __init__(self, panels: Sequence[Panel]) -> None:
        self.panels = list(panels)
        self.data = bytearray()
        self.sheets: list[str] = []
        self._where: dict[bytes, int] = {}

    def frame(self, frame: Frame, name: str) -> dict[str, Any]:
        """A frame as JSON."""
        if not frame.text:
            raise ValueError(f"{name} has no text; give it a sentence, which is what a screen reader says")
        return {"text": frame.text, "layers": self.layers(frame.layers, name)}

    def layers(self, layers: Sequence[Layer], name: str) -> list[dict[str, Any]]:
        """Layers as JSON: kind, role, panel, number n of positions, where each block starts, and options.

        Images have the number of their sheet, too.
        """
        last = len(self.panels) - 1
        for layer in layers:
            if not 0 <= layer.panel <= last:
                raise ValueError(f"{name} has a layer on panel {layer.panel}; panels are counted 0…{last}")
        return [self._layer(layer) for layer in layers]

    def _layer(self, layer: Layer) -> dict[str, Any]:
        blocks = [quantise(block, self.panels[layer.panel]).tobytes() for block in layer.blocks]
        described = {"kind": layer.kind, "role": layer.role, "panel": layer.panel, "n": len(layer.blocks[0])}
        sheet = {"sheet": self._sheet(layer.sheet)} if layer.sheet else {}
        return {**described, "at": [self._place(block) for block in blocks], **layer.options, **sheet}

    def _sheet(self, png: bytes) -> int:
        """The number of a sheet; one seen before is not stored again."""
        text = base64.b64encode(png).decode()
        if text not in self.sheets:
            self.sheets.append(text)
        return self.sheets.index(text)

    def _place(self, block: bytes) -> int:
        """Where the block starts, counted in coordinate pairs; a block seen before is not stored again."""
        if block not in self._where:
            self._where[block] = len(self.data) // 4
            self.data += block
        return self._where[block]


def _box(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """The lower left corner and the size of a panel's box."""
    low, high = np.array([panel.x, panel.y], dtype=np.float64).T
    return low, high - low
