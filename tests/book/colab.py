"""A Python like Colab's: its versions of what draws widgets, no library, and away from this folder."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from nbclient import NotebookClient

VERSIONS = "anywidget==0.9.21 ipykernel==6.17.1 ipython==7.34.0 ipywidgets==7.7.1".split()
DROPPED = "backcall decorator ipython_genutils nest_asyncio pickleshare".split()  # newer versions need none
NOT_ON_COLAB = (
    "diffusion_lib",
    "__editable__",
    "constriction",
    "ot",
    "pot-",
)  # how their folders' names begin

FAKE_MODULE = """\
custom_widgets = False

def enable_custom_widget_manager():
    global custom_widgets
    custom_widgets = True

class _widgets:
    _installed_url = None
"""

LAST_CELL = """\
import json, os, sys
import anywidget, diffusion_lib, google.colab.output, ipykernel, IPython, ipywidgets
modules = (anywidget, ipykernel, IPython, ipywidgets)
versions = [f"{module.__name__.lower()}=={module.__version__}" for module in modules]
folders = {"library": diffusion_lib.__file__, "folder": os.getcwd(), "path": sys.path}
custom_widgets = google.colab.output.custom_widgets
print(json.dumps({"versions": versions, "custom widgets": custom_widgets, **folders}))
"""


class Colab:
    """A Python with Colab's versions; all else is what this Python has, but for what Colab lacks."""

    def __init__(self, folder, lacks=()):
        self.folder, self.lacks = folder / "colab", (*NOT_ON_COLAB, *lacks)
        venv.create(self.folder, symlinks=True)
        self.python = self.folder / "bin" / "python"
        self.packages = next((self.folder / "lib").glob("python*/site-packages"))
        self._pip_install(*VERSIONS, *DROPPED)
        self._share_packages()
        self._fake_colab()
        self._kernel()

    def _pip_install(self, *packages):
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q", "--no-deps"]
        done = subprocess.run([*command, *packages], capture_output=True, text=True)
        if done.returncode and not os.environ.get("CI"):
            pytest.skip(f"pip could not install Colab's versions: {done.stderr[-300:]}")
        assert not done.returncode, done.stderr

    def _share_packages(self):
        """Links to this Python's packages, in a folder that comes after the new one's own."""
        shared = self.folder / "shared"
        shared.mkdir()
        for path in Path(pytest.__file__).parents[1].iterdir():
            if not path.name.lower().startswith(self.lacks) and path.suffix != ".pth":
                (shared / path.name).symlink_to(path)
        (self.packages / "shared.pth").write_text(f"{shared}\nimport google.colab.output\n")

    def _fake_colab(self):
        package = self.packages / "google" / "colab"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "output.py").write_text(FAKE_MODULE)

    def _kernel(self):
        kernel = self.folder / "kernels" / "colab"
        kernel.mkdir(parents=True)
        argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {
            "argv": argv,
            "display_name": "Colab",
            "env": {"PYTHONPATH": "", "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(self.folder / "ipython")},
        }
        (kernel / "kernel.json").write_text(json.dumps(spec))


def execute(notebook, folder):
    """Run all cells with the kernel `colab` in the folder."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, kernel_name="colab", timeout=600, resources=resources).execute()
