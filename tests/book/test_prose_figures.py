"""The figures that the book's prose states stand in the output of a checked cell of the same chapter.

What claims something: a number in digits or words with a unit of a result (nats, bits, floors, %, times as …,
standard errors, seconds, …); a decimal; a count such as 2,000 steps; `name = number` in a formula. Nothing is
claimed in headings, code, equations and other formulas, by references ("chapter 3") or places (t = 40).

What supports a claim, in a cell that is compared (not tagged `nbval-ignore-output`):

- a printed value that rounds to it in its last digit, in the same unit: behind it, in its line or table head;
- for "at least 5 times as far" and the like, a bound in the same direction, printed before its truth:
  `print("at least 5 times as far:", ratio > 5)`. The 5 must be in the cell's code, too.

- for what depends on a training, an assertion in the text's own words in a cell that no reader sees
  (`remove-cell`): `assert 1.0 < ratio < 1.5, "about 1.2 noise floors"`. Its constants must hold the number,
  within a factor of two, or be the bound that the words are: `assert ratio > 5, "more than 5 times as far"`.

A number from a label supports nothing. A setting (a count, a width or variance, `name = number`) may also
stand in the chapter's code, of any cell; a result may not. Pages without code are held against all chapters.
"""

import json
from pathlib import Path

import pytest
from prose_figures import HIDDEN, IGNORE, claims, is_shown, paragraphs, shown_by

BOOK = Path(__file__).parents[2] / "book"

EXEMPT = {  # why, and the words in which the figure stands
    "seconds differ between machines": [
        "one to two minutes",
        "one to one and a half minutes",
        "about three seconds of it",
        "takes about ten seconds",
        "about two minutes to run",
    ],
    "a reader's pace: the words that test_reading.py allows, at about 80 a minute": [
        "About 45 minutes to read",
        "About three quarters of an hour to read",
    ],
    "exact, by the formula beside it or the definition": [
        "we need four times the draws",
        "half a nat for each coordinate",
        "0.5 if it can only guess",
        "0.5 is a pure guess",
        "three times nearer to one training digit",
        "some two percent for each near neighbour",
    ],
    "from the paper that is cited": ["limited to 0.999"],
    "made up, in an exercise": ["FD 3.1 with 1,000 samples", "FD 3.6 with 100"],
}


def unsupported(markdown, cells, exempt=()):
    """The claims of a text that the cells do not support, and the exemptions that were needed."""
    shown, found, used = shown_by(cells), [], set()
    for text in paragraphs(markdown):
        for claim in claims(text):
            if is_shown(claim, shown):
                continue
            covering = {words for words in exempt if covers(words, text, claim)}
            used |= covering
            if not covering:
                found.append(f"… {text[max(0, claim.start - 50) : claim.start + len(claim.text) + 30]} …")
    return found, used


def covers(words, text, claim):
    """Whether the words stand in the text and the claim within them."""
    places = (i for i in range(claim.start + 1) if text.startswith(words, i))
    return any(claim.start + len(claim.text) <= i + len(words) for i in places)


def text_and_cells(path):
    """The text of a page and its code cells; all chapters' cells for a page without."""
    if path.suffix == ".md":
        chapters = [text_and_cells(chapter) for chapter in sorted(BOOK.glob("*.ipynb"))]
        return path.read_text(encoding="utf-8"), [cell for _, cells in chapters for cell in cells]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return text, [cell for cell in cells if cell["cell_type"] == "code"]


def problems(pages, exempt):
    """All that is wrong between pages (name, text, code cells) and exemptions, one line each."""
    phrases = [words for group in exempt.values() for words in group]
    lines, used = [], set()
    for name, markdown, cells in pages:
        found, needed = unsupported(markdown, cells, phrases)
        lines += [f"{name}: {claim}" for claim in found]
        used |= needed
    return lines + [f"an exemption without use: {words}" for words in phrases if words not in used]


def test_figures_of_the_book_come_from_checked_cells():
    paths = sorted([*BOOK.glob("*.ipynb"), *BOOK.glob("*.md")])
    found = problems([(path.name, *text_and_cells(path)) for path in paths], EXEMPT)
    assert not found, "\n".join(["have a checked cell print it, or say less:", *found])


# The finder.


def found_in(markdown):
    return [claim.text for text in paragraphs(markdown) for claim in claims(text)]


@pytest.mark.parametrize(
    ("markdown", "texts"),
    [
        ("It is about 57 nats where 2.84 are right.", ["57", "2.84"]),
        ("Three to five noise floors, or 10–20 s.", ["Three", "five", "10", "20"]),
        ("Some 12 %, half a nat, twice as far.", ["12", "half", "twice"]),
        ("A third of it, over half of the gap, by a fifth.", ["A third", "half", "a fifth"]),
        ("Nine times smaller, by four standard errors.", ["Nine", "four"]),
        ("In 2,000 steps with 256 points each.", ["2,000", "256"]),
        ("Here $T = 40$ and $\\beta_T = 0.02$, $0.6$ and $10^{-4}$.", ["40", "0.02", "0.6", "1e-4"]),
        ("```{exercise}\n:label: one\nIt is 0.5 nats.\n```", ["0.5"]),
        ("- item **8.5** nats", ["8.5"]),
    ],
)
def test_a_claim_is_found(markdown, texts):
    assert found_in(markdown) == texts


