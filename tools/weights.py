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
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.models.palette import PaletteDiffusion, PaletteMLP
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import Schedule, at, cosine
from diffusion_lib.solvers.ode import dpm_solver_pp_2m, log_even
from diffusion_lib.solvers.steps import ddim, last
from diffusion_lib.training import train

WEIGHTS = Path(__file__).parents[1] / "book" / "weights"
SCHEDULE = cosine(1000)
FAR = 600  # the step from which targets are means
EDGE = 320  # the sketcher's last step, from which the refiner goes on


@dataclass(frozen=True)
class Recipe:
    """How a model is trained and drawn from: its data, its network, the settings of the loop, its sampler."""

    pictures: str  # what they show: "digits" or "faces"
    data: Callable[[], tuple[Tensor, Tensor]]  # levels to train on, and held out
    highest: int
    model: Callable[[Tensor], Diffusion]  # made for these pictures x_0, not trained yet
    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    sampler: Callable[[Diffusion, Tensor, Generator], Tensor]  # from ε (n, *shape) to x_0
    samples: int  # to be scored, in each draw
    draws: int  # whose mean score is kept: scores scatter
    most_floors: float  # that the Fréchet distance may be
    searched: int = 0  # for which the nearest drawable face is looked for
    pooled: int = 0  # pictures whose means are the targets, where noise is much
    doubt: float = 0.0  # when it draws: with more, more faces can be drawn, but the distance grows


def described(recipe: Recipe) -> dict[str, object]:
    """A recipe in numbers and words."""
    names = {name: getattr(recipe, name).__name__ for name in ("data", "model", "sampler")}
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


def face_sketcher(x_0: Tensor) -> Diffusion:
    """The model "faces", to be trained on for the steps from T to `EDGE` alone."""
    alpha_bar = SCHEDULE.alpha_bar[EDGE : EDGE + 1]  # all noise up to `EDGE` in one step
    early = Schedule(torch.cat([SCHEDULE.alpha[:1], alpha_bar, SCHEDULE.alpha[EDGE + 1 :]]))
    first = shipped("faces").network
    network = PictureMLP(early, **first.settings)
    network.load_state_dict(first.state_dict())
    return Diffusion(network, early, "v", shape=x_0.shape[1:], stratified=True)


def face_palette(x_0: Tensor) -> Diffusion:
    """For the steps after these, where parts are chosen and colours are to be exact."""
    late = Schedule(SCHEDULE.alpha[: EDGE + 1])
    network = PaletteMLP(late, x_0.shape[1:])
    network.learn_palette(x_0[:20_000])
    return PaletteDiffusion(network, late, "x_0", shape=x_0.shape[1:], stratified=True)


def digits_drawn(model: Diffusion, noise: Tensor, generator: Generator) -> Tensor:
    """By deterministic DDIM in 100 calls."""
    return last(ddim(model, noise, SCHEDULE, range(1000, 0, -10)))


def faces_drawn(model: Diffusion, noise: Tensor, generator: Generator) -> Tensor:
    """By deterministic DDIM in 50 calls."""
    return last(ddim(model, noise, SCHEDULE, range(1000, 0, -20)))


def sketched(sketcher: Diffusion, noise: Tensor) -> Tensor:
    """x_t at t = `EDGE`, from ε in 30 calls."""
    levels = SCHEDULE.nearest(log_even(30, 80.0, float(SCHEDULE.sigma[EDGE])))
    *_, z, _ = dpm_solver_pp_2m(sketcher, levels[0] * noise, levels)
    return float(SCHEDULE.signal[EDGE]) * z


def sketches_finished(model: Diffusion, noise: Tensor, generator: Generator) -> Tensor:
    """The sketcher's sketches, finished by the model "faces"."""
    return last(ddim(shipped("faces"), sketched(model, noise), SCHEDULE, range(EDGE, 0, -20)))


def sketches_refined(model: Diffusion, noise: Tensor, generator: Generator) -> Tensor:
    """The shipped sketcher's sketches, refined with noise on the way: a pixel can still change its mind."""
    x_t, steps = sketched(shipped("sketcher"), noise), range(EDGE, 0, -2)
    return last(ddim(model, x_t, model.schedule, steps, eta=1.0, generator=generator))


def of_faces(**settings: object) -> Recipe:
    """What all three models of faces have in common, and these settings."""
    data = {"pictures": "faces", "data": divided_faces, "highest": 255, "batch_size": 128, "ema": 0.999}
    return Recipe(**data, samples=2000, draws=3, searched=200, **settings)


