"""Rules for Gaussians, and for values over t = 0…T."""

import math
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from diffusion_lib.contracts.advice import to_points
from diffusion_lib.contracts.rules import Rule, a, values_of
from diffusion_lib.contracts.tensors import NotFiniteError, floating, readable, whole_steps


def variances(var, name, given):
    """Finite, at least 0, and of a shape that broadcasts to that of `mean`."""
    floating(var, name, given)
    low, high = var.detach().aminmax() if var.numel() else (torch.zeros(()), torch.zeros(()))
    if not (readable(low >= 0) and readable(high < math.inf)):
        entry = float(low if low < 0 else high)
        error = ValueError if low < 0 else NotFiniteError
        raise error(f"{name} has the entry {entry}; pass variances, which are finite and at least 0")
    mean = given["mean"].shape
    if _broadcast(mean, var.shape) != mean:
        raise ValueError(
            f"{name} has shape {tuple(var.shape)}, mean {tuple(mean)}; give {name} one entry, one for each "
            "row (n, 1), or the shape of mean"
        )


def broadcasts(x, name, given):
    """Points that go with the mean of the Gaussian whose method is called."""
    floating(x, name, given)
    mean = given["self"].mean.shape
    if mean[-1:] != x.shape[-1:] or _broadcast(mean, x.shape) is None:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}, mean {tuple(mean)}; both need equally many columns, "
            "and equally many rows or a single one"
        )


def fits(value, name, given):
    """Points for a Gaussian that has a density, or another Gaussian that has one."""
    own, dense = given["self"], "var"
    if name == "other":
        a(type(own))(value, name, given)
        own, dense, name = value, "other.var", "other.mean"
    broadcasts(value.mean if own is value else value, name, given)
    if not readable((own.var > 0).all()):
        raise ValueError(f"{dense} has a 0 among its entries; a density needs variances above 0")


def multiplies(value, name, given):
    """Another Gaussian that fits; at no place may both be point masses."""
    a(type(given["self"]))(value, name, given)
    broadcasts(value.mean, "other.mean", given)
    if not readable((given["self"].var + value.var > 0).all()):
        raise ValueError(
            "both variances are 0 in the same place; two point masses have no product: make one positive"
        )


def one_point(value, name, given):
    """The finite coordinates of one point."""
    floating(value, name, given)
    if value.ndim == 0:
        raise ValueError(f"{name} has shape (); pass one number for each coordinate of a point")
    if not readable(torch.isfinite(value).all()):
        raise NotFiniteError(f"{name} has NaN or infinite entries; pass finite numbers")


def points_like(point: str) -> Rule:
    """Points whose last axes are those of the attribute called `point`. NaN goes through."""

    def rule(value, name, given):
        shape = getattr(given["self"], point).shape
        floating(value, name, given)
        if value.shape[-len(shape) :] != shape:
            fix = to_points(value, name, tuple(shape), value.dtype)
            raise ValueError(f"{name} has shape {tuple(value.shape)}, {point} {tuple(shape)}: pass {fix}")

    return rule


def over_time(value, name, given):
    """Values over t = 0…T: shape (T + 1,) with T ≥ 1."""
    floating(value, name, given)
    if value.ndim != 1 or len(value) < 2:
        raise ValueError(f"{name} has shape {tuple(value.shape)}; pass entries for t = 0…T, shape (T + 1,)")


def over_same_time(value, name, given):
    """Named arrays over t = 0…T, with one T."""
    values_of(over_time)(value, name, given)
    lengths = {key: len(array) for key, array in value.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{name} has lengths {lengths}; pass arrays over t = 0…T, all of length T + 1")


def index(values: str) -> Rule:
    """An index of the argument called `values`, or one for each point."""

    def rule(value, name, given):
        t, n = whole_steps(value, name, given), len(given[values])
        if not readable(((t >= 0) & (t < n)).all()):
            low, high = int(t.min()), int(t.max())
            raise ValueError(f"{name} runs from {low} to {high}; pass steps in 0…{n - 1}, where {values} are")

    return rule


def shares(value, name, given):
    """α_0 = 1 and α_1…α_T, or β_1…β_T: a list of numbers between 0 and 1, in any form."""
    try:
        x = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} = {value!r}; pass a tensor or a list of numbers") from error
    if x.ndim != 1 or len(x) < (2 if name == "alpha" else 1):
        listed = "T + 1 values α_0 = 1, α_1, …, α_T" if name == "alpha" else "T values β_1, …, β_T"
        raise ValueError(f"{name} has shape {tuple(x.shape)}; pass the {listed} with T ≥ 1")
    rest = x[1:] if name == "alpha" else x
    if (name == "alpha" and x[0] != 1) or not ((rest > 0) & (rest < 1)).all():
        raise ValueError(
            f"{name} starts with {float(x[0])} and runs from {float(rest.min())} to {float(rest.max())}; it "
            "needs 0 < α_t < 1, and so 0 < β_t < 1, for t ≥ 1, and α_0 = 1: pass such numbers"
        )


def one_for_each(points: str) -> Rule:
    """Numbers or points, one for each row of the argument, or of the model's, called `points`."""

    def rule(value, name, given):
        n = len(given[points] if points in given else getattr(given["self"], points))
        floating(value, name, given)
        if value.ndim == 0 or len(value) != n:
            found = f"{name} has shape {tuple(value.shape)}"
            raise ValueError(f"{found}, and there are {n} {points}; pass one for each, shape ({n}, …)")

    return rule


def weights_for(points: str) -> Rule:
    """Weights (n,), at least 0 and not all 0, one for each row of the argument called `points`."""

    def rule(value, name, given):
        one_for_each(points)(value, name, given)
        n = len(given[points])
        if value.ndim != 1:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; pass one number for each, shape ({n},)")
        if not readable(((value >= 0) & (value < math.inf)).all() & (value > 0).any()):
            found = f"{name} runs from {float(value.min()):g} to {float(value.max()):g}"
            raise ValueError(f"{found}; pass finite weights of at least 0, not all of them 0")

    return rule


def _broadcast(a: Any, b: Any) -> tuple[int, ...] | None:
    """The shape to which the two shapes broadcast, or None if they do not."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


Variances = Annotated[Tensor, variances]
OverTime = Annotated[Tensor, over_time]
Shares = Annotated[Tensor, shares]
