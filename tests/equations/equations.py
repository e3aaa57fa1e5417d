"""The displayed equations of the book as its pages have them, and the registry of their checks."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

BOOK = Path(__file__).parents[2] / "book"
CHECKS: dict[str, Callable[[], None]] = {}
ON: dict[str, str] = {}
ALIKE: dict[str, dict[str, str]] = {}


def checks(label: str, on: str = "", alike: dict[str, str] | None = None):
    """Register the function as the check of the equation `label`, which its docstring quotes.

    `on` says, for the page, on what the equation is tried: the end of the sentence "Tried on …". `alike`
    names the altered expressions that mean the same as the unaltered ones, and why.
    """

    def register(check):
        if label in CHECKS:
            raise ValueError(f"{label} has two checks; keep one")
        CHECKS[label], ON[label], ALIKE[label] = check, on, alike or {}
        return check

    return register


@dataclass(frozen=True)
class Equation:
    """A displayed equation: its label (empty if it has none), its TeX, and the page it stands on."""

    label: str
    tex: str
    page: str


# As Sphinx reads the pages, but that a $$ inside a paragraph is seen, too; there it cannot have a label.
PARSER = MarkdownIt("commonmark").use(dollarmath_plugin, double_inline=True)
PARSER = PARSER.use(amsmath_plugin).use(colon_fence_plugin)
OPTIONS = re.compile(r"\A\s*(?::[\w-]+:.*\n?)+")  # the lines with which a directive begins
LABEL = re.compile(r"^:label:\s*(\S+)", re.MULTILINE)


def equations_in(markdown: str, page: str = "page") -> Iterator[Equation]:
    """All displayed equations of a Markdown text, also those inside directives, and not those inside code."""
    for token in PARSER.parse(markdown):
        directive = re.match(r"\{(\w[\w-]*)\}", token.info.strip())
        body = OPTIONS.sub("", token.content)
        if token.type == "math_block_label":
            yield Equation(token.info, token.content, page)
        elif token.type in ("math_block", "amsmath"):
            yield Equation("", token.content, page)
        elif token.type == "inline":
            inside = (child for child in token.children if child.type == "math_inline_double")
            yield from (Equation("", child.content, page) for child in inside)
        elif directive and directive[1] == "math":
            label = LABEL.search(token.content)
            yield Equation(label[1] if label else "", body, page)
        elif directive and "code" not in directive[1]:
            yield from equations_in(body, page)


def markdown_of(path: Path) -> str:
    """The text of a page: a Markdown file, or the Markdown cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def equations_of_the_book(book: Path = BOOK) -> list[Equation]:
    """All displayed equations of the pages, in the order of the pages' names."""
    pages = sorted([*book.glob("*.ipynb"), *book.glob("*.md")])
    return [equation for path in pages for equation in equations_in(markdown_of(path), path.name)]


def problems(equations: list[Equation], registry: dict[str, Callable[[], None]]) -> list[str]:
    """What is wrong between the equations of the book and their checks, one line each."""
    found, seen = [], set()
    for equation in equations:
        place = f"{equation.page}: {equation.label or ' '.join(equation.tex.split())[:60]}"
        if not equation.label:
            found.append(f"{place}: a displayed equation without a label")
        elif equation.label in seen:
            found.append(f"{place}: a label used twice")
        elif equation.label not in registry:
            found.append(f"{place}: an equation without a check")
        elif bare(registry[equation.label].__doc__ or "") != bare(equation.tex):
            found.append(
                f"{place}: not what its check quotes; see whether the check still fits, then quote anew"
            )
        seen.add(equation.label)
    return found + [f"{label}: a check without an equation" for label in registry if label not in seen]


def bare(tex: str) -> str:
    """TeX without white space, to compare equations however their lines are broken."""
    return "".join(tex.split())
