"""The pages to look things up in miss nothing: exercises, formulas by name, changes."""

import json
import re
import tomllib
from collections import Counter
from types import SimpleNamespace

from docutils import nodes
from docutils.utils import new_document
from formula_names import PAGE, add_entries, names_by_equation, outdated
from sphinx import addnodes
from support import ROOT

BOOK = ROOT / "book"


def markdown(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_the_exercises_page_lists_every_exercise_in_the_books_order():
    chapters = sorted(BOOK.glob("[01]*.ipynb"))
    there = [re.findall(r"\{exercise(?:-start)?\}.*\n:label: (\S+)", markdown(path)) for path in chapters]
    page = (BOOK / "exercises.md").read_text(encoding="utf-8")
    parts = [re.findall(r"^\| \{ref\}`(\S+)` \|", part, re.M) for part in page.split("\n## ")[1:]]
    assert parts == there
    linked = re.findall(r"\]\(#([\w-]+)\)", page)
    assert set(linked) <= {label for labels in there for label in labels}


def test_each_chapters_exercises_stand_below_its_title():
    titles = [re.search(r"^# (.+)$", markdown(path), re.M)[1] for path in sorted(BOOK.glob("[01]*.ipynb"))]
    page = (BOOK / "exercises.md").read_text(encoding="utf-8")
    assert re.findall(r"^## Chapter (.+)$", page, re.M) == [f"{n}, {t}" for n, t in enumerate(titles, 1)]


def test_every_row_of_the_formulas_is_understood_and_no_name_stands_twice():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| .*\{eq\}.*$", text, re.M)
    equations = set(re.findall(r"\{eq\}`([\w-]+)`", text))
    assert set(names_by_equation(text)) == equations
    names = Counter(name.lower() for row in rows for name in re.split(r" \(|, |\)", row) if name)
    assert [name for name, times in names.items() if times > 1] == []
    assert rows == sorted(rows, key=lambda row: row.lower().replace("ε", "epsilon").replace("é", "e"))


def test_a_named_equation_carries_its_names_and_persons_into_the_index():
    text = "| Tweedie's formula (the ABC rule) | {eq}`a-b`, {eq}`c` |\n| Other | {eq}`c` |"
    names = names_by_equation(text)
    assert names == {
        "a-b": ["Tweedie's formula", "the ABC rule", "Tweedie", "ABC"],
        "c": ["Tweedie's formula", "the ABC rule", "Tweedie", "ABC", "Other"],
    }
    page = new_document("page")
    page += [nodes.math_block("", "1", label="none"), nodes.math_block("", "2", label="a-b")]
    add_entries(SimpleNamespace(env=SimpleNamespace(formula_names=names)), page, "page")
    kinds = [type(node) for node in page.children]
    assert kinds == [nodes.math_block, addnodes.index, nodes.math_block]
    entries = page.children[1]["entries"]
    assert [(entry[1], entry[2]) for entry in entries] == [(name, "equation-a-b") for name in names["a-b"]]


def test_all_pages_are_read_again_only_when_a_name_changes(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / PAGE).write_text("| One | {eq}`a` |", encoding="utf-8")
    app, env = SimpleNamespace(confdir=tmp_path), SimpleNamespace(found_docs={"page"})
    assert list(outdated(app, env)) == []  # first build: all is read anyway
    assert list(outdated(app, env)) == []
    (tmp_path / PAGE).write_text("| Two | {eq}`a` |", encoding="utf-8")
    assert list(outdated(app, env)) == ["page"]


def test_the_newest_change_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", changes, re.M)[1] == project["version"]
