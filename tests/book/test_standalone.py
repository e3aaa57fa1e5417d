"""Stand-alone notebooks: what they carry, that they run on Colab's versions, and when pages link to Colab."""

import ast
import base64
import json
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import notebooks
import pytest
import standalone
import yaml
from colab import LAST_CELL, VERSIONS, Colab, execute
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from plain_markdown import Translator

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
WHEEL = b"any bytes " * 20
EXTENSIONS = {"colon_fence", "dollarmath"}
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}


def small(*sources):
    """A notebook as in the book: text, the first cell, and a cell of each source."""
    first = new_code_cell(notebooks.first_cell(), metadata={"tags": ["remove-cell"]})
    metadata = nbformat.from_dict(notebooks.KERNEL)
    cells = [new_markdown_cell("# A page"), first, *map(new_code_cell, sources)]
    return new_notebook(cells=cells, metadata=metadata)


# The notebook itself.


@pytest.fixture
def library(tmp_path):
    """A library of one file."""
    (tmp_path / "models.py").write_text("import torch\nfrom diffusion_lib import data\n", encoding="utf-8")
    return tmp_path


def copy_of(notebook, library=ROOT / "diffusion_lib", wheel=WHEEL):
    """The stand-alone notebook, where a role says what it is about."""
    parser = create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML)
    translator = Translator(parser, lambda role: role.split("`")[1])
    return standalone.stand_alone(notebook, translator, library, wheel)


def test_a_notebook_in_plain_markdown_keeps_all_but_its_first_code_cell(library):
    notebook = small("x = 1", "print(x)")
    notebook.cells[-1].outputs = [new_output("stream", name="stdout", text="1\n")]
    before = nbformat.writes(notebook)
    result = copy_of(notebook, library)
    assert nbformat.writes(notebook) == before
    assert [cell for i, cell in enumerate(result.cells) if i != 1] == [notebook.cells[i] for i in (0, 2, 3)]
    assert result.cells[1].metadata == {"tags": ["remove-cell"], **FOLDED}
    nbformat.validate(result)


def test_code_that_the_page_folds_or_leaves_out_is_folded(library):
    notebook = small("plot()", "assert True", "model = 1")
    for cell, tag in zip(notebook.cells[2:], ["hide-input", "remove-cell", "live"], strict=True):
        cell.metadata["tags"] = [tag]
    result = copy_of(notebook, library)
    assert [FOLDED.items() <= cell.metadata.items() for cell in result.cells[2:]] == [True, True, False]
    assert [cell.source for cell in result.cells[2:]] == ["plot()", "assert True", "model = 1"]


def test_a_solution_is_folded_has_a_title_and_shows_nothing_yet(library):
    notebook = small("print(1)", "print(2)")
    notebook.cells.insert(2, new_markdown_cell("```{solution-start} ex\n```\n\nAn idea."))
    notebook.cells.insert(4, new_markdown_cell("```{solution-end}\n```"))
    for cell in (notebook.cells[3], notebook.cells[5]):
        cell.outputs = [new_output("stream", name="stdout", text="1\n")]
    result = copy_of(notebook, library)
    text, solution, after = result.cells[2:]
    assert text.source == "<details>\n<summary>Solution to ex</summary>\n\nAn idea.\n\n</details>"
    assert solution.source == "# @title Solution to ex\nprint(1)"
    assert FOLDED.items() <= solution.metadata.items()
    assert solution.outputs == []
    assert after == notebook.cells[5]
    nbformat.validate(result)


def test_the_first_cell_brings_the_wheel_and_names_the_packages(library):
    source = copy_of(small("%time 1", "import sklearn.svm"), library).cells[1].source
    calls = [statement.value for statement in ast.parse(source).body[-2:]]
    assert [call.func.id for call in calls] == ["bring_library", "bring_packages"]
    wheel, packages = [ast.literal_eval(call.args[0]) for call in calls]
    assert base64.b64decode(wheel) == WHEEL
    assert packages == {"sklearn": "scikit-learn", "torch": "torch"}


@pytest.mark.slow
def test_the_wheel_is_the_library_and_the_same_each_time():
    content = standalone.build_wheel(ROOT)
    assert content == standalone.build_wheel(ROOT)
    with zipfile.ZipFile(BytesIO(content)) as wheel:
        files = {path: wheel.read(path) for path in wheel.namelist() if path.startswith("diffusion_lib/")}
    kinds, rooms = (
        {".py", ".js", ".css", ".wasm", ".npz", ".safetensors"},
        (ROOT / "diffusion_lib").rglob("*.*"),
    )
    here = [path for path in rooms if path.suffix in kinds or path.parent.name == "results"]
    assert files == {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in here}


# On Colab, in an empty folder.

on_linux_or_mac = pytest.mark.skipif(sys.platform == "win32", reason="links to packages need Linux or macOS")


