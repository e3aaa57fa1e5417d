"""Every page of the built book: on a wide light screen that turns narrow and dark, and as a file on a phone.

A page is opened once for all that is asked of it, for loading it takes longer than most of the questions.
Each question's answer is a list of what is wrong.
"""

import gzip
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from conftest import SITE, pixels, steppers
from playwright.sync_api import Page, expect

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 900}
ZOOMED = {"width": 320, "height": 225}  # the wide screen, with everything four times as large
MOST_BYTES = 2_000_000  # compressed, with everything a page asks for

FINISH_MATH = "() => window.MathJax ? MathJax.startup.promise.then(() => true) : true"
TWO_FRAMES = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Equations and tables wider than the page's column must scroll inside a box of their own.
LOOSE_MATH = """() => [...document.querySelectorAll('article mjx-container')].filter((math) => {
  const column = document.querySelector('article').getBoundingClientRect();
  const holder = math.closest('div.math, .cell_output, .pst-scrollable-table-container') ?? math;
  return holder.getBoundingClientRect().right > column.right + 1;
}).map((math) => math.getAttribute('aria-label') ?? math.textContent.slice(0, 80))"""
# On a wide screen an equation fits its line; on a phone it may scroll.
CUT = """() => [...document.querySelectorAll('article div.math > mjx-container')]
  .filter((math) => math.scrollWidth > math.clientWidth + 2).map((math) => math.parentElement.id)"""
# Axe takes most of its time for math and for words of code. One formula, one word of a colour, one argument
# of such words, is to it like the next: twelve formulas do, with those that have a colour of their own, and
# five words or arguments of a kind.
DROP_REPEATED = """() => {
  const plain = 'mjx-container:not(:has([style*=color], [color], [mathcolor]))';
  [...document.querySelectorAll(plain)].slice(12).forEach((formula) => formula.remove());
  const met = {};
  for (const word of document.querySelectorAll('div.highlight span[class], em.sig-param, p > code')) {
    const within = new Set([...word.querySelectorAll('[class]')].map((part) => part.className));
    const kind = [word.tagName, word.className, ...within].join();
    met[kind] = (met[kind] ?? 0) + 1;
    if (met[kind] > 5) word.remove();
  }
}"""
# With `preload`, axe would ask for the style sheets again, at addresses that are not theirs. Without
# `resultTypes`, it would take half of its time to list all that is right.
AXE = {"preload": False, "resultTypes": ["violations"]}
# Transitions and animations that end, like that of the theme's colours from light to dark, have ended.
SETTLE = """async () => {
  // In a closed dropdown an animation waits until somebody opens it.
  const ends = ({ effect, playState }) => playState === "running" &&
    Number.isFinite(effect.getComputedTiming().endTime) && effect.target?.checkVisibility();
  for (let running; (running = document.getAnimations().filter(ends)).length; )
    await Promise.allSettled(running.map((one) => one.finished)); // the end of one may start another
}"""
COLOURS = """root => [...root.querySelectorAll('canvas')].map((canvas) => new Set(new Uint32Array(
  canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)"""


def layout(page: Page) -> list[str]:
    """Mathematics that cannot be read, and what does not fit the window."""
    page.wait_for_function(FINISH_MATH)
    answers = {
        "equations MathJax could not read": page.locator("mjx-merror, [data-mjx-error]").count(),
        "pixels the page scrolls sideways": page.evaluate(OVERFLOW),
        "mathematics outside the column": page.evaluate(LOOSE_MATH),
    }
    return [f"{question}: {answer}" for question, answer in answers.items() if answer]


def barriers(page: Page, **options) -> list[str]:
    """What axe finds on the page, the theme's parts included; `options` are axe's."""
    page.evaluate(DROP_REPEATED)
    page.evaluate(SETTLE)
    found = Axe().run(page, options=AXE | options).response
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]


def weight(page: Page, address: str) -> list[str]:
    """Too many bytes of a page and all that it asked for, each compressed if that makes it smaller."""
    asked = page.evaluate("performance.getEntries().map((entry) => entry.name)")
    files = {unquote(urlsplit(url).path).lstrip("/") for url in asked if url.startswith(address)}
    contents = {name: (SITE / name).read_bytes() for name in files}
    sizes = {name: min(len(gzip.compress(body)), len(body)) for name, body in contents.items()}
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    return [f"{sum(sizes.values())} bytes, the most: {heaviest}"] if sum(sizes.values()) > MOST_BYTES else []


