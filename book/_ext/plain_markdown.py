"""A notebook's MyST as plain Markdown, which Colab, Jupyter, VS Code and GitHub show as it is meant.

Equations keep their numbers, references say what they say on the page, exercises have headings, and what the
page opens at a click (`dropdown`, `solution`) is in `<details>`. Links within the book become their text. A
notebook with something else, which only MyST knows, is refused: give it a form here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, link
from markdown_it.token import Token
from mdit_py_plugins.myst_role.index import myst_role
from nbformat import NotebookNode

DIRECTIVE = re.compile(r"\{(?P<name>[^}]+)\}\s*(?P<argument>.*)")
OPTION = re.compile(r":(?P<key>[\w-]+):\s*(?P<value>.*)")
MARGIN = re.compile(r"[ >]*")  # of a block in a list or a quotation
LINK_TEXT = re.compile(r"\[(.*)\](?:\(.*\)|\[.*\])?", re.DOTALL)
ANYWHERE = ("http:", "https:", "mailto:", "data:", "attachment:")  # what needs no file of the book
PLAIN = set(  # the parser's names of what Markdown has everywhere, with tables and formulas
    "blockquote bullet_list code_block code_inline em fence hardbreak heading hr html_block html_inline "
    "image inline link list_item math_block math_inline math_inline_double ordered_list paragraph softbreak "
    "strong table tbody td text th thead tr".split()
)
IN_THE_NEXT_CELL = "It is the next cell, whose code is folded. Open it to read it; run it to see its output."


class NotPlainError(Exception):
    """The source has something that only MyST knows."""


def with_source(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """The rule of an inline parser, whose first token then knows the text that it was made from."""

    def parse(state: StateInline, silent: bool) -> bool:
        start, count = state.pos, len(state.tokens)
        matches = rule(state, silent)
        if matches and not silent:
            token = next(token for token in state.tokens[count:] if token.type != "text")
            token.meta["source"] = state.src[start : state.pos]
        return matches

    return parse


def kind(token: Token) -> str:
    """What a token is, or what it opens or closes."""
    return token.type.removesuffix("_open").removesuffix("_close")


def details(summary: str, body: str) -> str:
    """What opens at a click; Markdown in an HTML element needs empty lines around it."""
    summary = MarkdownIt("commonmark").renderInline(summary)
    return f"<details>\n<summary>{summary}</summary>\n\n{body.strip()}\n\n</details>"


@dataclass
class Translator:
    """From MyST to Markdown, with a parser of MyST and a function from a role's source to what it says."""

    parser: MarkdownIt
    say: Callable[[str], str]
    solution: str = field(default="", init=False)  # whose cells are being translated

    def __post_init__(self) -> None:
        self.parser.inline.ruler.at("myst_role", with_source(myst_role))
        self.parser.inline.ruler.at("link", with_source(link))

    def cells(self, cells: list[NotebookNode]) -> Iterator[tuple[NotebookNode, str]]:
        """The cells, but for texts left empty, translated in place; with code, the solution it is part of."""
        for cell in cells:
            if cell.cell_type == "code":
                yield cell, self.solution
            elif text := self.cell(cell.source):
                cell.source = text
                yield cell, ""

    def cell(self, source: str) -> str:
        """The source of a Markdown cell; the part of it that belongs to a solution opens at a click."""
        parts = []
        for gate, text in self.between_gates(source):
            if gate:
                starts = gate["name"] == "solution-start"
                self.solution = self.title_of_solution(gate["argument"]) if starts else ""
            body = self.text(text).strip("\n")
            if self.solution and (gate or body):
                body = details(self.solution, body or IN_THE_NEXT_CELL)
            parts.append(body)
        return "\n\n".join(part for part in parts if part)

    def between_gates(self, source: str) -> Iterator[tuple[re.Match[str] | None, str]]:
        """The source in parts: each start and end of a solution with what follows, up to the next."""
        lines, gate, start = source.split("\n"), None, 0
        for token in self.parser.parse(source):
            match = DIRECTIVE.fullmatch(token.info.strip()) if token.map else None
            if match and match["name"] in ("solution-start", "solution-end"):
                yield gate, "\n".join(lines[start : token.map[0]])
                gate, start = match, token.map[1]
        yield gate, "\n".join(lines[start:])

    def text(self, source: str) -> str:
        """The source as plain Markdown."""
        lines: list[str | None] = [*source.split("\n")]
        for token in self.parser.parse(source):
            if kind(token) not in PLAIN | {"colon_fence", "math_block_label"}:
                raise NotPlainError(f"{token.type}: {token.content}")
            if token.map and (new := self.block(token, lines)) is not None:
                first, end = token.map
                lines[first:end] = [new, *[None] * (end - first - 1)]
        return "\n".join(line for line in lines if line is not None)

    def block(self, token: Token, lines: list[str | None]) -> str | None:
        """What stands in the place of a block's lines, if it is not these."""
        old = [line for line in lines[slice(*token.map)] if line is not None]
        if token.type == "inline":
            return self.inline(token, "\n".join(old))
        if token.type == "math_block_label":
            number = self.say(f"{{eq}}`{token.info}`").strip("()")
            new = f"$$\n{token.content.strip()}\n\\tag{{{number}}}\n$$"
        elif token.type == "colon_fence" or token.type == "fence" and token.info.startswith("{"):
            new = self.directive(token)
        else:
            return None
        margin = MARGIN.match(old[0])[0]
        if not old[0].startswith(margin + token.markup):
            raise NotPlainError(f"a block that starts on the line of a bullet: {old[0]}")
        return "\n".join(margin + line for line in new.split("\n"))

    def inline(self, token: Token, text: str) -> str:
        """Text with its roles said and its links within the book as words."""
        place = 0
        for child in token.children:
            self.refuse_what_stays_here(child)
            if child.type == "myst_role":
                new = self.say(child.meta["source"])
            elif child.type == "link_open" and not child.attrs["href"].startswith(ANYWHERE):
                new = LINK_TEXT.match(child.meta["source"])[1]
            else:
                continue
            words = map(re.escape, child.meta["source"].split())
            match = re.compile(r"\s+".join(words)).search(text, place)
            if not match:
                raise NotPlainError(f"{child.meta['source']} in a place where it can't be replaced")
            text = text[: match.start()] + new + text[match.end() :]
            # The text of a link may hold roles.
            place = match.start() + (len(new) if child.type == "myst_role" else 0)
        return text

    def refuse_what_stays_here(self, child: Token) -> None:
        """Raise an error for a part of a text that a reader elsewhere would not see as it is meant."""
        if kind(child) not in PLAIN | {"myst_role"}:
            raise NotPlainError(f"{child.type}: {child.content}")
        if child.type == "image" and not child.attrs["src"].startswith(ANYWHERE):
            raise NotPlainError(f"an image from a file: {child.attrs['src']}")

    def directive(self, token: Token) -> str:
        """A directive's content in the form that this directive has here."""
        match = DIRECTIVE.fullmatch(token.info.strip())
        name, argument = match.groups() if match else (token.info, "")
        options, lines = {}, token.content.split("\n")
        while lines and (option := OPTION.fullmatch(lines[0])):
            options[option["key"]] = option["value"]
            del lines[0]
        body = self.text("\n".join(lines)).strip("\n")
        if name == "dropdown":
            return details(self.text(argument), body)
        if name == "exercise":
            title = self.say(f"{{ref}}`{options['label']}`") + (argument and f": {self.text(argument)}")
            return f"### {title}\n\n{body}"
        if name == "solution":
            return details(self.title_of_solution(argument), body)
        raise NotPlainError(f"the directive {name}")

    def title_of_solution(self, label: str) -> str:
        """What stands above the solution of an exercise."""
        return f"Solution to {self.say(f'{{ref}}`{label}`')}"
