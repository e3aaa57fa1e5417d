"""Pictures to learn from: digits, pixel faces, patches of two photographs, and a folder of the reader's own.

Pictures are rows of levels, (n, C, H, W) in float32: whole numbers, 0…16 for digits and 0…255 for all others.
`units.PixelScale` brings them to the units that training wants, and exactly back.
"""

import warnings
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.datasets import load_digits, load_sample_images
from torch import Generator, Tensor

from diffusion_lib.contracts import Count, Points, a_folder, at_least, checked
from diffusion_lib.data.faces import draw_faces, face_parts

HELD_OUT = 360  # of scikit-learn's 1,797 digits
_UNREADABLE = (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError)
Seed = Annotated[int, at_least(0)]


class Digits(NamedTuple):
    """Handwritten digits 8 × 8: to train on, and held out.

    Attributes:
        train: levels (1437, 1, 8, 8), whole numbers 0…16.
        train_digits: which digit each is, 0…9: (1437,), int64.
        held_out: levels (360, 1, 8, 8).
        held_out_digits: (360,).
    """

    train: Tensor
    train_digits: Tensor
    held_out: Tensor
    held_out_digits: Tensor


@checked
def digits(seed: Seed = 0) -> Digits:
    """scikit-learn's 1,797 digits (of 13 people; Alpaydin & Kaynak 1998), divided by chance, by the seed."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    here = torch.empty(0).device
    x = torch.from_numpy(x[order].reshape(-1, 1, 8, 8)).float().to(here)
    y = torch.from_numpy(y[order]).long().to(here)
    return Digits(x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT])


@checked
def pixel_faces(n: Count, generator: Generator | None = None) -> Tensor:
    """`n` random pixel faces: levels (n, 3, 16, 16), 0…255. `faces.face_parts` has their parts, too."""
    return draw_faces(face_parts(n, generator))


@checked
def photo_patches(
    n: Count, generator: Generator | None = None, size: Count = 16, reduce: Count = 4
) -> Tensor:
    """`n` random patches of scikit-learn's two photographs, a temple and a flower: (n, 3, size, size), 0…255.

    First the photographs, of 640 × 427 pixels, are made smaller, `reduce` × `reduce` pixels becoming their
    mean: at full size most patches are of one colour.
    """
    place = generator.device if generator else torch.empty(0).device
    height, width = (side // reduce for side in (427, 640))
    if size > min(height, width):
        raise ValueError(
            f"size = {size} with reduce = {reduce}, and the photographs are {width} × {height}; "
            f"pass a size of at most {min(height, width)}, or a smaller reduce"
        )
    photos = [_reduced(photo, reduce) for photo in load_sample_images().images]
    draw = lambda most: torch.randint(most, (n,), generator=generator, device=place).tolist()  # noqa: E731
    corners = zip(draw(len(photos)), draw(height - size + 1), draw(width - size + 1), strict=True)
    patches = [photos[k][:, top : top + size, left : left + size] for k, top, left in corners]
    return torch.stack(patches).to(place)


def _reduced(photo: np.ndarray, reduce: int) -> Tensor:
    """A photograph (H, W, 3) made smaller, as levels (3, H // reduce, W // reduce)."""
    x = torch.from_numpy(photo.copy()).permute(2, 0, 1).float()
    return torch.nn.functional.avg_pool2d(x, reduce).round()


@checked
def folder(path: Annotated[str | Path, a_folder], size: Count = 16) -> Tensor:
    """The pictures in a folder of the reader's own: levels (n, 3, size, size), 0…255, in the order of names.

    Each is turned as its camera says, laid on white where it is transparent, cut to the square in its middle,
    and made smaller. Files that are no pictures by their names are left aside, as are folders in the folder.

    Raises:
        ValueError: if there is no such folder or no picture in it, or one cannot be read or is smaller than
            `size`; the message names the file.
    """
    known = Image.registered_extensions()
    names = sorted(p for p in Path(path).iterdir() if p.suffix.lower() in known and p.is_file())
    if not names:
        raise ValueError(
            f"path = {str(path)!r} has no pictures; pass a folder with files such as .png or .jpg"
        )
    return torch.stack([_read(name, size) for name in names]).to(torch.empty(0).device)


def _read(name: Path, size: int) -> Tensor:
    """One picture, (3, size, size)."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(name) as picture:
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
                picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
            picture = picture.convert("RGBA")
    except _UNREADABLE as error:
        raise ValueError(
            f"path: {name.name} cannot be read ({error}); remove it or pass another folder"
        ) from error
    if min(picture.size) < size:
        width, height = picture.size
        raise ValueError(
            f"path: {name.name} has {width} × {height} pixels; remove it, or take a size of at most "
            f"{min(picture.size)}, not {size}"
        )
    white = Image.new("RGBA", picture.size, "white")
    square = ImageOps.fit(
        Image.alpha_composite(white, picture).convert("RGB"), (size, size), Image.Resampling.BOX
    )
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float()


@checked
def doubled(pictures: Points) -> Tensor:
    """Each pixel becomes 2 × 2 pixels: (n, C, H, W) → (n, C, 2H, 2W)."""
    return pictures.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)


@checked
def halved(pictures: Points) -> Tensor:
    """The mean of each 2 × 2 pixels: (n, C, 2H, 2W) → (n, C, H, W). It undoes `doubled` exactly."""
    return torch.nn.functional.avg_pool2d(pictures, 2)
