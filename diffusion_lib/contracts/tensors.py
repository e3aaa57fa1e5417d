"""Rules for tensors, and the names that stand for them in annotations.

What a point must be like depends on the call: on its `schedule`, or on the model whose method it is.
"""

from collections.abc import Mapping
from numbers import Integral
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts.advice import to_points
from diffusion_lib.contracts.rules import Rule, a, a_function


class NotFiniteError(ValueError):
    """NaN or infinite numbers where finite ones are needed: bad data, or a model that training led astray."""


def a_weight(model: Any) -> Tensor | None:
    """One of a model's weights, whose type and device its data must have, or None if it has none."""
    made = isinstance(model, nn.Module) and "_parameters" in vars(model)  # not while it is being made
    return next(model.parameters(), None) if made else None


def readable(condition: Tensor) -> bool:
    """Whether `condition` holds, or has no value to read: under `torch.func.vmap`, and on the meta device."""
    try:
        return bool(condition)
    except RuntimeError:
        return True


def _model(given: Mapping[str, Any]) -> Any:
    """The model or the denoiser whose method is called, or which is an argument."""
    return next((given[name] for name in ("self", "model", "denoiser") if name in given), None)


def _first(given: Mapping[str, Any]) -> Tensor | None:
    """The first tensor among the arguments."""
    return next((value for value in given.values() if isinstance(value, Tensor)), None)


def generator(value, name, given):
    """PyTorch's generator, on the device of the weights or of the points."""
    if not isinstance(value, Generator):
        seed = int(value) if isinstance(value, Integral) else 0
        raise ValueError(f"{name} = {value!r}; pass PyTorch's, such as torch.Generator().manual_seed({seed})")
    tensors = {"the model": a_weight(_model(given)), **given}
    other, x = next(((key, x) for key, x in tensors.items() if isinstance(x, Tensor)), ("", None))
    if x is not None and value.device.type != x.device.type:
        fix = f"torch.Generator('{x.device}').manual_seed({value.initial_seed()})"
        raise ValueError(f"{name} is on {value.device} and {other} on {x.device}; pass {fix}")


def _advice(value: Any, name: str, shape: tuple[int, ...], given: Mapping[str, Any]) -> str:
    weight = a_weight(_model(given))
    return to_points(value, name, shape, None if weight is None else weight.dtype)


def floating(value, name, given, shape: tuple[int, ...] = ()):
    """A floating-point tensor. NaN goes through."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        found = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} is {found}; pass {_advice(value, name, shape, given)}")


def numbers(value, name, given):
    """A floating-point tensor, of the type and on the device of the model's weights. NaN goes through."""
    floating(value, name, given)
    weight = a_weight(_model(given))
    if weight is not None and value.device != weight.device:
        there = f"the model on {weight.device}; pass {name}.to('{weight.device}')"
        raise ValueError(f"{name} is on {value.device} and {there}")
    if weight is not None and value.dtype != weight.dtype:
        there = f"the model {weight.dtype}; pass {name}.to({weight.dtype})"
        raise ValueError(f"{name} is {value.dtype} and {there}")


def rows(shape: tuple[int, ...] = ()) -> Rule:
    """Points, one in each row: finite, (n, *shape) with n ≥ 1. Without `shape` it is the model's, if any."""

    def rule(value, name, given):
        wanted = shape or getattr(_model(given), "shape", ())
        floating(value, name, given, wanted)
        if value.ndim < 2 or (wanted and value.shape[1:] != wanted):
            form = f"({', '.join(['n', *map(str, wanted or ['…'])])})"
            fix = _advice(value, name, wanted, given)
            raise ValueError(f"{name} has shape {tuple(value.shape)}; points are rows, {form}: pass {fix}")
        if len(value) == 0:
            raise ValueError(f"{name} is empty, shape {tuple(value.shape)}; pass at least one point")
        if not readable(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).flatten(1).any(dim=1).sum())
            fix = _advice(value, name, wanted, given)
            found = f"{name} has {bad} points with NaN or infinite coordinates"
            raise NotFiniteError(f"{found}; remove them: pass {fix}")
        numbers(value, name, given)

    return rule


def like(other: str) -> Rule:
    """The shape, the type and the device of the argument called `other`."""

    def rule(value, name, given):
        a, b = given[other].shape, value.shape
        if a != b:
            shapes = f"{tuple(a)} and {tuple(b)}"
            raise ValueError(f"{other} and {name} have shapes {shapes}; pass both in one shape")
        same_type(other)(value, name, given)

    return rule


def same_type(other: str) -> Rule:
    """The type and the device of the argument called `other`, and points of the same shape."""

    def rule(value, name, given):
        a, b = given[other], value
        if a.shape[1:] != b.shape[1:]:
            shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
            raise ValueError(f"{other} and {name} have shapes {shapes}; pass points of one shape")
        if (a.dtype, a.device) != (b.dtype, b.device):
            found = f"{a.dtype} on {a.device} and {b.dtype} on {b.device}"
            raise ValueError(f"{other} and {name} are {found}; pass {name}.to({other})")

    return rule


def whole_steps(value, name, given, kind: str = "step") -> Tensor:
    """One step, or one for each point, as a tensor of whole numbers."""
    try:
        t = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} = {value!r} is no {kind}; pass an int or an int64 tensor") from error
    # PyTorch reads an index of type bool or uint8 as a mask.
    if t.is_floating_point() or t.is_complex() or t.dtype in (torch.bool, torch.uint8):
        whole = f"pass an int or an int64 tensor, such as {name}.long()"
        raise ValueError(f"{name} has type {t.dtype}; {kind}s are whole numbers: {whole}")
    points = {
        k: x for k, x in given.items() if isinstance(x, Tensor) and x.ndim and k not in (name, "values")
    }
    other, x = next(iter(points.items()), ("a point", [0]))
    if t.numel() == 0 or t.ndim > 1 or (t.ndim == 1 and len(t) not in (1, len(x))):
        found = f"{name} has shape {tuple(t.shape)} but {other} has {len(x)} rows"
        raise ValueError(f"{found}; pass one {kind}, or one for each row")
    return t


