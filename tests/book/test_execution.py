"""`make notebooks`: the normal form, and what is said when a cell fails or takes too long."""

import json
import os
import shutil
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


ROOT = Path(__file__).parents[2]
OWN = [
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_CONFIG_PATH",
    "JUPYTER_PATH",
    "MATPLOTLIBRC",
    "MPLBACKEND",
    "PIP_PREFIX",
    "PIP_REQUIRE_HASHES",
    "PIP_TARGET",
    "PIP_USER",
    "PYTHONHOME",
    "PYTHONIOENCODING",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    "SOURCE_DATE_EPOCH",
]


def test_the_builders_own_settings_stay_out():
    """They would change figures and dates, lose pictures, run other code first, or install elsewhere."""
    command = ["make", "--no-print-directory", "--eval", "show-env: ; @env", "show-env"]
    own = os.environ | dict.fromkeys(OWN, "the builder's own")
    shown = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    assert [line for line in shown.stdout.splitlines() if line.endswith("=the builder's own")] == []


def test_in_a_folder_that_was_renamed_the_programs_are_set_up_anew(tmp_path):
    """They begin with the path of the folder, which `make` cannot see by any file's date."""
    here = tmp_path / "a bläck, 'old' book"
    (here / ".venv").mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, here)
    (here / ".venv" / ".installed").write_text(f"{here}\n", encoding="utf-8")
    question = ["make", "--question", ".venv/.installed"]
    assert subprocess.run(question, cwd=here).returncode == 0
    there = here.rename(tmp_path / "new")
    assert subprocess.run(question, cwd=there).returncode == 1


CHANGES = ["book/01_a.ipynb", "book/a.md", "book/references.bib", "book/weights/a.safetensors", "_config.yml"]
CHANGES += ["_toc.yml", "book/_ext/a.py", "book/assets/a.js", "diffusion_lib/show/a.css"]
CHANGES += ["README.md", "LICENSE", "tests/equations/test_a.py", "pyproject.toml", "requirements.txt"]
STAMPS = [".venv/.installed", "_build/.library", "_build/.checked", "_build/evidence.json", "_build/.dress"]
STAMPS += ["_build/html/.built"]


def test_the_book_is_built_again_if_and_only_if_something_it_is_made_of_has_changed(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in [*CHANGES, *STAMPS]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{tmp_path.resolve()}\n", encoding="utf-8")
    outdated = lambda: subprocess.run(["make", "--question", "book"], cwd=tmp_path).returncode  # noqa: E731
    earlier, built, later = [(seconds, seconds) for seconds in (1_000_000_000, 1_000_000_100, 1_000_000_200)]
    for name in [*CHANGES, *STAMPS]:
        os.utime(tmp_path / name, earlier if name in CHANGES else built)
    assert outdated() == 0
    for name in CHANGES:
        os.utime(tmp_path / name, later)
        assert outdated() == 1, name
        os.utime(tmp_path / name, earlier)
    assert outdated() == 0
    shutil.rmtree(tmp_path / "_build" / "html")
    assert outdated() == 1


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the folder is no clone")
def test_lines_end_as_they_should_whatever_git_is_told(tmp_path):
    """Hashes of files, scripts in pages and stored outputs depend on it."""
    clone = ["git", "clone", "-q", "--depth=1", "-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    subprocess.run([*clone, ROOT.as_uri(), tmp_path / "clone"], check=True)
    ends = subprocess.run(
        ["git", "ls-files", "--eol"], cwd=tmp_path / "clone", capture_output=True, text=True, check=True
    )
    assert [line for line in ends.stdout.splitlines() if "w/crlf" in line or "w/mixed" in line] == []
