"""The first code cell, of the book's notebooks and of those to download, in Pythons as readers have them.

It makes `import diffusion_lib` work, or says why it can't: without pip or PyTorch, or with an older library.
"""

import base64
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import first_cell
import notebooks
import pytest
import standalone
import torch
from IPython.core.inputtransformer2 import TransformerManager

import diffusion_lib

ROOT = Path(__file__).parents[2]


def python(code, *path, folder="/"):
    """Run code in a Python of its own, with these folders where it looks for modules."""
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": ":".join(map(str, path)), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def library(folder, version):
    """A library of one file in a folder."""
    package = folder / "diffusion_lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"VERSION = {version!r}\n", encoding="utf-8")
    return folder


# The library itself says what it needs, wherever it was put.


def test_the_least_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = "{}.{}".format
    assert project["requires-python"].startswith(f">={least(*diffusion_lib.PYTHON)}")
    assert f"torch>={least(*diffusion_lib.TORCH)}" in project["dependencies"]


@pytest.mark.parametrize("version", ["2.2.2", "1.13.1+cu117"])
def test_an_old_pytorch_is_refused(version, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(ImportError, match=rf"needs PyTorch 2\.3 or newer; this is {re.escape(version)}"):
        importlib.reload(diffusion_lib)


@pytest.mark.parametrize("version", ["2.3.0", "2.10.0a0+git", "3.0"])
def test_a_newer_pytorch_is_not(version, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version)
    importlib.reload(diffusion_lib)


def test_an_old_python_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    with pytest.raises(ImportError, match="needs Python 3.11 or newer; this is"):
        importlib.reload(diffusion_lib)


def test_without_pytorch_it_says_where_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="needs PyTorch: 'Get started' on pytorch.org"):
        importlib.reload(diffusion_lib)


# The cell of a notebook to download: the library.


def wheel(version):
    """A wheel of the library of one file, as a notebook carries it."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("diffusion_lib/__init__.py", f"VERSION = {version!r}\n")
        archive.writestr(f"diffusion_lib-{version}.dist-info/RECORD", "")
    return base64.encodebytes(content.getvalue()).decode()


def bring(version, before="", after=""):
    """Code that brings the library of one file, with code before and after."""
    path = Path(first_cell.__file__).parent
    return f"import sys\n{before}\nsys.path.insert(0, {str(path)!r})\nimport first_cell\n" + (
        f"first_cell.bring_library({wheel(version)!r})\nimport diffusion_lib\n{after}\n"
        "print(diffusion_lib.VERSION, diffusion_lib.__file__)"
    )


def test_the_library_needs_no_pip_and_leaves_nothing_behind():
    done = python(bring("new", before="sys.modules['pip'] = sys.modules['ensurepip'] = None"))
    version, file = done.stdout.split()
    assert version == "new"
    assert not Path(file).parents[1].exists()


def test_it_comes_before_an_older_one_that_is_installed(tmp_path):
    done = python(bring("new"), library(tmp_path, "old"))
    assert done.stdout.startswith("new ")


def test_one_that_is_the_same_stays(tmp_path):
    done = python(bring("new"), library(tmp_path, "new"))
    assert done.stdout.split() == ["new", str(tmp_path / "diffusion_lib" / "__init__.py")]


def test_the_cell_can_run_again():
    again = f"first_cell.bring_library({wheel('new')!r})"
    assert python(bring("new", after=again)).stdout.startswith("new ")


def test_with_another_version_imported_it_asks_for_a_restart(tmp_path):
    done = python(bring("new", before="import diffusion_lib"), library(tmp_path, "old"))
    assert done.returncode
    assert "Another version of the library is imported. Restart the kernel" in done.stderr


@pytest.mark.slow
def test_the_real_library_draws_its_widgets_from_there(tmp_path):
    carried = tmp_path / "carried.txt"  # longer than a command may be
    carried.write_bytes(base64.encodebytes(standalone.build_wheel(ROOT)))
    code = f"import first_cell\nfirst_cell.bring_library(open({str(carried)!r}).read())\n"
    code += "from diffusion_lib.show.widgets import Stepper\nprint(Stepper._esm)"
    done = python(code, Path(first_cell.__file__).parent, library(tmp_path, "old"))
    assert "render" in done.stdout, done.stderr


# The packages.


class Pip:
    """In pip's place: the commands it gets, and what it answers."""

    def __init__(self, monkeypatch, installed, code=0, stderr="", installs=()):
        self.installed, self.commands = {*installed}, []
        self.answer, self.installs = SimpleNamespace(returncode=code, stderr=stderr), installs
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(first_cell, "find_spec", lambda name: name in self.installed or None)

    def run(self, command, **_):
        self.commands.append(command)
        self.installed |= {*self.installs}
        return self.answer


