"""Chapter 5 in real JupyterLab and Notebook 7: it runs, is watched, interrupted, run again, and stepped."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, stay_local
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.xdist_group("front ends")  # one at a time: each starts a server and a kernel

START_SECONDS = 60
RUN_SECONDS = 240
CHAPTER_SECONDS = 900
STEPS = 5000  # more than twice the chapter's: time enough to reach for the menu before training ends
HALF_WAY = 8  # pictures, which are taken in the first fifth of the steps

PATHS = {"lab": "lab/workspaces/test/tree", "notebook": "notebooks"}
ALL = [pytest.param(name, marks=pytest.mark.long) for name in PATHS]
LAB_FIRST = ["lab", pytest.param("notebook", marks=pytest.mark.long)]

# Every frame of a widget that is shown while its cell runs.
RECORD = """() => {
  window.seen = new Set();
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const prompt = target.closest?.(".jp-Cell")?.querySelector(".jp-InputPrompt")?.textContent;
      if (prompt?.includes("*") && Number(target.dataset.frames)) window.seen.add(target.dataset.frame);
    }
  }).observe(document, { subtree: true, attributeFilter: ["data-frame"] });
}"""

FRAMES = "enough => Number(document.querySelector('.stepper')?.dataset.frames) >= enough"

# What the kernel knows of the model: is it the one of the last picture, and which step is that?
ASK = """\
torch.manual_seed(1)
first = TimeMLP(schedule)  # as the live cell made it
pairs = list(zip(network.parameters(), first.parameters(), strict=True))
print("finite:", all(bool(now.isfinite().all()) for now, _ in pairs))
print("moved:", all(bool((now != before).any()) for now, before in pairs))
seen, same = live.trajectories[-1], torch.Generator().manual_seed(1)
print("as seen:", torch.equal(seen, model.trajectory(seen.shape[1], same)))
print("steps:", len(live.run.losses), live.run.kept, live.steps[-1])"""


CHAPTER = nbformat.read(ROOT / "book" / "05_epsilon_objective.ipynb", as_version=4)
CODE = [cell for cell in CHAPTER.cells if cell.cell_type == "code"]
LIVE = next(i for i, cell in enumerate(CODE) if "live" in cell.metadata.get("tags", []))
MAKERS = ("train_live(", "Stepper(", "reverse_process(", ".guesses(")
WIDGETS = sum(word in cell.source for cell in CODE for word in MAKERS)


def chapter_to_the_cell_after_the_live_one() -> nbformat.NotebookNode:
    """The chapter's code up to there, and a question to the kernel in between."""
    cells = deepcopy([*CODE[: LIVE + 1], nbformat.v4.new_code_cell(ASK), CODE[LIVE + 1]])
    cells[LIVE].source = live_cell(STEPS)
    return nbformat.v4.new_notebook(cells=cells, metadata=CHAPTER.metadata)


def live_cell(steps: int) -> str:
    """The live cell, with so many steps."""
    source = CODE[LIVE].source
    assert source.count("steps=1000") == 1
    return source.replace("steps=1000", f"steps={steps}")


def settings(folder: Path) -> None:
    """No news from the network, and every cell on the page, also one that is out of sight."""
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
            urllib.request.urlopen(f"{url}api", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"Jupyter did not start within {START_SECONDS} s", pytrace=False)


