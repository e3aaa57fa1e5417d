"""Alters the checks of the equations, one place at a time, as a slip of the pen would.

Altered is what a check asserts of its equation, and what it computes for that, inside the function itself:

sign          a + b ↔ a − b, and −a → a
factor        a·b → 2·a·b, and a/b → 2·a/b
power         a² → a, and √a → a
index         α[t] → α[t − 1], and the symbols of step t and of step t − 1 for each other
distribution  KL(p ‖ q) → KL(q ‖ p), and what the altered parameters of a distribution do

Left alone are tolerances, grids, seeds and ranges, which belong to the method, and plain `assert`s, which
state facts beside the equation.
"""

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sympy as sp

METHOD = {"arange", "linspace", "range", "meshgrid", "eye", "zeros", "ones", "reshape", "hermegauss"}
METHOD |= {"default_rng", "seeded", "standard_normal"}
OPTIONS = {"within", "errors", "by", "relative", "axis", "nodes", "size", "dtype", "epsabs", "key"}
ASSERTIONS = {"agree", "sampled", "exceeds"}  # after two arguments, what follows is a tolerance
TURNED = {ast.Add: ast.Sub, ast.Sub: ast.Add}
NEIGHBOURS = {"now": "before", "before": "now", "alpha": "alpha_before", "alpha_before": "alpha"}


@dataclass(frozen=True)
class Alteration:
    """One altered check: what kind, the expression as it was and as it became, and the function to run."""

    kind: str
    was: str
    became: str
    run: Callable[[], None]


def alterations(check: Callable[[], None]) -> Iterator[Alteration]:
    """All alterations of a check, each with the same globals as the check itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(check))).body[0]
    tree.decorator_list, tree.body = [], tree.body[1:]  # without the docstring
    for path, kind, became in places(tree, check.__globals__):
        altered, was = replaced(tree, path, became)
        namespace = dict(check.__globals__)
        exec(compile(ast.Module([altered], []), check.__module__, "exec"), namespace)
        yield Alteration(kind, ast.unparse(was), ast.unparse(became), namespace[tree.name])


def places(node: ast.AST, names: dict, path: tuple = ()) -> Iterator[tuple[tuple, str, ast.AST]]:
    """Each place below a node that can be altered: the way to it, the kind, and what to put there."""
    for step, child in children(node):
        if not of_the_method(node, step, child):
            yield from (((*path, step), kind, became) for kind, became in variants(child, names))
            yield from places(child, names, (*path, step))


def children(node: ast.AST) -> Iterator[tuple[tuple, ast.AST]]:
    """The nodes right below a node, each with its field and its place in the field's list."""
    for field, value in ast.iter_fields(node):
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                yield (field, i if isinstance(value, list) else None), child


def of_the_method(node: ast.AST, step: tuple, child: ast.AST) -> bool:
    """Whether a child is a tolerance, an option, a grid, a side fact: nothing the equation says."""
    field, i = step
    return (
        isinstance(child, ast.Assert | ast.arguments)
        or (isinstance(child, ast.keyword) and child.arg in OPTIONS)
        or (isinstance(node, ast.Call) and called(node) in METHOD)
        or (isinstance(node, ast.Call) and called(node) in ASSERTIONS and field == "args" and i >= 2)
    )


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def variants(node: ast.AST, names: dict) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in the place of an expression after a slip."""
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield "sign", ast.BinOp(left, TURNED[type(op)](), right)
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            yield "sign", operand
        case ast.BinOp(_, ast.Mult() | ast.Div(), _):
            yield "factor", ast.BinOp(ast.Constant(2), ast.Mult(), node)
        case ast.BinOp(left, ast.Pow(), _):
            yield "power", left
        case ast.Call(_, [radicand], []) if called(node) == "sqrt":
            yield "power", radicand
        case ast.Call(function, args, options) if called(node).startswith("kl") and len(args) in (2, 4):
            half = len(args) // 2
            yield "distribution", ast.Call(function, args[half:] + args[:half], options)
        case ast.Subscript(value, ast.Name() as index, ast.Load()):
            before = ast.BinOp(index, ast.Sub(), ast.Constant(1))
            yield "index", ast.Subscript(value, before, ast.Load())
        case ast.Name(name, ast.Load()) if isinstance(names.get(NEIGHBOURS.get(name)), sp.Expr):
            yield "index", ast.Name(NEIGHBOURS[name], ast.Load())


def replaced(tree: ast.FunctionDef, path: tuple, became: ast.AST) -> tuple[ast.FunctionDef, ast.AST]:
    """A copy of the function with another expression at one place, and the expression that was there."""
    tree = node = copy.deepcopy(tree)
    *way, (field, i) = path
    for name, k in way:
        node = getattr(node, name) if k is None else getattr(node, name)[k]
    was = getattr(node, field) if i is None else getattr(node, field)[i]
    if i is None:
        setattr(node, field, became)
    else:
        getattr(node, field)[i] = became
    return ast.fix_missing_locations(tree), was
