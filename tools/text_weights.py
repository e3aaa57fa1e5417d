"""Train chapter 11's models, an autoencoder and a reader of captions, and print their scores.

python tools/text_weights.py               # both, into book/weights/
python tools/text_weights.py autoencoder   # one
python tools/text_weights.py words
python tools/text_weights.py words 1 15000 # with another seed, for fewer steps: only scored, not kept

Faces of 16 × 16 pixels are doubled to 32 × 32. Three pairs of words, `UNSEEN`, no caption in training has
together, so what happens when they meet can be measured.
"""

import sys
import time

import torch
from torch import Generator, Tensor, nn
from weights import WEIGHTS, keep

from diffusion_lib.data.captions import captions_of, tokens
from diffusion_lib.data.faces import draw_faces, face_parts
from diffusion_lib.data.images import doubled, pixel_faces
from diffusion_lib.data.units import PixelScale
from diffusion_lib.experiments.text_to_image import UNSEEN, has_pair, text_scores, vae_scores
from diffusion_lib.models.checkpoints import load
from diffusion_lib.models.conditional import TextDiffusion
from diffusion_lib.models.latent import PictureVAE
from diffusion_lib.models.text import TextMLP
from diffusion_lib.process.schedules import cosine
from diffusion_lib.training import TrainingRun, train

SCALE = PixelScale(255)
RECIPES = {  # settings of the loop: steps, batch size, learning rate, and the decay of the average
    "autoencoder": (5000, 32, 2e-3, 0.998),
    "words": (25_000, 128, 2e-3, 0.999),
}
FACES = 120_000  # drawn for the captions' model, less those with an unseen pair


def autoencoder() -> tuple[nn.Module, Tensor, None]:
    """An untrained autoencoder, and its pictures."""
    return PictureVAE(), doubled(SCALE(pixel_faces(30_000, Generator().manual_seed(2)))), None


def words() -> tuple[nn.Module, Tensor, Tensor]:
    """An untrained reader of captions, its latents, and their captions as numbers of words."""
    generator = Generator().manual_seed(7)
    parts = face_parts(FACES, generator)
    parts = parts[~torch.stack([has_pair(parts, pair) for pair in UNSEEN]).any(dim=0)]
    vae = load(WEIGHTS / "autoencoder.safetensors")
    latents = torch.cat([vae.to_latents(doubled(SCALE(draw_faces(rows)))) for rows in parts.split(1000)])
    schedule = cosine(1000)
    model = TextDiffusion(TextMLP(schedule, (4, 8, 8), 288, 5), schedule)
    return model, latents, tokens(captions(parts, generator))


def captions(parts: Tensor, generator: Generator) -> list[str]:
    """A caption of each face: four of ten say all, the others leave out up to two thirds."""
    drops = (2 * torch.rand(len(parts), generator=generator) - 0.8).clamp(0, 1) * 2 / 3
    return [captions_of(row[None], float(drop), generator)[0] for row, drop in zip(parts, drops, strict=True)]


def trained(name: str, seed: int, steps: int) -> nn.Module:
    """The model, from this seed."""
    torch.manual_seed(seed)
    model, x_0, labels = (autoencoder if name == "autoencoder" else words)()
    _, batch_size, learning_rate, ema = RECIPES[name]
    start = time.process_time()

    def on_step(run: TrainingRun) -> None:
        if len(run.losses) % 500 == 0:
            mean = sum(run.losses[-500:]) / 500
            print(f"step {len(run.losses)}: loss {mean:.2f}, {time.process_time() - start:.0f} s", flush=True)

    train(
        model, x_0, steps, batch_size, learning_rate, Generator().manual_seed(seed), on_step, labels, ema=ema
    )
    if name == "autoencoder":
        model.measure_unit(x_0[:5000])
    return model


def main(name: str, seed: int | None = None, steps: int | None = None) -> None:
    """Train one model and print its scores; keep it if it is that of seed 0."""
    start = time.process_time()
    steps = steps or RECIPES[name][0]
    model = trained(name, seed or 0, steps)
    seconds = time.process_time() - start
    scores = vae_scores(model) if name == "autoencoder" else text_scores(model, load_vae())
    for figure, value in scores.items():
        print(f"{name}, seed {seed or 0}: {figure}: {value.model:.3f}, real {value.floor:.3f}", flush=True)
    print(f"{name}: {seconds:.0f} s of one core, {seconds / steps:.3f} a step")
    if seed is None:
        keep(name, model, seconds, scores, recipe(name))


def load_vae() -> PictureVAE:
    """The autoencoder that is shipped."""
    return load(WEIGHTS / "autoencoder.safetensors")


def recipe(name: str) -> dict[str, object]:
    """A recipe in numbers."""
    return dict(zip(("steps", "batch_size", "learning_rate", "ema"), RECIPES[name], strict=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:2] or list(RECIPES):
        main(chosen, *map(int, sys.argv[2:4]))
