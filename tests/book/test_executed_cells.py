"""What a page says of cells that ran through and yet went wrong (book/_ext/executed_cells.py)."""

import executed_cells
import pytest
from docutils import nodes
from docutils.utils import new_document

FIGURE = "fig, ax = plt.subplots()\nplt.show()"


def page(code, *outputs):
    """A page with one cell as MyST-NB makes it."""
    cell = nodes.container(classes=["cell"])
    cell += nodes.container("", nodes.literal_block(code, code), classes=["cell_input"])
    cell += nodes.container("", *outputs, classes=["cell_output"])
    document = new_document("page")
    document += cell
    return document


def warnings(document, monkeypatch):
    said = []
    monkeypatch.setattr(executed_cells.logger, "warning", lambda text, **_: said.append(text))
    executed_cells.look(None, document)
    return said


@pytest.mark.parametrize(
    "document",
    [
        page(FIGURE, nodes.image(uri="figure.png")),
        page("print(1)", nodes.literal_block("1", "1")),
        page("def draw():\n    return plt.subplots()"),
    ],
)
def test_a_good_cell_is_left_alone(document, monkeypatch):
    assert warnings(document, monkeypatch) == []


def test_a_traceback_is_found(monkeypatch):
    text = "Traceback (most recent call last):\nRuntimeError: latex was not found"
    document = page("print(1)", nodes.literal_block(text, text))
    assert warnings(document, monkeypatch) == ["a cell's output holds a traceback"]


def test_a_figure_that_is_not_shown_is_found(monkeypatch):
    said = warnings(page(FIGURE, nodes.literal_block("<Figure>", "<Figure>")), monkeypatch)
    assert said == ["a cell makes a figure that is not shown"]
