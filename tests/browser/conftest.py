"""Opens the built book in Chromium, over HTTP and as files, and refuses each request to another machine.

Where there is no Chromium or no built book the tests are skipped with the reason, or fail when `CI` is set.
`tools/chromium.py` says where the browser is looked for; the book is in the folder in `BOOK_SITE`, else in
`_build/html`.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from chromium import NoChromiumError, find_chromium
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

expect.set_options(timeout=60_000)  # milliseconds: a busy machine is slow, and waiting costs nothing

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("BOOK_SITE", ROOT / "_build" / "html"))
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("book/**/*.html"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
PERMITTED = tuple(CONFIG["sphinx"]["config"].get("permitted_hosts", ()))
ARGUMENTS = [
    "--no-sandbox",  # containers, where CI runs, have none
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = (
    "file:",
    "blob:",
    "data:",
    "http://localhost:",
    "http://127.0.0.1:",
    "ws://localhost:",
    "ws://127.0.0.1:",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `book_page` on every page of the book; of the pages of checks, on one."""
    if "book_page" in metafunc.fixturenames:
        checks = [page for page in PAGES if page.startswith("book/checks/")]
        pages = [page for page in PAGES if page not in checks[1:]]
        metafunc.parametrize("book_page", pages or ["no page is built"])


def skip_or_fail(reason: str) -> None:
    """Browser tests are optional on a reader's machine and mandatory in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            path = find_chromium(playwright)
        except NoChromiumError as error:
            skip_or_fail(str(error))
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line of log for each."""

    def log_message(self, *args: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    """Takes it as it comes when a page is closed before all it asked for has arrived."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The address at which the built book is served."""
    if not PAGES:
        skip_or_fail(f"no built book in {SITE}: run `make book` first")
    with QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=SITE)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def as_files(served: str) -> str:
    """The address of the built book's files."""
    return SITE.as_uri() + "/"


STATE = re.compile(r'(?<=widget-state\+json">).*?(?=</script>)', re.DOTALL)
PLACE = re.compile(r'<div class="widget-place">.*?widget-view\+json">[^<]*</script></div>', re.DOTALL)
MODEL = re.compile(r'"model_id": "(\w+)"')


def alone(text: str) -> str:
    """A page's text with the first of its recorded widgets, and none of the others."""
    first, *others = PLACE.findall(text)
    for other in others:
        text = text.replace(other, "")
    state = json.loads(STATE.search(text)[0])
    mine = MODEL.search(first)[1]
    models = {key: m for key, m in state["state"].items() if key == mine or "content" not in m["state"]}
    recorded = json.dumps(state | {"state": models}).replace("</", "<\\/")
    return STATE.sub(lambda _: recorded, text)


def replace_start(page: Page, change: Callable[[str], str] = str) -> None:
    """From now on, the start page is what `change` makes of it; it gets the page with one widget."""

    def replace(route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=change(alone(response.text())))

    page.route("**/index.html", replace)


def watch(page: Page, problems: list[str]) -> None:
    """Write down whatever goes wrong on a page."""

    def on_console(message) -> None:
        if message.type == "error":
            problems.append(f"console: {message.text}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("requestfailed", lambda request: problems.append(f"failed request: {request.url[:200]}"))
    page.on("response", lambda r: r.status >= 400 and problems.append(f"status {r.status}: {r.url[:200]}"))


def stay_local(context: BrowserContext) -> None:
    """Refuse every request to another machine; a host that pages may ask answers with nothing."""
    context.route(lambda url: not url.startswith(LOCAL), lambda route: route.abort())
    context.route(lambda url: url.startswith(PERMITTED), lambda route: route.fulfill(body=""))


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address with the given browser settings; the test fails if anything went wrong on the page."""
    contexts, problems = [], []

    def open_page(url: str, width: int = 1280, **settings) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **settings)
        context.set_default_timeout(60_000)
        contexts.append(context)
        stay_local(context)
        page = context.new_page()
        watch(page, problems)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems, "\n".join(problems)


# All pixels of a widget's drawings: two of them are equal when nothing has changed.
PIXELS = "root => [...root.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL()).join()"


def pixels(root: Locator) -> str:
    return root.evaluate(PIXELS)


def until(condition: Callable[[], bool], page: Page, seconds: float = 20) -> bool:
    """Ask again and again, with the page running on, until the answer is yes; whether it was."""
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        page.wait_for_timeout(100)
    return met


def steppers(page: Page) -> list[Locator]:
    """The page's recorded widgets, drawn and paused."""
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    drawn = page.locator(".widget-room .stepper[data-drawn]")
    expect(drawn).to_have_count(views)
    for root in drawn.all():
        root.scroll_into_view_if_needed()
        if root.get_attribute("data-playing") == "true":
            root.get_by_role("button", name="Pause").click()
    return drawn.all()
