"""Train the models of pictures that the book ships, from their seeds, and print how good they are.

python tools/weights.py             # all, into book/weights/
python tools/weights.py digits      # one
python tools/weights.py digits 1    # the same recipe with another seed: only scored, not kept

A model goes into `book/weights/NAME.safetensors`, and its hash and scores into `book/weights/weights.json`,
to which the tests hold the file. Another machine may come to weights that differ, as rounding does; the
scores then differ as those of other seeds do.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.data.images import digits, pixel_faces
from diffusion_lib.data.units import PixelScale
from diffusion_lib.measure.drawable import drawable_share
from diffusion_lib.measure.evaluation import Figure
from diffusion_lib.measure.pictures import evaluate_pictures
from diffusion_lib.models.checkpoints import save
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import Schedule, cosine
from diffusion_lib.solvers.steps import ddim, last
from diffusion_lib.training import train

WEIGHTS = Path(__file__).parents[1] / "book" / "weights"
CALLS = {"digits": 100, "faces": 50}  # of the network, for a sample
DRAWS = {"digits": 4, "faces": 1}  # whose mean is kept: few digits score differently in each draw


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: its data, its network, and the settings of the loop."""

    data: Callable[[], tuple[Tensor, Tensor]]  # levels to train on, and held out
    highest: int
    network: Callable[[Schedule, tuple[int, ...]], nn.Module]
    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    samples: int  # to be scored
    most_floors: float  # that the Fréchet distance may be
    searched: int = 0  # for which the nearest drawable face is looked for


def described(recipe: Recipe) -> dict[str, object]:
    """A recipe in numbers and words."""
    names = {name: getattr(recipe, name).__name__ for name in ("data", "network")}
    return asdict(recipe) | names


def divided_digits() -> tuple[Tensor, Tensor]:
    """1,437 digits to train on, and 360."""
    found = digits()
    return found.train, found.held_out


def divided_faces() -> tuple[Tensor, Tensor]:
    """200,000 faces to train on, and 2,000."""
    return pixel_faces(200_000, Generator().manual_seed(0)), pixel_faces(2000, Generator().manual_seed(1))


def digit_unet(schedule: Schedule, shape: tuple[int, ...]) -> UNet:
    """Of two levels."""
    return UNet(schedule, shape, (32, 64))


def face_mlp(schedule: Schedule, shape: tuple[int, ...]) -> PictureMLP:
    """A face's parts have fixed places; a U-Net came less far in thrice the time."""
    return PictureMLP(schedule, shape, 352, 5)


RECIPES = {
    "digits": Recipe(divided_digits, 16, digit_unet, 4000, 128, 3e-3, 0.998, 1000, 1.5),
    "faces": Recipe(divided_faces, 255, face_mlp, 60_000, 128, 3e-3, 0.999, 2000, 2.6, 200),
}


def trained(recipe: Recipe, seed: int) -> Diffusion:
    """The model, from this seed."""
    levels, _ = recipe.data()
    schedule, shape = cosine(1000), tuple(levels.shape[1:])
    torch.manual_seed(seed)
    network = recipe.network(schedule, shape)
    model = Diffusion(network, schedule, "v", shape=shape, stratified=True)
    start = time.process_time()

    def on_step(run):
        if len(run.losses) % 400 == 0:
            mean = sum(run.losses[-400:]) / 400
            print(f"step {len(run.losses)}: loss {mean:.2f}, {time.process_time() - start:.0f} s", flush=True)

    settings = (recipe.steps, recipe.batch_size, recipe.learning_rate, Generator().manual_seed(seed), on_step)
    train(model, PixelScale(recipe.highest)(levels), *settings, ema=recipe.ema)
    return model


def drawn(model: Diffusion, n: int, highest: int, seed: int, calls: int = 50) -> Tensor:
    """n samples by deterministic DDIM, as levels."""
    x_T = torch.randn((n, *model.shape), generator=Generator().manual_seed(seed))
    steps = range(model.T, 0, -model.T // calls)
    return PixelScale(highest).undo(last(ddim(model, x_T, model.schedule, list(steps))))


def scores(name: str, model: Diffusion, seed: int) -> dict[str, Figure]:
    """What is measured of a model's samples, beside what fresh pictures score: means of some draws.

    The floor of the Fréchet distance is the mean of as many draws of training pictures, all different ones.
    """
    recipe, draws, found = RECIPES[name], DRAWS[name], []
    levels, held_out = recipe.data()
    for i in range(draws):
        samples = drawn(model, recipe.samples, recipe.highest, 1000 + draws * seed + i, CALLS[name])
        shuffled = levels[torch.randperm(len(levels), generator=Generator().manual_seed(i))[:20_000]]
        found.append(evaluate_pictures(samples, shuffled, held_out, name))
        if recipe.searched:
            share = [drawable_share(x[: recipe.searched]) for x in (samples, held_out)]
            found[-1]["drawable"] = Figure(*share)
    pairs = {figure: [(draw[figure].model, draw[figure].floor) for draw in found] for figure in found[0]}
    return {figure: Figure(*torch.tensor(pair).mean(dim=0).tolist()) for figure, pair in pairs.items()}


def main(name: str, seed: int | None = None) -> None:
    """Train one model and print its scores; keep it if it is that of seed 0."""
    start = time.process_time()
    model = trained(RECIPES[name], seed or 0)
    seconds = time.process_time() - start
    found = scores(name, model, seed or 0)
    for figure, value in found.items():
        print(f"{name}, seed {seed or 0}: {figure}: {value.model:.3f}, floor {value.floor:.3f}", flush=True)
    print(f"{name}: {seconds:.0f} s of one core, {seconds / RECIPES[name].steps:.3f} a step")
    if seed is None:
        keep(name, model, seconds, found, described(RECIPES[name]))


def keep(name: str, model: nn.Module, seconds: float, found: dict[str, Figure], recipe: dict) -> None:
    """Write a model into its file, and its hash, recipe and scores into the record."""
    WEIGHTS.mkdir(exist_ok=True)
    path, kept = WEIGHTS / f"{name}.safetensors", WEIGHTS / "weights.json"
    save(model, path, half=True)
    record = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    record[name] = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "recipe": recipe,
        "seconds": round(seconds),
        "scores": {k: [round(v.model, 4), round(v.floor, 4)] for k, v in found.items()},
    }
    text = json.dumps(dict(sorted(record.items())), indent=1, ensure_ascii=False)
    kept.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1:2] or list(RECIPES)
    for name in chosen:
        main(name, *map(int, sys.argv[2:3]))
