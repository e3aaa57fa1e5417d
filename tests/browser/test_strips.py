"""Without scripts, and on paper, each widget is a strip of its key frames with their sentences."""

import re
from io import BytesIO

import pytest
from conftest import PAGES, PLACE, SITE, steppers
from playwright.sync_api import expect
from pypdf import PdfReader

STRIP = re.compile(r'<figure class="widget-strip.*</figure>', re.DOTALL)
MOST_BYTES = 60_000


def places(page: str) -> list[str]:
    """The places of a built page's widgets, as they are written in it."""
    return PLACE.findall((SITE / page).read_text(encoding="utf-8"))


WITH_WIDGETS = [page for page in PAGES if places(page)]


@pytest.mark.parametrize("page", WITH_WIDGETS)
def test_strips_are_light(page):
    sizes = [len(STRIP.search(place)[0].encode()) for place in places(page)]
    assert max(sizes) <= MOST_BYTES, sizes


def test_strips_stand_for_widgets_without_scripts(chromium, served):
    page = chromium.new_page(java_script_enabled=False)
    for name in WITH_WIDGETS:
        page.goto(served + name)
        found = page.locator(".widget-place").all()
        assert len(found) == len(places(name))
        for place in found:
            expect(place.locator(".widget-room")).to_be_hidden()
            expect(place.locator(".widget-strip")).to_be_visible()
            sentences = place.locator(".strip-text").all_inner_texts()
            assert 3 <= len(set(sentences)) == len(sentences) <= 5
            for drawing in place.locator(".strip-frames > figure > div > svg").all():
                expect(drawing).to_be_visible()
    page.close()


def test_strips_are_what_is_printed(open_page, served):
    page = open_page(served + WITH_WIDGETS[0], color_scheme="dark")
    expect(page.locator(".stepper[data-drawn]")).to_have_count(len(places(WITH_WIDGETS[0])))
    expect(page.locator(".widget-strip").first).to_be_hidden()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for place in page.locator(".widget-place").all():
        expect(place.locator("canvas").first).to_be_hidden()
        strip = place.locator(".widget-strip")
        margins = place.bounding_box()["height"] - strip.bounding_box()["height"]
        assert margins < 40, "the room of the drawing stays empty on the paper"
        assert strip.evaluate("el => getComputedStyle(el).color") == "rgb(51, 51, 51)", "not for white paper"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_strips_have_the_legends_of_their_widgets(open_page, served):
    page = open_page(served + "book/04_posterior.html")
    steppers(page)
    for place in page.locator(".widget-place").all():
        drawn, on_paper = place.locator(".stepper-legend").all()
        assert drawn.inner_html() == on_paper.inner_html()


# The strip with nothing but empty paper above it, and words that stand nowhere else.
ALONE = """([n, height]) => {
  const space = document.createElement("div");
  space.style.height = `${height}mm`;
  const place = document.querySelectorAll(".widget-place")[n];
  place.querySelector(".widget-strip .stepper-label").textContent = "TITLE";
  place.querySelector(".strip-text").textContent = "SENTENCE";
  document.body.replaceChildren(space, place);
}"""


@pytest.mark.parametrize(("name", "n"), [("04_posterior", 0), ("03_forward_process", 2)])
def test_a_title_is_printed_with_its_first_frame(open_page, served, name, n):
    page = open_page(f"{served}book/{name}.html")
    steppers(page)
    for height in range(150, 290, 10):
        page.evaluate(ALONE, [n, height])
        n = 0  # all others are gone
        sheets = [sheet.extract_text() for sheet in PdfReader(BytesIO(page.pdf(format="A4"))).pages]
        (sheet,) = [sheet for sheet in sheets if "TITLE" in sheet]
        assert "SENTENCE" in sheet, f"the title stands alone, {height} mm down the page"
