"""The pages in browsers as readers have them: with stored settings, without a storage, older ones."""

import re

import pytest
from conftest import SITE, steppers
from playwright.sync_api import expect
from test_pages import FINISH_MATH

CHAPTER = "book/05_epsilon_objective.html"
SMALL = "book/notation.html"


def fresh_page(chromium, address, *scripts, **settings):
    """A page that runs the scripts before its own, and the errors on it."""
    page = chromium.new_page(**settings)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for script in scripts:
        page.add_init_script(script)
    page.goto(address)
    return page, errors


@pytest.mark.parametrize("renderer", ["SVG", "CHTML", "none such"])
def test_no_stored_setting_stops_the_formulas(chromium, served, renderer):
    stored = f"""localStorage.setItem("MathJax-Menu-Settings",
        JSON.stringify({{renderer: "{renderer}", scale: 9, autocollapse: true}}))"""
    page, errors = fresh_page(chromium, served + SMALL, stored)
    page.wait_for_function(FINISH_MATH)
    formulas = page.locator("article .math")
    assert page.locator("article mjx-container[jax=CHTML]").count() == formulas.count() > 50
    page.locator("article mjx-container").first.click(button="right")
    expect(page.locator(".CtxtMenu_Menu")).to_have_count(0)
    assert errors == []
    page.close()


REFUSED = """for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, {
    get() { throw new DOMException("The document is sandboxed", "SecurityError") }, configurable: true })"""


def test_a_page_without_storage_still_searches_and_turns_dark(chromium, served):
    page, errors = fresh_page(chromium, served + "search.html?q=posterior", REFUSED)
    expect(page.locator("#search-results li").first).to_be_visible()
    page.goto(served + SMALL)
    html, button = page.locator("html"), page.locator(".theme-switch-button:visible").first
    seen = set()
    for _ in range(3):
        button.click()
        seen.add(html.get_attribute("data-mode"))
    assert seen == {"light", "dark", "auto"}
    assert errors == []
    page.close()


@pytest.mark.parametrize(
    ("asked", "equation"),
    [("Tweedie", "score-tweedie"), ("CFG", "cond-guided"), ("I-MMSE identity", "bits-immse")],
)
def test_the_search_finds_a_formula_by_its_name(chromium, served, asked, equation):
    page, errors = fresh_page(chromium, f"{served}search.html?q={asked}")
    found = page.locator(f"#search-results li a[href$='#equation-{equation}']").first
    expect(found).to_be_visible()
    with page.expect_navigation():  # until the page is loaded, which takes a busy machine long
        found.click()
    expect(page.locator(f"#equation-{equation}")).to_be_in_viewport()
    lit = page.locator("article .highlighted").all_text_contents()
    assert all(len(word) > 1 for word in lit)
    assert errors == []
    page.close()


@pytest.mark.parametrize(("asked", "words"), [("I-MMSE identity", {"mmse", "identity"}), ("x t", {"x", "t"})])
def test_a_letter_is_looked_for_only_alone(chromium, served, asked, words):
    page, _ = fresh_page(chromium, served + "search.html")
    assert set(page.evaluate("(asked) => splitQuery(asked.toLowerCase())", asked)) == words
    page.close()


def test_a_sandboxed_frame_shows_formulas_and_widgets(chromium, served):
    page, errors = fresh_page(chromium, served + SMALL)
    frame = f'<iframe sandbox="allow-scripts" width=1000 height=700 src="{served + CHAPTER}"></iframe>'
    page.route(served + "platform.html", lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto(served + "platform.html")
    frame = page.frame_locator("iframe")
    expect(frame.locator("article mjx-container").first).to_be_attached()
    expect(frame.locator(".stepper[data-drawn]").first).to_be_attached()
    assert errors == []
    page.close()


def test_an_older_browser_draws_square_corners(chromium, served):
    page, errors = fresh_page(
        chromium, served + CHAPTER, "delete CanvasRenderingContext2D.prototype.roundRect"
    )
    assert steppers(page)
    assert errors == []
    page.close()


def test_where_nothing_can_be_drawn_the_key_frames_stand(chromium, served):
    broken = "CanvasRenderingContext2D.prototype.clip = () => { throw new Error('no clip here') }"
    page, _ = fresh_page(chromium, served + CHAPTER, broken)
    for place in page.locator(".widget-place").all():
        expect(place.locator(".widget-failed")).to_contain_text("no clip here")
        expect(place.locator(".widget-strip")).to_be_visible()
    page.close()


def test_without_popovers_no_note_lies_over_the_text():
    """The rule is for browsers that do not know popovers; this one does, so the style sheet is read."""
    css = (SITE / "_static" / "equation_checks.css").read_text(encoding="utf-8")
    rule = re.search(r"@supports not selector\(:popover-open\) \{\s*\.eq-note \{\s*display: none;", css)
    assert rule
