"""Captions of pixel faces as a network reads them: words as numbers, and what a caption asks for."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from typing import Annotated

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import a, between, checked, list_of
from diffusion_lib.data.faces import PARTS, FaceParts, caption, describe_faces

ATTRIBUTES = ("hair", "hair colour", "glasses", "beard", "hat", "hat colour", "mouth", "shirt colour",
              "earrings", "background")  # fmt: skip
LONGEST = 28  # words of a caption
_FILLERS = ("a", "face", "with", "and", "hair", "head", "shirt", "background")
_STYLES = ("long", "short", "wild")  # before "hair"; a head is bald; the other styles are nouns


def _all_words() -> tuple[str, ...]:
    """The words of all captions: the fillers, and the words of what can be said; number 0 is no word."""
    said = {word for part in ATTRIBUTES for word in PARTS[part]} - {"none"}
    return ("", *_FILLERS, *sorted(said))


WORDS = _all_words()
_NUMBER = {word: number for number, word in enumerate(WORDS)}
Captions = Annotated[Sequence[str], list_of(a(str, "'a smiling face'"))]


@checked
def tokens(captions: Captions) -> Tensor:
    """Captions as rows of numbers of `WORDS`: (n, 28), int64, filled up with 0; "" is a row of zeros.

    Commas, full stops and capitals make no difference.

    Raises:
        ValueError: for a word that no caption has, with the nearest ones that some have, and for more than 28
            words.
    """
    found = torch.zeros(len(captions), LONGEST, dtype=torch.int64)
    for row, line in zip(found, captions, strict=True):
        numbers = [_number(word) for word in words_of(line)]
        if len(numbers) > LONGEST:
            raise ValueError(f"captions has one of {len(numbers)} words; pass at most {LONGEST}: {line!r}")
        row[: len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return found


def words_of(line: str) -> list[str]:
    """The words of a caption, in small letters."""
    return re.findall(r"[^\s,.;!]+", line.lower())


@cache
def _number(word: str) -> int:
    """The number of a word."""
    if word not in _NUMBER:
        near = get_close_matches(word, WORDS[1:], 3, 0.5)
        advice = f"take one of these: {', '.join(near or WORDS[1:])}"
        raise ValueError(f"captions has {word!r}, a word that is not known here; {advice}")
    return _NUMBER[word]


@checked
def wishes(line: Annotated[str, a(str, '"a smiling face with red hair"')]) -> dict[str, str]:
    """What a caption asks for: "a sad face with a red cap" → mouth sad, hat cap, hat colour red.

    A colour belongs to the thing that it stands before. A beard's colour is that of the hair. What the
    caption does not mention is not in the dictionary.
    """
    found, before = {}, ""
    coloured = {"hair": "hair colour", "mohawk": "hair colour", "pigtails": "hair colour",
                "beard": "hair colour", "moustache": "hair colour", "cap": "hat colour",
                "beanie": "hat colour", "shirt": "shirt colour", "background": "background"}  # fmt: skip
    for word in words_of(line):
        for part in ("mouth", "hair", "glasses", "beard", "hat", "earrings"):
            if word in PARTS[part] and (word != "earrings" or part == "earrings"):
                found[part] = word
        if word in coloured and before in PARTS[coloured[word]]:
            found[coloured[word]] = before
        before = word
    return found


@checked
def captions_of(
    parts: FaceParts,
    drop: Annotated[float, between(-1e-9, 1, "a probability below 1, such as 0.25")] = 0.0,
    generator: Generator | None = None,
) -> list[str]:
    """A caption of each face with these parts (n, 14), as `faces.caption` says it."""
    return [caption(face, drop, generator) for face in describe_faces(parts)]
