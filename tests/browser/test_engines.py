"""Every page of the built book in Firefox, and in WebKit where it is: formulas, widgets, width, training."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PIXELS, skip_or_fail
from engine_probe import HASHES, as_json, parts, session_settings
from firefox import Firefox, until
from test_pages import FINISH_MATH, OVERFLOW, PHONE, WIDE
from webkit import BROWSERS, WebKit

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


@pytest.fixture(scope="session")
def webkit() -> Iterator[WebKit]:
    found = [shutil.which("WebKitWebDriver"), shutil.which("Xvfb"), next(map(str, BROWSERS), None)]
    if not all(found):
        pytest.skip("no WebKit found: Debian's packages webkit2gtk-driver and xvfb have it")
    browser = WebKit(*found)
    yield browser
    browser.close()


def unstepped(browser: Firefox | WebKit, widget: int) -> list[str]:
    """What is wrong with one widget: it isn't drawn, or a slider's last frame looks like its first."""
    if not until(lambda: browser.ask(SHOW, widget)):
        return [f"widget {widget} is not drawn"]
    found = []
    for slider in range(browser.ask(PAUSE, widget)):
        browser.ask(FOCUS, widget, slider)
        browser.press("Home")
        first = browser.ask(DRAWING, widget)
        browser.press("End")
        if not until(lambda first=first: browser.ask(DRAWING, widget) != first):
            found.append(f"widget {widget}, slider {slider}: the last frame looks like the first")
    return found


def faults(browser: Firefox | WebKit, address: str) -> list[str]:
    """What is wrong with a page: what cannot be read, or stepped, or is too wide."""
    browser.resize(**WIDE)
    browser.open(address)
    assert browser.ask(FINISH_MATH)
    written, typeset, unreadable = browser.ask(FORMULAS)
    found = [f"{written} formulas, {typeset} typeset"] if typeset != written else []
    found += [f"{unreadable} formulas that cannot be read"] if unreadable else []
    found += [problem for i in range(browser.ask(RECORDED)) for problem in unstepped(browser, i)]
    for size in (WIDE, PHONE):
        browser.resize(**size)
        found += [f"too wide in {size}"] if browser.ask(OVERFLOW) > 0 else []
    return found


PRESS = "() => document.querySelector('.stepper-button').click()"
VIEW = """() => { const root = document.querySelector('div.stepper:has(.stepper-button)');
  return [Number(root.dataset.frames), root.querySelector('.stepper-said').textContent]; }"""


def pictures_of_a_training(browser: Firefox | WebKit, address: str) -> int:
    """How many pictures were seen to grow, from the press of the button to the end."""
    browser.resize(**WIDE)
    browser.open(address + "book/05_epsilon_objective.html")
    assert until(lambda: browser.ask("() => document.querySelector('.stepper-button') !== null"))
    recorded, _ = browser.ask(VIEW)
    browser.ask(PRESS)
    seen = set()

    def done() -> bool:
        frames, said = browser.ask(VIEW)
        seen.add(frames)
        return said.startswith("Trained in your browser")

    assert until(done, 120)
    return len(seen - {0, recorded})


def test_page_in_firefox(firefox, as_files, book_page):
    assert faults(firefox, as_files + book_page) == []
    assert firefox.ask("() => window.problems") == []


@pytest.mark.parametrize("way", ["served", "as_files"])
def test_a_reader_trains_in_firefox(firefox, request, way):
    assert pictures_of_a_training(firefox, request.getfixturevalue(way)) >= 5
    assert firefox.ask("() => window.problems") == []


def hashes(browser: Firefox, folder: Path) -> dict:
    """What a short training comes to, bit by bit: the hash of its weights, and those of its pictures."""
    (folder / "probe.js").write_text(parts(), encoding="utf-8")
    page = folder / "page.html"
    page.write_text('<!doctype html><meta charset="utf-8"><script src="probe.js"></script>', encoding="utf-8")
    browser.open(page.as_uri())
    asked = as_json(["hashes", [session_settings()]])
    return browser.ask("async (text) => JSON.parse(await probe(...JSON.parse(text)))", asked)


def test_firefox_trains_to_the_last_bit_as_node_and_chromium_do(firefox, tmp_path):
    assert hashes(firefox, tmp_path) == HASHES


@pytest.mark.long
def test_page_in_webkit(webkit, as_files, book_page):
    assert faults(webkit, as_files + book_page) == []


@pytest.mark.long
def test_a_reader_trains_in_webkit(webkit, as_files):
    assert pictures_of_a_training(webkit, as_files) >= 5
