"""`checked`: the one decorator that holds arguments to their annotations."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from inspect import signature
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Generator

from diffusion_lib.contracts.rules import (
    Rule,
    a,
    a_function,
    all_of,
    at_least,
    between,
    list_of,
    one_of,
    or_none,
)
from diffusion_lib.contracts.tensors import generator

_inside: ContextVar[bool] = ContextVar("inside the library", default=False)


def checked(thing):
    """Hold the arguments of a function, or of all public methods of a class, to their annotations.

        @checked
        def marginal(x_0: Points, t: Steps, schedule: Schedule) -> Gaussian:

    Only the outermost call is held: what it calls in turn, inside the library, gets what was checked. A
    generator function's arguments are held at the call; its body runs later, when someone asks for a state.
    """
    if isinstance(thing, type):
        for name, method in list(vars(thing).items()):
            if isinstance(method, classmethod):
                setattr(thing, name, classmethod(checked(method.__func__)))
            elif isinstance(method, FunctionType) and (name in ("__init__", "__call__") or name[0] != "_"):
                setattr(thing, name, checked(method))
        return thing
    parameters = signature(thing)

    @wraps(thing)
    def door(*args, **kwargs):
        if _inside.get():
            return thing(*args, **kwargs)
        try:
            given = parameters.bind(*args, **kwargs)
        except TypeError:  # too many arguments, or too few: Python says it best
            return thing(*args, **kwargs)
        given.apply_defaults()
        for name, rule in _rules_of(thing).items():
            rule(given.arguments[name], name, given.arguments)
        token = _inside.set(True)
        try:
            return thing(*args, **kwargs)
        finally:
            _inside.reset(token)

    return door


@contextmanager
def outside() -> Iterator[None]:
    """Calls made within are outermost ones again: for functions of the reader's that the library calls."""
    token = _inside.set(False)
    try:
        yield
    finally:
        _inside.reset(token)


def hold(annotation: Any, value: Any, name: str) -> None:
    """Hold a value that is no argument, such as what a function of the reader's gave, to an annotation."""
    rule_of(annotation)(value, name, {})


@cache
def _rules_of(function: Callable) -> dict[str, Rule]:
    """The rules by parameter, those of plain types first: others look at what these have held."""
    hints = get_type_hints(function, include_extras=True)
    names = [name for name in signature(function).parameters if name in hints]
    return {
        name: rule_of(hints[name]) for name in sorted(names, key=lambda n: get_origin(hints[n]) is Annotated)
    }


def rule_of(annotation: Any) -> Rule:
    """What an annotation asks for: a plain type, `X | None`, `Literal[…]`, `Sequence[X]`, `Callable`, or a
    name from `rules` or `tensors`.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return all_of(*parts[1:])
    if origin in (Union, UnionType) and NoneType in parts:
        return or_none(rule_of(next(part for part in parts if part is not NoneType)))
    if origin is Literal:
        return one_of(*parts)
    if origin is Sequence:
        return list_of(rule_of(parts[0]))
    if Callable in (annotation, origin):
        return a_function("model.sample")
    if annotation is Any:
        return all_of()
    return {int: at_least(1), float: between(), Generator: generator}.get(annotation) or a(annotation)
