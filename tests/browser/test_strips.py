"""Without scripts, and on paper, each widget is a strip of its key frames with their sentences."""

import re

import pytest
from conftest import PAGES, SITE
from playwright.sync_api import expect

PLACE = re.compile(r'<div class="widget-place">.*?widget-view\+json">[^<]*</script></div>', re.DOTALL)
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
