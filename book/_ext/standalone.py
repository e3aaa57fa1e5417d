"""Sphinx extension: a page's notebook can be downloaded, carries the library, and runs wherever PyTorch is.

In the copy that a page offers, the first code cell holds the library's wheel as text, so that neither this
repository nor a network is needed (first_cell.py). The text is plain Markdown (plain_markdown.py), with
numbers and references as on the page, and code that the page folds is folded.

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
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import first_cell
import nbformat
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import Reporter, new_document
from IPython.core.inputtransformer2 import TransformerManager
from markdown_it.renderer import RendererHTML
from myst_parser.parsers.mdit import create_md_parser
from myst_parser.parsers.sphinx_ import MystParser
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from plain_markdown import NotPlainError, Translator
from pybtex.backends.markdown import Backend
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.util.docutils import sphinx_domains

LIBRARY = "diffusion_lib"
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
EPOCH = "315532800"  # 1980, the first year a zip file knows: the same files give the same wheel at any time
CELL = '''\
# @title The book's library: run this cell first
{code}

bring_library("""
{wheel}""")
bring_packages({needed})'''
ROUND = str.maketrans("[]", "()")  # the page's brackets are links; without these, they only look odd
FOLDED = {"hide-input", "remove-cell"}  # the tags of code that the page folds, or leaves out


def build_wheel(project: Path) -> bytes:
    """The library's wheel, built in a folder of its own and without a network."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "source")
        shutil.copytree(project / LIBRARY, source / LIBRARY, ignore=shutil.ignore_patterns("__pycache__"))
        for name in BUILT_FROM:
            shutil.copy2(project / name, source)
        options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
        command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
        subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH})
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.read_bytes()


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


def fold(cell: NotebookNode, title: str = "") -> None:
    """Fold the cell's code in JupyterLab and VS Code; on Colab, only its title is shown, if it has one."""
    cell.metadata.update({"jupyter": {"source_hidden": True}, "cellView": "form"})
    if title and not cell.source.startswith("%%"):
        cell.source = f"# @title {title}\n{cell.source}"


def stand_alone(notebook: NotebookNode, translator: Translator, library: Path, wheel: bytes) -> NotebookNode:
    """A copy of the notebook in plain Markdown, whose first code cell brings the library, as a wheel."""
    notebook = deepcopy(notebook)
    first, *others = (cell for cell in notebook.cells if cell.cell_type == "code")
    python = TransformerManager().transform_cell  # %magic and !command as Python
    sources = [python(cell.source) for cell in others]
    sources += [path.read_text(encoding="utf-8") for path in library.rglob("*.py")]
    first.source = CELL.format(
        code=inspect.getsource(first_cell).rstrip(),
        needed=json.dumps(needed(sources)),
        wheel=base64.encodebytes(wheel).decode(),
    )
    cells, notebook.cells = notebook.cells, []
    for cell, solution in translator.cells(cells):
        notebook.cells.append(cell)
        if solution:
            cell.outputs, cell.execution_count = [], None  # they would stand open under the question
        if solution or FOLDED & set(cell.metadata.get("tags", [])):
            fold(cell, solution)
    return notebook


def words(app: Sphinx, page: str, role: str) -> str:
    """What a role, as it is written in MyST, says on a page, in plain Markdown."""
    app.env.prepare_settings(page)
    settings = get_default_settings(MystParser)
    settings.env, settings.halt_level = app.env, Reporter.WARNING_LEVEL
    document = new_document(app.env.doc2path(page), settings)
    parser = MystParser()
    parser.set_application(app)
    with sphinx_domains(app.env):
        parser.parse(role, document)
    app.env.resolve_references(document, page, app.builder)
    text = markdown(document[0])  # behind this paragraph, extensions add scripts
    return text.translate(ROUND) if role.startswith("{cite:") else text


def markdown(node: nodes.Node) -> str:
    """A role's text, with its code as code."""
    if isinstance(node, nodes.literal):
        return f"`{node.astext()}`"
    if isinstance(node, nodes.Text):
        return node.astext()
    return "".join(map(markdown, node.children))


def references(app: Sphinx, page: str) -> list[NotebookNode]:
    """A cell with the entries of what the page cites, if any: a notebook has no page of references."""
    cited = app.env.get_domain("cite")
    keys = {target.key for ref in cited.citation_refs if ref.docname == page for target in ref.targets}
    found = [citation.formatted_entry.text for citation in cited.citations if citation.key in keys]
    entries = {text.render(Backend()) for text in found}
    source = "\n".join(["## References", "", *(f"- {entry}" for entry in sorted(entries))])
    return [new_markdown_cell(source)] if entries else []


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Put the stand-alone notebooks where the pages' download buttons lead."""
    sources = {Path(app.outdir, "_sources", page + ".ipynb"): page for page in app.env.found_docs}
    notebooks = {path: page for path, page in sources.items() if path.is_file()}
    if exception or app.builder.format != "html" or not notebooks:
        return
    wheel = build_wheel(Path(app.confdir))
    for path, page in notebooks.items():
        notebook = nbformat.read(app.env.doc2path(page), as_version=4)
        parser = create_md_parser(app.env.myst_config, RendererHTML)
        try:
            translator = Translator(parser, partial(words, app, page))
            copy = stand_alone(notebook, translator, Path(app.confdir, LIBRARY), wheel)
        except NotPlainError as error:
            raise ExtensionError(f"{page}: {error} has no form in the notebook to download") from error
        copy.cells += references(app, page)
        nbformat.write(copy, path)


def link_to_colab(app: Sphinx, config: Config) -> None:
    """Without a public address there is nothing that Colab could open."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.get("launch_buttons", {}).pop("colab_url", None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", link_to_colab)
    app.connect("build-finished", write_notebooks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
