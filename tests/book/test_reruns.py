"""Cells run again, and out of order: each says what it lacks, and none finds what another left behind."""

import ast
import re
import symtable
import traceback
from copy import deepcopy
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import notebooks
import pytest
import torch

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
IMPORTS = 1  # the code cell of the imports, counted from 0; the one before it is for Colab

# A later model in the place of an earlier one: what the reader runs again is then about the later one, as the
# text says. No other name may change its meaning behind a cell that needs it.
MODELS = {"model", "network"}

by_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


# A cell alone.


def run_cell(source, names):
    """Run a cell's code; return the error and whether it was raised by the cell itself, or None."""
    try:
        exec(compile(source, "<cell>", "exec"), names)
    except Exception as error:
        return error, traceback.extract_tb(error.__traceback__)[-1].filename == "<cell>"
    return None


def problem_alone(source, names):
    """What is wrong with the way in which a cell fails that has only the imports; empty if nothing is."""
    failed = run_cell(source, dict(names))
    if failed is None or isinstance(failed[0], NameError) and failed[1]:
        return ""
    return f"{type(failed[0]).__name__}: {failed[0]}"


@pytest.fixture
def no_pictures(monkeypatch):
    """Figures are made and thrown away; the style that a notebook sets is ours again afterwards."""
    monkeypatch.setattr(plt, "show", lambda: None)
    threads = torch.get_num_threads()
    with plt.rc_context():
        yield
    plt.close("all")
    torch.set_num_threads(threads)


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
@by_chapter
def test_a_cell_after_the_imports_alone_runs_or_names_what_it_lacks(path):
    cells, names = code_cells(path), {}
    assert run_cell(cells[IMPORTS].source, names) is None
    problems = {i: problem_alone(cell.source, names) for i, cell in enumerate(cells) if i > IMPORTS}
    assert not any(problems.values()), {i: problem for i, problem in problems.items() if problem}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("print(x_0)", ""),
        ("x_0 = torch.zeros(3, 2)", ""),
        ("torch.zeros(2) + torch.zeros(3)", "RuntimeError: The size"),
        ("deep()", "NameError: name 'lost'"),
    ],
)
def test_a_failure_that_explains_nothing_is_found(source, problem):
    names = {"torch": torch}
    exec(compile("def deep():\n    return lost", "<library>", "exec"), names)
    found = problem_alone(source, names)
    assert found.startswith(problem) if problem else not found


# Names that change their meaning.


def tables(table):
    """A symbol table and all in it."""
    return [table, *(inner for child in table.get_children() for inner in tables(child))]


def bound_and_read(source):
    """The names that code binds, and the global ones that it or a function in it reads."""
    top = symtable.symtable(source, "<cell>", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    every = [(table is top or s.is_global(), s) for table in tables(top) for s in table.get_symbols()]
    return bound, {s.get_name() for is_global, s in every if is_global and s.is_referenced()}


def needed_and_bound(source):
    """The names that a cell takes from other cells, and those that it binds."""
    needed, bound = set(), set()
    for statement in ast.parse(source).body:
        binds, reads = bound_and_read(ast.unparse(statement))
        # A loop or a definition binds its names before it reads them; an assignment reads first.
        needed |= reads - bound - (set() if isinstance(statement, ast.Assign | ast.AugAssign) else binds)
        bound |= binds
    return needed, bound


def read_by_functions(sources):
    """The global names that each function of a chapter reads when it is called."""
    statements = [statement for source in sources for statement in ast.parse(source).body]
    functions = [s for s in statements if isinstance(s, ast.FunctionDef | ast.ClassDef)]
    return {function.name: bound_and_read(ast.unparse(function))[1] for function in functions}


def taken_over(sources):
    """The names that a later cell binds anew behind a cell that needs them: {(cell, name): later cells}."""
    cells, functions = [needed_and_bound(source) for source in sources], read_by_functions(sources)
    found = {}
    for i, (needed, _) in enumerate(cells):
        needed = needed.union(*(functions.get(name, ()) for name in needed)) - MODELS
        for name in needed:
            after = [k for k in range(i + 1, len(cells)) if name in cells[k][1]]
            if after and any(name in bound for _, bound in cells[:i]):
                found[i, name] = after
    return found


@by_chapter
def test_no_later_cell_takes_over_a_name_that_an_earlier_one_needs(path):
    assert not taken_over([cell.source for cell in code_cells(path)]), "give one of the two another name"


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (["t = 1", "print(t)", "t = 2"], {(1, "t"): [2]}),
        (["t = 1", "print(t)", "for t in range(3):\n    pass"], {(1, "t"): [2]}),
        (["t = 1", "t = t + 1", "t = 2"], {(1, "t"): [2]}),
        (["t = 1", "def f():\n    return t", "import math as t"], {(1, "t"): [2]}),
        (["t = 1", "def f():\n    return t", "f()", "t = 2"], {(1, "t"): [3], (2, "t"): [3]}),
        (["t = 1", "t = 2\nprint(t)", "t = 3"], {}),
        (["t = 1", "for t in range(3):\n    print(t)", "t = 2"], {}),
        (["t = 1", "def f(t):\n    return t", "t = 2"], {}),
        (["model = 1", "print(model)", "model = 2"], {}),
    ],
)
def test_a_name_that_is_taken_over_is_found(sources, found):
    assert taken_over(sources) == found


# Every cell again, in a kernel.


def claims(cell):
    """What a checked cell says, its numbers left out: other draws give other ones."""
    text = "".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream")
    return re.sub(r"-?\d[\d.,e+-]*|\s+", "", text)


@pytest.mark.long
@pytest.mark.timeout(1800)
@by_chapter
def test_each_cell_runs_twice_and_once_more_on_the_way_back(path):
    """No cell fails when each runs twice in a row, and then once more from the last back to the first.

    Both times in a row it claims what it claims on the page.
    """
    notebook = nbformat.read(path, as_version=4)
    stored = [cell for cell in notebook.cells if cell.cell_type == "code"]
    order = [i for i in range(len(stored)) for _ in range(2)] + list(reversed(range(len(stored))))
    notebook.cells = [deepcopy(stored[i]) for i in order]
    for place, cell in enumerate(notebook.cells):
        cell.id, cell.outputs = f"cell-{place}", []
    tool = notebooks
    tool.execute(notebook, path.parent, path.name, seconds=600)
    there = 2 * len(stored)  # on the way back, the state is that of later cells
    for i, cell in zip(order[:there], notebook.cells[:there], strict=True):
        if tool.IGNORE not in cell.metadata.get("tags", []):
            assert claims(cell) == claims(stored[i]), f"code cell {i + 1}:\n{cell.source}"
