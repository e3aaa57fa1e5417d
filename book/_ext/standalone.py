"""Sphinx extension: a page's notebook can be downloaded, carries the library, and runs wherever PyTorch is.

The first code cell of a notebook makes `import diffusion_lib` work. In the copy that a page offers for
download this cell holds the library's wheel as text, so that neither this repository nor a network is needed.

The pages link to Colab, too, once `repository.url` is set in _config.yml.
"""

import ast
import base64
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config

LIBRARY = "diffusion_lib"
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
EPOCH = "315532800"  # 1980, the first year a zip file knows: the same files give the same wheel at any time


# The text of this function goes into the notebooks, so it brings its own imports.
def install(name: str, needed: dict[str, str], wheel: str) -> None:
    """Install what is missing: packages of `needed`, {module: package}, and the library from its wheel."""
    import base64
    import importlib
    import subprocess
    import sys
    from importlib.util import find_spec
    from pathlib import Path
    from tempfile import TemporaryDirectory

    pip = [sys.executable, "-m", "pip", "install", "-q"]
    missing = [package for module, package in needed.items() if not find_spec(module)]
    if "torch" in missing:
        raise ModuleNotFoundError("This notebook needs PyTorch: 'Get started' on pytorch.org says how.")
    if missing and subprocess.run([*pip, *missing]).returncode:
        raise ModuleNotFoundError(f"pip could not install {', '.join(missing)}. Is there a network?")
    if not find_spec("diffusion_lib"):
        with TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(base64.b64decode(wheel))
            subprocess.run([*pip, "--no-deps", "--no-index", str(Path(folder, name))], check=True)
    importlib.invalidate_caches()


CELL = '''\
# @title The book's library: run this cell first
# This notebook brings the library of its book along: the long text at the end of this cell. Where the
# library, or a package that it needs, is not installed, this cell installs it. Elsewhere it does nothing.

{function}


install("{name}", {needed}, """
{wheel}""")'''
# Collapsed in JupyterLab and VS Code; on Colab, only the title is shown.
HIDDEN = {"jupyter": {"source_hidden": True}, "cellView": "form"}


def build_wheel(project: Path) -> tuple[str, bytes]:
    """The library's wheel, its name and content, built in a folder of its own and without a network."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "source")
        shutil.copytree(project / LIBRARY, source / LIBRARY, ignore=shutil.ignore_patterns("__pycache__"))
        for name in BUILT_FROM:
            shutil.copy2(project / name, source)
        options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
        command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
        subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH})
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.name, wheel.read_bytes()


@cache
def packages() -> dict[str, list[str]]:
    """The packages that provide each module: a second's work, which all notebooks share."""
    return metadata.packages_distributions()


def needed(sources: Iterable[str]) -> dict[str, str]:
    """The modules that the sources import, but for Python's own and the library, each with its package."""
    modules = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module.partition(".")[0])
    return {module: packages()[module][0] for module in sorted(modules - sys.stdlib_module_names - {LIBRARY})}


def stand_alone(notebook: NotebookNode, library: Path, wheel: tuple[str, bytes]) -> NotebookNode:
    """A copy of the notebook whose first code cell installs the library from the wheel (name, content)."""
    notebook = deepcopy(notebook)
    first, *others = (cell for cell in notebook.cells if cell.cell_type == "code")
    python = TransformerManager().transform_cell  # %magic and !command as Python
    sources = [python(cell.source) for cell in others]
    sources += [path.read_text(encoding="utf-8") for path in library.rglob("*.py")]
    name, content = wheel
    first.source = CELL.format(
        function=inspect.getsource(install).rstrip(),
        name=name,
        needed=json.dumps(needed(sources)),
        wheel=base64.encodebytes(content).decode(),
    )
    first.metadata.update(HIDDEN)
    return notebook


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Put the stand-alone notebooks where the pages' download buttons lead."""
    sources = {Path(app.outdir, "_sources", page + ".ipynb"): page for page in app.env.found_docs}
    notebooks = {path: page for path, page in sources.items() if path.is_file()}
    if exception or app.builder.format != "html" or not notebooks:
        return
    wheel = build_wheel(Path(app.confdir))
    for path, page in notebooks.items():
        notebook = nbformat.read(app.env.doc2path(page), as_version=4)
        nbformat.write(stand_alone(notebook, Path(app.confdir, LIBRARY), wheel), path)


def link_to_colab(app: Sphinx, config: Config) -> None:
    """Without a public address there is nothing that Colab could open."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.get("launch_buttons", {}).pop("colab_url", None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", link_to_colab)
    app.connect("build-finished", write_notebooks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