@pytest.fixture
def run_on_colab(tmp_path, monkeypatch):
    """Run a stand-alone notebook in an empty folder; check where the library came from; return its views."""

    def run(notebook, lacks=()):
        colab = Colab(tmp_path, lacks)
        monkeypatch.setenv("JUPYTER_PATH", str(colab.folder))
        result = copy_of(notebook, wheel=standalone.build_wheel(ROOT))
        result.cells.append(new_code_cell(LAST_CELL))
        folder = tmp_path / "empty"
        folder.mkdir()
        execute(result, folder)
        seen = json.loads(result.cells.pop().outputs[0].text)
        assert seen["versions"] == VERSIONS
        assert Path(seen["library"]).parents[1].name.startswith("diffusion_lib-"), "the one it brought along"
        assert seen["custom widgets"], "without this, Colab draws no anywidget"
        assert seen["folder"] == str(folder)
        assert not [path for path in seen["path"] if Path(path).is_relative_to(ROOT)]
        assert all((colab.packages / package).is_dir() for package in lacks), "the first cell installed them"
        return views(result)

    return run


def views(notebook):
    """The recorded state of each widget that is shown."""
    models = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    kind = "application/vnd.jupyter.widget-view+json"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output for output in outputs if kind in output.get("data", ())]
    return [models[output.data[kind]["model_id"]] for output in shown]


def assert_is_a_stepper(model):
    """All that is needed to draw the widget is in the notebook."""
    content = model["state"]["content"]
    lengths = [len(axis["values"]) for axis in content["axes"]]
    assert len(content["frames"]) == lengths[0] * (lengths[1] if lengths[1:] else 1) > 0
    (buffer,) = model["buffers"]
    assert buffer["path"] == ["coordinates"]
    assert base64.b64decode(buffer["data"])
    assert "render" in model["state"]["_esm"]


STEPPER = """\
import torch
from diffusion_lib.show.widgets import Axis, Frame, Stepper, points
frames = [Frame(f"Step {i}.", [points(torch.randn(20, 2))]) for i in range(3)]
Stepper("Three steps", [Axis("step", range(3))], frames)
"""


@on_linux_or_mac
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # starting a kernel is not ours to judge
def test_a_stepper_on_colab(run_on_colab):
    (view,) = run_on_colab(small(STEPPER), lacks=["tqdm"])
    assert_is_a_stepper(view)


@on_linux_or_mac
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_on_colab(path, run_on_colab):
    found = run_on_colab(nbformat.read(path, as_version=4))
    assert len(found) > 1, "the live view and at least one step-through"
    for view in found:
        assert_is_a_stepper(view)


# The pages: the download, and the link to Colab once the book has an address.

CONTENTS = "format: jb-book\nroot: book/page\n"
COPIED = (*standalone.BUILT_FROM, "diffusion_lib", "book/_ext", "book/assets", "book/references.bib")


def build(folder, url="", text="# A page"):
    """Build a copy of the book that has the address `url` and one small page with `text`; return the page."""
    (folder / "book").mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = url
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "_toc.yml").write_text(CONTENTS, encoding="utf-8")
    (folder / "_build").mkdir()
    (folder / "_build" / "evidence.json").write_text("{}", encoding="utf-8")
    notebook = small("1 + 1")
    notebook.cells[0].source = text
    notebook.cells[1].source = notebooks.first_cell(folder / "book")
    nbformat.write(notebook, folder / "book" / "page.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "-W", "--keep-going", "-q", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return folder / "_build" / "html" / "book" / "page.html"


@pytest.mark.long
def test_the_page_offers_the_stand_alone_notebook_and_no_link_to_colab(tmp_path):
    page = build(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert 'href="../_sources/book/page.ipynb"' in text
    offered = nbformat.read(page.parent / "../_sources/book/page.ipynb", as_version=4)
    source = nbformat.read(tmp_path / "book" / "page.ipynb", as_version=4)
    expected = copy_of(source, tmp_path / "diffusion_lib", standalone.build_wheel(tmp_path))
    assert offered == expected
    assert "colab" not in text.lower()
    assert "github" not in text.lower()


@pytest.mark.long
def test_the_build_stops_at_text_that_has_no_plain_form(tmp_path):
    with pytest.raises(AssertionError, match="book/page: the directive note has no form in the notebook"):
        build(tmp_path, text="# A page\n\n:::{note}\nText.\n:::")


@pytest.mark.long
def test_with_an_address_the_page_links_to_colab_where_pip_finds_the_library(tmp_path):
    text = build(tmp_path, url="https://github.com/someone/a-book").read_text(encoding="utf-8")
    link = "https://colab.research.google.com/github/someone/a-book/blob/main/book/page.ipynb"
    assert f'href="{link}"' in text
    source = nbformat.read(tmp_path / "book" / "page.ipynb", as_version=4).cells[1].source
    assert 'library = "git+https://github.com/someone/a-book@main"' in source
    assert max(map(len, source.splitlines())) <= 84


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_first_cell_knows_the_address(path):
    cells = nbformat.read(path, as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert first.source == notebooks.first_cell(), "run `make notebooks`"
