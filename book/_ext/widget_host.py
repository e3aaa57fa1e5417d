"""Sphinx extension: recorded widgets are drawn by our own small host; until then their place is kept free.

By default myst-nb puts require.js and the Jupyter HTML manager, from a public server, on each page that
holds widgets. The book works without a network: its pages load `assets/widget_host.js` instead, a script that
must lie in a folder of `html_static_path`.

What a page runs is the library's own module, written beside the pages as a script, and never code from the
recorded state, which is data: the state of the pages has none.

The page knows how tall a Stepper will be before any script runs. A room of that height is written beside each
recorded view, so that the text below does not move when the widget appears; and a strip of key frames, for
paper, for pages without scripts, and for recordings that cannot be drawn.

The lab holds no recording: on its page the Stepper's module and the engine work for scripts of its own.
"""

import base64
import html
import json
import math
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from widget_strip import strip

from diffusion_lib.show import engine
from diffusion_lib.show.widgets import Stepper, live

LAB = '<div id="lab">'  # the page on which readers train models of their own choice
LAB_SCRIPTS = ("stepper.js", "trainer.js", "lab_settings.js", "lab.js")  # in this order
VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">(?P<view>.*?)</script>', re.DOTALL
)
# The module as a classic script, since browsers load no module from file://. It brings one thing out.
EXPORT = re.compile(r"^export default\b", re.MULTILINE)
CLASSIC = '"use strict";\n(window.bookWidgets ??= {{}})["{name}"] = (() => {{\n{module}}})();\n'

# Sizes of a Stepper's parts in rem, as in stepper.css, and how many characters fit on its lines.
HEAD, TITLE, ROW, MARGINS, GAP, LINE = 1.9, 1.3, 2.8, 2.5, 1.0, 1.5
TRAIN, PHONE_TRAIN = 3.2, 7.5  # the button to train with, and what is said beside it
PAGE_LINE, PHONE_LINE = 95, 45


def use_our_host(app: Sphinx, config: Config) -> None:
    """Load our scripts on the pages that hold widgets, in place of myst-nb's two."""
    config.nb_ipywidgets_js = {name: {"defer": "defer"} for name in ("stepper.js", "widget_host.js")}


def write_module(app: Sphinx) -> None:
    """Put the Stepper's module and style sheet, and the engine, which pages share, beside the pages."""
    module, found = EXPORT.subn("return", str(Stepper._esm))
    if found != 1:
        raise ValueError(f"stepper.js has {found} default exports; write one, at the start of a line")
    name = f"{Stepper.__module__}.{Stepper.__qualname__}"  # what a recording calls its widget
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    (static / "stepper.js").write_text(CLASSIC.format(name=name, module=module), encoding="utf-8")
    (static / "stepper.css").write_text(str(Stepper._css), encoding="utf-8")
    (static / "trainer.js").write_text(engine.script() + live.script(), encoding="utf-8")


def fill_places(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put an empty room and a strip of key frames beside each recorded view; the lab gets its scripts."""
    body = context.get("body", "")
    if VIEW.search(body):
        models = _take_models(app, page)
        context["body"] = VIEW.sub(lambda match: _place(match, models), body)
        app.add_css_file("stepper.css")
        if any("trainer" in model["state"].get("content", {}) for model in models.values()):
            app.add_js_file("trainer.js", loading_method="defer", priority=400)  # before widget_host.js
    if LAB in body:
        for name in ("stepper.css", "lab.css"):
            app.add_css_file(name)
        for name in LAB_SCRIPTS:
            app.add_js_file(name, loading_method="defer")


def _take_models(app: Sphinx, page: str) -> dict[str, Any]:
    """A page's recorded models by their id. The state that the page will hold loses all code."""
    _, options = app.env.nb_metadata[page]["js_files"]["ipywidgets_state"]
    recorded = json.loads(options["body"])
    for model in recorded["state"].values():
        model["state"] = {key: value for key, value in model["state"].items() if key not in ("_esm", "_css")}
    options["body"] = json.dumps(recorded).replace("</", "<\\/")
    return recorded["state"]


def _place(match: re.Match[str], models: dict[str, Any]) -> str:
    """The view's script beside an empty room with the height as CSS variables, and its strip."""
    model = models.get(json.loads(match["view"])["model_id"], {"state": {}})
    content = model["state"].get("content", {})
    if "panels" not in content:
        return f'<div class="widget-place"><div class="widget-room"></div>{match[0]}</div>'
    (coordinates,) = (buffer["data"] for buffer in model["buffers"])
    room = f'<div class="widget-room" style="{html.escape(_size(content))}"></div>'
    return f'<div class="widget-place">{room}{strip(content, base64.b64decode(coordinates))}{match[0]}</div>'


def _size(content: dict[str, Any]) -> str:
    """A Stepper's drawing as a CSS height, and the rest in rem; and its aspect and the rest on a phone."""
    panels, axes, frames = content["panels"], content["axes"], content["frames"]
    aspects = [panel["aspect"] for panel in panels]
    rows = _panel_rows(panels)
    heights = [f"min(28rem, min(100cqw, 46rem) / {sum(p['aspect'] for p in row):.3f})" for row in rows]
    titles = sum(bool(panel["title"]) for panel in panels)
    titled = sum(any(panel["title"] for panel in row) for row in rows)
    longest = max((len(frame["text"]) for frame in frames), default=0)
    layers = [*content["background"], *(layer for frame in frames for layer in frame["layers"])]
    legend = sum(len(name) + 6 for name in {layer.get("name", "") for layer in layers} - {""})

    rest = HEAD + TITLE * titled + GAP * (len(rows) - 1) + ROW * len(axes) + MARGINS
    rest += LINE * math.ceil(longest / PAGE_LINE)
    stacked = HEAD + TITLE * titles + GAP * (len(panels) - 1) + (ROW + 1) * len(axes) + MARGINS
    stacked += LINE * (math.ceil(longest / PHONE_LINE) + math.ceil(legend / PHONE_LINE))
    if "trainer" in content:
        rest, stacked = rest + TRAIN, stacked + PHONE_TRAIN
    return (
        f"--drawing: {' + '.join(heights)}; --rest: {rest:.2f}rem; "
        f"--stacked-aspect: {1 / sum(1 / aspect for aspect in aspects):.3f}; --stacked-rest: {stacked:.2f}rem"
    )


def _panel_rows(panels: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The panels that stand side by side: a wide one has a row of its own."""
    rows: list[list[dict[str, Any]]] = [[]]
    for panel in panels:
        rows += [[panel], []] if panel["wide"] else []
        rows[-1] += [] if panel["wide"] else [panel]
    return [row for row in rows if row]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", use_our_host)
    app.connect("builder-inited", write_module)
    app.connect("html-page-context", fill_places, priority=400)  # before myst-nb writes the state, at 500
    app.add_css_file("widget_host.css")
    return {"version": "1.0", "parallel_read_safe": True, "parallel_write_safe": True}
