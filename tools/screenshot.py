"""Take the README's picture of the start page.

    python tools/screenshot.py    (after `make book`; needs Chromium)

Writes book/assets/screenshot.png: the page on a desktop, its first widget most of the way through its frames.
"""

import sys
from pathlib import Path

from chromium import NoChromiumError, find_chromium
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "_build" / "html" / "book" / "index.html"
PICTURE = ROOT / "book" / "assets" / "screenshot.png"
SIZE = {"width": 1280, "height": 800}
SHARE = 0.75  # of the widget's frames: noise on its way to data

SET_SLIDER = """(slider, share) => {
  slider.value = Math.round(slider.max * share);
  slider.dispatchEvent(new Event("input", {bubbles: true}));
}"""


def main() -> None:
    """Open the built start page in headless Chromium and store what it shows."""
    if not PAGE.exists():
        sys.exit(f"{PAGE.relative_to(ROOT)} does not exist: run `make book` first.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=["--no-sandbox"])
        # With reduced motion the widget waits for the slider instead of playing by itself.
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        page.goto(PAGE.as_uri())
        page.locator(".stepper[data-drawn] input[type=range]").first.evaluate(SET_SLIDER, SHARE)
        page.wait_for_function("window.MathJax ? MathJax.startup.promise.then(() => true) : true")
        page.wait_for_timeout(500)  # for the drawing to settle
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    try:
        main()
    except NoChromiumError as error:
        sys.exit(str(error))
