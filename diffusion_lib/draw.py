"""Faces from a caption: `python -m diffusion_lib.draw "a smiling face with red hair and glasses"`.

Chapter 11 builds what happens here: noise, a model of latents that reads the caption, and the autoencoder's
decoder.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from PIL import Image
from torch import Generator, Tensor
from tqdm import tqdm

from diffusion_lib.conditioning.guidance import Guided
from diffusion_lib.contracts import Count, a, between, checked
from diffusion_lib.data.captions import Captions, tokens
from diffusion_lib.data.units import PixelScale
from diffusion_lib.models.checkpoints import load
from diffusion_lib.models.conditional import TextDiffusion
from diffusion_lib.models.latent import PictureVAE
from diffusion_lib.solvers.ode import dpm_solver_pp_2m, power_even
from diffusion_lib.solvers.steps import Denoiser

WEIGHTS = Path(__file__).parents[1] / "book" / "weights"
Reader = Annotated[TextDiffusion, a(TextDiffusion, 'load("words.safetensors")')]
Decoder = Annotated[PictureVAE, a(PictureVAE, 'load("autoencoder.safetensors")')]
Scale = Annotated[float, between()]


@checked
def told(model: Reader, captions: Captions, w: Scale = 2.0, unwanted: str = "") -> Denoiser:
    """The denoiser of latents for these captions, guided with scale w away from what is unwanted.

    With no unwanted caption the guidance is away from no caption, as in training (Ho & Salimans 2022).
    """
    return Guided(model.given(tokens(captions)), model.given(tokens([unwanted])), w)


@checked
@torch.no_grad()
def draw(
    model: Reader,
    vae: Decoder,
    captions: Captions,
    w: Scale = 2.0,
    generator: Generator | None = None,
    calls: Count = 20,
    unwanted: str = "",
    progress: bool = False,
) -> Tensor:
    """A face for each caption, by DPM-Solver++(2M) in up to `calls` steps: levels (n, 3, 32, 32), 0…255."""
    noise = model.schedule.nearest(power_even(calls, 80.0, 0.02))
    z = noise[0] * torch.randn(len(captions), *model.shape, generator=generator)
    steps = dpm_solver_pp_2m(told(model, captions, w, unwanted), z, noise)
    for state in tqdm(steps, total=len(noise) + 1, disable=not progress, unit="step"):
        z = state
    return PixelScale(255).undo(vae.to_pictures(z))


def sheet(levels: Tensor, columns: int, zoom: int = 4) -> Image.Image:
    """Pictures (n, 3, H, W) side by side, each pixel `zoom` × `zoom`, with gaps of white."""
    n, _, height, width = levels.shape
    rows = -(-n // columns)
    padded = torch.nn.functional.pad(levels, (1, 1, 1, 1), value=255.0)
    blank = torch.full((rows * columns - n, *padded.shape[1:]), 255.0)
    grid = torch.cat([padded, blank]).unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)
    pixels = grid.reshape(rows * (height + 2), columns * (width + 2), 3).to(torch.uint8).numpy()
    return Image.fromarray(pixels).resize((zoom * pixels.shape[1], zoom * pixels.shape[0]), 0)


def _settings(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    line = argparse.ArgumentParser("python -m diffusion_lib.draw", description="Draw faces from a caption.")
    line.add_argument("caption", help='such as "a smiling face with red hair and glasses"')
    line.add_argument(
        "--guidance", type=float, default=2.0, help="how much the caption counts; 1 is as learned"
    )
    line.add_argument("--n", type=int, default=16, help="how many faces")
    line.add_argument("--seed", type=int, default=0, help="the same seed gives the same faces")
    line.add_argument("--steps", type=int, default=20, help="calls of the network")
    line.add_argument("--unwanted", default="", help='a caption to stay away from, such as "a cap"')
    line.add_argument("--out", type=Path, default=Path("faces.png"), help="the picture to write")
    line.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder with the two models")
    return line.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw what the command line says."""
    told = _settings(arguments)
    try:
        model, vae = (load(told.weights / f"{name}.safetensors") for name in ("words", "autoencoder"))
        generator = Generator().manual_seed(told.seed)
        captions = [told.caption] * told.n
        levels = draw(
            model, vae, captions, told.guidance, generator, told.steps, told.unwanted, progress=True
        )
        sheet(levels, columns=min(told.n, 8)).save(told.out)
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
    print(f"{told.out}: {told.n} faces")


if __name__ == "__main__":
    main()
