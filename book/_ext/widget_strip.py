"""Key frames of a recorded Stepper as SVG with their sentences: for paper, and for pages without scripts.

It draws what stepper.js draws, from the same recorded state, with fewer points. The colours are those of
stepper.css.
"""

import html
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diffusion_lib.show.widgets.stepper import BOXES, LARGEST, MISSING

PX = 5  # drawing units in a pixel: whole numbers are short, and fine enough
SIDE, WIDE = 190 * PX, 640 * PX  # the height of a panel, and the width of one that has a row of its own
MOST_POINTS = 300  # of a layer; a recording has up to 1,000 points
FONT, SMALL_FONT = 12 * PX, 10 * PX
FAINT, FAINT_TEXT = 0.3, 0.7  # as in stepper.js
CHARACTER = 0.65 * SMALL_FONT  # hardly a font's digits are wider
ANCHORS = {"left": "start", "right": "end"}
# As in stepper.js: the width of a legend's mark in a box of height 12, and its path.
MARKS = {
    "points": (10, "M5 6h0"),
    "curve": (22, "M1 6h20"),
    "ellipses": (22, "M2 6a9 5 0 1 0 18 0a9 5 0 1 0-18 0z"),
    "arrows": (22, "M1 6h14M14 2.5l6.5 3.5l-6.5 3.5z"),
}


def strip(content: dict[str, Any], coordinates: bytes) -> str:
    """The widget as a figure: its name and legend, and its key frames in the order of time."""
    data = np.frombuffer(coordinates, "<i2").reshape(-1, 2)
    frames = "".join(_frame(content, data, at) for at in key_frames(content))
    return (
        f'<figure class="widget-strip stepper mathjax_ignore"><figcaption class="stepper-head">'
        f'<span class="stepper-label">{html.escape(content["label"])}</span>{_legend(content)}</figcaption>'
        f'<div class="strip-frames" style="--columns: {_columns(content)}">{frames}</div></figure>'
    )


def key_frames(content: dict[str, Any]) -> list[list[int]]:
    """Three to five places: along the last axis from end to end, where the widget starts on the first."""
    last = len(content["axes"][-1]["values"])
    n = last if last <= 5 else 4 if _columns(content) in (2, 4) else 3
    steps = dict.fromkeys(int(i) for i in np.linspace(0, last - 1, n).round())
    return [[*content["start"][:-1], step] for step in steps]


def _columns(content: dict[str, Any]) -> int:
    """How many frames stand side by side: panels are legible from a quarter of the page's width on."""
    if any(panel["wide"] for panel in content["panels"]):
        return 1
    return max(1, round(4 / sum(panel["aspect"] for panel in content["panels"])))


def _frame(content: dict[str, Any], data: np.ndarray, at: list[int]) -> str:
    """One frame: its panels side by side, and its sentence below, after its place if it does not say that."""
    axes, lengths = content["axes"], [len(axis["values"]) for axis in content["axes"]]
    frame = content["frames"][int(np.ravel_multi_index(at, lengths))]
    place = ", ".join(f"{axis['name']} = {axis['values'][i]}" for axis, i in zip(axes, at, strict=True))
    panels = ""
    for p, panel in enumerate(content["panels"]):
        layers = [layer for layer in [*content["background"], *frame["layers"]] if layer["panel"] == p]
        name = html.escape(f"{panel['title'] or content['label']}, {place}")
        title = f'<div class="stepper-title">{html.escape(panel["title"])}</div>' if panel["title"] else ""
        kind = "strip-wide" if panel["wide"] else "strip-panel"
        panels += f'<div class="{kind}" style="--aspect: {panel["aspect"]}">{title}'
        panels += f"{_Plot(panel, data, content.get('sheets', [])).svg(layers, name)}</div>"
    says_where = re.search(rf"\b{re.escape(axes[-1]['values'][at[-1]])}\b", frame["text"])
    text = html.escape(frame["text"] if says_where else f"{place}: {frame['text']}")
    return f'<figure>{panels}<figcaption class="strip-text">{text}</figcaption></figure>'


