"""Every page of the built book in Firefox, opened as a file: formulas, widgets, width, nothing refused."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PIXELS, skip_or_fail
from firefox import Firefox, until
from test_pages import FINISH_MATH, OVERFLOW, PHONE, WIDE

NAMES = ["firefox", "firefox-esr"]
FORMULAS = """() => ['.math', 'mjx-container', 'mjx-merror, [data-mjx-error]'].map(
  (name) => document.querySelectorAll('article ' + name).length)"""
RECORDED = """() => document.querySelectorAll(
  'script[type="application/vnd.jupyter.widget-view+json"]').length"""
# A widget is drawn when it comes into the window.
SHOW = """(widget) => { const root = document.querySelectorAll('div.stepper')[widget];
  root?.scrollIntoView({behavior: 'instant'}); return root?.hasAttribute('data-drawn'); }"""
# It stands still then; the answer is the number of its sliders.
PAUSE = """(widget) => { const root = document.querySelectorAll('div.stepper')[widget];
  root.querySelector('button[data-on=true]')?.click();
  return root.querySelectorAll('input[type=range]').length; }"""
FOCUS = """(widget, slider) =>
  document.querySelectorAll('div.stepper')[widget].querySelectorAll('input[type=range]')[slider].focus()"""
DRAWING = f"(widget) => ({PIXELS})(document.querySelectorAll('div.stepper')[widget])"


@pytest.fixture(scope="session")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    found = [path for path in map(shutil.which, [os.environ.get("FIREFOX", ""), *NAMES]) if path]
    if not found:
        skip_or_fail("no Firefox found: install it, or name it in the variable FIREFOX")
    browser = Firefox(found[0], Path(tmp_path_factory.mktemp("firefox")))
    yield browser
    browser.close()


def unstepped(firefox: Firefox, widget: int) -> list[str]:
    """What is wrong with one widget: it isn't drawn, or a slider's last frame looks like its first."""
    if not until(lambda: firefox.ask(SHOW, widget)):
        return [f"widget {widget} is not drawn"]
    found = []
    for slider in range(firefox.ask(PAUSE, widget)):
        firefox.ask(FOCUS, widget, slider)
        firefox.press("Home")
        first = firefox.ask(DRAWING, widget)
        firefox.press("End")
        if not until(lambda first=first: firefox.ask(DRAWING, widget) != first):
            found.append(f"widget {widget}, slider {slider}: the last frame looks like the first")
    return found


def test_page_in_firefox(firefox, as_files, book_page):
    firefox.resize(**WIDE)
    firefox.open(as_files + book_page)
    assert firefox.ask(FINISH_MATH)
    written, typeset, unreadable = firefox.ask(FORMULAS)
    assert (typeset, unreadable) == (written, 0)
    assert [problem for i in range(firefox.ask(RECORDED)) for problem in unstepped(firefox, i)] == []
    assert firefox.ask(OVERFLOW) <= 0
    firefox.resize(**PHONE)
    assert firefox.ask(OVERFLOW) <= 0
    assert firefox.ask("() => window.problems") == []


PRESS = "() => document.querySelector('.stepper-button').click()"
VIEW = """() => { const root = document.querySelector('div.stepper:has(.stepper-button)');
  return [Number(root.dataset.frames), root.querySelector('.stepper-said').textContent]; }"""


@pytest.mark.parametrize("way", ["served", "as_files"])
def test_a_reader_trains_in_firefox(firefox, request, way):
    firefox.resize(**WIDE)
    firefox.open(request.getfixturevalue(way) + "book/05_epsilon_objective.html")
    assert until(lambda: firefox.ask("() => document.querySelector('.stepper-button') !== null"))
    recorded, _ = firefox.ask(VIEW)
    firefox.ask(PRESS)
    seen = set()

    def done() -> bool:
        frames, said = firefox.ask(VIEW)
        seen.add(frames)
        return said.startswith("Trained in your browser")

    assert until(done, 120)
    assert len(seen - {0, recorded}) >= 5
    assert firefox.ask("() => window.problems") == []
