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
from diffusion_lib.models.checkpoints import load, save
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.palette import PaletteDiffusion, PaletteMLP
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import Schedule, cosine
from diffusion_lib.solvers.ode import dpm_solver_pp_2m, log_even
from diffusion_lib.solvers.steps import ddim, last
from diffusion_lib.training import train

WEIGHTS = Path(__file__).parents[1] / "book" / "weights"
SCHEDULE = cosine(1000)
EDGE = 320  # the step from which the refiner goes on
DOUBT = 0.1  # of the refiner when it draws: more faces come out drawable, at a slightly larger distance
DRAWS = {"digits": 4, "faces": 1, "refiner": 1}  # whose mean is kept: few digits score differently in each
EVERY = {"digits": 10, "faces": 20, "refiner": 4}  # of these steps a sampler takes


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: its data, its network, and the settings of the loop."""

    pictures: str  # what they show: "digits" or "faces"
    data: Callable[[], tuple[Tensor, Tensor]]  # levels to train on, and held out
    highest: int
    model: Callable[[Tensor], Diffusion]  # made for these pictures x_0, not trained yet
    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    samples: int  # to be scored
    most_floors: float  # that the Fréchet distance may be
    searched: int = 0  # for which the nearest drawable face is looked for


def described(recipe: Recipe) -> dict[str, object]:
    """A recipe in numbers and words."""
    names = {name: getattr(recipe, name).__name__ for name in ("data", "model")}
    return asdict(recipe) | names


def divided_digits() -> tuple[Tensor, Tensor]:
    """1,437 digits to train on, and 360."""
    found = digits()
    return found.train, found.held_out


def divided_faces() -> tuple[Tensor, Tensor]:
    """200,000 faces to train on, and 2,000."""
    return pixel_faces(200_000, Generator().manual_seed(0)), pixel_faces(2000, Generator().manual_seed(1))


def digit_unet(x_0: Tensor) -> Diffusion:
    """Of two levels."""
    network = UNet(SCHEDULE, x_0.shape[1:], (32, 64))
    return Diffusion(network, SCHEDULE, "v", shape=x_0.shape[1:], stratified=True)


def face_mlp(x_0: Tensor) -> Diffusion:
    """A face's parts have fixed places; a U-Net came less far in thrice the time."""
    network = PictureMLP(SCHEDULE, x_0.shape[1:], 352, 5)
    return Diffusion(network, SCHEDULE, "v", shape=x_0.shape[1:], stratified=True)


def face_palette(x_0: Tensor) -> Diffusion:
    """For the last steps alone, where parts are chosen and colours are to be exact."""
    late = Schedule(SCHEDULE.alpha[: EDGE + 1])
    network = PaletteMLP(late, x_0.shape[1:])
    network.learn_palette(x_0[:20_000])
    return PaletteDiffusion(network, late, "x_0", shape=x_0.shape[1:], stratified=True)


RECIPES = {
    "digits": Recipe("digits", divided_digits, 16, digit_unet, 4000, 128, 3e-3, 0.998, 1000, 1.5),
    "faces": Recipe("faces", divided_faces, 255, face_mlp, 60_000, 128, 3e-3, 0.999, 2000, 2.6, 200),
    "refiner": Recipe("faces", divided_faces, 255, face_palette, 36_000, 128, 5e-3, 0.999, 2000, 1.7, 200),
}


def trained(recipe: Recipe, seed: int) -> Diffusion:
    """The model, from this seed."""
    x_0 = PixelScale(recipe.highest)(recipe.data()[0])
    torch.manual_seed(seed)
    model = recipe.model(x_0)
    start = time.process_time()

    def on_step(run):
        if len(run.losses) % 400 == 0:
            mean = sum(run.losses[-400:]) / 400
            print(f"step {len(run.losses)}: loss {mean:.2f}, {time.process_time() - start:.0f} s", flush=True)

    settings = (recipe.steps, recipe.batch_size, recipe.learning_rate, Generator().manual_seed(seed), on_step)
    train(model, x_0, *settings, ema=recipe.ema)
    if isinstance(model.network, PaletteMLP):
        model.network.doubt = model.network.settings["doubt"] = DOUBT
    return model


def drawn(name: str, model: Diffusion, n: int, seed: int) -> Tensor:
    """n samples, as levels: by deterministic DDIM; with a refiner that of "faces", refined."""
    generator, steps = Generator().manual_seed(seed), range(model.T, 0, -EVERY[name])
    noise = torch.randn((n, *model.shape), generator=generator)
    if name == "refiner":
        x_t, eta = begun(noise), 1.0  # noise drawn on the way: so a pixel can still change its mind
    else:
        x_t, eta = noise, 0.0
    states = ddim(model, x_t, model.schedule, list(steps), eta, generator)
    return PixelScale(RECIPES[name].highest).undo(last(states))


def begun(noise: Tensor) -> Tensor:
    """x_t at t = `EDGE`, where a refiner goes on, from ε by the model "faces" in 30 calls."""
    model = load(WEIGHTS / "faces.safetensors")
    levels = SCHEDULE.nearest(log_even(30, 80.0, float(SCHEDULE.sigma[EDGE])))
    *_, z, _ = dpm_solver_pp_2m(model, levels[0] * noise, levels)
    return float(SCHEDULE.signal[EDGE]) * z


def scores(name: str, model: Diffusion, seed: int) -> dict[str, Figure]:
    """What is measured of a model's samples, beside what fresh pictures score: means of some draws.

    The floor of the Fréchet distance is the mean of as many draws of training pictures, all different ones.
    """
    recipe, draws, found = RECIPES[name], DRAWS[name], []
    levels, held_out = recipe.data()
    for i in range(draws):
        samples = drawn(name, model, recipe.samples, 1000 + draws * seed + i)
        shuffled = levels[torch.randperm(len(levels), generator=Generator().manual_seed(i))[:20_000]]
        found.append(evaluate_pictures(samples, shuffled, held_out, recipe.pictures))
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