NEEDED = {"sklearn": "scikit-learn", "torch": "torch", "tqdm": "tqdm"}


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch):
    pip = Pip(monkeypatch, installed=NEEDED)
    first_cell.bring_packages(NEEDED)
    assert pip.commands == []


def test_pip_installs_what_is_missing(monkeypatch):
    pip = Pip(monkeypatch, installed={"pip", "torch", "tqdm"}, installs={"sklearn"})
    first_cell.bring_packages(NEEDED)
    assert pip.commands == [[sys.executable, "-m", "pip", "install", "-q", "scikit-learn"]]


def test_without_pip_it_names_the_packages_and_another_way(monkeypatch):
    pip = Pip(monkeypatch, installed={"torch"})
    with pytest.raises(
        ModuleNotFoundError, match="scikit-learn and tqdm, and this Python has no pip.*uv pip"
    ):
        first_cell.bring_packages(NEEDED)
    assert pip.commands == []


def test_where_pip_refuses_it_says_what_pip_says(monkeypatch):
    Pip(monkeypatch, {"pip", "torch", "tqdm"}, code=1, stderr="error: externally-managed-environment")
    with pytest.raises(ModuleNotFoundError, match="needs scikit-learn.*\n\nerror: externally-managed"):
        first_cell.bring_packages(NEEDED)


def test_where_the_kernel_does_not_see_what_pip_installed_it_asks_for_a_restart(monkeypatch):
    Pip(monkeypatch, installed={"pip", "torch", "tqdm"})
    with pytest.raises(ModuleNotFoundError, match="which pip has just installed. Restart the kernel"):
        first_cell.bring_packages(NEEDED)


# The cell of the book's own notebooks.


@pytest.fixture
def checkout(tmp_path):
    """A folder with a library of one file and a place for notebooks."""
    folder = library(tmp_path / "checkout", "of the folder")
    (folder / "diffusion_lib" / "measure.py").touch()
    (folder / "diffusion_lib" / "show.py").touch()
    (folder / "book").mkdir()
    return folder


OWN_CELL = notebooks.FIRST_CELL.format(on_colab="")


def test_a_notebook_uses_the_library_of_its_folder(checkout, tmp_path):
    code = f"{OWN_CELL}\nprint(diffusion_lib.VERSION)"
    done = python(code, library(tmp_path / "installed", "old"), folder=checkout / "book")
    assert done.stdout == "of the folder\n", done.stderr


def test_in_a_kernel_that_lacks_something_it_says_what_and_which_kernel_does_not(checkout):
    (checkout / "diffusion_lib" / "measure.py").write_text("import sklearn_is_missing")
    done = python(OWN_CELL, folder=checkout / "book")
    message = done.stderr.splitlines()[-1]
    expected = f"ImportError: No module named 'sklearn_is_missing', in this kernel, {sys.executable}. "
    assert message.startswith(expected)
    assert ".venv/bin/jupyter lab book" in message


def test_with_another_library_imported_it_asks_for_a_restart(checkout, tmp_path):
    other = library(tmp_path / "installed", "old")
    for name in ("measure.py", "show.py"):
        (other / "diffusion_lib" / name).touch()
    done = python(f"import diffusion_lib\n{OWN_CELL}", other, folder=checkout / "book")
    assert "Another diffusion_lib is imported: restart the kernel." in done.stderr


def test_on_colab_pip_fetches_the_library_alone(monkeypatch, tmp_path):
    on_colab = notebooks.ON_COLAB.format(url="https://github.com/someone/a-book", branch="main")
    code = TransformerManager().transform_cell(notebooks.FIRST_CELL.format(on_colab=on_colab))
    commands = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    names = {"get_ipython": lambda: SimpleNamespace(system=commands.append)}
    exec(code, names)
    assert commands == ["{sys.executable} -m pip install -q --no-deps {library}"]
    assert names["library"] == "git+https://github.com/someone/a-book@main"
