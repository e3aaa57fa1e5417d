"""The number of each equation opens a note on how it was checked, and leads to the check."""

import re

import pytest
from conftest import PAGES, SITE
from playwright.sync_api import expect
from test_pages import FINISH_MATH, TWO_FRAMES

CHAPTERS = [page for page in PAGES if re.fullmatch(r"book/\d\d_\w+\.html", page)]
NOTE = re.compile(
    r'<span class="eqno"><button type="button" class="eq-number" popovertarget="(?P<id>[\w-]+)"[^>]*>'
    r'\([\d.]+\)</button><span class="eq-note" id="(?P=id)" popover[^>]*>'
    r'(?P<text>[^<]+) <a href="(?P<source>[^"#]+)#(?P<label>[\w-]+)">'
)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_equation_says_how_it_was_checked(chapter):
    text = (SITE / chapter).read_text(encoding="utf-8")
    notes = list(NOTE.finditer(text))
    assert notes
    assert len(notes) == text.count('class="eqno"')
    for note in notes:
        assert re.match("Checked|The inequality", note["text"])
        checks = (SITE / chapter).parent / note["source"]
        assert f'<section id="{note["label"]}">' in checks.read_text(encoding="utf-8")


@pytest.fixture
def number(open_page, served):
    """The first equation of the first chapter, in a window with a mouse."""
    page = open_page(served + CHAPTERS[0])
    page.wait_for_function(FINISH_MATH)
    page.evaluate("document.fonts.ready.then(() => true)")  # a test may leave the page at once
    number = page.locator(".eq-number").first
    number.scroll_into_view_if_needed()
    return number


def note_of(number):
    return number.page.locator(f"#{number.get_attribute('popovertarget')}")


def test_note_opens_on_hover_and_can_be_reached(number):
    note = note_of(number)
    expect(note).to_be_hidden()
    number.hover()
    expect(note).to_be_visible()
    expect(number).to_have_attribute("aria-expanded", "true")
    note.get_by_role("link").hover()  # on the way there it stays open
    number.page.wait_for_timeout(400)
    expect(note).to_be_visible()
    number.page.mouse.move(5, 5)
    expect(note).to_be_hidden()


def test_note_opens_beside_the_equation_and_inside_the_window(number):
    number.hover()
    expect(note_of(number)).to_be_visible()
    number.page.evaluate(TWO_FRAMES)  # it is moved to its place once it is open
    note, window = note_of(number).bounding_box(), number.page.viewport_size
    beside = number.locator("xpath=ancestor::div[contains(@class, 'math')]").bounding_box()
    assert 0 <= note["x"] <= note["x"] + note["width"] <= window["width"]
    gap = max(note["y"] - beside["y"] - beside["height"], beside["y"] - note["y"] - note["height"])
    assert 0 <= gap < 20


def test_click_keeps_the_note_open(number):
    number.click()
    number.page.mouse.move(5, 5)
    number.page.wait_for_timeout(400)
    expect(note_of(number)).to_be_visible()


def test_note_works_with_the_keyboard_and_leads_to_the_check(number):
    page, note = number.page, note_of(number)
    number.focus()
    page.keyboard.press("Enter")
    expect(note).to_be_visible()
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(number).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(note.get_by_role("link")).to_be_focused()
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(number).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/checks/**")
    label = page.url.partition("#")[2]
    expect(page.locator(f"#{label}")).to_contain_text(re.compile(rf'@checks\(\s*"{label}"'))


def test_note_opens_on_a_tap(open_page, served):
    page = open_page(served + CHAPTERS[0], 390, has_touch=True)
    number = page.locator(".eq-number").first
    number.tap()
    expect(note_of(number)).to_be_visible()


def test_note_opens_without_javascript(chromium, served):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(served + CHAPTERS[0])
    number = page.locator(".eq-number").first
    number.click()
    expect(note_of(number)).to_be_visible()
    page.close()
