"""Pixel faces: pictures of 16 × 16 pixels whose parts are known exactly, as many as one likes.

A face is painted layer by layer from small sprites: a background, a head, a shirt, eyes, perhaps glasses, a
beard, a mouth, hair, a hat. What is painted is a row of whole numbers, one for each entry of `PARTS`; what
can be said of it in words follows from these. The sprites are from the avatar style "Pixel Art" by DiceBear,
under CC0 1.0.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Count, a, between, checked, whole_numbers_below

SPRITES = Path(__file__).with_name("sprites") / "pixel_art.npz"


def _numbered(name: str, numbers: str) -> list[str]:
    """The sprites of this name with these numbers."""
    return [f"{name}{number}" for number in numbers.split()]


# For each part the words for it, and for each word what is painted, sprites or colours; "" is nothing.
_COLOURS = {
    "background": {"blue": ["b6e3f4"], "pink": ["ffd5dc"], "yellow": ["fff0b3"], "green": ["c8e6c9"],
                   "purple": ["d1c4e9"], "white": ["ffffff"]},
    "skin": {f"tone {i}": [c] for i, c in enumerate(
        ["ffdbac", "eac393", "cb9e6e", "a26d3d", "8d5524", "5e3818"], start=1)},
    "shirt colour": {"red": ["d11141"], "blue": ["428bca"], "green": ["00b159"], "yellow": ["ffc425"],
                     "white": ["f2f2f2"], "black": ["2b2b2b"], "purple": ["8e5bb5"]},
    "eye colour": {"grey": ["76778b"], "blue": ["5b7c8b"], "brown": ["876658"], "green": ["3a5f3a"]},
    "hair colour": {"black": ["1c1410"], "brown": ["6b4420"], "blond": ["dcb45c"], "red": ["bd1700"],
                    "blue": ["009bbd"], "green": ["7fb81a"], "grey": ["a3a3a3"], "pink": ["e66fb0"]},
    "hat colour": {"red": ["a62116"], "blue": ["2663a3"], "green": ["3d8a6b"], "grey": ["989789"],
                   "purple": ["614f8a"]},
}  # fmt: skip
_SHAPES = {
    "earrings": {"none": [""], "earrings": ["accessories/variant01"]},
    "shirt": {"shirt": _numbered("clothing/variant", "01 03 06 08 12 13 20 23")},
    "eyes": {"eyes": _numbered("eyes/variant", "01 03 07 08 10 11")},
    "glasses": {"none": [""], "glasses": _numbered("glasses/light", "02 05 06 07"),
                "sunglasses": _numbered("glasses/dark", "02 03 05 06")},
    "beard": {"none": [""], "beard": _numbered("beard/variant", "01 03 05 08"),
              "moustache": ["beard/variant04"]},
    "mouth": {"smiling": _numbered("mouth/happy", "07 08 09 12"),
              "sad": _numbered("mouth/sad", "01 02 03 09"), "surprised": ["mouth/happy01"]},
    "hair": {"bald": [""], "long": _numbered("hair/long", "01 03 07 09 12 13 21"),
             "short": _numbered("hair/short", "01 02 03 04 06 08 10 14 15 16 17 22"),
             "wild": ["hair/short11", "hair/short13", "hair/long15"], "mohawk": ["hair/short05"],
             "pigtails": ["hair/long18"]},
    "hat": {"none": [""], "cap": _numbered("hat/variant", "02 06 07"),
            "beanie": _numbered("hat/variant", "01 04 08")},
}  # fmt: skip
_SHARES = {  # of the words; all others are equally likely
    "earrings": [0.8, 0.2], "glasses": [0.5, 0.25, 0.25], "beard": [0.6, 0.27, 0.13],
    "hair": [0.12, 0.3, 0.3, 0.12, 0.08, 0.08], "hat": [0.6, 0.2, 0.2],
}  # fmt: skip
_WORDS = _COLOURS | _SHAPES

PARTS = {  # for each column of a row of parts, the word of each of its numbers
    part: [word for word, row in words.items() for _ in row] for part, words in _WORDS.items()
}
_COLUMN = {part: k for k, part in enumerate(PARTS)}
# The layers from the bottom up: the part whose sprite it is, the part whose number chooses the tint, and the
# tints where they are not its colours. "" does not vary: background, head, some tints. Lips go with the skin.
LAYERS = (
    ("", "background", None), ("", "skin", None), ("earrings", "", ["ffd700"]),
    ("shirt", "shirt colour", None), ("eyes", "eye colour", None), ("glasses", "", ["323232"]),
    ("beard", "hair colour", None), ("mouth", "skin", ["d29985"] * 3 + ["e35d6a"] * 3),
    ("hair", "hair colour", None), ("hat", "hat colour", None),
)  # fmt: skip
_NO_HAT = ("mohawk", "wild")  # hair on which none fits

FaceParts = Annotated[Tensor, whole_numbers_below(*map(len, PARTS.values()))]


@checked
def face_parts(n: Count, generator: Generator | None = None) -> Tensor:
    """The parts of `n` random faces: (n, 14), int64, column k a number of the k-th entry of `PARTS`.

    The words have shares of their own, such as half of the faces without glasses; among the sprites of a word
    all are equally likely. Nobody wears a hat on a mohawk or on wild hair.
    """
    place = generator.device if generator else torch.empty(0).device
    columns = {}
    for part, words in _WORDS.items():
        shares = _SHARES.get(part, [1 / len(words)] * len(words))
        each = [share / len(row) for share, row in zip(shares, words.values(), strict=True) for _ in row]
        columns[part] = torch.multinomial(torch.tensor(each, device=place), n, True, generator=generator)
    columns["hat"][_is_one_of(columns["hair"], "hair", _NO_HAT)] = 0
    return torch.stack(list(columns.values()), dim=1)


def _is_one_of(column: Tensor, part: str, words: Sequence[str]) -> Tensor:
    """Whether the numbers of a part mean one of these words."""
    return torch.tensor([word in words for word in PARTS[part]], device=column.device)[column]


@checked
def draw_faces(parts: FaceParts) -> Tensor:
    """The faces with these parts (n, 14): levels (n, 3, 16, 16), whole numbers 0…255 in float32.

    Each layer covers what is below it: canvas ← keeps · canvas + adds.
    """
    return torch.cat([_painted(rows) for rows in parts.cpu().split(1000)]).to(parts.device)


def _painted(parts: Tensor) -> Tensor:
    """The same for some rows, in float64 until the levels are rounded."""
    canvas = torch.zeros(3, 16, 16, dtype=torch.float64, device="cpu")
    for k in range(len(LAYERS)):
        keeps, adds = face_layer(k, parts)
        canvas = keeps * canvas + adds
    return (255 * canvas).round().clamp(0, 255).float()


def face_layer(k: int, parts: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """What layer k keeps of what is below it, (n, 1, 16, 16), and what it adds, (n, 3, 16, 16), in 0…1.

    n is the number of rows of parts, or 1 where all have the same.
    """
    shape, tint, colours = LAYERS[k]
    names = tuple(_one_each(_SHAPES[shape])) if shape else (("skin/base",) if k else ("background",))
    sprites, colour = _sprites(names, dtype), _colours(tuple(colours or _one_each(_COLOURS[tint])), dtype)
    sprites = sprites[parts[:, _COLUMN[shape]]] if shape else sprites
    colour = colour[parts[:, _COLUMN[tint]]] if tint else colour
    own, opacity, share = sprites.split((3, 1, 1), dim=1)
    return 1 - opacity, own + share * colour[:, :, None, None]


def _one_each(words: dict[str, list[str]]) -> list[str]:
    """What is painted, by the numbers of a part."""
    return [what for row in words.values() for what in row]


@cache
def _sprites(names: tuple[str, ...], dtype: torch.dtype) -> Tensor:
    """Sprites (k, 5, 16, 16) in 0…1: own colours, opacity, and how much of the tint; all 0 for no name."""
    with np.load(SPRITES) as kept:
        sprites = dict(zip(kept["names"].tolist(), kept["sprites"], strict=True))
    sprites[""] = np.zeros((16, 16, 5), np.uint8)
    sprites["background"] = np.tile(np.uint8([0, 0, 0, 255, 255]), (16, 16, 1))  # covers all, all tint
    stacked = np.stack([sprites[name] for name in names]).transpose(0, 3, 1, 2) / 255
    return torch.from_numpy(stacked).to(dtype)


@cache
def _colours(codes: tuple[str, ...], dtype: torch.dtype) -> Tensor:
    """Colours (k, 3) in 0…1 from their codes, such as "ffd700"."""
    levels = torch.tensor([list(bytes.fromhex(code)) for code in codes], dtype=torch.float64, device="cpu")
    return (levels / 255).to(dtype)


@checked
def describe_faces(parts: FaceParts) -> list[dict[str, str]]:
    """What can be seen of faces with these parts (n, 14), in words, by part: a dictionary for each face.

    Left out are the colours of what is not there: of hair for bald heads without a beard, of hats.
    """
    faces = []
    for row in parts.tolist():
        face = {part: PARTS[part][number] for part, number in zip(PARTS, row, strict=True)}
        if face["hair"] == "bald" and face["beard"] == "none":
            del face["hair colour"]
        if face["hat"] == "none":
            del face["hat colour"]
        faces.append(face)
    return faces


@checked
def caption(
    face: Annotated[dict[str, str], a(dict, "describe_faces(parts)[0]")],
    drop: Annotated[float, between(-1e-9, 1, "a probability below 1, such as 0.25")] = 0.0,
    generator: Generator | None = None,
) -> str:
    """A face in a line: "a smiling face with long red hair, glasses and a blue shirt".

    Each thing that could be said is left out with the probability `drop`, and what is said after "with" is in
    random order if anything may be dropped. Skin, eyes and the shape of the shirt are never mentioned.
    """
    keep = lambda: not drop or float(torch.rand((), generator=generator)) >= drop  # noqa: E731
    look = f"a {face['mouth']} face" if keep() else "a face"
    said = [thing for thing in _things(face, keep) if thing]
    if drop:
        said = [said[i] for i in torch.randperm(len(said), generator=generator).tolist()]
    if not said:
        return look
    return f"{look} with {' and '.join(filter(None, [', '.join(said[:-1]), said[-1]]))}"


def _things(face: dict[str, str], keep: Callable[[], bool]) -> Iterator[str]:
    """What can be said of a face after "with", each thing if it is kept."""
    style, colour = face["hair"], face.get("hair colour", "")
    if keep():
        if style == "bald":
            yield "a bald head"
        else:
            names = {"mohawk": "a {}mohawk", "pigtails": "{}pigtails"}
            form = names.get(style, "{}hair" if not keep() else f"{style} {{}}hair")
            yield form.format(f"{colour} " if keep() else "")
    if face["glasses"] != "none" and keep():
        yield face["glasses"]
    if face["beard"] != "none" and keep():
        yield f"a {colour + ' ' if style == 'bald' and keep() else ''}{face['beard']}"
    if face["hat"] != "none" and keep():
        yield f"a {face['hat colour'] + ' ' if keep() else ''}{face['hat']}"
    if face["earrings"] != "none" and keep():
        yield "earrings"
    if keep():
        yield f"a {face['shirt colour']} shirt"
    if keep():
        yield f"a {face['background']} background"
