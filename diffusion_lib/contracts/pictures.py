"""Rules for pictures, for what they are made of, and for files."""

from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from diffusion_lib.contracts.advice import to_points
from diffusion_lib.contracts.rules import Rule, an
from diffusion_lib.contracts.tensors import numbers, readable


def of_its_shape(value, name, given):
    """Rows of the shape that the network's `shape` says. NaN goes through: the models look for it, once."""
    wanted = given["self"].shape
    numbers(value, name, given)
    if value.shape[1:] != wanted:
        form, fix = ", ".join(map(str, wanted)), to_points(value, name, wanted, value.dtype)
        raise ValueError(f"{name} has shape {tuple(value.shape)}; points are rows, (n, {form}): pass {fix}")


def whole_numbers_below(*limits: int) -> Rule:
    """Rows of whole numbers (n, k), of which column j has 0…limits[j] − 1."""

    def rule(value, name, given):
        if not isinstance(value, Tensor) or value.dtype != torch.int64:
            found = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} is {found}; pass whole numbers, an int64 tensor")
        if value.ndim != 2 or value.shape[1] != len(limits) or len(value) == 0:
            found = f"{name} has shape {tuple(value.shape)}"
            raise ValueError(f"{found}; pass rows of {len(limits)} numbers, (n, {len(limits)}) with n ≥ 1")
        outside = ((value < 0) | (value >= torch.tensor(limits, device=value.device))).any(dim=0)
        if readable(outside.any()):
            j = int(outside.nonzero()[0])
            low, high = int(value[:, j].min()), int(value[:, j].max())
            raise ValueError(
                f"{name} runs from {low} to {high} in column {j}; pass numbers in 0…{limits[j] - 1} there"
            )

    return rule


def a_path(value, name, given):
    """Where a file or a folder is: a string or a `Path`."""
    if not isinstance(value, str | Path):
        raise ValueError(f"{name} is {an(type(value))}; pass a string or a Path")


def a_folder(value, name, given):
    """Where a folder is that exists."""
    a_path(value, name, given)
    if not Path(value).is_dir():
        raise ValueError(f"{name} = {str(value)!r} is no folder; pass one that exists")


def a_file(value, name, given):
    """Where a file is that exists."""
    a_path(value, name, given)
    if not Path(value).is_file():
        raise ValueError(f"{name} = {str(value)!r} is no file; pass one that exists")


FilePath = Annotated[str | Path, a_path]
