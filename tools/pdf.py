"""Print the built book to one PDF, _build/diffusion-from-scratch.pdf: cover, contents, and every page.

    python tools/pdf.py    (after `make book`; needs Chromium)

The articles of the pages are put into one document, which Chromium prints with its own equations and the key
frames of the widgets. It is printed twice: the outline of the first print says on which page each section
begins, and the second has these numbers in its contents.
"""

import html
import sys
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from chromium import NoChromiumError, find_chromium
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "_build" / "html" / "book"
PDF = ROOT / "_build" / "diffusion-from-scratch.pdf"
NOT_PRINTED = "a.headerlink, .eq-note, button, noscript, script, style, .tocdepth"
DEPTH = 2  # levels of headings in the contents
PAPER = {"prefer_css_page_size": True, "print_background": True, "tagged": True, "outline": True}
NUMBERS = {
    "display_header_footer": True,
    "header_template": "<p></p>",
    "footer_template": '<p style="width: 100%; text-align: center; font: 9px sans-serif; color: #555">'
    '<span class="pageNumber"></span></p>',
}
STYLE = """
@page { size: A4; margin: 18mm 18mm 20mm; }
body { padding: 0; font-size: 10.5pt; }
main > article { break-before: page; }
h1, h2, h3 { break-after: avoid; }
figure, img, tr, table:not(:has(tr:nth-child(20))), div.math { break-inside: avoid; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
details.solution > summary, .toggle-hidden { display: block; }
.contents { list-style: none; padding: 0; }
.contents a { color: inherit; display: flex; gap: 0.5em; text-decoration: none; }
.contents a::after { content: attr(data-page); order: 3; }
.contents i { border-bottom: 1px dotted #999; flex: 1; margin-bottom: 0.35em; }
.contents .level-1 { font-weight: 600; margin-top: 0.8em; }
.contents .level-2 { margin-left: 1.5em; }
.cover { align-items: center; display: flex; flex-direction: column; height: 250mm; justify-content: center; }
"""


def pages_of_the_book() -> list[str]:
    """The file names of the pages in the order of the navigation, beginning with the start page."""
    start = BeautifulSoup((BOOK / "index.html").read_text(encoding="utf-8"), "html.parser")
    links = [link["href"].partition("#")[0] for link in start.select("nav.bd-links a.reference.internal")]
    return list(dict.fromkeys(["index.html", *(link for link in links if link)]))


def article(name: str, names: list[str]) -> Tag:
    """The article of a page for a document that holds all of them: names of places begin with the page's."""
    page = BeautifulSoup((BOOK / name).read_text(encoding="utf-8"), "html.parser")
    found = page.select_one("article")
    for number in found.select(".eq-number"):
        number.unwrap()
    for part in found.select(NOT_PRINTED):
        part.decompose()
    for place in found.select("[id]"):
        place["id"] = f"{name}--{place['id']}"
    for link in found.select("a[href]"):
        target, _, place = link["href"].partition("#")
        if not target or target in names:
            link["href"] = f"#{target or name}--{place}" if place else f"#{target}"
        elif ":" not in target:
            del link["href"]  # a page that is not printed
    found["id"] = name
    return found


def document(names: list[str]) -> BeautifulSoup:
    """One page with the head of the first chapter, whose scripts set the equations, and all articles."""
    whole = BeautifulSoup((BOOK / names[1]).read_text(encoding="utf-8"), "html.parser")
    for script in whole.select("script"):
        if "mathjax" not in (script.get("src", "") + script.text).lower():
            script.decompose()
    whole.html["data-theme"] = "light"
    whole.head.append(BeautifulSoup(f"<style>{STYLE}</style>", "html.parser"))
    whole.body.clear()
    main = whole.new_tag("main")
    main.extend(article(name, names) for name in names)
    whole.body.append(main)
    return whole


def headings(main: Tag) -> list[Tag]:
    """The headings that stand in the contents, each with a name of its own."""
    found = main.find_all([f"h{level}" for level in range(1, DEPTH + 1)])
    for i, heading in enumerate(found):
        heading["id"] = f"heading-{i}"
    return found


