"""Sphinx extension: recorded widgets are drawn by our own small host; until then their place is kept free.

By default myst-nb puts require.js and the Jupyter HTML manager, from a public server, on each page that
holds widgets. The book works without a network: its pages load `assets/widget_host.js` instead, a script that
must lie in a folder of `html_static_path`.

The page knows how tall a Stepper will be before any script runs. A room of that height is written beside each
recorded view, so that the text below does not move when the widget appears.
"""

import html
import json
import math
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

VIEW = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-view\+json">(?P<view>.*?)</script>', re.DOTALL
)
NO_SCRIPT = "<noscript><p>This place holds an interactive drawing, which needs JavaScript.</p></noscript>"

# Sizes of a Stepper's parts in rem, as in stepper.css, and how many characters fit on its lines.
HEAD, TITLE, ROW, MARGINS, GAP, LINE = 1.9, 1.3, 2.8, 2.5, 1.0, 1.5
PAGE_LINE, PHONE_LINE = 95, 45


def use_our_host(app: Sphinx, config: Config) -> None:
    """Load our script on the pages that hold widgets, in place of myst-nb's two."""
    config.nb_ipywidgets_js = {"widget_host.js": {"defer": "defer"}}


def keep_room(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put a room as tall as the widget will be beside each recorded view of a page."""
    body = context.get("body", "")
    if VIEW.search(body):
        models = _models(app, page)
        context["body"] = VIEW.sub(lambda match: _place(match, models), body)


def _models(app: Sphinx, page: str) -> dict[str, Any]:
    """The traits of a page's recorded models, by model id."""
    scripts = app.env.nb_metadata.get(page, {}).get("js_files", {})
    _, options = scripts.get("ipywidgets_state", (None, {"body": '{"state": {}}'}))
    return {key: model["state"] for key, model in json.loads(options["body"])["state"].items()}


def _place(match: re.Match[str], models: dict[str, Any]) -> str:
    """The view's script beside an empty room with the height as CSS variables."""
    content = models.get(json.loads(match["view"])["model_id"], {}).get("content", {})
    style = _size(content) if "panels" in content else ""
    room = f'<div class="widget-room" style="{html.escape(style)}"></div>'
    return f'<div class="widget-place">{room}{NO_SCRIPT}{match[0]}</div>'


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
    app.connect("html-page-context", keep_room)
    app.add_css_file("widget_host.css")
    return {"version": "1.0", "parallel_read_safe": True, "parallel_write_safe": True}
