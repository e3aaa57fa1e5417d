"""Checks of what a reader can get wrong, with messages that name the argument, its value and the fix."""

from numbers import Integral

import torch
from torch import Tensor


def check_points(x: Tensor, name: str) -> None:
    """Raise `ValueError` unless `x` holds finite points: floating-point, shape (n, 2), n ≥ 1."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        fix = f"{name}.float()" if isinstance(x, Tensor) else f"torch.as_tensor({name}).float()"
        raise ValueError(f"{name} is {found}; pass a floating-point tensor, such as {fix}")
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; points are rows: reshape it to (n, 2)")
    if len(x) == 0:
        raise ValueError(f"{name} is empty, shape {tuple(x.shape)}; pass at least one point")
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).any(dim=1).sum())
        raise ValueError(
            f"{name} has {bad} points with NaN or infinite coordinates; remove them before going on"
        )


def check_chain(chain: Tensor, T: int) -> None:
    """Raise `ValueError` unless `chain` holds finite states x_0…x_T of n chains, shape (T + 1, n, 2)."""
    if not isinstance(chain, Tensor) or chain.ndim != 3 or chain.shape[::2] != (T + 1, 2):
        found = tuple(chain.shape) if isinstance(chain, Tensor) else type(chain).__name__
        raise ValueError(
            f"chain is {found}; pass the states x_0…x_T of n chains, shape ({T + 1}, n, 2), as "
            "forward.trajectory gives them"
        )
    check_points(chain.flatten(0, 1), "chain")


def check_t(t: int | Tensor, T: int) -> None:
    """Raise `ValueError` unless every step in `t` is a whole number in 1…T."""
    t = torch.as_tensor(t)
    # PyTorch reads an index of type bool or uint8 as a mask.
    if t.is_floating_point() or t.is_complex() or t.dtype in (torch.bool, torch.uint8):
        raise ValueError(
            f"t has type {t.dtype}; steps are whole numbers: pass an int or an int64 tensor, such as t.long()"
        )
    if t.numel() == 0:
        raise ValueError("t is empty; pass one step, or one step for each point")
    low, high = int(t.min()), int(t.max())
    if low < 1 or high > T:
        raise ValueError(
            f"t runs from {low} to {high}; steps are counted 1…T with T = {T} (t = 0 is the data itself)"
        )


def check_batch(t: int | Tensor, x: Tensor, name: str) -> None:
    """Raise `ValueError` unless `t` is one step, or one step for each row of `x`."""
    t = torch.as_tensor(t)
    if t.ndim > 1 or (t.ndim == 1 and len(t) not in (1, len(x))):
        raise ValueError(
            f"t has shape {tuple(t.shape)} but {name} has {len(x)} rows; pass one step, or one for each row"
        )


def check_same_shape(a: Tensor, b: Tensor, names: str) -> None:
    """Raise `ValueError` unless the two tensors, called `names` in the message, have the same shape."""
    if a.shape != b.shape:
        raise ValueError(f"{names} have shapes {tuple(a.shape)} and {tuple(b.shape)}; they must be the same")


def check_count(value: int, name: str, least: int = 1) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} = {value!r}; pass a whole number of at least {least}")


def check_choice(value: str, name: str, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} = {value!r}; choose one of {', '.join(map(repr, choices))}")
