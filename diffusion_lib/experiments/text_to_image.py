"""What chapter 11 asks of a model that reads: does a face show what its caption says, and at what price?

Faces are levels (n, 3, 16, 16) when they are judged: the model's 32 × 32 pixels, halved. A word counts
only if the caption says it and it can be seen in the face that the caption was taken from.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Generator, Tensor

from diffusion_lib.data.captions import ATTRIBUTES, captions_of, wishes
from diffusion_lib.data.faces import PARTS, draw_faces, face_parts
from diffusion_lib.data.images import doubled, halved, pixel_faces
from diffusion_lib.data.units import PixelScale
from diffusion_lib.draw import draw
from diffusion_lib.measure.evaluation import Figure
from diffusion_lib.measure.judge import face_judge, visible
from diffusion_lib.measure.pictures import evaluate_pictures
from diffusion_lib.models.conditional import TextDiffusion
from diffusion_lib.models.latent import PictureVAE

SCALE = PixelScale(255)
UNSEEN = (  # pairs of words that no caption of the training has together
    {"glasses": "sunglasses", "hat": "beanie"},
    {"hair": "pigtails", "beard": "beard"},
    {"hair colour": "pink", "shirt colour": "green"},
)
FIFTY = Path(__file__).parents[2] / "book" / "weights" / "fifty_captions.txt"


def has_pair(parts: Tensor, pair: dict[str, str]) -> Tensor:
    """Which faces with these parts (n, 14) have both words: (n,)."""
    columns = [parts[:, list(PARTS).index(part)] for part in pair]
    found = [
        torch.tensor([word == wanted for word in PARTS[part]])[column]
        for (part, wanted), column in zip(pair.items(), columns, strict=True)
    ]
    return torch.stack(found).all(dim=0)


@cache
def fresh_faces(n: int = 1000, seed: int = 77) -> tuple[Tensor, Tensor]:
    """The parts (n, 14) of faces that no model was trained on, and what of them can be seen (n, 10)."""
    parts = face_parts(n, Generator().manual_seed(seed))
    return parts, visible(parts)


def accuracy(levels: Tensor, captions: Sequence[str], seen: Tensor) -> dict[str, float]:
    """The share of faces (n, 3, 16, 16) that show what their caption says, by attribute, and "all": the mean.

    `seen` (n, 10) says what could be seen in the faces that the captions were taken from.
    """
    right: dict[str, list[bool]] = {part: [] for part in ATTRIBUTES}
    for found, line, can in zip(face_judge().words(levels), captions, seen.tolist(), strict=True):
        asked = wishes(line)
        for part, known in zip(ATTRIBUTES, can, strict=True):
            if known and part in asked:
                right[part].append(found[part] == asked[part])
    shares = {part: sum(each) / len(each) for part, each in right.items() if each}
    return shares | {"all": sum(shares.values()) / len(shares)}


def vae_scores(vae: PictureVAE) -> dict[str, Figure]:
    """How well faces come through the autoencoder: decibels of 500, and the judge's answers, real beside."""
    x = doubled(SCALE(pixel_faces(500, Generator().manual_seed(3))))
    error = (vae.to_pictures(vae.to_latents(x)) - x).square().mean()
    parts, seen = fresh_faces()
    faces, captions = draw_faces(parts), captions_of(parts)
    through = halved(SCALE.undo(vae.to_pictures(vae.to_latents(doubled(SCALE(faces))))))
    shares = [accuracy(levels, captions, seen)["all"] for levels in (through, faces)]
    return {"decibels": Figure(float(10 * (4 / error).log10()), 0.0), "accuracy": Figure(*shares)}


def text_scores(model: TextDiffusion, vae: PictureVAE, seed: int = 0) -> dict[str, Figure]:
    """Accuracy of full captions and Fréchet distance of 1,000 faces at w = 1, 2 and 3, real ones beside."""
    parts, seen = fresh_faces()
    captions, faces = captions_of(parts), draw_faces(parts)
    # Others than the captions were taken from: faces with the same words would be nearer than fresh ones are.
    others, fresh = (pixel_faces(n, Generator().manual_seed(k)) for n, k in ((1000, 79), (5000, 78)))
    found = {}
    for w in (1.0, 2.0, 3.0):
        levels = halved(draw(model, vae, captions, w, Generator().manual_seed(seed)))
        shares = [accuracy(x, captions, seen) for x in (levels, faces)]
        for part in ("all", "hair colour", "hat colour", "shirt colour"):
            found[f"accuracy at w = {w:g}, {part}"] = Figure(*(share[part] for share in shares))
        found[f"Fréchet distance at w = {w:g}"] = evaluate_pictures(levels, fresh, others, "faces")[
            "Fréchet distance"
        ]
    return found
