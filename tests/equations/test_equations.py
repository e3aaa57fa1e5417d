"""Every displayed equation of the book has a label and a check that does not use the book's own code.

To add an equation: label it, and write a function in `equations_<chapter>.py` that is decorated with
`@checks("its-label", on="what it is tried on")`, quotes its TeX as docstring, and holds it against something
independent, with the functions of `evidence.py`. What they have shown stands on the page, with the equation's
number.
"""

import inspect
import json
from pathlib import Path

import equations_01_vae_elbo  # noqa: F401 - registers the checks of chapter 1
import equations_02_hvae  # noqa: F401 - registers the checks of chapter 2
import equations_03_forward_process  # noqa: F401 - registers the checks of chapter 3
import equations_04_bound  # noqa: F401 - registers the checks of chapter 4's bound
import equations_04_oracle  # noqa: F401 - registers the checks of chapter 4's step back without x_0
import equations_04_posterior  # noqa: F401 - registers the checks of chapter 4's posterior
import equations_05_epsilon_objective  # noqa: F401 - registers the checks of chapter 5
import equations_06_score  # noqa: F401 - registers the checks of chapter 6
import equations_07_conditions  # noqa: F401 - registers the checks of chapter 7
import equations_08_likelihood  # noqa: F401 - registers the checks of chapter 8
import equations_09_fewer_steps  # noqa: F401 - registers the checks of chapter 9
import equations_10_images  # noqa: F401 - registers the checks of chapter 10
import equations_11_text_to_image  # noqa: F401 - registers the checks of chapter 11
import equations_12_many_machines  # noqa: F401 - registers the checks of chapter 12
import pytest
from equations import (
    CHECKS,
    ON,
    Equation,
    checks,
    equations_in,
    equations_of_the_book,
    problems,
)
from evidence import evidence_of


def test_book_and_checks_belong_together():
    assert problems(equations_of_the_book(), CHECKS) == []


@pytest.mark.parametrize("label", CHECKS)
def test_equation(label, evidence):
    check = CHECKS[label]
    shown, on = evidence_of(check), ON[label]
    assert on or not shown.tried, 'say on what the equation is tried: @checks("label", on="...")'
    text = f"{shown} Tried on {on}." if on else str(shown)
    file = Path(inspect.getsourcefile(check)).name
    evidence[label] = {"tex": check.__doc__.strip(), "text": text, "file": file}


# The collector: it finds each way of displaying an equation, and each fault.


def labels(markdown):
    return [equation.label for equation in equations_in(markdown)]


@pytest.mark.parametrize(
    "markdown",
    [
        "$$\na = b\n$$ (one)",
        "$$ a = b $$ (one)",
        "Text.\n\n$$\na = b\n$$ (one)\n\nMore text, $c = d$.",
        "```{math}\n:label: one\na = b\n```",
        ":::{math}\n:label: one\n\na = b\n:::",
        "- item\n\n  $$\n  a = b\n  $$ (one)",
        "> $$\n> a = b\n> $$ (one)",
        ":::{admonition} Title\n:class: tip\n$$\na = b\n$$ (one)\n:::",
        "````{solution} exercise\n```{math}\n:label: one\na = b\n```\n````",
    ],
)
def test_a_labelled_equation_is_found(markdown):
    (equation,) = equations_in(markdown, "page.md")
    assert (equation.label, equation.tex.strip(), equation.page) == ("one", "a = b", "page.md")


@pytest.mark.parametrize(
    "markdown",
    [
        "$$\na = b\n$$",
        "```{math}\na = b\n```",
        "```{math}\n:nowrap: true\na = b\n```",
        "\\begin{align}\na &= b\n\\end{align}",
        "Text $$ a = b $$ in a paragraph.",
        "Text without an empty line before\n$$\na = b\n$$ (one)",
        ":::{note}\n$$\na = b\n$$\n:::",
    ],
)
def test_an_equation_without_a_label_is_found(markdown):
    assert labels(markdown) == [""]
    (problem,) = problems(list(equations_in(markdown, "page.md")), {})
    assert "page.md" in problem
    assert "without a label" in problem


@pytest.mark.parametrize(
    "markdown",
    [
        "Inline $a = b$.",
        "```python\n'$$ a $$'\n```",
        "`$$ a $$`",
        "```{code-block} tex\n$$ a $$\n```",
        "    $$ a $$",
    ],
)
def test_what_is_no_displayed_equation_is_left_alone(markdown):
    assert labels(markdown) == []


def test_pages_are_markdown_files_and_the_markdown_of_notebooks(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["$$\n", "a\n", "$$ (one)"]},
        {"cell_type": "code", "source": ["'$$ a $$'"]},
        {"cell_type": "markdown", "source": "$$\nb\n$$ (two)"},
    ]
    (tmp_path / "01.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (tmp_path / "02.md").write_text("$$\nc\n$$ (three)", encoding="utf-8")
    found = [(equation.label, equation.page) for equation in equations_of_the_book(tmp_path)]
    assert found == [("one", "01.ipynb"), ("two", "01.ipynb"), ("three", "02.md")]


def quoting(tex):
    """A check that quotes `tex`."""

    def check():
        pass

    check.__doc__ = tex
    return check


ONE = Equation("one", "\na = b\n", "page.md")


@pytest.mark.parametrize(
    ("equations", "registry", "problem"),
    [
        ([ONE], {}, "one: an equation without a check"),
        ([], {"one": quoting("a = b")}, "one: a check without an equation"),
        ([ONE, ONE], {"one": quoting("a = b")}, "one: a label used twice"),
        ([ONE], {"one": quoting("a = c")}, "one: not what its check quotes"),
        ([ONE], {"one": quoting(None)}, "one: not what its check quotes"),
    ],
)
def test_each_fault_between_book_and_checks_is_found(equations, registry, problem):
    (found,) = problems(equations, registry)
    assert problem in found


def test_a_quote_may_break_its_lines_elsewhere():
    assert problems([ONE], {"one": quoting("a\n    =b")}) == []


def test_a_label_has_one_check():
    taken = next(iter(CHECKS))
    with pytest.raises(ValueError, match=f"{taken} has two checks"):
        checks(taken)(quoting(""))
