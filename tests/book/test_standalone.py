"""Stand-alone notebooks: what they carry, that they run on Colab's versions, and when pages link to Colab."""

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import nbformat
import notebooks
import pytest
import standalone
import yaml
from colab import LAST_CELL, VERSIONS, Colab, execute
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book").glob("0*.ipynb"))
WHEEL = ("diffusion_lib-0.0-py3-none-any.whl", b"any bytes " * 20)


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


def test_only_the_first_code_cell_changes(library):
    notebook = small("x = 1", "print(x)")
    notebook.cells[-1].outputs = [new_output("stream", name="stdout", text="1\n")]
    before = nbformat.writes(notebook)
    result = standalone.stand_alone(notebook, library, WHEEL)
    assert nbformat.writes(notebook) == before
    assert [cell for i, cell in enumerate(result.cells) if i != 1] == [notebook.cells[i] for i in (0, 2, 3)]
    assert result.cells[1].metadata == {"tags": ["remove-cell"], **standalone.HIDDEN}
    nbformat.validate(result)


def first_cell_run(source, find_spec, run, monkeypatch):
    """Run a stand-alone first cell with other answers to what is installed, and to pip's commands."""
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(subprocess, "run", run)
    exec(source, {})


@pytest.fixture
def first_cell(library):
    """The source of a first cell that needs torch and sklearn."""
    return standalone.stand_alone(small("%time 1", "import sklearn.svm"), library, WHEEL).cells[1].source


def test_it_installs_the_wheel_that_it_carries(first_cell, monkeypatch):
    seen = []

    def run(command, **_):
        seen.append((command, Path(command[-1]).name, Path(command[-1]).read_bytes()))

    first_cell_run(first_cell, lambda name: name != "diffusion_lib" or None, run, monkeypatch)
    ((command, *wheel),) = seen
    assert tuple(wheel) == WHEEL
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert {"--no-deps", "--no-index"} < set(command)


def test_it_does_nothing_where_all_is_installed(first_cell, monkeypatch):
    first_cell_run(first_cell, lambda name: True, lambda *_, **__: pytest.fail("ran a command"), monkeypatch)


def test_it_installs_missing_packages_or_says_that_it_cannot(first_cell, monkeypatch):
    commands = []

    def offline(command, **_):
        commands.append(command)
        return SimpleNamespace(returncode=1)

    with pytest.raises(ModuleNotFoundError, match=r"could not install scikit-learn\. Is there a network\?"):
        first_cell_run(first_cell, lambda name: name != "sklearn" or None, offline, monkeypatch)
    assert [command[4:] for command in commands] == [["-q", "scikit-learn"]]


def test_it_asks_for_pytorch_and_does_not_install_it(first_cell, monkeypatch):
    run = lambda *_, **__: pytest.fail("ran a command")  # noqa: E731
    with pytest.raises(ModuleNotFoundError, match="needs PyTorch"):
        first_cell_run(first_cell, lambda name: None, run, monkeypatch)


@pytest.mark.slow
def test_the_wheel_is_the_library_and_the_same_each_time():
    name, content = standalone.build_wheel(ROOT)
    assert (name, content) == standalone.build_wheel(ROOT)
    with zipfile.ZipFile(BytesIO(content)) as wheel:
        files = {path: wheel.read(path) for path in wheel.namelist() if path.startswith("diffusion_lib/")}
    here = [path for path in (ROOT / "diffusion_lib").rglob("*.*") if path.suffix in {".py", ".js", ".css"}]
    assert files == {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in here}


# On Colab, in an empty folder.

on_linux_or_mac = pytest.mark.skipif(sys.platform == "win32", reason="links to packages need Linux or macOS")


@pytest.fixture
def run_on_colab(tmp_path, monkeypatch):
    """Run a stand-alone notebook in an empty folder; check where the library came from; return its views."""

    def run(notebook, lacks=()):
        colab = Colab(tmp_path, lacks)
        monkeypatch.setenv("JUPYTER_PATH", str(colab.folder))
        result = standalone.stand_alone(notebook, ROOT / "diffusion_lib", standalone.build_wheel(ROOT))
        result.cells.append(new_code_cell(LAST_CELL))
        folder = tmp_path / "empty"
        folder.mkdir()
        execute(result, folder)
        seen = json.loads(result.cells.pop().outputs[0].text)
        assert seen["versions"] == VERSIONS
        assert Path(seen["library"]).is_relative_to(colab.packages)
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


def build(folder, url):
    """Build a copy of the book that has the address `url` and one small page; return the page."""
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
    notebook.cells[1].source = notebooks.first_cell(folder / "book")
    nbformat.write(notebook, folder / "book" / "page.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "-W", "--keep-going", "-q", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return folder / "_build" / "html" / "book" / "page.html"


@pytest.mark.long
def test_the_page_offers_the_stand_alone_notebook_and_no_link_to_colab(tmp_path):
    page = build(tmp_path, url="")
    text = page.read_text(encoding="utf-8")
    assert 'href="../_sources/book/page.ipynb"' in text
    offered = nbformat.read(page.parent / "../_sources/book/page.ipynb", as_version=4)
    expected = standalone.stand_alone(
        nbformat.read(tmp_path / "book" / "page.ipynb", as_version=4),
        tmp_path / "diffusion_lib",
        standalone.build_wheel(tmp_path),
    )
    assert offered == expected
    assert "colab" not in text.lower()
    assert "github" not in text.lower()


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
