"""Small pictures as a layer of the Stepper: one sheet for all that a layer shows, as a PNG with a palette."""

import io
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from PIL import Image

from diffusion_lib.contracts import Count, Index, checked
from diffusion_lib.show.widgets.frames import Layer
from diffusion_lib.show.widgets.positions import as_array, numbers_in

COLOURS = 255  # of a sheet, beside the transparent gap


def _pictures(value: Any, name: str, given: Mapping[str, Any]) -> None:
    """Pictures of one or three channels, in any form."""
    x = numbers_in(value, name)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
        raise ValueError(f"{name} has shape {x.shape}; pass pictures (n, 1, H, W) or (n, 3, H, W)")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} has values that are not finite; remove those pictures")


@checked
def images(x: Annotated[Any, _pictures], columns: Count = 8, panel: Index = 0) -> Layer:
    """Pictures x (n, C, H, W) of values from 0 to 1, grey (C = 1) or red, green and blue (C = 3), in rows.

    Each takes a square of one unit, `columns` of them a row, the first one right of and below (0, 0): so
    Panel((0, columns), (-rows, 0)) holds them all. They are drawn without smoothing, their values clipped to
    0…1. A layer keeps up to 255 colours; more are brought down to that many. Raises `ValueError` for another
    shape, and for values that are not finite.
    """
    x = np.clip(as_array(x), 0, 1)
    upper, lower = np.array([[0.0, 0.0]]), np.array([[columns, len(x) // -columns]], dtype=float)
    return Layer("images", "text", int(panel), (upper, lower), {}, _sheet(x, columns))


def _sheet(x: np.ndarray, columns: int) -> bytes:
    """All pictures in rows, as a PNG, a transparent pixel after each in both directions."""
    n, _, height, width = x.shape
    rows = -(-n // columns)
    tiles = np.zeros((rows * columns, height + 1, width + 1, 3), dtype=np.uint8)
    shown = np.zeros(tiles.shape[:3], dtype=bool)
    tiles[:n, :height, :width] = np.rint(255 * x.transpose(0, 2, 3, 1))
    shown[:n, :height, :width] = True
    tiles, shown = (_in_rows(a, rows, columns) for a in (tiles, shown))
    colours, index = np.unique(tiles[shown], axis=0, return_inverse=True)
    if len(colours) > COLOURS:
        few = Image.fromarray(tiles).quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        colours = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)
        index = np.asarray(few)[shown]
    gap = len(colours)
    pixels = np.full(shown.shape, gap, dtype=np.uint8)
    pixels[shown] = index.flatten()
    picture = Image.fromarray(pixels, mode="P")
    picture.putpalette([*colours.flatten().tolist(), 0, 0, 0])
    file = io.BytesIO()
    picture.save(file, "png", optimize=True, transparency=gap)
    return file.getvalue()


def _in_rows(tiles: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Tiles (rows · columns, h, w, …) beside and below each other: (rows · h, columns · w, …)."""
    _, height, width, *rest = tiles.shape
    grid = tiles.reshape(rows, columns, height, width, *rest).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, *rest)
