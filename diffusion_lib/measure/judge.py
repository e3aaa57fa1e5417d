"""Does a face show what was asked for? A judge, trained on real faces alone, and what there is to be seen."""

from functools import cache
from pathlib import Path
from typing import Annotated

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diffusion_lib.contracts import checked, rows
from diffusion_lib.data.captions import ATTRIBUTES
from diffusion_lib.data.faces import PARTS, FaceParts, draw_faces

JUDGE = Path(__file__).with_name("features") / "judge.safetensors"
ANSWERS = {part: list(dict.fromkeys(PARTS[part])) for part in ATTRIBUTES}  # the words to choose from
VISIBLE = 2  # pixels that must differ, by more than
FAINT = 24  # levels, for a thing to be seen
_BARE = ("mohawk", "wild")  # hair on which no hat fits

Faces = Annotated[Tensor, rows((3, 16, 16))]


@checked
class FaceJudge(nn.Module):
    """A classifier of faces, levels (n, 3, 16, 16): for each attribute, the word that it thinks fits best.

    Three convolutions and two linear layers, with one answer for each word of each of the ten `ATTRIBUTES`.
    `face_judge()` gives the trained one, whose weights never change.
    """

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.SiLU(),
            nn.Conv2d(32, 32, 4, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(32, 32, 4, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(32 * 16, 192), nn.SiLU(),
            nn.Linear(192, sum(map(len, ANSWERS.values()))),
        )  # fmt: skip

    def forward(self, levels: Faces) -> Tensor:
        """Logits, those of one attribute after those of another: (n, 46)."""
        return self.body(2 * levels / 255 - 1)

    @torch.no_grad()
    def words(self, levels: Faces) -> list[dict[str, str]]:
        """For each face, the word that fits best, by attribute."""
        logits = self(levels).split([len(words) for words in ANSWERS.values()], dim=1)
        best = torch.stack([part.argmax(dim=1) for part in logits], dim=1).tolist()
        return [{part: ANSWERS[part][k] for part, k in zip(ATTRIBUTES, row, strict=True)} for row in best]


@cache
def face_judge() -> FaceJudge:
    """The fixed judge, trained by tools/features.py on real faces only."""
    judge = FaceJudge()
    judge.load_state_dict({name: value.float() for name, value in load_file(JUDGE).items()})
    return judge.eval().requires_grad_(False)


@checked
def visible(parts: FaceParts) -> Tensor:
    """Which attributes of the faces with these parts (n, 14) can be seen: (n, 10), in the order `ATTRIBUTES`.

    One can if no other word for it, all else kept, would give nearly the same picture: with each at least two
    pixels would be another. Short hair may vanish under a cap, and the colour of no hat is not seen.
    """
    faces = draw_faces(parts)
    return torch.stack([_told_apart(part, parts, faces) for part in ATTRIBUTES], dim=1)


def _told_apart(part: str, parts: Tensor, faces: Tensor) -> Tensor:
    """Whether every other word for this part would give another picture: (n,)."""
    column, columns = list(PARTS).index(part), list(PARTS)
    words = PARTS[part]
    seen = torch.ones(len(parts), dtype=torch.bool, device=parts.device)
    own = [words[k] for k in parts[:, column].tolist()]
    for number, word in enumerate(words):
        other = parts.clone()
        other[:, column] = number
        changes = torch.tensor([word != w for w in own], device=parts.device)
        if part == "hair" and word in _BARE:
            changes &= other[:, columns.index("hat")] == 0
        if changes.any():
            differs = (draw_faces(other[changes]) - faces[changes]).abs().amax(dim=1) > FAINT
            seen[changes] &= differs.flatten(1).sum(dim=1) >= VISIBLE
    return seen
