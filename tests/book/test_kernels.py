"""A notebook that was saved with a kernel of one's own is refused in words, before anything waits for it."""

import subprocess
import sys

import kernels
import nbformat
import pytest
from nbformat.v4 import new_notebook
from sphinx.errors import ExtensionError


def saved(folder, name, **metadata):
    path = folder / name
    nbformat.write(new_notebook(metadata=metadata), path)
    return path


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Two notebooks as they should be, one of them without any kernel's name."""
    monkeypatch.setattr(kernels, "BOOK", tmp_path)
    saved(tmp_path, "01.ipynb", kernelspec={"name": "python3", "display_name": "Python 3"})
    saved(tmp_path, "02.ipynb")
    return tmp_path


def test_the_usual_kernel_is_welcome(book):
    kernels.refuse(None)


def test_another_is_refused_with_the_way_out(book):
    saved(book, "03.ipynb", kernelspec={"name": "my-env", "display_name": "my-env (3.12)"})
    with pytest.raises(ExtensionError, match=r"^03\.ipynb .*'my-env'.*run `make notebooks`\.$"):
        kernels.refuse(None)


def test_the_makefile_goes_on_when_there_is_nothing_to_refuse():
    subprocess.run([sys.executable, kernels.__file__], check=True)
