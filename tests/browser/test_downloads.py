"""A download button saves its page's source, over http and from file://, and a notebook is as its page."""

import json
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
from conftest import SITE, QuietHandler, QuietServer
from playwright.sync_api import expect

NOTEBOOKS = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("_sources/book/*.ipynb"))
CHAPTER = "book/05_epsilon_objective"
NOTATION = "book/notation"


class AsJson(QuietHandler):
    """A server that knows what a notebook is made of."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".ipynb": "application/json",
        ".md": "text/plain",
    }


@pytest.fixture(scope="module")
def served_as_json(served):
    with QuietServer(("127.0.0.1", 0), partial(AsJson, directory=SITE)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def press_download(page):
    """Open the menu and follow its first entry, with the keyboard alone."""
    page.get_by_role("button", name="Download this page").press("Enter")
    link = page.locator(".btn-download-source-button")
    expect(link).to_be_visible()
    link.focus()
    page.keyboard.press("Enter")


@pytest.mark.parametrize("address", ["served", "served_as_json", "as_files"])
@pytest.mark.parametrize("source", [f"{CHAPTER}.ipynb", f"{NOTATION}.md"])
def test_the_download_button_saves_the_source(open_page, source, address, request):
    page = open_page(request.getfixturevalue(address) + str(Path(source).with_suffix(".html")))
    with page.expect_download() as download:
        press_download(page)
    assert download.value.suggested_filename == Path(source).name
    assert Path(download.value.path()).read_bytes() == (SITE / "_sources" / source).read_bytes()
    assert len(page.context.pages) == 1


# A notebook beside its page.


@pytest.fixture(params=NOTEBOOKS or ["no page is built"])
def chapter(request, served):
    """The HTML of a page, and the text of its notebook."""
    page = (SITE / request.param.removeprefix("_sources/")).with_suffix(".html").read_text(encoding="utf-8")
    cells = json.loads((SITE / request.param).read_text(encoding="utf-8"))["cells"]
    return page, "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_a_notebook_has_the_numbers_of_its_page(chapter):
    page, text = chapter
    equations = re.findall(r'aria-label="Equation ([\d.]+):', page)
    assert re.findall(r"\\tag\{(.*)\}", text) == equations != []
    exercises = re.findall(r'class="caption-number">(Exercise [\d.]+)', page)
    assert re.findall(r"^### (Exercise .*)", text, re.MULTILINE) == exercises != []


def test_a_notebook_cites_as_its_page_does_and_lists_what_it_cites(chapter):
    page, text = chapter
    citations = re.findall(r'<span class="bibtex-citation"[^>]*>(.*?)</span>', page, re.DOTALL)
    for citation in citations:
        assert re.sub("<[^>]*>", "", citation).replace("[", "(").replace("]", ")") in text
    _, _, references = text.partition("## References")
    keys = set(re.findall(r"references\.html#(id\d+)", "".join(citations)))
    assert len(re.findall("^- ", references, re.MULTILINE)) == len(keys) > 0