RECIPES = {
    "digits": Recipe(
        pictures="digits", data=divided_digits, highest=16, model=digit_unet, sampler=digits_drawn,
        steps=4000, batch_size=128, learning_rate=3e-3, ema=0.998, samples=1000, draws=4, most_floors=1.5,
    ),
    "faces": of_faces(
        model=face_mlp, sampler=faces_drawn, steps=60_000, learning_rate=3e-3, most_floors=2.8
    ),
    "sketcher": of_faces(
        model=face_sketcher, sampler=sketches_finished, steps=28_000, learning_rate=2e-3, most_floors=2.0,
        pooled=2048,
    ),
    "refiner": of_faces(
        model=face_palette, sampler=sketches_refined, steps=60_000, learning_rate=5e-3, most_floors=1.5,
        doubt=0.12,
    ),
}  # fmt: skip


class Pooled(Diffusion):
    """A model in training whose target at much noise is the mean of all pictures that x_t may come from.

    From step `FAR` on, that mean takes the place of the x_0 that was drawn: what the exact denoiser of the
    batch and n more of the pictures x_0 (N, *shape) answers. The network still learns E[x_0 | x_t], but from
    targets that scatter less (Xu et al. 2023).
    """

    def __init__(self, model: Diffusion, x_0: Tensor, n: int, generator: Generator):
        settings = {"shape": model.shape, "stratified": model.stratified}
        super().__init__(model.network, model.schedule, model.predict, **settings)
        self.x_0, self.n, self.generator = x_0, n, generator

    def squared_error(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """‖predicted − target‖² of the predicted quantity at x_t, which stays as it was drawn: (B,)."""
        sigma, mean = at(self.schedule.sigma, t, x_0), x_0.clone()
        far = sigma.flatten() >= SCHEDULE.sigma[FAR]
        if far.any():
            others = torch.randint(len(self.x_0), (self.n,), generator=self.generator)
            exact = ExactDenoiser(torch.cat([x_0, self.x_0[others]]))
            mean[far] = exact((x_0 + sigma * eps)[far], sigma[far].flatten())
        return super().squared_error(mean, t, eps + (x_0 - mean) / sigma)


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

    generator = Generator().manual_seed(seed)
    learner = Pooled(model, x_0, recipe.pooled, generator) if recipe.pooled else model
    settings = (recipe.steps, recipe.batch_size, recipe.learning_rate, generator, on_step)
    train(learner, x_0, *settings, ema=recipe.ema)
    if recipe.doubt:
        model.network.doubt = model.network.settings["doubt"] = recipe.doubt
    return model


def drawn(recipe: Recipe, model: Diffusion, n: int, seed: int) -> Tensor:
    """n samples, as levels."""
    generator = Generator().manual_seed(seed)
    noise = torch.randn((n, *model.shape), generator=generator)
    return PixelScale(recipe.highest).undo(recipe.sampler(model, noise, generator))


def shipped(name: str) -> Diffusion:
    """A model that was trained before."""
    return load(WEIGHTS / f"{name}.safetensors")


def scores(recipe: Recipe, model: Diffusion, seed: int) -> dict[str, Figure]:
    """What is measured of a model's samples, beside what fresh pictures score: means of some draws.

    The floor of the Fréchet distance is the mean of as many draws of training pictures, all different ones.
    """
    found = []
    levels, held_out = recipe.data()
    for i in range(recipe.draws):
        samples = drawn(recipe, model, recipe.samples, 1000 + recipe.draws * seed + i)
        shuffled = levels[torch.randperm(len(levels), generator=Generator().manual_seed(i))[:20_000]]
        found.append(evaluate_pictures(samples, shuffled, held_out, recipe.pictures))
        if recipe.searched:
            share = [drawable_share(x[: recipe.searched]) for x in (samples, held_out)]
            found[-1]["drawable"] = Figure(*share)
    pairs = {figure: [(draw[figure].model, draw[figure].floor) for draw in found] for figure in found[0]}
    return {figure: Figure(*torch.tensor(pair).mean(dim=0).tolist()) for figure, pair in pairs.items()}


def main(name: str, seed: int | None = None) -> None:
    """Train one model and print its scores; keep it if it is that of seed 0."""
    recipe, start = RECIPES[name], time.process_time()
    model = trained(recipe, seed or 0)
    seconds = time.process_time() - start
    found = scores(recipe, model, seed or 0)
    for figure, value in found.items():
        print(f"{name}, seed {seed or 0}: {figure}: {value.model:.3f}, floor {value.floor:.3f}", flush=True)
    print(f"{name}: {seconds:.0f} s of one core, {seconds / recipe.steps:.3f} a step")
    if seed is None:
        keep(name, model, seconds, found, described(recipe))


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
