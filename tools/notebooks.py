"""Execute the book's notebooks in place and store them in one normal form.

    python tools/notebooks.py [NOTEBOOK ...]    (default: all of book/*.ipynb)

Normal form: the same first code cell in all; counts 1…n; the outputs of checked cells, which
`pytest --nbval book` compares; no outputs of cells tagged `nbval-ignore-output`; no widget state, times or
versions; keys in fixed order. A second run changes nothing.
"""

import json
import sys
import time
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

BOOK = Path(__file__).parents[1] / "book"
CELL_SECONDS = 120  # as in _config.yml
IGNORE = "nbval-ignore-output"
KEPT_CELL_METADATA = {"mystnb", "tags"}
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Also in a kernel that is not .venv's, a notebook of this folder uses the library of this folder.
FIRST_CELL = """\
# Finds the book's library beside this folder, or says why it can't.
import sys
from pathlib import Path

book_library = Path("../diffusion_lib").resolve()
if book_library.is_dir():
    sys.path.insert(0, str(book_library.parent))
{on_colab}try:
    import diffusion_lib.measure
    import diffusion_lib.show
except ImportError as error:
    advice = "The book's own has it all: make book, then .venv/bin/jupyter lab book"
    here = f"in this kernel, {{sys.executable}}"
    raise ImportError(f"{{error}}, {{here}}. {{advice}}.") from error
if book_library.is_dir() and not book_library.samefile(diffusion_lib.__path__[0]):
    raise ImportError("Another diffusion_lib is imported: restart the kernel.")"""
# Colab opens a notebook without its repository, so pip fetches the library from the book's public address,
# and leaves Colab's own packages as they are.
ON_COLAB = """\
elif "google.colab" in sys.modules:
    library = "git+{url}@{branch}"
    !{{sys.executable}} -m pip install -q --no-deps {{library}}
"""


class NotebookError(Exception):
    """A cell failed or took too long; the message names notebook and cell."""


def load(path: Path) -> NotebookNode:
    """Read a notebook; cells without an id get one from their place, so that it is the same next time."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["nbformat_minor"] = max(raw.get("nbformat_minor", 5), 5)
    for place, cell in enumerate(raw["cells"], start=1):
        cell.setdefault("id", f"cell-{place}")
    return nbformat.reads(json.dumps(raw), as_version=4)


def first_cell(book: Path = BOOK) -> str:
    """The source of each notebook's first code cell, which depends on `repository` in _config.yml."""
    repository = yaml.safe_load((book.parent / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return FIRST_CELL.format(on_colab=ON_COLAB.format(**repository) if repository["url"] else "")


def execute(notebook: NotebookNode, folder: Path, name: str, seconds: float = CELL_SECONDS) -> None:
    """Run all cells in a fresh kernel in `folder`; raise NotebookError at the first that fails or is slow."""
    running = {}
    client = NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        on_cell_execute=lambda cell, cell_index: running.update(number=cell_index + 1, source=cell.source),
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        slow = f"it took more than {seconds} s:\n{running['source']}"
        reason = slow if isinstance(error, CellTimeoutError) else str(error)
        raise NotebookError(f"{name}, cell {running['number']} of the file: {reason}") from error


def normalise(notebook: NotebookNode) -> None:
    """Bring an executed notebook into the normal form, in place."""
    notebook.metadata = nbformat.from_dict(KERNEL)  # drops widget state with all else
    count = 0
    for cell in notebook.cells:
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = [] if IGNORE in cell.metadata.get("tags", []) else cell.outputs
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    nbformat.validate(notebook)


def refresh(path: Path) -> bool:
    """Execute and normalise one notebook; write it and return True if that changed it."""
    before = path.read_text(encoding="utf-8")
    notebook = load(path)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    if "remove-cell" in first.metadata.get("tags", []):
        first.source = first_cell()
    execute(notebook, path.parent, path.name)
    normalise(notebook)
    after = nbformat.writes(notebook, version=4) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


def main(arguments: list[str]) -> int:
    """Refresh the notebooks named, or all; return the exit code."""
    for path in [Path(argument) for argument in arguments] or sorted(BOOK.glob("*.ipynb")):
        start = time.perf_counter()
        try:
            changed = refresh(path)
        except NotebookError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
        print(f"{path.name}: {time.perf_counter() - start:.1f} s, {'changed' if changed else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
