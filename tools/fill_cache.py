"""A pytest plugin: the notebooks that pass `pytest --nbval` are kept, executed, for the book's build.

nbval drops widgets and whatever it does not compare; the build would execute each notebook again to get them.
With `--fill-cache FOLDER`, nbclient, with which the build executes, reads nbval's messages along. It makes of
them the notebook that it would have executed itself, and FOLDER, a jupyter-cache, gets those that pass whole.

    python -m pytest -p tools.fill_cache --fill-cache _build/.jupyter_cache --nbval book
"""

import fcntl
from collections.abc import Generator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbval.plugin import IPyNbFile


class KeptNotebook(IPyNbFile):
    """A notebook in nbval's hands, and what nbclient makes of its kernel's messages."""

    def setup(self) -> None:
        """Start nbval's kernel, and an nbclient that executes nothing."""
        super().setup()
        notebook = deepcopy(self.nb)  # nbval compares with the outputs of self.nb
        self.client = NotebookClient(notebook, record_timing=False)
        self.client.kc = self.kernel.kc
        info = self.kernel.kc.kernel_info(reply=True, timeout=60)["content"]
        notebook.metadata["language_info"] = info["language_info"]
        self.code = [i for i, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        self.started = self.passed = 0
        self.request = ""

    def get_kernel_message(self, timeout: float | None = None, stream: str = "iopub") -> dict[str, Any]:
        """The kernel's next message; nbclient gets it, too, if it belongs to the cell that runs."""
        message = super().get_kernel_message(timeout, stream)
        sender = message["parent_header"].get("msg_id")
        if message["msg_type"] == "execute_input":  # a cell starts
            self.request, self.index = sender, self.code[self.started]
            self.started += 1
            self.client.nb.cells[self.index].outputs = []
            self.client.clear_before_next_output = False
        if sender == self.request:
            if "execution_count" in message["content"]:
                message["content"]["execution_count"] = self.started  # nbval's kernel counts no cells
            try:
                self.client.process_message(message, self.client.nb.cells[self.index], self.index)
            except CellExecutionComplete:
                self.request = ""
        return message

    def note_pass(self) -> None:
        """Count a cell that has passed; after the last, cache the notebook."""
        self.passed += 1
        if self.passed == len(self.code):
            self.client.set_widgets_metadata()
            bundle = CacheBundleIn(self.client.nb, str(self.path))
            with open(__file__) as lock:  # a cache that two workers write to at once loses notebooks
                fcntl.flock(lock, fcntl.LOCK_EX)
                get_cache(self.config.option.fill_cache).cache_notebook_bundle(bundle, overwrite=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Without the option, the plugin does nothing."""
    parser.addoption("--fill-cache", metavar="FOLDER", help="a jupyter-cache for the notebooks that pass")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Put ours in the place of nbval's notebooks."""
    found = yield
    if not parent.config.option.fill_cache:
        return found
    return [KeptNotebook.from_parent(parent, path=file_path) if type(c) is IPyNbFile else c for c in found]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tell a notebook that its cell has passed: a cell that fails, or is skipped, raises here."""
    result = yield
    if isinstance(item.parent, KeptNotebook):
        item.parent.note_pass()
    return result