@pytest.mark.parametrize(
    "markdown",
    [
        "# 3 floors",
        "`0.5`, {eq}`fwd-2`, {cite:p}`ho2020denoising`, [text](page-0.5)",
        "```python\n0.5\n```",
        "```{code-cell}\n0.5\n```",
        "$$\na = 0.5\n$$ (one)",
        "The factor $\\tfrac12 x^2$, $2\\pi$, and $26\\cdot 40 = 1040$.",
        "At $t = 25$, between 65 and 40, in chapter 3 cells are one thing, Algorithm 2 samples.",
        "A nat for a nat, two ways, the frozen half of it, twice the variance, thrice.",
    ],
)
def test_what_claims_nothing_is_left_alone(markdown):
    assert found_in(markdown) == []


# The matcher.


def code(source, output="", *tags):
    outputs = [{"output_type": "stream", "text": [output]}] if output else []
    return {"source": source, "outputs": outputs, "metadata": {"tags": list(tags)}}


FAR = "At least 5 times as far"
BOUND = 'print("at least 5 times as far:", x > 5)'


@pytest.mark.parametrize(
    ("claim", "source", "output"),
    [
        ("About 57 nats.", 'print(f"{x:.2f} nats")', "56.88 nats"),
        ("About 57 nats.", "print(table)", "in nats   a   b\nmodel  3  56.88"),
        ("It is 0.15 away.", "print(x)", "0.1493"),
        ("Right in 12 %.", "print(x)", "0.118"),
        ("Right in 12 %.", 'print(f"{x:.1%}")', "11.8%"),
        ("Three to five floors.", "print(table)", "2.9 floors, 5.3 floors"),
        (FAR, BOUND, "at least 5 times as far: True"),
        ("Less than a tenth of it.", 'print("below a tenth of", x < y / 10)', "below a tenth of it: True"),
        ("After 2,000 steps.", "train(steps=2000)", ""),
        ("Here $T = 100$.", "even(T=100)", ""),
        ("Of standard deviation 0.05.", "VAE(0.05)", ""),
    ],
)
def test_a_claim_is_supported(claim, source, output):
    assert unsupported(claim, [code(source, output)]) == ([], set())


@pytest.mark.parametrize(
    ("claim", "source", "output"),
    [
        ("About 58 nats.", 'print(f"{x:.2f} nats")', "56.88 nats"),
        ("About 57 floors.", 'print(f"{x:.2f} nats")', "56.88 nats"),
        ("About 57 nats.", 'print(f"{y:.1f} nats, error {x:.2f}")', "3.1 nats, error 57.00"),
        ("About 57 nats.", 'print("57 nats")', "57 nats"),
        ("About 57 nats.", "x = 57", ""),
        ("It is 0.57 away.", "x = 0.57", ""),
        ("After 2,000 steps.", "train(steps=200)", ""),
        ("5 times as far.", BOUND, "at least 5 times as far: True"),
        (FAR, BOUND, "at least 5 times as far: False"),
        (FAR, BOUND.replace("x > 5", "x > 3"), "at least 5 times as far: True"),
        (FAR, BOUND.replace("at least", "below"), "below 5 times as far: True"),
        ("At least 5 floors.", BOUND, "at least 5 times as far: True"),
    ],
)
def test_a_claim_without_support_is_found(claim, source, output):
    assert len(unsupported(claim, [code(source, output)])[0]) == 1


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("About 1.2 floors.", 'assert 1.0 < ratio < 1.5, "about 1.2 noise floors"'),
        ("About 1.2 floors.", 'assert all(1 <= r <= 1.5 for r in ratios), "1.2 floors"'),
        ("About 12 %.", 'assert 0.08 < share < 0.15, "about 12 %"'),
        (FAR, 'assert x > 5, "at least 5 times as far"'),
        (FAR, 'assert 6 < x, "at least 5 times as far"'),
        ("Below a tenth of it.", 'assert x / y < 0.1, "below a tenth of it"'),
    ],
)
def test_a_hidden_assertion_supports_a_claim(claim, source):
    assert unsupported(claim, [code(source, "", HIDDEN)]) == ([], set())
    assert len(unsupported(claim, [code(source)])[0]) == 1, "a reader would have to see the number"


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("About 1.2 floors.", 'assert 1.3 < ratio < 1.5, "about 1.2 noise floors"'),
        ("About 1.2 floors.", 'assert 0.2 < ratio < 1.5, "about 1.2 noise floors"'),
        ("About 1.2 floors.", 'assert ratio < 1.5, "about 1.2 noise floors"'),
        ("About 1.2 floors.", 'assert low < ratio < high, "about 1.2 noise floors"'),
        ("About 1.2 floors.", 'assert 1.0 < ratio < 1.5, "about 1.2 nats"'),
        ("About 1.2 floors.", "assert 1.0 < ratio < 1.5"),
        (FAR, 'assert x > 4, "at least 5 times as far"'),
        (FAR, 'assert x < 5, "at least 5 times as far"'),
    ],
)
def test_an_assertion_that_does_not_hold_the_claim_is_found(claim, source):
    assert len(unsupported(claim, [code(source, "", HIDDEN)])[0]) == 1


def test_an_unchecked_cell_supports_nothing():
    assert unsupported("About 57 nats.", [code("print(x)", "57.0 nats", IGNORE)])[0] == ["… About 57 nats. …"]


def test_an_exemption_covers_its_words_alone_and_must_be_used():
    page = ("page", "It takes about 5 s, and 7 s later.", [])
    assert problems([page], {"why": ["about 5 s", "and 7 s"]}) == []
    (found,) = problems([page], {"why": ["about 5 s"]})
    assert "7 s later" in found
    (found,) = problems([page], {"why": ["about 5 s", "and 7 s", "about 9 s"]})
    assert found == "an exemption without use: about 9 s"
    printed = code("print(s)", "5.0 s, 7.0 s")
    assert len(problems([(*page[:2], [printed])], {"why": ["about 5 s"]})) == 1
