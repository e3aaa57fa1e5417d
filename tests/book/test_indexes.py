"""The pages to look things up in miss nothing: exercises, formulas by name, changes."""

import json
import re
import tomllib
from collections import Counter
from types import SimpleNamespace

from formula_names import PAGE, Formulas, named_equations
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


def test_every_exercise_has_its_solution_in_the_same_chapter():
    for path in sorted(BOOK.glob("[01]*.ipynb")):
        text = markdown(path)
        asked = re.findall(r"\{exercise(?:-start)?\}.*\n:label: (\S+)", text)
        assert re.findall(r"\{solution(?:-start)?\} (\S+)", text) == asked, path.name


def test_each_chapters_exercises_stand_below_its_title():
    titles = [re.search(r"^# (.+)$", markdown(path), re.M)[1] for path in sorted(BOOK.glob("[01]*.ipynb"))]
    page = (BOOK / "exercises.md").read_text(encoding="utf-8")
    assert re.findall(r"^## Chapter (.+)$", page, re.M) == [f"{n}, {t}" for n, t in enumerate(titles, 1)]


def test_every_row_of_the_formulas_is_understood_and_no_name_stands_twice():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| .*\{eq\}.*$", text, re.M)
    found = named_equations(text)
    assert [label for _, label in found] == re.findall(r"\{eq\}`([\w-]+)`", text)
    assert list(dict.fromkeys(name for name, _ in found)) == rows
    names = Counter(name.lower() for row in rows for name in re.split(r" \(|, |\)", row) if name)
    assert [name for name, times in names.items() if times > 1] == []
    assert rows == sorted(rows, key=lambda row: row.lower().replace("ε", "epsilon").replace("é", "e"))


def test_a_name_leads_to_each_of_its_equations_on_the_page_where_it_stands(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / PAGE).write_text(
        "| Name | Equation |\n| A's rule (AR) | {eq}`a-b`, {eq}`c` |", encoding="utf-8"
    )
    math = SimpleNamespace(equations={"a-b": ("one", 1), "c": ("two", 2), "d": ("two", 3)})
    env = SimpleNamespace(srcdir=tmp_path, get_domain={"math": math}.get, domaindata={})
    assert list(Formulas(env).get_objects()) == [
        ("A's rule (AR)", "A's rule (AR)", "formula", "one", "equation-a-b", 0),
        ("A's rule (AR)", "A's rule (AR)", "formula", "two", "equation-c", 0),
    ]


def test_the_newest_change_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", changes, re.M)[1] == project["version"]
