"""A chapter's live cell in a real JupyterLab: the reader sees it stream while it runs."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, stay_local

pytestmark = pytest.mark.xdist_group("lab")  # one JupyterLab for all of them

START_SECONDS = 60
RUN_SECONDS = 180

# What JupyterLab shows while a cell runs, and every frame of a widget seen under that sign.
RECORD = """() => {
  window.seen = new Set();
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const prompt = target.closest?.(".jp-Cell")?.querySelector(".jp-InputPrompt")?.textContent;
      if (prompt?.includes("*") && Number(target.dataset.frames)) window.seen.add(target.dataset.frame);
    }
  }).observe(document, { subtree: true, attributeFilter: ["data-frame"] });
}"""

STREAMING = """\
import time
import numpy as np
from diffusion_lib.widgets import Axis, Frame, Stepper, points

stepper = Stepper("Streaming", [Axis("step")])
display(stepper)
for step in range(12):
    stepper.append(Frame(f"Step {step}.", [points(np.random.randn(500, 2))]), step)
    time.sleep(0.15)
"""


def live_notebooks() -> dict[str, nbformat.NotebookNode]:
    """A small notebook of our own, and chapter 5's code up to its cell tagged `live`.

    The live view is the same in all chapters, and their code runs elsewhere, so one chapter will do.
    """
    path = ROOT / "book" / "05_epsilon_objective.ipynb"
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    live = next(i for i, cell in enumerate(cells) if "live" in cell.metadata.get("tags", []))
    small = notebook([nbformat.v4.new_code_cell(STREAMING)])
    return {"streaming.ipynb": small, path.name: notebook(cells[: live + 1])}


def notebook(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """A notebook of these cells, for this Python."""
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


NOTEBOOKS = live_notebooks()


def settings(folder: Path) -> None:
    """JupyterLab's settings: no news from the network, and every cell's output on the page."""
    chosen = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for name, values in chosen.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


def wait_until_up(url: str, server: subprocess.Popen) -> None:
    """Return once the server answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start within {START_SECONDS} s", pytrace=False)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab with settings of its own, which serves the notebooks from a new folder."""
    folder = tmp_path_factory.mktemp("lab")
    for name, content in NOTEBOOKS.items():
        nbformat.write(content, folder / name)
    settings(folder / "settings")
    own = {f"JUPYTER{name}_DIR": str(folder / "own") for name in ("_CONFIG", "_DATA", "_RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "PYTHONPATH": str(ROOT)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token="]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--notebook-dir={folder}"]
    with open(folder / "log.txt", "w") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
        try:
            wait_until_up(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=20)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_live_cell_streams_in_jupyterlab(chromium, lab, name):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    stay_local(context)
    page = context.new_page()
    page.set_default_timeout(START_SECONDS * 1000)
    # A workspace of its own: the common one would open the notebooks of earlier tests again.
    page.goto(f"{lab}/lab/workspaces/{Path(name).stem}/tree/{name}")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=START_SECONDS * 1000)
    page.evaluate(RECORD)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    done = page.locator(".jp-CodeCell").last.get_by_text(f"[{len(NOTEBOOKS[name].cells)}]:", exact=True)
    error = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    done.or_(error).first.wait_for(timeout=RUN_SECONDS * 1000)
    assert not error.count(), error.first.inner_text()[-1000:]
    assert page.evaluate("window.seen.size") >= 5, "fewer than five frames were shown while the cell ran"
    stepper = page.locator(".jp-CodeCell").last.locator(".stepper[data-drawn]").first
    slider = stepper.get_by_role("slider").last
    slider.press("Home")
    assert stepper.get_attribute("data-frame") == "0", "the run that was watched can be replayed"
    context.close()
