"""What chapter 11 asks of a model that reads: does a face show what its caption says, and at what price?

Faces are levels (n, 3, 16, 16) when they are judged: the model's 32 × 32 pixels, halved. A word counts
only if the caption says it and it can be seen in the face that the caption was taken from.
"""

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from pathlib import Path

import torch
from torch import Generator, Tensor

from diffusion_lib.data.captions import ATTRIBUTES, captions_of, wishes
from diffusion_lib.data.faces import PARTS, draw_faces, face_parts
from diffusion_lib.data.images import doubled, halved, pixel_faces
from diffusion_lib.data.units import PixelScale
from diffusion_lib.draw import draw
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.evaluation import Figure
from diffusion_lib.measure.judge import face_judge, visible
from diffusion_lib.measure.pictures import (
    evaluate_pictures,
    frechet_distance,
    nearest_distances,
    picture_features,
)
from diffusion_lib.models.checkpoints import load
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


# --- what chapter 11 shows: of the one shipped model, with three seeds of noise -----------------------------

WEIGHTS = FIFTY.parent
SEEDS = (0, 1, 2)  # of the noise that faces begin with
COLOURS = ("hair colour", "hat colour", "shirt colour")
EACH = 16  # faces for a caption
SHARED = ("red", "blue", "green", "black")  # colours that hair and shirts both may have
PAIRS = {  # for each unseen pair one with the same first word that training has
    "unseen": UNSEEN,
    "seen": (
        {"glasses": "sunglasses", "hat": "cap"},
        {"hair": "pigtails", "beard": "moustache"},
        {"hair colour": "pink", "shirt colour": "red"},
    ),
}


@cache
def shipped() -> tuple[TextDiffusion, PictureVAE]:
    """The reader of captions and the autoencoder of book/weights."""
    return tuple(load(WEIGHTS / f"{name}.safetensors") for name in ("words", "autoencoder"))


@cache
def _features_of_others(n: int = 20_000) -> Tensor:
    """Features of real faces that no model was trained on, nor any caption taken from."""
    return picture_features("faces")(pixel_faces(n, Generator().manual_seed(78)))


def drawn(captions: Sequence[str], w: float, seed: int) -> Tensor:
    """A face of the shipped model for each caption, as the judge wants it: levels (n, 3, 16, 16)."""
    return halved(draw(*shipped(), captions, w, Generator().manual_seed(seed)))


def _figures(levels: Tensor, seed: int = 0) -> dict[str, float]:
    """What the plot of chapter 11 shows of faces, one for each of `fresh_faces`."""
    parts, seen = fresh_faces(seed=77 + seed)
    share = accuracy(levels, captions_of(parts), seen)
    colours = sum(share[part] for part in COLOURS) / len(COLOURS)
    apart = frechet_distance(picture_features("faces")(levels), _features_of_others())
    return {"accuracy": share["all"], "colours": colours, "Fréchet distance": apart}


def guidance(*, w: float, seed: int) -> dict[str, float]:
    """1,000 faces for full captions: accuracy, that of colours, Fréchet distance to 20,000 real faces."""
    return _figures(drawn(captions_of(fresh_faces()[0]), w, seed))


def ceiling(*, stage: str, seed: int) -> dict[str, float]:
    """The same figures of the faces the captions were taken from, "real" or through the "autoencoder"."""
    faces, vae = draw_faces(fresh_faces(seed=77 + seed)[0]), shipped()[1]
    if stage == "autoencoder":
        faces = halved(SCALE.undo(vae.to_pictures(vae.to_latents(doubled(SCALE(faces))))))
    return _figures(faces, seed)


def shows(levels: Tensor, wanted: Sequence[dict[str, str]]) -> list[bool]:
    """Whether each face shows all that is wanted of it, by the judge."""
    return [
        all(found[part] == word for part, word in wish.items())
        for found, wish in zip(face_judge().words(levels), wanted, strict=True)
    ]


def fifty(*, w: float, seed: int) -> dict[str, float]:
    """16 faces for each of the fifty captions: the faces that show all, and the captions with over half."""
    captions = [line for line in FIFTY.read_text(encoding="utf-8").splitlines() for _ in range(EACH)]
    right = Tensor(shows(drawn(captions, w, seed), [wishes(line) for line in captions])).reshape(-1, EACH)
    return {"faces": float(right.mean()), "captions": float((right.mean(dim=1) > 0.5).sum())}


def pairs(*, kind: str, w: float, seed: int, n: int = 200) -> dict[str, float]:
    """Faces with a pair of words that training had or never had: the share that shows both, and of real ones.

    Only real faces are taken whose pixels show both words: no bald head has pink hair. Beside it the
    accuracy of all that their captions say, "accuracy", and the judge's on the real faces.
    """
    pool, found = face_parts(30_000, Generator().manual_seed(79)), []
    others = torch.stack([has_pair(pool, pair) for pair in UNSEEN]).any(dim=0)
    for pair in PAIRS[kind]:
        parts = pool[has_pair(pool, pair) & (others if kind == "unseen" else ~others)][: 2 * n]
        seen, both = visible(parts), [ATTRIBUTES.index(part) for part in pair]
        parts, seen = (x[seen[:, both].all(dim=1)][:n] for x in (parts, seen))
        captions = captions_of(parts)
        for name, levels in (("", drawn(captions, w, seed)), (" of real faces", draw_faces(parts))):
            share = Tensor(shows(levels, [pair] * len(parts))).mean()
            found.append((f"both{name}", float(share)))
            found.append((f"accuracy{name}", accuracy(levels, captions, seen)["all"]))
    return {name: sum(v for key, v in found if key == name) / len(PAIRS[kind]) for name, _ in found}


def binding(*, w: float, seed: int) -> dict[str, float]:
    """Hair of one colour and a shirt of another, all twelve pairs of four colours, 16 faces each."""
    asked = [(hair, shirt) for hair, shirt in permutations(SHARED, 2) for _ in range(EACH)]
    captions = [f"a face with long {hair} hair and a {shirt} shirt" for hair, shirt in asked]
    words = face_judge().words(drawn(captions, w, seed))
    found = [(face["hair colour"], face["shirt colour"]) for face in words]
    right = sum(a == b for a, b in zip(asked, found, strict=True))
    swapped = sum(a == b[::-1] for a, b in zip(asked, found, strict=True))
    return {"as asked": right / len(asked), "swapped": swapped / len(asked)}


def copies(*, w: float, seed: int) -> dict[str, float]:
    """Distances in levels to the nearest of 20,000 faces of the training: of 500 drawn, and of real ones."""
    train = face_parts(120_000, Generator().manual_seed(7))[:20_000]
    train = draw_faces(train[~torch.stack([has_pair(train, pair) for pair in UNSEEN]).any(dim=0)])
    parts = fresh_faces()[0][:500]
    near = {"drawn": drawn(captions_of(parts), w, seed), "real": draw_faces(parts)}
    return {name: float(nearest_distances(x, train).mean()) for name, x in near.items()}


EXPERIMENTS = (
    Experiment(guidance, grid(w=(0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0), seed=SEEDS)),
    Experiment(ceiling, grid(stage=("real", "autoencoder"), seed=SEEDS)),
    Experiment(fifty, grid(w=(1.0, 2.0, 3.0), seed=SEEDS)),
    Experiment(pairs, grid(kind=("unseen", "seen"), w=(2.0,), seed=SEEDS)),
    Experiment(binding, grid(w=(1.0, 2.0, 3.0), seed=SEEDS)),
    Experiment(copies, grid(w=(2.0,), seed=SEEDS)),
)
