"""What a chapter asks of its reader: words, code in view, verdicts, and how long the first training waits."""

import ast
import re

from equations import PARSER
from nbformat import NotebookNode
from prose_figures import IGNORE, output_of, paragraphs

CLOSED_CODE = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
OFF_THE_PAGE = {"hide-cell", "hide-output", "remove-output", "remove-cell"}
VERDICT = re.compile(
    r"\b(?:True|False|right|wrong|correct|yes|no|ok|passed|failed|holds|equal)\b", re.IGNORECASE
)
TRUTHS = {"allclose", "equal", "isclose", "bool", "all", "any"}
TRAINING = re.compile(r"\.backward\(\)|\btrain(?:_live)?\(")


def open_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that a reader sees without a click: no solution of an exercise."""
    cells, inside = [], False
    for cell in notebook.cells:
        starts, ends = (f"{{solution-{word}}}" in cell.source for word in ("start", "end"))
        if not inside:
            cells.append(cell)
        if starts or ends:
            inside = cell.source.rfind("{solution-start}") > cell.source.rfind("{solution-end}")
    return cells


def tags_of(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def words(notebook: NotebookNode) -> int:
    """Words of the text in view; a formula in a sentence is one word."""
    texts = [open_text(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    return sum(len(paragraph.split()) for text in open_parts(texts) for paragraph in paragraphs(text))


def open_parts(texts: list[str]) -> list[str]:
    """The texts without what stands between the start and the end of a solution, in one or in several."""
    whole = "\n\f\n".join(texts)
    whole = re.sub(r"```\{solution-start\}.*?```\{solution-end\}\s*```", "", whole, flags=re.DOTALL)
    return whole.split("\f")


def open_text(markdown: str) -> str:
    """A text without its closed parts: solutions and dropdowns."""
    lines = markdown.splitlines()
    for token in reversed(PARSER.parse(markdown)):
        name = token.info.strip().partition("}")[0]
        closed = name in ("{solution", "{dropdown") or ":class: dropdown" in token.content
        if token.map and token.type in ("fence", "colon_fence") and closed and "{solution-" not in token.info:
            del lines[token.map[0] : token.map[1]]
    return "\n".join(lines)


def visible_lines(notebook: NotebookNode) -> int:
    """Lines of code in view, without blank ones."""
    shown = [c for c in open_cells(notebook) if c.cell_type == "code" and not tags_of(c) & CLOSED_CODE]
    return sum(bool(line.strip()) for cell in shown for line in cell.source.splitlines())


def verdicts(notebook: NotebookNode) -> int:
    """Outputs in view that say whether something holds in place of showing it."""
    shown = [c for c in open_cells(notebook) if c.cell_type == "code" and not tags_of(c) & OFF_THE_PAGE]
    return sum(
        printed_truths(cell.source) if IGNORE in tags_of(cell) else said(output_of(cell)) for cell in shown
    )


def said(output: str) -> int:
    """How many lines of an output are verdicts."""
    return sum(bool(VERDICT.search(line)) for line in output.splitlines())


def printed_truths(source: str) -> int:
    """How many comparisons a cell prints."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    printed = (arg for call in calls if getattr(call.func, "id", "") == "print" for arg in call.args)
    return sum(is_truth(node) for arg in printed for node in [arg, *values_in(arg)])


def values_in(node: ast.expr) -> list[ast.expr]:
    """What an f-string shows."""
    return [part.value for part in getattr(node, "values", []) if isinstance(part, ast.FormattedValue)]


def is_truth(node: ast.expr) -> bool:
    """Whether an expression is true or false."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) in TRUTHS
    return isinstance(node, ast.Compare | ast.BoolOp)


def first_training(notebook: NotebookNode) -> int:
    """The place of the first cell that trains, counted from 0 over all cells."""
    return next(
        i for i, c in enumerate(notebook.cells) if c.cell_type == "code" and TRAINING.search(c.source)
    )
