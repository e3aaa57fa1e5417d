"""`make pdf`: all pages in one document, with a contents whose numbers are right."""

import sys
from pathlib import Path
from unicodedata import normalize

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import pdf
from pypdf import PdfReader

NAVIGATION = '<nav class="bd-links"><a class="reference internal" href="{}">Next</a></nav>'
PAGE = """<html><head><script>window.MathJax = {{startup: {{promise: Promise.resolve()}},
typesetPromise: () => document.querySelector("article").classList.add("mathjax")}}</script></head>
<body>{navigation}<article>{article}</article></body></html>"""
ARTICLES = {
    "index.html": '<h1>Start<a class="headerlink" href="#s">#</a></h1><p><a href="01.html#b">B</a></p>',
    "01.html": '<h1>One</h1><h2>A</h2><div style="height: 400mm"></div><section id="b"><h2>B</h2></section>'
    '<h3 style="width: 3cm">A heading of several lines</h3>'
    '<span class="eqno"><button class="eq-number">(7)</button><span class="eq-note">hidden note</span></span>'
    '<a href="checks/01.html">elsewhere</a><div class="math">x</div>',
}


@pytest.fixture
def printed(chromium, tmp_path, monkeypatch):
    """A book of two pages, printed."""
    for name, text in ARTICLES.items():
        text = PAGE.format(navigation=NAVIGATION.format("01.html"), article=text)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(pdf, "BOOK", tmp_path)
    monkeypatch.setattr(pdf, "PDF", tmp_path / "book.pdf")
    page = chromium.new_page()
    pdf.print_book(page)
    page.close()
    return PdfReader(tmp_path / "book.pdf")


def test_contents_give_the_page_of_each_heading(printed):
    texts = [normalize("NFKC", page.extract_text()) for page in printed.pages]  # some fonts have one ﬀ for ff
    cover, contents, *pages = texts
    assert "Diffusion from scratch" in cover
    lines = [line.split() for line in contents.splitlines()]
    for heading, number in (("Start", 2), ("One", 3), ("A", 3), ("B", 4)):
        assert [heading, str(number)] in lines
        assert heading in pages[number - 2].split()
    assert [entry.title for entry in printed.outline if not isinstance(entry, list)] == ["Start", "One"]


def test_the_outline_says_what_the_headings_say(printed):
    def titles(entries):
        return [t for e in entries for t in (titles(e) if isinstance(e, list) else [e.title])]

    assert titles(printed.outline) == ["Start", "One", "A", "B", "A heading of several lines"]


def test_numbers_of_equations_stay_and_what_only_a_screen_can_do_goes(printed):
    text = "".join(page.extract_text() for page in printed.pages)
    assert "(7)" in text
    assert "elsewhere" in text
    assert "hidden note" not in text
    assert "#" not in text


def test_links_between_pages_lead_to_the_place_in_the_document(printed):
    targets = [link.get_object().get("/Dest") for link in printed.pages[2].get("/Annots", [])]
    assert any("01.html--b" in str(target) for target in targets)
    assert not any("/A" in link.get_object() for page in printed.pages for link in page.get("/Annots", []))
