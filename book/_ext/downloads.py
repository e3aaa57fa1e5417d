"""Sphinx extension: the source of a page can be saved from file://, too.

There a browser shows the file to which a download link leads, and lets no page read it. It does load scripts,
so beside each source lies one that hands over its text. assets/download.js loads it when the link is pressed.
"""

import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

SOURCES = (".ipynb", ".md")


def write_scripts(app: Sphinx, exception: Exception | None) -> None:
    """Put a script beside each source."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_sources").rglob("*.*"):
        if path.suffix in SOURCES:
            text = json.dumps(path.read_text(encoding="utf-8"))
            path.with_name(f"{path.name}.js").write_text(f"document.currentScript.source = {text};\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_js_file("download.js", loading_method="defer")
    app.connect("build-finished", write_scripts, priority=600)  # when the stand-alone notebooks are there
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
