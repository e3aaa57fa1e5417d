"""Train the classifiers that judge pictures, and write them: they know real pictures only.

python tools/features.py          # all, some minutes; do so only to change what all distances mean

The inner numbers of "digits" and "faces" are the fixed features of `measure.pictures`; "judge" says which
words fit a face (`measure.judge`).

The files were written before any model of pictures was trained, and `tests/measure/test_pictures.py` knows
their hashes: another training would change what every Fréchet distance in the book means.
"""

import hashlib
import sys

import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from diffusion_lib.data.faces import PARTS, draw_faces, face_parts
from diffusion_lib.data.images import digits
from diffusion_lib.measure.judge import ANSWERS, ATTRIBUTES, FaceJudge
from diffusion_lib.measure.pictures import FEATURES, PictureFeatures
from diffusion_lib.training import adamw, warm_up_and_cosine

STEPS, BATCH, RATE = {"digits": 800, "faces": 2000, "judge": 6000}, 128, 3e-3
NOISE = (
    0.1  # of the highest level: so that the classifier looks at what a picture shows, not at single pixels
)


def words_of(parts: Tensor) -> Tensor:
    """The words of faces as whole numbers, (n, 14): those of a part are counted from 0."""
    tables = [torch.tensor([list(dict.fromkeys(words)).index(w) for w in words]) for words in PARTS.values()]
    return torch.stack([table[column] for table, column in zip(tables, parts.unbind(1), strict=True)], dim=1)


def pictures(kind: str, generator: Generator) -> tuple[Tensor, Tensor, list[int]]:
    """Levels, answers (n, questions), and how many answers each question has."""
    if kind == "digits":
        found = digits()
        return found.train, found.train_digits[:, None], [10]
    parts = face_parts(100_000 if kind == "judge" else 20_000, generator)
    answers = words_of(parts)
    if kind == "judge":
        answers = answers[:, [list(PARTS).index(part) for part in ATTRIBUTES]]
        return draw_faces(parts), answers, [len(words) for words in ANSWERS.values()]
    return draw_faces(parts), answers, [len(set(words)) for words in PARTS.values()]


def trained(kind: str) -> PictureFeatures | FaceJudge:
    """The classifier, trained from seed 0 on noisy pictures of the training set."""
    generator = Generator().manual_seed(0)
    torch.manual_seed(0)
    levels, answers, sizes = pictures(kind, generator)
    features = FaceJudge() if kind == "judge" else PictureFeatures(kind)
    answer, highest = (features, 255) if kind == "judge" else (features.answers, features.highest)
    optimiser = adamw(list(features.parameters()), RATE)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: warm_up_and_cosine(i, STEPS[kind]))
    for step in range(STEPS[kind]):
        rows = torch.randint(len(levels), (BATCH,), generator=generator)
        noise = NOISE * highest * torch.randn(levels[rows].shape, generator=generator)
        logits = answer(levels[rows] + noise).split(sizes, dim=1)
        targets = answers[rows].unbind(1)
        loss = sum(map(torch.nn.functional.cross_entropy, logits, targets)) / len(sizes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        if step % 200 == 199:
            print(f"{kind}: step {step + 1}, loss {loss.item():.3f}", flush=True)
    return features


if __name__ == "__main__":
    torch.set_num_threads(1)
    FEATURES.mkdir(exist_ok=True)
    for kind in sys.argv[1:] or STEPS:
        state = trained(kind).state_dict()
        weights = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        path = FEATURES / f"{kind}.safetensors"
        save_file(weights, path)
        print(kind, path.stat().st_size, "bytes, SHA-256", hashlib.sha256(path.read_bytes()).hexdigest())
