"""Is this a face that the compositor can draw? The nearest drawable face, found by search."""

from functools import cache
from itertools import product
from typing import Annotated

import torch
from torch import Tensor

from diffusion_lib.contracts import Count, Index, checked, rows
from diffusion_lib.data.faces import LAYERS, PARTS, draw_faces, face_layer, face_parts

# What is searched together, with all other parts kept: a colour is nothing without its shape, frames hide
# eyes, and a beard without hair has the hair's colour. With "" for the hat, hair is tried without one, too.
TOGETHER = (("background",), ("skin",), ("earrings",), ("mouth",), ("glasses", "eyes", "eye colour"),
            ("shirt", "shirt colour"), ("hat", "hat colour"), ("beard", "hair colour"),
            ("hair", "hair colour"), ("hair", "hair colour", ""))  # fmt: skip
ROWS = 100  # pictures searched at once, which fit the cache
FaceLevels = Annotated[Tensor, rows((3, 16, 16))]


@checked
@torch.no_grad()
def nearest_face(
    levels: FaceLevels, starts: Count = 4000, sweeps: Count = 6, seed: Index = 0
) -> tuple[Tensor, Tensor]:
    """The parts (n, 14) of the drawable faces nearest to pictures (n, 3, 16, 16), and the distances (n,).

    A distance is a root mean square over the numbers of a picture, in levels. The search starts at the
    nearest of some random faces, tries all choices of one part, or of a few that belong together, takes the
    best, and goes on until none is better. There is no promise that no face is nearer; of faces that the
    compositor drew it finds nearly all.
    """
    wanted, (pool, faces) = levels.detach().float().cpu(), _random_faces(starts, seed)
    nearest = torch.cdist(wanted.flatten(1), faces.flatten(1)).argmin(dim=1)
    blocks = zip(wanted.split(ROWS), pool[nearest].split(ROWS), strict=True)
    parts = torch.cat([_improved(part, rows / 255, sweeps) for rows, part in blocks])
    distance = (draw_faces(parts) - wanted).square().flatten(1).mean(dim=1).sqrt()
    return parts.to(levels.device), distance.to(levels)


@cache
def _random_faces(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The parts of n random faces, and the faces."""
    parts = face_parts(n, torch.Generator().manual_seed(seed))
    return parts, draw_faces(parts)


def _improved(parts: Tensor, wanted: Tensor, sweeps: int) -> Tensor:
    """The parts (n, 14), changed group by group as long as that brings a face nearer to its picture."""
    best = _apart(_painted(range(len(LAYERS)), parts), wanted)
    for _ in range(sweeps):
        before = best
        for names in TOGETHER:
            parts, best = _best_of(names, parts, best, wanted)
        if torch.equal(best, before):
            break
    return parts


def _best_of(names: tuple[str, ...], parts: Tensor, best: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Parts and distances after all choices of the parts with these names, all others kept."""
    columns, base = [list(PARTS).index(name) for name in names if name], parts.clone()
    if "" in names:
        base[:, list(PARTS).index("hat")] = 0
    changed = [k for k, (shape, tint, _) in enumerate(LAYERS) if {shape, tint} - {""} & set(names)]
    between = range(min(changed), max(changed) + 1)
    below = _painted(range(between.start), base)
    hidden, over = _seen_through(range(between.stop, len(LAYERS)), base)
    for choice in product(*(range(len(PARTS[name])) for name in names if name)):
        tried = base.clone()
        tried[:, columns] = torch.tensor(choice)
        apart = _apart(hidden * _painted(between, tried, below) + over, wanted)
        better = apart < best
        parts, best = torch.where(better[:, None], tried, parts), torch.where(better, apart, best)
    return parts, best


def _painted(layers: range, parts: Tensor, canvas: Tensor | float = 0.0) -> Tensor:
    """These layers of faces, on a canvas."""
    for k in layers:
        keeps, adds = face_layer(k, parts, torch.float32)
        canvas = keeps * canvas + adds
    return canvas


def _seen_through(layers: range, parts: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """What these layers keep of what is below all of them, and what they add."""
    kept, added = 1.0, 0.0
    for k in layers:
        keeps, adds = face_layer(k, parts, torch.float32)
        kept, added = keeps * kept, keeps * added + adds
    return kept, added


def _apart(x: Tensor, y: Tensor) -> Tensor:
    """The mean square of the difference over a picture's numbers: (n,)."""
    return (x - y).square().flatten(1).mean(dim=1)


@checked
def drawable_share(levels: FaceLevels, steps: Count = 16) -> float:
    """The share of pictures that are faces which the compositor can draw, up to rounding.

    As far as a drawable face is moved when its levels are rounded to `steps` + 1 even ones, a picture may be
    from the nearest drawable face. That is the largest such distance among 500 faces: at 16 steps, 6 levels.
    """
    _, own = _random_faces(500, 1)
    rounded = (own * steps / 255).round() * 255 / steps
    limit = _apart(rounded, own).max().sqrt()
    return float((nearest_face(levels)[1].cpu() <= limit).double().mean())
