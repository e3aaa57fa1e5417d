"""Sphinx extension: refuse a notebook that names a kernel which only one machine has.

JupyterLab and VS Code store the name of the kernel in which a notebook last ran. One of another name than the
usual cannot be started elsewhere, and jupyter-cache then waits for it without end: so the Makefile asks, too,
before anything is executed.

    python book/_ext/kernels.py
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NAME = "python3"
BOOK = Path(__file__).parents[1]


def refusals(paths: Iterable[Path]) -> list[str]:
    """A line for each notebook with another kernel: what it names, and what to do."""
    names = {path.name: kernel(path) for path in paths}
    return [
        f"{file} was saved with the kernel {name!r}, which other machines do not have: run `make notebooks`."
        for file, name in names.items()
        if name != NAME
    ]


def kernel(path: Path) -> str:
    """The name of the kernel that a notebook asks for; without one, Jupyter takes its usual one."""
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("kernelspec", {}).get("name", NAME)


def refuse(app: Sphinx) -> None:
    """End the build before a notebook is executed."""
    if found := refusals(sorted(BOOK.glob("*.ipynb"))):
        raise ExtensionError("\n".join(found))


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.connect("builder-inited", refuse)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    sys.exit("\n".join(refusals(sorted(BOOK.glob("*.ipynb")))) or None)
