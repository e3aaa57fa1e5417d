"""MyST as plain Markdown: each form that the chapters use, what is refused, and all chapters without MyST."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell
from plain_markdown import IN_THE_NEXT_CELL, NotPlainError, Translator

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
EXTENSIONS = set(CONFIG["parse"]["myst_enable_extensions"])

SAID = {"{eq}`bound`": "(5.12)", "{cite:p}`ho`": "(Ho et al., 2020)", "{ref}`build`": "Exercise 5.4"}


def translator(say=SAID.__getitem__):
    return Translator(create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML), say)


SAME = """\
# A heading

Text with *stress*, `{eq}` in code, $x_0$ and a [link](https://example.org), `a$b`.

$$
x = y
$$

- a list
- and more

| a | b |
|---|---|
| 1 | $x$ |

```diff
- {not} a directive
```"""


def test_plain_markdown_stays_as_it_is():
    assert translator().text(SAME) == SAME


FORMS = {
    "an equation's number": ("$$\nx = y\n$$ (bound)", "$$\nx = y\n\\tag{5.12}\n$$"),
    "in a list": ("- So:\n\n  $$\n  x\n  $$ (bound)", "- So:\n\n  $$\n  x\n  \\tag{5.12}\n  $$"),
    "in a quotation": ("> $$\n> x\n> $$ (bound)", "> $$\n> x\n> \\tag{5.12}\n> $$"),
    "roles": ("By {eq}`bound`, {eq}`bound` {cite:p}`ho`.", "By (5.12), (5.12) (Ho et al., 2020)."),
    "a role across lines": ("> by {cite:p}`ho` and\n> {eq}`bound`", "> by (Ho et al., 2020) and\n> (5.12)"),
    "roles in a table": (
        "| {eq}`bound` | b |\n|---|---|\n| a | {eq}`bound` |",
        "| (5.12) | b |\n|---|---|\n| a | (5.12) |",
    ),
    "a link within the book": ("From [chapter 3](03.ipynb#a), {eq}`bound`.", "From chapter 3, (5.12)."),
    "a role in a link": ("[See {eq}`bound`](04.md)", "See (5.12)"),
    "an exercise": (
        "```{exercise}\n:label: build\n\n**Build** {eq}`bound`.\n```",
        "### Exercise 5.4\n\n**Build** (5.12).",
    ),
    "an exercise's name": (
        "```{exercise} Two *steps*\n:label: build\n\nDo.\n```",
        "### Exercise 5.4: Two *steps*\n\nDo.",
    ),
    "a solution": (
        "```{solution} build\n:class: dropdown\n\nBy {eq}`bound`.\n```",
        "<details>\n<summary>Solution to Exercise 5.4</summary>\n\nBy (5.12).\n\n</details>",
    ),
    "a dropdown, and one in it": (
        "::::{dropdown} Will `x` < 1?\nNo.\n\n:::{dropdown} Why?\nSee {eq}`bound`.\n:::\n::::\n\nAnd on.",
        "<details>\n<summary>Will <code>x</code> &lt; 1?</summary>\n\nNo.\n\n"
        "<details>\n<summary>Why?</summary>\n\nSee (5.12).\n\n</details>\n\n</details>\n\nAnd on.",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_myst(form):
    source, expected = FORMS[form]
    assert translator().text(source) == expected


START, END = "```{solution-start} build\n:class: dropdown\n```", "```{solution-end}\n```"


def shown(body):
    return f"<details>\n<summary>Solution to Exercise 5.4</summary>\n\n{body}\n\n</details>"


def test_a_solution_of_several_cells():
    sources = [
        f"Question.\n\n{START}\n\nIdea.",
        None,
        "More.",
        None,
        f"{END}\n\nNext.\n\n{START}",
        None,
        END,
        None,
    ]
    cells = [new_markdown_cell(source) if source else new_code_cell("1") for source in sources]
    found = [(cell.source, bool(solution)) for cell, solution in translator().cells(cells)]
    code, code_of_solution = ("1", False), ("1", True)
    assert found == [
        (f"Question.\n\n{shown('Idea.')}", False),
        code_of_solution,
        (shown("More."), False),
        code_of_solution,
        (f"Next.\n\n{shown(IN_THE_NEXT_CELL)}", False),
        code_of_solution,
        code,
    ]


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("```{figure} a.png\n```", "the directive figure"),
        (":::{note}\nText.\n:::", "the directive note"),
        ("- ```{note}\n  Text.\n  ```", "the directive note"),
        ("(a-target)=\n\n# Heading", "a-target"),
        ("% a comment", "myst_line_comment"),
        ("Text.[^note]\n\n[^note]: More.", "footnote"),
        ("A {{ word }}.", "substitution"),
        ("Term\n: What it means.", "dl"),
        ("\\begin{align}\nx\n\\end{align}", "amsmath"),
        ("- $$\n  x\n  $$ (bound)", "on the line of a bullet: - $$"),
        ("![A curve](curve.png)", "an image from a file: curve.png"),
    ],
)
def test_what_only_myst_knows_is_refused(source, named):
    with pytest.raises(NotPlainError, match=re.escape(named)):
        translator().text(source)


MYST = re.compile(
    r"\{[\w:-]+\}\s*`|[`:]{3}\s*\{|solution-(?:start|end)|:(?:class|label):|\$\$ \(|\.(?:ipynb|md)\b"
)


def rendered(cells):
    """What a reader sees of the text, from a renderer that knows no MyST, as HTML."""
    exporter = HTMLExporter(template_name="basic")
    return exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))[0]


def text_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]


def test_the_search_for_myst_finds_it():
    assert len(MYST.findall(rendered(text_cells(CHAPTERS[4])))) > 50


@pytest.mark.slow
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_rendered_elsewhere_shows_no_myst(path):
    cells = text_cells(path)
    number = iter(range(1000))
    result = rendered([cell for cell, _ in translator(lambda role: f"({next(number)})").cells(cells)])
    assert not MYST.findall(result)
    assert result.count("<details>") == result.count("</details>") > 5
