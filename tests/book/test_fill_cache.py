"""`pytest --nbval --fill-cache`: what passes is kept as if nbclient had executed it, and nothing else is."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.executors.utils import single_nb_execution
from nbformat.v4 import new_code_cell, new_notebook, new_output

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
# The kinds of output that the book has; widgets get the same ids in each run.
OUTPUTS = [
    "import itertools, sys, uuid\nids = itertools.count()\nuuid.uuid4 = lambda: uuid.UUID(int=next(ids))",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "from IPython.display import clear_output\nshown = display('before', display_id='a')\nprint('printed')",
    "print('cleared')\nclear_output(wait=True)\nprint('to stderr', file=sys.stderr)",
    "shown.update('after')\n1 + 1",
    """\
from diffusion_lib.show.widgets import Axis, Frame, Stepper, points
frames = [Frame("Here.", [points([[t, t]])]) for t in range(2)]
stepper = Stepper("A walk", [Axis("t", [0, 1])], frames)
stepper""",
    "stepper.content = {**stepper.content, 'fps': 1}",
]


def notebook(*sources):
    """A notebook of cells whose outputs nbval does not compare."""
    ignored = {"tags": ["nbval-ignore-output"]}
    return new_notebook(cells=[new_code_cell(s, metadata=ignored) for s in sources], metadata=KERNEL)


def run_nbval(folder, *options):
    """Check a folder's notebooks."""
    command = [sys.executable, "-m", "pytest", "-p", "tools.fill_cache", "--nbval", *options, str(folder)]
    command += ["--rootdir", str(folder)]  # so that its notebooks have the same names wherever it lies
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200).stdout


def test_a_notebook_that_passes_is_kept_as_nbclient_executes_it(tmp_path):
    written = notebook(*OUTPUTS)
    nbformat.write(written, tmp_path / "passes.ipynb")
    nbformat.write(notebook("1", "1 / 0", "2"), tmp_path / "raises.ipynb")
    nbformat.write(notebook("1", "2"), tmp_path / "part.ipynb")
    differs = notebook("1")
    differs.cells[0].update(metadata={}, execution_count=1, outputs=[new_output("stream", text="2")])
    nbformat.write(differs, tmp_path / "differs.ipynb")

    cache = get_cache(tmp_path / "cache")
    options = ["-n", "2", "--dist", "loadscope", "--deselect", "part.ipynb::Cell 0"]
    said = run_nbval(tmp_path, "--fill-cache", str(cache.path), *options)
    assert f"2 failed, {len(OUTPUTS) + 3} passed" in said
    assert [Path(record.uri).name for record in cache.list_cache_records()] == ["passes.ipynb"]

    _, kept = cache.merge_match_into_notebook(written)
    executed = single_nb_execution(deepcopy(written), cwd=str(tmp_path), timeout=60, allow_errors=False)
    assert executed.err is None
    assert kept == executed.nb
    models = kept.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert sum("buffers" in model for model in models) == 1
    assert "image/png" in kept.cells[1].outputs[0].data


def test_without_the_option_nothing_is_kept(tmp_path):
    nbformat.write(notebook("1"), tmp_path / "plain.ipynb")
    assert "1 passed" in run_nbval(tmp_path, "-p", "no:cacheprovider")
    assert [path.name for path in tmp_path.iterdir()] == ["plain.ipynb"]
