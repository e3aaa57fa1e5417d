"""Sphinx extension: warn of a cell whose output went wrong without an error of the cell itself.

A cell runs through although its figure cannot be displayed: IPython prints a traceback and goes on. And where
a backend shows nothing, there is no figure and no error. `make book` makes the warnings errors.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

TRACEBACK = "Traceback (most recent call last)"
FIGURE = "subplots("  # what makes a figure here

logger = logging.getLogger(__name__)


def look(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of tracebacks among a page's outputs, and of figures that are not there."""
    for cell in doctree.findall(lambda node: isinstance(node, nodes.container) and "cell" in node["classes"]):
        parts = [part for part in cell.children if isinstance(part, nodes.container)]
        code = " ".join(part.astext() for part in parts if "cell_input" in part["classes"])
        outputs = [part for part in parts if "cell_output" in part["classes"]]
        if any(TRACEBACK in part.astext() for part in outputs):
            logger.warning("a cell's output holds a traceback", location=cell, type="executed_cells")
        if draws(code) and not any(list(part.findall(nodes.image)) for part in outputs):
            logger.warning("a cell makes a figure that is not shown", location=cell, type="executed_cells")


def draws(code: str) -> bool:
    """Whether the code makes and shows a figure."""
    return FIGURE in code and "plt.show()" in code


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("doctree-read", look)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
