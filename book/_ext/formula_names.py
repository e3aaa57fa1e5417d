"""Sphinx extension: who searches for a formula by its name gets to the formula.

The names are those on the page `formulas.md`, a row for each: a name, others in brackets, and the equations.
To Sphinx's search each is an object, of a domain of its own, that stands where its equation stands. Letters
in names, such as the I of I-MMSE, are not looked for beside longer words: else they are lit all over.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains import Domain, ObjType
from sphinx.search.en import SearchEnglish

PAGE = "book/formulas.md"
ROW = re.compile(r"^\| (?P<name>[^|]+?) \| (?P<equations>(?:\{eq\}`[\w-]+`(?:, )?)+) \|$", re.MULTILINE)
FIRST = 0  # before the pages where the words merely occur
WORDS_ASKED = """
function splitQuery(query) {
  const terms = query.match(/[\\p{Letter}\\p{Number}_\\p{Emoji_Presentation}]+/gu) || [];
  const words = terms.filter((term) => term.length > 1);
  return words.length ? words : terms;
}
"""


def named_equations(text: str) -> list[tuple[str, str]]:
    """Each name, with the others in brackets, and the label of an equation: a pair for each equation."""
    return [
        (row["name"], label)
        for row in ROW.finditer(text)
        for label in re.findall(r"`([\w-]+)`", row["equations"])
    ]


class Formulas(Domain):
    """The formulas with a name."""

    name = "formula"
    label = "Formulas"
    object_types = {"formula": ObjType("formula")}

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """For each name: the name twice, the type, page and anchor of the equation, and its rank."""
        pages = {label: page for label, (page, _) in self.env.get_domain("math").equations.items()}
        page = Path(self.env.srcdir, PAGE)
        text = page.read_text(encoding="utf-8") if page.exists() else ""  # a smaller book has no names
        for name, label in named_equations(text):
            yield name, name, "formula", pages[label], f"equation-{label}", FIRST

    def get_type_name(self, type: ObjType, primary: bool = False) -> str:
        """What the search says of a formula, before the page's title."""
        return type.lname

    def resolve_any_xref(self, *_: Any) -> list:
        """No reference in the text means a formula by its name."""
        return []


class English(SearchEnglish):
    """Sphinx's, which leaves single letters out of a query that has words."""

    js_splitter_code = WORDS_ASKED


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_search_language(English)
    app.add_domain(Formulas)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