def _legend(content: dict[str, Any]) -> str:
    """The named kinds of marks, as the widget lists them."""
    layers = [*content["background"], *(layer for frame in content["frames"] for layer in frame["layers"])]
    named = dict.fromkeys(
        (la["kind"], la["role"], " stepper-dashed" * bool(la.get("dashed")), la["name"])
        for la in layers
        if la.get("name")
    )
    entries = (f"<span>{_mark(*look)}{html.escape(name)}</span>" for *look, name in named)
    return f'<span class="stepper-legend">{"".join(entries)}</span>'


def _mark(kind: str, role: str, dashed: str) -> str:
    width, path = MARKS[kind]
    return (
        f'<svg class="stepper-mark stepper-{kind}{dashed}" style="color: var(--stepper-{role})" '
        f'viewBox="0 0 {width} 12" aria-hidden="true"><path d="{path}"></path></svg>'
    )


class _Plot:
    """One panel as SVG."""

    def __init__(self, panel: dict[str, Any], data: np.ndarray, sheets: Sequence[str]) -> None:
        self.panel, self.data, self.sheets = panel, data, sheets
        self.width = WIDE if panel["wide"] else round(SIDE * panel["aspect"])
        self.height = round(self.width / panel["aspect"])
        ticks, labels = panel["ticks"], panel["labels"]
        around = 6 * PX if any(ticks) else 0
        across, beside = (CHARACTER * max((len(text) for _, text in side), default=0) for side in ticks)
        overhang = across / 2  # of the first and the last tick's label along x
        left = max(around + beside + PX * (4 * bool(ticks[1]) + 14 * bool(labels[1])), overhang)
        bottom = around + PX * (15 * bool(ticks[0]) + 14 * bool(labels[0]))
        right = max(2 * around, overhang)
        room = np.array([self.width - left - right, self.height - bottom - around])
        units = np.array([panel["x"][1] - panel["x"][0], panel["y"][1] - panel["y"][0]])
        self.size = units * (room / units).min() if panel["equal"] else room
        self.corner = np.array([left, around]) + (room - self.size) / 2
        self.around = around

    def svg(self, layers: list[dict[str, Any]], name: str) -> str:
        """The panel's drawing with these layers; marks end at its ground."""
        (x, y), (w, h) = self.corner - self.around, self.size + 2 * self.around
        box = f'x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}"'
        marks = "".join(self._layer(layer) for layer in layers)
        return (
            f'<svg role="img" aria-label="{name}" viewBox="0 0 {self.width} {self.height}">'
            f'<rect {box} rx="{6 * PX}" class="strip-ground"/>'
            f'<svg {box} viewBox="{x:.0f} {y:.0f} {w:.0f} {h:.0f}">{marks}</svg>{self._ticks()}</svg>'
        )

    def _layer(self, layer: dict[str, Any]) -> str:
        blocks = [self._pixels(at, layer["n"]) for at in layer["at"]]
        faint = FAINT_TEXT if layer["kind"] == "labels" else FAINT
        opacity = f' opacity="{faint}"' if layer.get("faint") else ""
        marks = "".join(getattr(self, f"_{layer['kind']}")(layer, *blocks))
        style = f'class="strip-{layer["kind"]}" style="color:var(--stepper-{layer["role"]})"'
        return f"<g {style}{opacity}>{marks}</g>"

    def _pixels(self, at: int, n: int) -> np.ndarray:
        """Positions (n, 2) on the drawing; NaN where missing."""
        steps = self.data[at : at + n].astype(float)
        steps[steps == MISSING] = np.nan
        part = 0.5 + steps * (BOXES / (2 * LARGEST)) * [1, -1]
        return self.corner + self.size * part

    def _points(self, layer: dict[str, Any], xy: np.ndarray) -> Iterator[str]:
        """A line of no length with round ends is a dot."""
        xy = xy[(abs(xy - self.corner - self.size / 2) <= self.size / 2 + self.around).all(axis=1)]
        thinned = xy[:: max(1, -(-len(xy) // MOST_POINTS))].round().astype(int)
        steps = np.diff(thinned[np.argsort(thinned[:, 0])], axis=0, prepend=0)  # short numbers
        path = "".join(f"m{dx} {dy}h0" for dx, dy in steps)
        yield f'<path d="{path}" stroke-width="{1.3 * PX * layer.get("size", 2):.0f}"/>'

    def _arrows(self, layer: dict[str, Any], start: np.ndarray, end: np.ndarray) -> Iterator[str]:
        shafts, heads = "", ""
        for at, to in zip(start, end, strict=True):
            length = np.hypot(*(to - at))
            if not length > PX / 2:
                continue  # nothing to see; also skips NaN
            head = (to - at) * min(5 * PX / length, 0.5)
            across = 0.45 * np.array([head[1], -head[0]])
            shafts += "M{:.0f} {:.0f}L{:.0f} {:.0f}".format(*at, *(to - 0.7 * head))
            heads += "M{:.0f} {:.0f}L{:.0f} {:.0f}L{:.0f} {:.0f}Z".format(
                *to, *(to - head + across), *(to - head - across)
            )
        yield f'<path d="{shafts}"/><path class="strip-head" d="{heads}"/>'

    def _ellipses(self, layer: dict[str, Any], centre: np.ndarray, corner: np.ndarray) -> Iterator[str]:
        for (x, y), (rx, ry) in zip(centre, abs(corner - centre), strict=True):
            for deviations, ink in ((2, 0.45), (1, 1)):
                if x == x:  # NaN is not
                    radii = [max(deviations * r, 0.75 * PX) for r in (rx, ry)]
                    yield f'<ellipse cx="{x:.0f}" cy="{y:.0f}" rx="{radii[0]:.0f}" ry="{radii[1]:.0f}"'
                    yield f' stroke-opacity="{ink}"/>'

    def _curve(self, layer: dict[str, Any], xy: np.ndarray) -> Iterator[str]:
        path, pen = "", "M"
        for x, y in xy:
            path += f"{pen}{x:.0f} {y:.0f}" if x == x else ""
            pen = "L" if x == x else "M"
        dashes = f' stroke-dasharray="{4 * PX}"' if layer.get("dashed") else ""
        yield f'<path d="{path}"{dashes}/>'

    def _labels(self, layer: dict[str, Any], xy: np.ndarray) -> Iterator[str]:
        anchor = ANCHORS.get(layer.get("anchor", ""), "middle")
        weight = ' font-weight="bold"' if layer.get("bold") else ""
        for (x, y), text in zip(xy, layer.get("texts", []), strict=True):
            if x == x:
                yield _text(x, y, text, f'font-size="{FONT}" text-anchor="{anchor}"{weight}')

    def _images(self, layer: dict[str, Any], upper: np.ndarray, lower: np.ndarray) -> Iterator[str]:
        (x, y), (w, h) = upper[0], lower[0] - upper[0]
        box = f'x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}" preserveAspectRatio="none"'
        png = self.sheets[layer["sheet"]]
        yield f'<image {box} style="image-rendering: pixelated" href="data:image/png;base64,{png}"/>'

    def _ticks(self) -> str:
        """A pale line and a number at each tick, and the names of the panel's two directions."""
        (x, y), (w, h), panel = self.corner, self.size, self.panel
        if not any([*panel["ticks"], *panel["labels"]]):
            return ""
        (left, right), (low, high) = panel["x"], panel["y"]
        columns = [(x + w * (at - left) / (right - left), text) for at, text in panel["ticks"][0]]
        rows = [(y + h * (high - at) / (high - low), text) for at, text in panel["ticks"][1]]
        grid = "".join(f"M{at:.0f} {y:.0f}v{h:.0f}" for at, _ in columns)
        grid += "".join(f"M{x:.0f} {at:.0f}h{w:.0f}" for at, _ in rows)
        below, beside = y + h + self.around + 8 * PX, x - self.around - 4 * PX
        size = f'font-size="{SMALL_FONT}"'
        texts = [_text(at, below, text, f'{size} text-anchor="middle"') for at, text in columns]
        texts += [_text(beside, at, text, f'{size} text-anchor="end"') for at, text in rows]
        down = below + 14 * PX * bool(columns)
        texts.append(_text(x + w / 2, down, panel["labels"][0], f'{size} text-anchor="middle"'))
        turned = f'{size} text-anchor="middle" transform="rotate(-90 {7 * PX} {y + h / 2:.0f})"'
        texts.append(_text(7 * PX, y + h / 2, panel["labels"][1], turned))
        return f'<g class="strip-ticks"><path d="{grid}"/>{"".join(texts)}</g>'


def _text(x: float, y: float, text: str, options: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {options}>{html.escape(text)}</text>' if text else ""
