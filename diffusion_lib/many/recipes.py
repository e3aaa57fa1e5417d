"""What the script trains by name: the model, its data, its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.data.captions import captions_of, tokens
from diffusion_lib.data.faces import draw_faces, face_parts
from diffusion_lib.data.images import digits, doubled, pixel_faces
from diffusion_lib.data.planes import swiss_roll
from diffusion_lib.data.units import PixelScale, Standardiser
from diffusion_lib.draw import WEIGHTS
from diffusion_lib.models.checkpoints import load
from diffusion_lib.models.conditional import TextDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.models.text import TextMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import cosine, even_log_snr


class Objective(nn.Module):
    """A diffusion model's loss, row by row, from random numbers that the caller has drawn.

    Maps x_0 (B, *shape), u (B, 2) in [0, 1) and ε (B, *shape) to the losses (B,). The first column of u says
    the step: t = 1 + ⌊T u⌋. A model that is told more, such as a caption, gets it as further arguments.
    """

    def __init__(self, model: Diffusion):
        super().__init__()
        self.model = model

    def forward(self, x_0: Tensor, u: Tensor, eps: Tensor) -> Tensor:
        return self.model.squared_error(x_0, self.steps(u), eps)

    def steps(self, u: Tensor) -> Tensor:
        """The step of each row of u: (B,)."""
        return 1 + (self.model.T * u[:, 0].double()).long().clamp(max=self.model.T - 1)


class ToldObjective(Objective):
    """As `Objective`, for a `TextDiffusion` and words (B, L): u's second column says whose are dropped."""

    def forward(self, x_0: Tensor, u: Tensor, eps: Tensor, words: Tensor) -> Tensor:
        kept = u[:, 1:] >= self.model.dropout
        return self.model.given(words * kept).squared_error(x_0, self.steps(u), eps)


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how.

    Attributes:
        make: a function that makes the objective, a module that maps (x_0, u, ε, …) to losses as `Objective`
            does and has the model as its `model`.
        data: a function that makes a tuple of tensors with a row for each example, x_0 the first; the others
            are passed to the objective after ε.
        steps, batch_size, learning_rate, ema: of the training.
    """

    make: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, ...]]
    steps: int
    batch_size: int
    learning_rate: float
    ema: float = 0.995


def of_roll() -> Objective:
    """A small network for points of the plane."""
    schedule = even_log_snr(100)
    return Objective(Diffusion(TimeMLP(schedule), schedule, predict="eps"))


def roll_points() -> tuple[Tensor]:
    """20,000 points of the Swiss roll, in standard units."""
    points = swiss_roll(20_000, Generator().manual_seed(0))
    return (Standardiser.fit(points)(points),)


def of_pictures(shape: tuple[int, ...], widths: tuple[int, ...]) -> Objective:
    """Chapter 10's U-Net."""
    schedule = cosine(1000)
    return Objective(Diffusion(UNet(schedule, shape, widths), schedule, "v", shape=shape))


def digit_pictures() -> tuple[Tensor]:
    """1,437 digits, 8 × 8, from −1 to 1."""
    return (PixelScale(16)(digits().train),)


def face_pictures() -> tuple[Tensor]:
    """20,000 pixel faces, 16 × 16, from −1 to 1."""
    return (PixelScale(255)(pixel_faces(20_000, Generator().manual_seed(0))),)


def of_captions() -> ToldObjective:
    """Chapter 11's reader of captions, for latents."""
    schedule = cosine(1000)
    return ToldObjective(TextDiffusion(TextMLP(schedule, (4, 8, 8), 288, 5), schedule))


def captioned_faces(n: int = 20_000) -> tuple[Tensor, Tensor]:
    """Latents (n, 4, 8, 8) of pixel faces, by the book's autoencoder, and captions that drop a third."""
    generator = Generator().manual_seed(0)
    parts = face_parts(n, generator)
    vae, scale = load(WEIGHTS / "autoencoder.safetensors"), PixelScale(255)
    latents = [vae.to_latents(doubled(scale(draw_faces(rows)))) for rows in parts.split(1000)]
    return torch.cat(latents), tokens(captions_of(parts, 1 / 3, generator))


RECIPES = {
    "roll": Recipe(of_roll, roll_points, 2000, 1024, 2e-2),
    "digits": Recipe(partial(of_pictures, (1, 8, 8), (32, 64)), digit_pictures, 2400, 128, 3e-3),
    "faces": Recipe(partial(of_pictures, (3, 16, 16), (32, 64, 64)), face_pictures, 3000, 64, 2e-3),
    "words": Recipe(of_captions, captioned_faces, 25_000, 128, 2e-3, 0.999),
}


def made(recipe: Recipe, seed: int) -> nn.Module:
    """The objective with the initial weights of this seed, the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.make()
