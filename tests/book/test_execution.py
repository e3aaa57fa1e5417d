"""`make notebooks`: the normal form, and what is said when a cell fails or takes too long."""

import json
import os
import subprocess
from pathlib import Path

import nbformat
import notebooks
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output


def example():
    """An executed notebook with everything that the normal form takes out."""
    result = new_output("execute_result", {"text/plain": "2"}, execution_count=7)
    volatile = {"execution": {"iopub.status.busy": "now"}, "scrolled": True}
    ignored = {"tags": ["nbval-ignore-output"], **volatile}
    return new_notebook(
        cells=[
            new_code_cell("1 + 1", execution_count=7, outputs=[result], metadata=volatile),
            new_code_cell("draw()", execution_count=9, outputs=[result], metadata=ignored),
        ],
        metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.11.7"}},
    )


def test_normal_form():
    notebook = example()
    notebooks.normalise(notebook)
    checked, ignored = notebook.cells
    assert (checked.execution_count, ignored.execution_count) == (1, 2)
    assert [output.execution_count for output in checked.outputs] == [1]
    assert ignored.outputs == []
    assert (checked.metadata, ignored.metadata) == ({}, {"tags": ["nbval-ignore-output"]})
    assert notebook.metadata == notebooks.KERNEL


def test_normal_form_is_final():
    notebook = example()
    notebooks.normalise(notebook)
    once = nbformat.writes(notebook)
    notebooks.normalise(notebook)
    assert nbformat.writes(notebook) == once


def test_cells_without_an_id_get_the_same_one_each_time(tmp_path):
    cell = {"cell_type": "code", "source": ["1"], "metadata": {}, "outputs": [], "execution_count": None}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"cells": [cell, cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    assert [cell.id for cell in notebooks.load(path).cells] == ["cell-1", "cell-2"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # starting a kernel is not ours to judge
@pytest.mark.parametrize(
    ("source", "seconds", "message"),
    [("raise KeyError('boom')", 60, "KeyError"), ("import time; time.sleep(60)", 6, "more than 6 s")],
)
def test_a_failing_or_slow_cell_is_named(tmp_path, source, seconds, message):
    notebook = new_notebook(cells=[new_code_cell("x = 1"), new_code_cell(source)])
    with pytest.raises(notebooks.NotebookError, match=rf"(?s)demo\.ipynb, cell 2 of the file.*{message}"):
        notebooks.execute(notebook, tmp_path, "demo.ipynb", seconds=seconds)


def test_the_builders_own_settings_stay_out():
    """A backend, a matplotlibrc or an IPython profile of one's own would change the figures, or lose them."""
    own = {"MPLBACKEND": "Agg", "MATPLOTLIBRC": "/home/own/matplotlibrc", "IPYTHONDIR": "/home/own/.ipython"}
    command = ["make", "--no-print-directory", "--eval", "show-env: ; @env", "show-env"]
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        command, cwd=root, env=os.environ | own, capture_output=True, text=True, check=True
    )
    seen = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    assert "MPLBACKEND" not in seen
    assert seen["MATPLOTLIBRC"] == os.devnull
    assert seen["IPYTHONDIR"] == str(root / "_build" / ".ipython")
