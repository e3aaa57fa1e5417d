"""This notebook brings the library of its book along: the long text at the end of this cell.

The cell puts the library where Python finds it, without pip and without touching another version that may be
installed, and asks pip for the packages that are missing. If that can't work here, it says why.
"""

import atexit
import importlib
import shutil
import subprocess
import sys
from base64 import b64decode
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from zipfile import ZipFile

RUN_AGAIN = "then run this cell again"


def bring_library(wheel):
    """Import the library that is in the wheel, a zip file in base64."""
    archive = ZipFile(BytesIO(b64decode(wheel)))
    found = find_spec("diffusion_lib")
    places = found and found.submodule_search_locations or ()
    if not any(is_in(Path(place).parent, archive) for place in places):
        if "diffusion_lib" in sys.modules:
            raise ImportError(f"Another version of the library is imported. Restart the kernel, {RUN_AGAIN}.")
        folder = mkdtemp(prefix="diffusion_lib-")  # no zip on the path: widgets are drawn from files
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        archive.extractall(folder)
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    importlib.import_module("diffusion_lib")  # says so if Python or PyTorch is too old for it


def is_in(folder, archive):
    """Whether the folder has the library's files just as they are in the archive."""
    names = [name for name in archive.namelist() if name.startswith("diffusion_lib/")]
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == archive.read(name) for name in names
    )


def bring_packages(needed):
    """Let pip install what is missing of the packages, {module: package}."""
    missing = [package for module, package in needed.items() if not find_spec(module)]
    if not missing:
        return
    needs = f"This notebook needs {' and '.join(missing)}, "
    if not find_spec("pip"):
        how = f"the way you installed PyTorch, such as `uv pip install {' '.join(missing)}`"
        raise ModuleNotFoundError(f"{needs}and this Python has no pip. Install it {how}, {RUN_AGAIN}.")
    command = [sys.executable, "-m", "pip", "install", "-q", *missing]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ModuleNotFoundError(f"{needs}and pip could not install it here. pip says:\n\n{done.stderr}")
    importlib.invalidate_caches()
    if not all(map(find_spec, needed)):
        raise ModuleNotFoundError(f"{needs}which pip has just installed. Restart the kernel, {RUN_AGAIN}.")
