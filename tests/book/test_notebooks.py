"""The notebooks' form: what CONTRIBUTING.md asks for and `pytest --nbval` cannot see."""

import ast
from pathlib import Path

import kernels
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

NOTEBOOKS = sorted((Path(__file__).parents[2] / "book").glob("*.ipynb"))
MAX_LINES = 20
MAX_CHARACTERS = 84  # in a line: what the page shows without scrolling
IGNORE = "nbval-ignore-output"
STORED = {"stream", "execute_result"}  # what nbval compares; pictures and errors are not results to check


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_ignored(cell):
    return IGNORE in cell.metadata.get("tags", [])


def statements(cell):
    """The cell's statements; lines of IPython's own (%magic, !command) are left out."""
    lines = [line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    return ast.parse("\n".join(lines)).body


def calls(statement, name):
    """Whether running the statement calls `name` itself; the body of a function it defines does not run."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return False
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) == name
        for node in ast.walk(statement)
    )


def shows_something(cell):
    """Whether the cell prints, or ends with a value that is no call (a call may return nothing)."""
    body = statements(cell)
    if not body or cell.source.rstrip().endswith(";"):
        return False
    ends_with_value = isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Call)
    return ends_with_value or any(calls(statement, "print") for statement in body)


def cell_problems(cell, number):
    """What is wrong with one code cell, the `number`-th of its notebook."""
    checks = {
        f"execution count is {cell.execution_count}": cell.execution_count != number,
        f"more than {MAX_LINES} lines": len(cell.source.splitlines()) > MAX_LINES,
        f"a line of more than {MAX_CHARACTERS} characters": (
            max(map(len, cell.source.splitlines()), default=0) > MAX_CHARACTERS
        ),
        f"outputs in a cell tagged {IGNORE}": is_ignored(cell) and cell.outputs,
        "shows something that is not stored, so nbval compares nothing": (
            not is_ignored(cell) and shows_something(cell) and not cell.outputs
        ),
        f"an output that cannot be compared; tag the cell {IGNORE}": (
            not is_ignored(cell) and any(not is_comparable(output) for output in cell.outputs)
        ),
        "a figure without alt text in metadata mystnb.image.alt": (
            "subplots(" in cell.source and not alt_text(cell).strip()
        ),
        'pictures whose colours would change in the dark, without mystnb.image.classes = "pictures"': (
            all(call in cell.source for call in ("subplots(", "gallery("))
            and image(cell).get("classes") != "pictures"
        ),
    }
    return [f"code cell {number}: {problem}" for problem, holds in checks.items() if holds]


def is_comparable(output):
    """Whether nbval compares this output as text: standard output or a plain repr, no picture, no widget."""
    if output.output_type == "stream":
        return output.name == "stdout"
    return output.output_type in STORED and set(output.data) == {"text/plain"}


def image(cell):
    return cell.metadata.get("mystnb", {}).get("image", {})


def alt_text(cell):
    return image(cell).get("alt", "")


def problems(notebook):
    """All that is wrong with a notebook, one line each."""
    found = ["widget state is stored"] if "widgets" in notebook.metadata else []
    kernel = notebook.metadata.get("kernelspec", {}).get("name", kernels.NAME)
    found += [f"the kernel is {kernel!r}"] if kernel != kernels.NAME else []
    for number, cell in enumerate(code_cells(notebook), start=1):
        found += cell_problems(cell, number)
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    found = problems(nbformat.read(path, as_version=4))
    assert not found, "\n".join(["run `make notebooks`, or mend:", *found])


def test_first_cell_is_the_same_in_all_notebooks():
    assert len({code_cells(nbformat.read(path, as_version=4))[0].source for path in NOTEBOOKS}) <= 1


# The checker itself: it accepts a good notebook and finds each fault.


def checked(source="print(1)", count=1, text="1\n", **metadata):
    outputs = [new_output("stream", name="stdout", text=text)] if text else []
    return new_code_cell(source, execution_count=count, outputs=outputs, metadata=metadata)


def picture(source="fig, ax = plt.subplots()", **metadata):
    return checked(source, text="", **metadata)


ALT = {"image": {"alt": "A line."}}


@pytest.mark.parametrize(
    "cell",
    [
        checked(),
        checked("x = 1", text=""),
        checked("def f():\n    print(1)", text=""),
        checked("assert_close(a, b)", text=""),
        picture(tags=[IGNORE], mystnb=ALT),
    ],
)
def test_a_good_cell_is_accepted(cell):
    assert problems(new_notebook(cells=[new_markdown_cell("# Title"), cell])) == []


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (checked(count=2), "execution count is 2"),
        (checked(count=None), "execution count is None"),
        (checked("x = 1\n" * 21, text=""), "more than 20 lines"),
        (checked("x = " + "1" * 81, text=""), "more than 84 characters"),
        (checked(tags=[IGNORE]), "outputs in a cell"),
        (checked(text=""), "not stored"),
        (checked("for i in range(3):\n    print(i)", text=""), "not stored"),
        (checked("x", text=""), "not stored"),
        (picture(tags=[IGNORE]), "without alt text"),
        (picture(tags=[IGNORE], mystnb={"image": {"alt": " "}}), "without alt text"),
        (picture("fig, ax = plt.subplots()\ngallery(ax, x)", tags=[IGNORE], mystnb=ALT), "in the dark"),
    ],
)
def test_a_bad_cell_is_found(cell, problem):
    (found,) = problems(new_notebook(cells=[cell]))
    assert problem in found


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", name="stderr", text="careful"),
        new_output("display_data", {"image/png": "", "text/plain": "<Figure>"}),
        new_output("execute_result", {"application/vnd.jupyter.widget-view+json": {}}),
    ],
)
def test_an_output_that_cannot_be_compared_is_found(output):
    cell = new_code_cell("draw()", execution_count=1, outputs=[output])
    (found,) = problems(new_notebook(cells=[cell]))
    assert "cannot be compared" in found


def test_stored_widget_state_is_found():
    assert problems(new_notebook(metadata={"widgets": {}})) == ["widget state is stored"]