@pytest.fixture
def jupyter(tmp_path) -> Iterator[str]:
    """The address of a server of both front ends, with settings of its own, in `tmp_path`."""
    settings(tmp_path / "settings")
    own = {f"JUPYTER{name}_DIR": str(tmp_path / "own") for name in ("_CONFIG", "_DATA", "_RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "PYTHONPATH": str(ROOT)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token="]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--notebook-dir={tmp_path}"]
    with open(tmp_path / "log.txt", "w") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
        try:
            wait_until_up(f"http://127.0.0.1:{port}/", server)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(timeout=20)


@pytest.fixture
def open_notebook(chromium: Browser, jupyter: str, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a notebook without outputs in a front end, and wait for its kernel."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(START_SECONDS * 1000)
    stay_local(context)

    def open_notebook(front_end: str, notebook: nbformat.NotebookNode) -> Page:
        notebook = deepcopy(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, tmp_path / "chapter.ipynb")
        page = context.new_page()
        # Before there is a kernel, the page calls it idle, too.
        with page.expect_websocket(lambda socket: "/channels" in socket.url):
            page.goto(f"{jupyter}{PATHS[front_end]}/chapter.ipynb")
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
        return page

    yield open_notebook
    context.close()


def choose(page: Page, menu: str, item: str) -> None:
    """Choose an item of a menu."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def wait_for_run(page: Page, cell: Locator, number: int, seconds: float = RUN_SECONDS) -> None:
    """Wait until a cell is the `number`-th to have run; fail if this or another shows an error."""
    done = cell.get_by_text(f"[{number}]:", exact=True)
    error = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    done.or_(error).first.wait_for(timeout=seconds * 1000)
    assert not error.count(), error.first.inner_text()[-1000:]


def output(cell: Locator, stream: str) -> str:
    """What a cell has printed, or warned."""
    return cell.locator(f'[data-mime-type="application/vnd.jupyter.{stream}"]').inner_text()


def rewrite(page: Page, cell: Locator, source: str) -> None:
    """Type another text into a cell."""
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(source)


def step(stepper: Locator) -> None:
    """Step a widget by keys, from its first frame to the second and to the last."""
    slider = stepper.get_by_role("slider").last
    last = int(slider.get_attribute("max"))
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1)):
        slider.press(key)
        expect(slider).to_have_js_property("value", str(place))
        frames = int(stepper.get_attribute("data-frames"))
        assert int(stepper.get_attribute("data-frame")) % (last + 1) == place, f"{key}, of {frames} frames"


@pytest.mark.timeout(3 * RUN_SECONDS + 2 * START_SECONDS)
@pytest.mark.parametrize("front_end", LAB_FIRST)
def test_the_live_cell_is_watched_interrupted_and_run_again(open_notebook, front_end):
    page = open_notebook(front_end, chapter_to_the_cell_after_the_live_one())
    live, ask, after = map(page.locator(".jp-CodeCell").nth, range(LIVE, LIVE + 3))
    stepper = live.locator(".stepper[data-drawn]")
    page.evaluate(RECORD)
    choose(page, "Run", "Run All Cells")
    page.wait_for_function(FRAMES, arg=HALF_WAY, timeout=RUN_SECONDS * 1000)
    choose(page, "Kernel", "Interrupt Kernel")
    wait_for_run(page, after, LIVE + 3)  # the cells behind it have run, too
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
    assert page.evaluate("window.seen.size") >= 5, "fewer than five frames were shown while the cell ran"

    *truths, steps = output(ask, "stdout").splitlines()
    assert truths == ["finite: True", "moved: True", "as seen: True"]
    done, kept, seen = map(int, steps.removeprefix("steps: ").split())
    assert done == kept == seen
    assert 0 < done < STEPS
    said = f"interrupted. The model is that of step {done}"
    assert f"Training ended early: {said}." in output(live, "stderr")
    expect(stepper).to_contain_text(f"Ended at step {done}: {said}: distance to data")
    step(stepper)

    rewrite(page, live, live_cell(200))
    page.keyboard.press("ControlOrMeta+Enter")
    wait_for_run(page, live, LIVE + 4)
    expect(stepper).to_have_count(1)
    expect(stepper).to_contain_text("Trained 200 steps in")
    step(stepper)


@pytest.mark.timeout(CHAPTER_SECONDS + 120)
@pytest.mark.parametrize("front_end", ALL)
def test_the_chapter_runs_from_the_menu_and_its_widgets_step(open_notebook, front_end):
    page = open_notebook(front_end, CHAPTER)
    choose(page, "Run", "Run All Cells")
    wait_for_run(page, page.locator(".jp-CodeCell").last, len(CODE), CHAPTER_SECONDS)
    steppers = page.locator(".stepper[data-drawn]")
    expect(steppers).to_have_count(WIDGETS)
    for stepper in steppers.all():
        step(stepper)


TAB = """\
import torch

from diffusion_lib import data
from diffusion_lib.models import Diffusion, TimeMLP
from diffusion_lib.process import schedules
from diffusion_lib.show.widgets import train_live

schedule = schedules.even_log_snr(T=20)
model = Diffusion(TimeMLP(schedule), schedule)
before = [weights.detach().clone() for weights in model.parameters()]
draw = data.Standardiser.fit(data.swiss_roll(5000))
x_0 = draw(data.swiss_roll(5000))
fresh = lambda n, generator: draw(data.swiss_roll(n, generator))
live = train_live(model, x_0, fresh, steps=60, roll=draw, engine="tab")"""
TAB_ASK = """\
print("moved:", all(bool((a != b).any()) for a, b in zip(model.parameters(), before, strict=True)))
print("finite:", bool(model.sample(100).isfinite().all()))
print(len(live.run.losses), live.run.stopped or "to the end", len(live.view))
print(live.reverse_process([20, 10, 0]), live.steps[-1])"""


def test_the_tab_trains_for_a_notebook(open_notebook):
    cells = list(map(nbformat.v4.new_code_cell, (TAB, TAB_ASK)))
    page = open_notebook("lab", nbformat.v4.new_notebook(cells=cells, metadata=CHAPTER.metadata))
    live, ask = map(page.locator(".jp-CodeCell").nth, range(2))
    live.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+Enter")
    stepper = live.locator(".stepper[data-drawn]")
    expect(stepper).to_contain_text("Trained in your browser: 60 steps", timeout=RUN_SECONDS * 1000)
    ask.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+Enter")
    wait_for_run(page, ask, 2)
    pictures = int(stepper.get_attribute("data-frames"))
    said = ["moved: True", "finite: True", f"60 to the end {pictures}"]
    reverse = f"Stepper('Training and the reverse process', {3 * pictures} frames) 60"
    assert output(ask, "stdout").splitlines() == [*said, reverse]
    step(stepper)