def widgets(page: Page) -> list[str]:
    """Widgets that are not drawn, cannot be stepped, or take another height than was kept free."""
    found = []
    for root in steppers(page):
        if min(root.evaluate(COLOURS)) <= 3:
            found.append("a canvas is blank")
        for slider in root.get_by_role("slider").all():
            slider.press("Home")
            first = pixels(root)
            slider.press("End")
            if pixels(root) == first:
                found.append("the last frame looks like the first")
        used = root.evaluate("root => root.parentElement.offsetHeight")
        root.evaluate("root => { root.style.display = 'none'; root.parentElement.style.minHeight = '' }")
        kept = root.evaluate("root => root.parentElement.offsetHeight")
        root.evaluate("root => { root.style.display = ''; root.parentElement.style.minHeight = '0' }")
        if abs(kept - used) >= 40:
            found.append(f"{kept} pixels kept free, {used} used")
    return found


def small_controls(page: Page) -> list[str]:
    """Controls of widgets that are too small for a finger."""
    controls = [c for root in steppers(page) for c in root.locator("button:visible, input, select").all()]
    boxes = [control.bounding_box() for control in controls]
    return [f"a control of {box}" for box in boxes if min(box["height"], box["width"]) < 40]


def test_page_on_a_screen(open_page, served, book_page):
    page = open_page(served + book_page, WIDE["width"], color_scheme="light")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    assert layout(page) + widgets(page) + weight(page, served) == []
    assert page.evaluate(CUT) == []
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-theme", "dark")
    page.evaluate(TWO_FRAMES)  # widgets follow the window's size
    assert layout(page) == []
    assert barriers(page, runOnly=["color-contrast"]) == []  # of what axe looks at, the theme changes this


def test_page_as_a_file_on_a_phone(open_page, as_files, book_page):
    page = open_page(as_files + book_page, PHONE["width"], color_scheme="dark", has_touch=True)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert layout(page) + small_controls(page) == []
    page.set_viewport_size(ZOOMED)
    assert layout(page) == []


PALE = """<html lang="en"><title>Pale</title><main><h1>Pale</h1><img src="data:,"><img src="data:,">
  <p>Black <span style="color: #ddd">and pale</span></p></main>"""


def test_every_barrier_is_named(open_page):
    page = open_page("about:blank")
    page.set_content(PALE)
    rules = [barrier.split(":")[0] for barrier in barriers(page)]
    assert sorted(rules) == ["color-contrast", "image-alt", "image-alt"]


# The formulas in the window before anything is set, and how many were set when the reader first saw one.
WATCH = """addEventListener("readystatechange", () => {
  if (document.readyState !== "interactive") return;
  const box = (el) => el.getBoundingClientRect();
  const inside = (el) => box(el).bottom > 0 && box(el).top < innerHeight;
  window.inWindow = [...document.querySelectorAll(".math")].filter(inside).length;
  const look = () => {
    window.firstSeen = document.querySelectorAll("mjx-container").length;
    if (!window.firstSeen) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}, { capture: true });
window.themes = [];
new MutationObserver(() => window.themes.push(document.documentElement?.dataset.theme))
  .observe(document, { subtree: true, attributeFilter: ["data-theme"] });"""


def watched(open_page, address: str) -> Page:
    """A page that was watched from its start until all its mathematics was set."""
    page = open_page("about:blank", color_scheme="dark")
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_function(FINISH_MATH)
    return page


# Below the bar at the top, and not further than a line or two. The browser scrolls there smoothly.
# (`wait_for_function` would evaluate text again and again, which the pages' policy forbids.)
ARRIVED = """async () => {
  const end = performance.now() + 20_000;
  let there = 0;
  while (performance.now() < end) {
    const { top } = document.getElementById("exercises").getBoundingClientRect();
    there = 40 < top && top < 120 ? there + 1 : 0;
    if (there === 20) return true; // it has come to rest there
    await new Promise(requestAnimationFrame);
  }
  return false;
}"""
LONGEST = "book/04_posterior.html"


def test_formulas_in_the_window_are_set_first(open_page, served):
    page = watched(open_page, served + LONGEST)
    total = page.locator("mjx-container").count()
    assert 0 < page.evaluate("inWindow") <= page.evaluate("firstSeen") < total / 2
    assert set(page.evaluate("themes")) == {"dark"}, "the page changes from light to dark while it loads"


def test_a_link_into_a_page_leads_where_it_says(open_page, served):
    page = watched(open_page, f"{served}{LONGEST}#exercises")
    assert page.evaluate(ARRIVED), "the place is not at the top of the window"
