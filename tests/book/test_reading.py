"""A chapter's length, code in view, verdicts and order: what CONTRIBUTING.md asks of its rhythm."""

from pathlib import Path

import nbformat
import pytest
import reading
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CHAPTERS = sorted((Path(__file__).parents[2] / "book").glob("*.ipynb"))
WORDS = range(3_000, 4_001)
WORDS_OF_PART_II = range(3_000, 4_501)
MOST_LINES = 220
MOST_VERDICTS = 3
SOON = 5  # cells from a training to the picture of its samples


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def chapter(path):
    return nbformat.read(path, as_version=4)


def test_a_chapter_takes_three_quarters_of_an_hour(path, chapter):
    words, lines = reading.words(chapter), reading.visible_lines(chapter)
    print(f"{words} words, {lines} lines of code, {reading.verdicts(chapter)} verdicts")  # pytest -s shows it
    assert words in (WORDS_OF_PART_II if path.stem >= "06" else WORDS)
    assert lines <= MOST_LINES


def test_a_chapter_shows_numbers_not_verdicts(chapter):
    assert reading.verdicts(chapter) <= MOST_VERDICTS


def test_a_chapter_trains_early_and_shows_what_came_of_it(chapter):
    first, cells = reading.first_training(chapter), chapter.cells
    assert first <= 0.4 * len(cells)
    assert any("subplots(" in cell.source for cell in cells[first : first + SOON]), (
        "no picture of its samples"
    )


def test_a_chapter_ends_with_the_live_cell_and_a_widget(chapter):
    cells = chapter.cells
    live = next(i for i, cell in enumerate(cells) if "live" in cell.metadata.get("tags", []))
    exercises = next(i for i, cell in enumerate(cells) if "## Exercises" in cell.source)
    assert len(cells) / 2 < live < exercises
    makers = ("Stepper(", "live.reverse_process(", "live.guesses(")
    assert any(maker in cell.source for cell in cells[live:exercises] for maker in makers)


# The counters themselves.


def cell(source, *tags, output=""):
    outputs = [new_output("stream", name="stdout", text=output)] if output else []
    return new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def test_words_in_view_are_counted():
    text = "# A title\n\nOne $x^2$ three `four`.\n\n$$\na = b\n$$ (one)\n\n:::{dropdown} More\nClosed.\n:::\n"
    solved = "```{solution} a\n:class: dropdown\nClosed, too.\n```\n\n"
    asked = "```{exercise}\n:label: a\nFive words stand in here.\n```"
    start = "```{solution-start} b\n:class: dropdown\n```\n\nClosed."
    end = "Closed.\n\n```{solution-end}\n```\n\nOpen."
    notebook = new_notebook(cells=[new_markdown_cell(s) for s in (text, solved + asked, start, end)])
    assert reading.words(notebook) == 4 + 5 + 1


def test_code_in_view_is_counted():
    start, end = (new_markdown_cell(f"```{{solution-{word}}} b\n```") for word in ("start", "end"))
    cells = [cell("a\n\nb"), cell("c", "hide-input"), start, cell("d"), end, cell("e")]
    assert reading.visible_lines(new_notebook(cells=cells)) == 3


@pytest.mark.parametrize(
    ("shown", "count"),
    [
        (cell("print(x)", output="equal: True\nthree: False\n"), 2),
        (cell("print(x)", "hide-input", output="all right\n"), 1),
        (cell("print(x)", "remove-cell", output="True\n"), 0),
        (cell("print(x)", output="1.00 where 1.02 is exact\n"), 0),
        (cell('print("near:", x < 1)', "nbval-ignore-output"), 1),
        (cell('print(f"near {torch.allclose(x, y)}")', "nbval-ignore-output"), 1),
        (cell('print(f"{x:.1f}", y)', "nbval-ignore-output"), 0),
    ],
)
def test_verdicts_are_counted(shown, count):
    assert reading.verdicts(new_notebook(cells=[shown])) == count