def steps(value, name, given):
    """One step in 1…T, or one for each point; T is that of the schedule or of the model."""
    t, T = whole_steps(value, name, given), given.get("schedule", given.get("self")).T
    if not readable(((t >= 1) & (t <= T)).all()):
        low, high = int(t.min()), int(t.max())
        raise ValueError(
            f"{name} runs from {low} to {high}; pass steps in 1…T, here with T = {T} ({name} = 0 is the data)"
        )


def one_step(value, name, given):
    """One step in 1…T."""
    steps(value, name, given)
    if torch.as_tensor(value).numel() != 1:
        raise ValueError(f"{name} = {value!r}; each level has networks of its own: pass one step, such as 1")


def noise_levels(value, name, given):
    """A standard deviation σ > 0, or one for each point."""
    x = _first({other: x for other, x in given.items() if other != name})
    try:
        sigma = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} = {value!r}; pass a positive number, or one for each point") from error
    if sigma.is_complex() or sigma.dtype == torch.bool or sigma.ndim > 1 or sigma.numel() not in (1, len(x)):
        found = f"{sigma.dtype} of shape {tuple(sigma.shape)} for {len(x)} points"
        raise ValueError(f"{name} is {found}; pass a positive number, or one for each point")
    if not readable(((sigma > 0) & (sigma < torch.inf)).all()):
        raise ValueError(f"{name} has entries that are not positive or not finite; pass standard deviations")


def latents(value, name, given):
    """Finite z or ε with the model's `latent` columns; for points x (n, …), (n, latent) or (K, n, latent)."""
    latent, x = given["self"].latent, given.get("x")
    numbers(value, name, given)
    n = value.shape[-2:-1] if x is None else x.shape[:1]
    if value.shape[-2:] != (*n, latent) or (x is not None and value.ndim > 3):
        wanted = (
            f"(..., {latent})"
            if x is None
            else f"({len(x)}, {latent}), or (K, {len(x)}, {latent}) for K draws"
        )
        raise ValueError(f"{name} has shape {tuple(value.shape)}; pass {wanted}")
    if not readable(torch.isfinite(value).all()):
        raise NotFiniteError(f"{name} has NaN or infinite entries; pass finite numbers")


def state(below: bool = False) -> Rule:
    """States z_t of an HVAE at the level `t`, or at the one below it."""

    def rule(value, name, given):
        one_step(given["t"], "t", given)
        size = given["self"].sizes[int(given["t"]) - below]
        rows((size,))(value, name, given)

    return rule


def all_states(value, name, given):
    """The list of states z_0…z_T of an HVAE, of as many points each."""
    sizes = given["self"].sizes
    if not isinstance(value, list | tuple) or len(value) != len(sizes):
        found = f"{len(value)} states" if isinstance(value, list | tuple) else type(value).__name__
        raise ValueError(f"{name} is {found}; pass the list z_0…z_T of states, which are {len(sizes)}")
    for t, (z, size) in enumerate(zip(value, sizes, strict=True)):
        rows((size,))(z, f"{name}[{t}]", given)
    if len({len(z) for z in value}) > 1:
        raise ValueError(f"{name} has {[len(z) for z in value]} rows; pass states of the same points")


def columns(n: int, rows: bool = False) -> Rule:
    """Numbers in `n` columns: (…, n), or (B, n) if they must be `rows`. NaN goes through."""

    def rule(value, name, given):
        floating(value, name, given, (n,))
        if value.shape[-1:] != (n,) or (rows and value.ndim != 2):
            fix = _advice(value, name, (n,), given)
            raise ValueError(f"{name} has shape {tuple(value.shape)}; points are rows, (n, {n}): pass {fix}")
        numbers(value, name, given)

    return rule


def chain(value, name, given):
    """The states x_0…x_T of n chains, (T + 1, n, *shape), all finite."""
    T = given.get("schedule", given.get("self")).T
    shape = getattr(_model(given), "shape", ())
    fits = isinstance(value, Tensor) and value.ndim > 2 and len(value) == T + 1
    if not fits or (shape and value.shape[2:] != shape):
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        form = ", ".join(map(str, [T + 1, "n", *(shape or ["…"])]))
        wanted = f"the states x_0…x_T of n chains, shape ({form}), as forward.trajectory gives them"
        raise ValueError(f"{name} is {found}; pass {wanted}")
    rows()(value.flatten(0, 1), name, given)


def verb(method: str) -> Rule:
    """A model that has this method."""

    def rule(value, name, given):
        function = getattr(value, method, None)
        a_function("that of a VAE or a Diffusion")(function, f"{name}.{method}", given)

    return rule


def trainable(value, name, given):
    """A model with a loss, and with weights to be trained."""
    a(nn.Module)(value, name, given)
    verb("loss")(value, name, given)
    if a_weight(value) is None:
        found = f"{name}, a {type(value).__name__}, has no parameters"
        raise ValueError(f"{found}; pass a model with a network to train")


Numbers = Annotated[Tensor, numbers]
Points = Annotated[Tensor, rows()]
PlanePoints = Annotated[Tensor, rows((2,))]
Steps = Annotated[int | Tensor, steps]
OneStep = Annotated[int | Tensor, one_step]
Sigma = Annotated[float | Tensor, noise_levels]
Chain = Annotated[Tensor, chain]
