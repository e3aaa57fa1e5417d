"""Figures that the book's prose states, and what its cells show. `test_prose_figures.py` states the rule."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import inf, isclose

from equations import OPTIONS, PARSER

IGNORE = "nbval-ignore-output"
HIDDEN = "remove-cell"

WORDS = "two three four five six seven eight nine ten eleven twelve".split()  # "one nat" names a unit
COUNTS = {word: value for value, word in enumerate(WORDS, start=2)}
COUNTS |= {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "a hundred": 100, "a thousand": 1000}
PARTS = {"third": 3, "quarter": 4, "fifth": 5, "tenth": 10, "twelfth": 12}
PARTS |= {"hundredth": 100, "thousandth": 1000}
COUNT = "|".join(COUNTS)
PART = rf"(?:an?|one|{COUNT}) (?:{'|'.join(PARTS)})s?|half"
DIGITS = r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:e-?\d+)?"
AMOUNT = rf"(?<![\w.,^])(?:{DIGITS}|(?:{PART}|twice|{COUNT})\b)(?![\w^]|\.\d)"

UNITS = {
    "nats": "nats?",
    "bits": "bits?",
    "floors": "(?:noise )?floors?",
    "share": "%|percent",
    "times": r"(?:times|fold)(?= as| its| the|,? \w+er\b|,? more\b|,? less\b)",
    "errors": "standard errors?",
    "seconds": "seconds?|s",
    "minutes": "minutes?",
    "bytes": "[kM]B",
}
UNIT = "|".join(f"(?P<{unit}>{name})" for unit, name in UNITS.items())
AFTER = re.compile(rf"(?: (?:to|or|and) {AMOUNT}|–{AMOUNT})?[ -]?(?:an? )?(?:{UNIT})(?!\w)", re.IGNORECASE)
NOUNS = "steps|points|draws|samples|units|layers|levels|chains|cells|sets|models|heads|values"
COUNTED = re.compile(rf"(?:,? (?:or|and) [\d,]+)?(?: [a-z]+){{0,2}} (?:{NOUNS})\b")
SET = re.compile(r"\b(?:standard deviations?|variances?|side|width|weight|numbers)\b[^;:]{0,25}$")
SHARED = (" (?:as|of) ", " as ")  # what follows a part of something; "half of it" alone is no measurement
REFERENCE = re.compile(r"\b(?:chapters?|algorithm|restriction|level|step|row|entry) $", re.IGNORECASE)
SENSE = re.compile(
    r"(?:(?P<above>at least|over|more than|above|>)|(?P<below>at most|below|under|less than|within|up to|<))"
    r" (?:\w+ ){0,2}$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Figure:
    """A number as written: its value, what its last digit is worth, its unit, and which way it is a bound."""

    text: str
    start: int
    value: float
    step: float
    unit: str = ""  # a key of UNITS, or none
    sense: str = ""  # "above", "below" or none
    setting: bool = False  # whether it counts or measures what a program is told


def amount(text: str) -> tuple[float, float]:
    """The value of a number in digits or words, and what its last digit is worth."""
    if text[0].isdigit():
        mantissa, _, power = text.replace(",", "").partition("e")
        return float(text.replace(",", "")), 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    if text in COUNTS or text == "twice":
        return COUNTS.get(text, 2), 1.0
    if text == "half":
        return 0.5, 0.01
    count, part = text.rsplit(" ", 1)
    parts = PARTS[part.removesuffix("s")]
    return COUNTS.get(count, 1) / parts, min(0.01, 1 / parts)


def figures(text: str) -> Iterator[Figure]:
    """All numbers of a text, in prose or printed."""
    for match in re.finditer(AMOUNT, text, re.IGNORECASE):
        word, after = match[0].lower(), text[match.end() :]
        before = text[max(0, match.start() - 45) : match.start()]
        (value, step), unit, sense = amount(word), AFTER.match(after), SENSE.search(before)
        unit, sense = unit.lastgroup if unit else "", sense.lastgroup if sense else ""
        in_parts = re.fullmatch(PART, word)
        if in_parts and (before.endswith(" by ") or re.match(SHARED[word == "half" and not sense], after)):
            unit = "share"
        elif unit == "share" and not in_parts:
            value, step = value / 100, step / 100
        elif word == "twice":
            unit = "times" if after.startswith(" as ") else ""
        setting = bool(COUNTED.match(after)) if step == 1 else bool(SET.search(before))
        yield Figure(match[0], match.start(), value, step, unit, sense, setting)


def paragraphs(markdown: str) -> Iterator[str]:
    """The running text of a page, without headings, code and displayed equations."""
    heading = False
    for token in PARSER.parse(markdown):
        directive = re.match(r"\{(\w[\w-]*)\}", token.info.strip())
        if token.type in ("heading_open", "heading_close"):
            heading = token.type == "heading_open"
        elif token.type == "inline" and not heading:
            yield re.sub(r"\s+", " ", "".join(map(text_of, token.children)))
        elif directive and "code" not in directive[1] and directive[1] != "math":
            yield from paragraphs(OPTIONS.sub("", token.content))


def text_of(token) -> str:
    """A piece of a paragraph; code and formulas become a sign, but for a number and `name = number`."""
    if token.type == "math_inline":
        formula = re.sub(r"\b10\^\{(-?\d+)\}", r"1e\1", token.content.replace("{,}", "")).strip()
        name, equals, number = formula.rpartition("=")
        alone = re.fullmatch(AMOUNT, number.strip())
        is_place = name.strip() == "t" or "\\cdot" in name  # a step of the chain; arithmetic
        return f"{'¤ = ' * bool(equals)}{number.strip()}" if alone and not is_place else "¤"
    if token.type == "code_inline":
        return "¤"
    return token.content if token.type == "text" else " " * token.type.endswith("break")


def claims(paragraph: str) -> Iterator[Figure]:
    """The figures of a paragraph that claim something: a result in a unit, a decimal, or a setting."""
    for figure in figures(paragraph):
        if REFERENCE.search(paragraph[: figure.start]):
            continue
        if paragraph[: figure.start].endswith("¤ = "):
            figure = replace(figure, setting=True)
        in_digits = figure.text[0].isdigit()
        if figure.unit or (in_digits and (figure.setting or figure.step < 1)):
            yield figure


@dataclass(frozen=True)
class Shown:
    """What cells show: values that checked cells compute, bounds that they find true, and settings."""

    values: list[Figure] = field(default_factory=list)
    bounds: list[Figure] = field(default_factory=list)
    literals: set[float] = field(default_factory=set)


def shown_by(cells: Iterable[dict]) -> Shown:
    """Read the code cells of a notebook, as its JSON has them."""
    shown = Shown()
    for cell in cells:
        numbers, labels = constants("".join(cell["source"]))
        tags = cell["metadata"].get("tags", [])
        shown.literals.update(numbers)
        if IGNORE not in tags:
            read(output_of(cell), numbers, labels, shown)
        if HIDDEN in tags:
            read_assertions("".join(cell["source"]), shown)
    return shown


def read_assertions(source: str, shown: Shown) -> None:
    """Add what a hidden cell asserts in the text's words: `assert 1 < ratio < 1.5, "about 1.2 noise floors"`.

    The comparison has to hold what is said: a bound as it stands, any other number within a factor of two.
    """
    asserts = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert))
    for node in asserts:
        said = node.msg.value if isinstance(node.msg, ast.Constant) else ""
        ranges = [range_of(part) for part in ast.walk(node.test) if isinstance(part, ast.Compare)]
        for figure in figures(str(said)):
            for low, high in ranges:
                if (figure.sense == "above" and low >= figure.value) or (
                    figure.sense == "below" and high <= figure.value
                ):
                    shown.bounds.append(figure)
                elif not figure.sense and figure.value / 2 <= low <= figure.value <= high <= 2 * figure.value:
                    shown.values.append(figure)


def range_of(comparison: ast.Compare) -> tuple[float, float]:
    """Between which constants a comparison such as `1 < x < 2` or `x > 1` puts a value."""
    low, high = -inf, inf
    parts = [comparison.left, *comparison.comparators]
    for left, operator, right in zip(parts, comparison.ops, parts[1:], strict=False):
        rises = isinstance(operator, ast.Lt | ast.LtE)
        if rises or isinstance(operator, ast.Gt | ast.GtE):
            small, large = (left, right) if rises else (right, left)
            low, high = max(low, number(small, -inf)), min(high, number(large, inf))
    return low, high


def number(node: ast.expr, otherwise: float) -> float:
    """The value of a number written in the code, with its sign; of anything else, `otherwise`."""
    try:
        return float(ast.literal_eval(node))
    except (TypeError, ValueError):
        return otherwise


def constants(source: str) -> tuple[set[float], set[str]]:
    """The numbers in the source of a cell, and those that stand in its strings, as written."""
    code = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
    found = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    strings = " ".join(value for value in found if isinstance(value, str))
    return {float(v) for v in found if type(v) in (int, float)}, {f.text for f in figures(strings)}


def output_of(cell: dict) -> str:
    """The stored text of a code cell."""
    texts = (output.get("text", output.get("data", {}).get("text/plain", "")) for output in cell["outputs"])
    return "".join("".join(text) for text in texts)


def read(output: str, numbers: set[float], labels: set[str], shown: Shown) -> None:
    """Add what an output shows: a bound is compared in the code, too; a value is not part of a label."""
    lines = output.splitlines()
    for line in lines:
        found = list(figures(line))
        if line.endswith("True"):
            shown.bounds.extend(f for f in found if f.sense and is_among(f.value, numbers))
        elif not line.endswith("False"):
            computed = [f for f in found if f.text not in labels]
            named = "" if any(f.unit for f in found) else unit_named(lines[0]) or unit_named(line)
            shown.values.extend(replace(f, unit=f.unit or named) for f in computed)


def is_among(value: float, numbers: set[float]) -> bool:
    """Whether the code has a number, as it is or as the divisor that makes it."""
    return any(isclose(value, number) or isclose(value * number, 1) for number in numbers)


def unit_named(line: str) -> str:
    """The unit that a line or the head of a table names."""
    found = re.search(rf"\b(?:{UNIT})\b", line)
    return found.lastgroup if found else ""


def is_shown(claim: Figure, shown: Shown) -> bool:
    """Whether a printed value rounds to the claim, a true bound says it, or the code has the setting."""
    if claim.setting and not claim.unit and claim.value in shown.literals:
        return True
    said = (claim.sense, claim.unit, claim.value)
    if claim.sense and any((b.sense, b.unit, b.value) == said for b in shown.bounds):
        return True
    near = (v for v in shown.values if abs(v.value - claim.value) <= claim.step / 2 * (1 + 1e-9))
    return any(not claim.unit or v.unit == claim.unit or (claim.unit == "share" and not v.unit) for v in near)
