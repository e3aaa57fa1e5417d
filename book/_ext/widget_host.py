"""Sphinx extension: recorded widgets are drawn by our own small host, and their place is kept free until then.

By default myst-nb puts require.js and the Jupyter HTML manager, both from a public server, on each page with
widgets. The book works without a network, so its pages load `assets/widget_host.js` instead. That script must
be found in one of the folders of `html_static_path`.

The page knows how tall a Stepper will be before any script runs. A room of that height is written around each
recorded view, so that the text below does not move when the widget appears.
"""

import html
import json
import math
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

VIEW = re.compile(r'<script type="application/vnd\.jupyter\.widget-view\+json">(.*?)</script>', re.DOTALL)
NO_SCRIPT = "<noscript><p>This place holds an interactive drawing, which needs JavaScript.</p></noscript>"

# Rough sizes of a Stepper's parts in rem, and how many characters of its sentence fit on one line of a wide
# page.
HEAD, TITLE, ROW, MARGINS, LINE, LINE_LENGTH = 1.9, 1.3, 2.8, 3.7, 1.5, 90


def use_our_host(app: Sphinx, config: Config) -> None:
    """Load our script on the pages that hold widgets, in place of myst-nb's two."""
    config.nb_ipywidgets_js = {"widget_host.js": {"defer": "defer"}}


def keep_room(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Wrap each recorded view of a page in a room as tall as the widget will be."""
    body = context.get("body", "")
    if VIEW.search(body):
        models = _models(app, page)
        context["body"] = VIEW.sub(lambda view: _room(view, models), body)


def _models(app: Sphinx, page: str) -> dict[str, Any]:
    """The traits of a page's recorded models, by model id."""
    scripts = app.env.nb_metadata.get(page, {}).get("js_files", {})
    _, options = scripts.get("ipywidgets_state", (None, {"body": '{"state": {}}'}))
    return {key: model["state"] for key, model in json.loads(options["body"])["state"].items()}


def _room(view: re.Match[str], models: dict[str, Any]) -> str:
    """The view's script beside an empty room with the height as CSS variables."""
    content = models.get(json.loads(view[1])["model_id"], {}).get("content", {})
    style = html.escape(_height(content)) if "panels" in content else ""
    return f'<div class="widget-place"><div class="widget-room" style="{style}"></div>{NO_SCRIPT}{view[0]}</div>'


def _height(content: dict[str, Any]) -> str:
    """A Stepper's shape: its stage's width over height, on a wide page and on a phone, and the rest in rem."""
    aspects = [panel["aspect"] for panel in content["panels"]]
    titles = TITLE * any(panel["title"] for panel in content["panels"])
    longest = max((len(frame["text"]) for frame in content["frames"]), default=0)
    rest = HEAD + titles + ROW * len(content["axes"]) + MARGINS + LINE * math.ceil(longest / LINE_LENGTH)
    return (
        f"--aspect: {sum(aspects):.3f}; --aspect-stacked: {1 / sum(1 / aspect for aspect in aspects):.3f}; "
        f"--rest: {rest:.2f}rem"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", use_our_host)
    app.connect("html-page-context", keep_room)
    app.add_css_file("widget_host.css")
    return {"version": "1.0", "parallel_read_safe": True, "parallel_write_safe": True}
