"""Checks of what a reader can get wrong, with messages that name the argument, its value and the fix."""

import math
from numbers import Integral, Real
from typing import Any

import torch
from torch import Generator, Tensor, nn


class NotFiniteError(ValueError):
    """NaN or infinite numbers where finite ones are needed: bad data, or a model that training led astray."""


def check_tensor(x: Tensor, name: str) -> None:
    """Raise `ValueError` unless `x` is a floating-point tensor on the CPU, which suits such small models."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        fix = f"{name}.float()" if isinstance(x, Tensor) else f"torch.as_tensor({name}).float()"
        raise ValueError(f"{name} is {found}; pass a floating-point tensor, such as {fix}")
    if not x.is_cpu:
        raise ValueError(f"{name} is on {x.device}; this library computes on the CPU: pass {name}.cpu()")


def check_weights(x: Tensor, name: str, weight: Tensor | None) -> None:
    """Raise `ValueError` unless a model's `weight`, if it has one, is on the CPU and of the type of `x`."""
    if weight is not None and not weight.is_cpu:
        raise ValueError(
            f"{name} is on the CPU and the model on {weight.device}; this library computes on the CPU: "
            "make the model anew, or pass it through .cpu()"
        )
    if weight is not None and x.dtype != weight.dtype:
        raise ValueError(f"{name} is {x.dtype} and the model {weight.dtype}; pass {name}.to({weight.dtype})")


def a_weight(model: nn.Module) -> Tensor | None:
    """One of the model's weights, whose type its data must have, or None if it has none."""
    return next(model.parameters(), None)


def check_finite(x: Tensor, name: str) -> None:
    """Raise `NotFiniteError` if the tensor `x` has NaN or infinite entries."""
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise NotFiniteError(f"{name} has {bad} NaN or infinite entries; pass finite numbers")


def check_points(x: Tensor, name: str, weight: Tensor | None = None) -> None:
    """Raise `ValueError` unless `x` holds finite points, shape (n, 2), n ≥ 1, that fit a model's `weight`."""
    check_tensor(x, name)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; points are rows: reshape it to (n, 2)")
    if len(x) == 0:
        raise ValueError(f"{name} is empty, shape {tuple(x.shape)}; pass at least one point")
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).any(dim=1).sum())
        raise NotFiniteError(
            f"{name} has {bad} points with NaN or infinite coordinates; remove them before going on"
        )
    check_weights(x, name, weight)


def check_chain(chain: Tensor, T: int, weight: Tensor | None = None) -> None:
    """Raise `ValueError` unless `chain` holds finite states x_0…x_T of n chains, shape (T + 1, n, 2)."""
    if not isinstance(chain, Tensor) or chain.ndim != 3 or chain.shape[::2] != (T + 1, 2):
        found = tuple(chain.shape) if isinstance(chain, Tensor) else type(chain).__name__
        raise ValueError(
            f"chain is {found}; pass the states x_0…x_T of n chains, shape ({T + 1}, n, 2), as "
            "forward.trajectory gives them"
        )
    check_points(chain.flatten(0, 1), "chain", weight)


def check_t(t: int | Tensor, T: int) -> None:
    """Raise `ValueError` unless every step in `t` is a whole number in 1…T."""
    try:
        t = torch.as_tensor(t)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"t = {t!r} is no step; pass an int or an int64 tensor") from error
    if not t.is_cpu:
        raise ValueError(f"t is on {t.device}; this library computes on the CPU: pass t.cpu()")
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
            f"t runs from {low} to {high}; pass steps in 1…T, here with T = {T} (t = 0 is the data itself)"
        )


def check_batch(t: int | Tensor, x: Tensor, name: str) -> None:
    """Raise `ValueError` unless `t` is one step, or one step for each row of `x`."""
    t = torch.as_tensor(t)
    if t.ndim > 1 or (t.ndim == 1 and len(t) not in (1, len(x))):
        raise ValueError(
            f"t has shape {tuple(t.shape)} but {name} has {len(x)} rows; pass one step, or one for each row"
        )


def check_same_shape(a: Tensor, b: Tensor, names: str) -> None:
    """Raise `ValueError` unless two tensors, called `names` in the message, have the same shape and type."""
    if a.shape != b.shape:
        raise ValueError(f"{names} have shapes {tuple(a.shape)} and {tuple(b.shape)}; pass both in one shape")
    check_same_type(a, b, names)


def check_same_type(a: Tensor, b: Tensor, names: str) -> None:
    """Raise `ValueError` unless two tensors, called `names` in the message, have the same type."""
    if a.dtype != b.dtype:
        raise ValueError(f"{names} are {a.dtype} and {b.dtype}; pass both as one type, by .to({a.dtype})")


def check_count(value: int, name: str, least: int = 1) -> None:
    """Raise `ValueError` unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} = {value!r}; pass a whole number of at least {least}")


def check_choice(value: str, name: str, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} = {value!r}; choose one of {', '.join(map(repr, choices))}")


def check_number(value: float, name: str, wanted: str = "a number, such as 0.1") -> None:
    """Raise `ValueError` unless `value` is a finite real number; the message says what is `wanted`."""
    try:
        good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        good = False
    if not good:
        raise ValueError(f"{name} = {value!r}; pass {wanted}")


def check_positive(value: float, name: str, example: str) -> None:
    """Raise `ValueError` unless `value` is a finite number above 0; the message proposes `example`."""
    check_number(value, name, f"a positive number, such as {example}")
    if not value > 0:
        raise ValueError(f"{name} = {value!r}; pass a positive number, such as {example}")


def check_generator(generator: Generator | None) -> None:
    """Raise `ValueError` unless `generator` is PyTorch's, or None, which stands for its global one."""
    if generator is not None and not isinstance(generator, Generator):
        seed = int(generator) if isinstance(generator, Integral) else 0
        raise ValueError(
            f"generator = {generator!r}; pass PyTorch's, such as torch.Generator().manual_seed({seed})"
        )


def check_type(value: Any, name: str, kind: type, example: str) -> None:
    """Raise `ValueError` unless `value` is a `kind`; the message proposes `example`."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is a {type(value).__name__}; pass a {kind.__name__}, such as {example}")


def check_items(values: Any, name: str, kind: type, example: str) -> None:
    """Raise `ValueError` unless `values` is a list or tuple, and each entry a `kind`, such as `example`."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name} is a {type(values).__name__}; pass a list, such as [{example}]")
    for i, value in enumerate(values):
        check_type(value, f"{name}[{i}]", kind, example)


def check_callable(value: Any, name: str, example: str) -> None:
    """Raise `ValueError` unless `value` can be called; the message proposes `example`."""
    if not callable(value):
        raise ValueError(f"{name} is a {type(value).__name__}; pass a function, such as {example}")
