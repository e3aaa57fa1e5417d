"""Pages for readers with a keyboard or a screen reader; `test_pages` has what axe finds on pages at rest."""

import re

import pytest
from bs4 import BeautifulSoup
from conftest import PAGES, SITE
from playwright.sync_api import Locator, Page, expect
from test_pages import FINISH_MATH, PHONE, barriers

CHAPTER = "book/02_hvae.html"
SMALL = "book/references.html"
MOST_STOPS = 300  # of a chapter, so that a trap ends the test

# Notes each element that gets the focus, what it is, and whether one can see that it has it.
RECORD = """() => {
  window.stops = [];
  const met = new Set();
  document.addEventListener("focusin", ({ target }) => {
    const seen = [target, ...target.children].some((part) => { // the theme rings an arrow in its summary
      const style = getComputedStyle(part), box = part.getBoundingClientRect();
      const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
      const ringed = /rgb\\([^)]*\\) 0px 0px 0px [2-9]/.test(style.boxShadow); // without transparency
      return box.width > 0 && box.right > 0 && box.left < innerWidth && (outlined || ringed);
    });
    window.stops.push({ tag: target.tagName, kind: target.className, html: target.outerHTML.slice(0, 120),
                        seen, again: met.has(target) });
    met.add(target);
  });
}"""
WHERE = "() => [document.activeElement.tagName, window.stops.at(-1)?.again]"


def stops(page: Page) -> list[dict]:
    """Where the key Tab leads, until it leaves the page."""
    page.evaluate(RECORD)
    for _ in range(MOST_STOPS // 10):
        for _ in range(10):
            page.keyboard.press("Tab")
        tag, again = page.evaluate(WHERE)
        if tag == "BODY" or again:
            break
    found = page.evaluate("window.stops")
    return found[: next((i for i, stop in enumerate(found) if stop["again"]), None)]


@pytest.mark.parametrize("width", [1280, PHONE["width"]])
def test_keyboard_leads_through_a_chapter(open_page, served, width):
    page = open_page(served + CHAPTER, width)
    page.wait_for_selector(".stepper[data-drawn]")
    page.wait_for_function(FINISH_MATH)
    found = stops(page)
    assert [stop["html"] for stop in found if not stop["seen"]] == []
    assert 'href="#main-content"' in found[0]["html"], "the first stop is not the link past the navigation"
    kinds = " ".join(stop["kind"] for stop in found)
    for control in (".stepper-play", ".stepper-speed", ".eq-number", ".copybtn", ".left-prev", ".right-next"):
        there = page.locator(f"{control}:visible").count()
        assert kinds.split().count(control[1:]) == there > 0, f"{control} is left out"
    sliders = page.locator(".stepper input").count()
    assert sum('type="range"' in stop["html"] for stop in found) == sliders > 0
    symbols = [stop for stop in found if stop["tag"] == "MJX-CONTAINER" and "display=" not in stop["html"]]
    assert not symbols, "the way is long: each symbol in the text is a stop"


@pytest.fixture(params=["light", "dark"])
def small(open_page, served, request) -> Page:
    return open_page(served + SMALL, color_scheme=request.param)


def opened(button: Locator, what: Locator) -> None:
    """Open a part of the page with the keyboard."""
    button.press("Enter")
    expect(what).to_be_visible()


def test_no_barriers_in_what_the_theme_opens(small):
    search = small.locator(".search-button__search-container input")
    opened(small.locator(".search-button__button:visible"), search)
    expect(search).to_be_focused()
    assert barriers(small) == []
    search.press("Escape")
    expect(search).to_be_hidden()
    opened(small.get_by_role("button", name="Download this page"), small.locator(".dropdown-menu"))
    assert barriers(small) == []
    small.keyboard.press("Escape")
    small.set_viewport_size(PHONE)
    column = small.locator(".bd-sidebar-primary")
    expect(column).not_to_be_in_viewport()
    opened(small.get_by_role("button", name="Toggle primary sidebar"), column)
    expect(column).to_be_in_viewport(ratio=0.9)
    assert barriers(small) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_says_what_it_shows(page):
    article = BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser").find("article")
    pictures = [picture.get("alt", "") for picture in article.find_all("img")]
    pictures += [drawing.get("aria-label", "") for drawing in article.find_all("svg", role="img")]
    poor = [words for words in pictures if len(words.split()) < 4 or re.fullmatch(r"\S+\.(png|svg)", words)]
    assert poor == []
