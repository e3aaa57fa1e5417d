"""Sphinx extension: who searches for a formula by its name gets to the formula.

The names are those on the page `formulas.md`, a row for each: a name, others in brackets, and the equations.
Each name becomes an entry of the search's index that leads to the equation itself, wherever in the book it
stands; so does a person in it, and a short form in capitals.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PAGE = "book/formulas.md"
ROW = re.compile(
    r"^\| (?P<name>[^|(]+?)(?: \((?P<others>[^|)]+)\))? \| (?P<equations>(?:\{eq\}`[\w-]+`,? ?)+)\|$", re.M
)
WHO_OR_SHORT = re.compile(r"[A-Z][\w-]+(?='s?\b)|\b[A-Z]{2,}\b")  # Tweedie, of "Tweedie's formula"; ODE


def names_by_equation(text: str) -> dict[str, list[str]]:
    """For each equation's label the names that lead to it."""
    found: dict[str, list[str]] = {}
    for row in ROW.finditer(text):
        names = [row["name"], *(row["others"] or "").split(", ")]
        names += [word for name in names for word in WHO_OR_SHORT.findall(name)]
        for label in re.findall(r"`([\w-]+)`", row["equations"]):
            found[label] = list(dict.fromkeys([*found.get(label, []), *filter(None, names)]))
    return found


def outdated(app: Sphinx, env: BuildEnvironment, *_: Any) -> Iterable[str]:
    """All pages, if a name has changed: their equations carry the names into the index."""
    names = names_by_equation(Path(app.confdir, PAGE).read_text(encoding="utf-8"))
    before, env.formula_names = getattr(env, "formula_names", None), names
    return [] if before in (None, names) else env.found_docs


def add_entries(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put an entry of the index, which is not seen on the page, before each equation with a name."""
    for equation in list(doctree.findall(nodes.math_block)):
        label = equation.get("label")
        entries = [
            ("single", name, f"equation-{label}", "main", None)
            for name in app.env.formula_names.get(label, [])
        ]
        if entries:
            equation.parent.insert(equation.parent.index(equation), addnodes.index(entries=entries))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-resolved", add_entries)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