def contents(found: list[Tag], numbers: list[int]) -> str:
    """The contents, one line for each heading, with its page."""
    lines = [
        f'<li class="level-{heading.name[1]}"><a href="#{heading["id"]}" data-page="{number}">'
        f"{heading.decode_contents()}<i></i></a></li>"
        for heading, number in zip(found, numbers, strict=True)
    ]
    return f'<p class="h1">Contents</p><ol class="contents">{"".join(lines)}</ol>'


def cover(title: str) -> str:
    """The first page: logo and title."""
    return (
        f'<style>{STYLE}</style><div class="cover"><img src="../_static/logo.svg" width="260" alt="">'
        f'<h1 style="font: 600 34pt sans-serif">{html.escape(title)}</h1>'
        '<p style="font: 14pt sans-serif">From the VAE to the ε objective, every step checked</p></div>'
    )


def show(page: Page, text: str) -> None:
    """Open a document that lies in the folder of the pages, so that their pictures are found."""
    place = BOOK / "print.html"
    place.write_text(text, encoding="utf-8")
    try:
        page.goto(place.as_uri())
    finally:
        place.unlink()


def page_numbers(path: Path) -> list[int]:
    """The page of each heading of the contents' levels, from the outline of a printed document."""
    reader = PdfReader(path)

    def walk(entries: list, level: int) -> list[int]:
        found = []
        for entry in entries:
            if isinstance(entry, list):
                found += walk(entry, level + 1)
            elif level <= DEPTH:
                found.append(reader.get_destination_page_number(entry) + 1)
        return found

    return walk(reader.outline, 1)


def name_outline(writer: PdfWriter, titles: list[str]) -> None:
    """Give each entry of the outline its heading's text.

    Chromium's has a heading twice that it moved to a new page, and no space where one breaks into two lines.
    """
    left = iter(titles)

    def walk(parent: DictionaryObject) -> None:
        entry = parent.get("/First")
        while entry is not None:
            found = entry.get_object()
            found[NameObject("/Title")] = TextStringObject(next(left))
            walk(found)
            entry = found.get("/Next")

    walk(writer.get_outline_root())
    if next(left, None) is not None:
        raise ValueError("the outline has fewer entries than the book has headings")


def text_of(heading: Tag) -> str:
    """What a heading says, its formulas as TeX without their brackets."""
    return heading.get_text().replace("\\(", "").replace("\\)", "")


def print_book(page: Page) -> None:
    """Print twice, the second time with the right numbers in the contents, and put the cover before it."""
    whole = document(pages_of_the_book())
    found = headings(whole.main)
    titles = [text_of(heading) for heading in whole.main.find_all([f"h{level}" for level in range(1, 7)])]
    numbers = [0] * len(found)
    body = PDF.with_suffix(".body.pdf")
    for _ in range(2):
        text = str(whole).replace("<main>", f"{contents(found, numbers)}<main>", 1)
        show(page, text)
        page.evaluate("() => MathJax.startup.promise.then(() => MathJax.typesetPromise())")
        page.pdf(path=body, **PAPER, **NUMBERS)
        numbers = page_numbers(body)
    show(page, cover("Diffusion from scratch"))
    front = PDF.with_suffix(".cover.pdf")
    page.pdf(path=front, **PAPER)
    with PdfWriter() as writer:
        writer.append(front, import_outline=False)
        writer.append(body)
        name_outline(writer, titles)
        writer.write(PDF)
    for part in (front, body):
        part.unlink()


def main() -> None:
    """Print the built book with headless Chromium."""
    if not BOOK.exists():
        sys.exit(f"{BOOK.relative_to(ROOT)} does not exist: run `make book` first.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=["--no-sandbox"])
        print_book(browser.new_page(color_scheme="light"))
        browser.close()
    print(f"{PDF.relative_to(ROOT)}: {len(PdfReader(PDF).pages)} pages")


if __name__ == "__main__":
    try:
        main()
    except NoChromiumError as error:
        sys.exit(str(error))
