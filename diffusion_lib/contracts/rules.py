"""Rules for what is no tensor."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Annotated, Any

Rule = Callable[[Any, str, Mapping[str, Any]], None]

EXAMPLES = {  # of an instance, by the name of the type
    "Axes": "plt.gca()",
    "Axis": "Axis('t', range(T + 1))",
    "ConditionalDiffusion": "ConditionalDiffusion(LabelledMLP(schedule, n_labels), schedule)",
    "Digits": "data.digits()",
    "Diffusion": "Diffusion(TimeMLP(schedule), schedule)",
    "ExactDenoiser": "ExactDenoiser(points)",
    "Figure": "Figure(0.02, 0.01)",
    "Flow": "Flow(TimeMLP(schedule), schedule)",
    "Frame": "Frame('The data.', [points(x_0)])",
    "Gaussian": "Gaussian(mean, var)",
    "Layer": "points(x_0)",
    "Mapping": "{'alpha_bar': schedule.alpha_bar}",
    "ReverseChain": "Diffusion(TimeMLP(schedule), schedule)",
    "bytes": "coder.encode(x_0)",
    "NCSN": "NCSN(TimeMLP(schedule), schedule)",
    "Measure": "Measure('gap', lambda model, samples: 1.0, floor=0.1)",
    "Module": "Diffusion(TimeMLP(schedule), schedule)",
    "Panel": "Panel()",
    "PixelScale": "data.PixelScale(255)",
    "Schedule": "schedules.cosine(T)",
    "Standardiser": "data.Standardiser.fit(x_0)",
    "Tensor": "torch.zeros(100, 2)",
    "TimeMLP": "TimeMLP(schedule)",
    "UNet": "UNet(schedule, (1, 8, 8))",
    "bool": "True",
    "dict": "evaluate(model.sample, data.swiss_roll)",
    "str": "'t'",
}


def an(kind: type) -> str:
    """The name of a type with its article."""
    return f"{'an' if kind.__name__[0].lower() in 'aeiou' else 'a'} {kind.__name__}"


def all_of(*rules: Rule) -> Rule:
    """Each of these rules."""

    def rule(value, name, given):
        for part in rules:
            part(value, name, given)

    return rule


def or_none(inner: Rule) -> Rule:
    """None, or what keeps the rule."""
    return lambda value, name, given: None if value is None else inner(value, name, given)


def list_of(inner: Rule) -> Rule:
    """A list, a tuple or a range whose entries keep the rule."""

    def rule(value, name, given):
        if not isinstance(value, list | tuple | range):
            raise ValueError(f"{name} is {an(type(value))}; pass a list or a tuple")
        for i, entry in enumerate(value):
            inner(entry, f"{name}[{i}]", given)

    return rule


def some(inner: Rule) -> Rule:
    """A list or tuple that is not empty, and whose entries keep the rule."""

    def rule(value, name, given):
        list_of(inner)(value, name, given)
        if not value:
            raise ValueError(f"{name} is empty; pass at least one entry")

    return rule


def values_of(inner: Rule) -> Rule:
    """A mapping that is not empty, and whose values keep the rule."""

    def rule(value, name, given):
        a(Mapping)(value, name, given)
        some(all_of())(list(value), name, given)
        for key, entry in value.items():
            inner(entry, f"{name}[{key!r}]", given)

    return rule


def descending(value, name, given):
    """Steps that fall, from T of the schedule, or of the model, at most to 1 at least."""
    some(at_least(1))(value, name, given)
    T = given["schedule" if "schedule" in given else "model"].T
    if value[0] > T or any(later >= earlier for earlier, later in pairwise(value)):
        raise ValueError(
            f"{name} = {list(value)}; pass steps that fall, between T = {T} and 1, such as [{T}, 1]"
        )


def a(kind: type, example: str = "") -> Rule:
    """An instance of `kind`, such as `example`."""

    def rule(value, name, given):
        if not isinstance(value, kind):
            such_as = example or EXAMPLES[kind.__name__]
            raise ValueError(f"{name} is {an(type(value))}; pass {an(kind)}, such as {such_as}")

    return rule


def a_function(example: str) -> Rule:
    """Something that can be called, such as `example`."""

    def rule(value, name, given):
        if not callable(value):
            raise ValueError(f"{name} is {an(type(value))}; pass a function, such as {example}")

    return rule


def one_of(*choices: str) -> Rule:
    """One of these strings."""

    def rule(value, name, given):
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} = {value!r}; choose one of {', '.join(map(repr, choices))}")

    return rule


def falling(value, name, given):
    """Noise levels σ > 0 that fall."""
    some(between(0, wanted="a positive number, such as 0.1"))(value, name, given)
    if any(later >= earlier for earlier, later in pairwise(value)):
        raise ValueError(f"{name} = {list(value)} does not fall; pass noise levels from the largest down")


def at_least(least: int) -> Rule:
    """A whole number that is not below `least`."""

    def rule(value, name, given):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} = {value!r}; pass a whole number of at least {least}")

    return rule


def between(low: float = -math.inf, high: float = math.inf, wanted: str = "a number, such as 0.1") -> Rule:
    """A finite real number above `low` and below `high`; the message says what is `wanted`."""

    def rule(value, name, given):
        try:
            real = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        except OverflowError:  # a whole number beyond all floats
            real = False
        if not real or not low < value < high:
            raise ValueError(f"{name} = {value!r}; pass {wanted}")

    return rule


Count = Annotated[int, at_least(1)]
Index = Annotated[int, at_least(0)]
Shape = Annotated[tuple[int, ...], some(at_least(1))]
Positive = Annotated[float, between(0, wanted="a positive number, such as 0.1")]
Levels = Annotated[Sequence[float], falling]
Network = Annotated[Callable, a_function("TimeMLP(schedule)")]
