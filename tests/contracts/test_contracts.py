"""Contracts: what each asks for, that a refusal names argument, value and fix, and where a call is held."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from support import refused, seeded
from torch import Generator, Tensor, nn
from torch.func import jacrev, vmap

from diffusion_lib.contracts import (
    Chain,
    Count,
    Network,
    NotFiniteError,
    Numbers,
    PlanePoints,
    Points,
    Positive,
    Shape,
    Sigma,
    Steps,
    at_least,
    between,
    checked,
    hold,
    like,
    outside,
    same_type,
    some,
)
from diffusion_lib.models import VAE
from diffusion_lib.process import Schedule, schedules

GOOD = torch.zeros(3, 2)


# --- the door -----------------------------------------------------------------------------------------------


@checked
def inner(n: Count) -> int:
    return n


@checked
def outer(n: Count, function: Callable = inner) -> int:
    """Calls the other with a number that it would refuse at the door."""
    return function(-n)


def test_only_the_outermost_call_is_held():
    with refused("n = -1", "whole number of at least 1"):
        inner(-1)
    assert outer(1) == -1
    with refused("n = 0"):
        outer(0)
    with refused("n = -1"):  # the door is shut again, after a call and after an error
        inner(-1)


def test_what_a_reader_hands_in_may_be_called_from_outside():
    @checked
    def calls(function: Callable) -> Any:
        with outside():
            return function()

    with refused("n = -1"):
        calls(lambda: inner(-1))


def test_a_class_is_held_at_all_its_public_methods():
    @checked
    class Counter:
        def __init__(self, n: Count = 1):
            self.n = n

        @classmethod
        def of(cls, n: Count):
            return cls(n)

        def add(self, n: Count):
            return Counter(self.n + self._private(n))

        def _private(self, n: Count):
            return n

    assert Counter.of(2).add(3).n == 5
    assert Counter()._private(-1) == -1
    for call in (lambda: Counter(0), lambda: Counter.of(0), lambda: Counter().add(0)):
        with refused("n = 0"):
            call()


def test_a_call_that_python_refuses_is_refused_by_python():
    with pytest.raises(TypeError, match=r"inner\(\) missing 1 required positional argument: 'n'"):
        inner()
    with pytest.raises(TypeError, match="unexpected keyword argument 'm'"):
        inner(1, m=2)


def test_what_is_held_keeps_its_name_and_its_words():
    assert outer.__name__ == "outer"
    assert "would refuse" in outer.__doc__
    assert VAE.encode.__doc__.startswith("q_φ(z | x)")


def test_contracts_do_not_look_at_values_they_cannot_read():
    """Under vmap, and on the meta device: there the shapes are held, and the values are not."""

    @checked
    def double(x: Points) -> Tensor:
        return 2 * x

    slopes = vmap(jacrev(lambda x: double(x[None])[0]))(GOOD)
    assert torch.equal(slopes, 2 * torch.eye(2).expand(3, 2, 2))
    assert double(GOOD.to("meta")).is_meta
    with refused("x has shape (3,)"):
        double(GOOD[:, 0].to("meta"))


# --- annotations: for each, what passes and what does not ---------------------------------------------------

ANNOTATIONS = [
    (Count, [1, 100, np.int32(2)], [0, -3, 2.0, True, "10", None, math.nan], "whole number of at least 1"),
    (Annotated[int, at_least(2)], [2], [1], "whole number of at least 2"),
    (int, [1], [0, 1.5], "whole number of at least 1"),
    (float, [-1, 0.5, np.float32(0.5)], [None, "0.1", math.nan, math.inf, 1j, [1.0], 10**400], "a number"),
    (Positive, [0.1, 3], [0, -1.0, math.nan], "pass a positive number, such as 0.1"),
    (Annotated[float, between(0, 1, "a share")], [0.5], [0, 1], "pass a share"),
    (Literal["x_0", "eps"], ["eps"], ["noise", "", None, 3, ["eps"], GOOD], "choose one of 'x_0', 'eps'"),
    (bool, [True, False], [1, "yes", None], "pass a bool, such as True"),
    (str, ["", "a"], [1, None], "pass a str, such as 't'"),
    (Sequence[str], [[], ["a"], ("a", "b")], ["abc", 3, {"a"}], "pass a list"),
    (Annotated[Sequence[int], some(at_least(1))], [[1], (2, 3)], [[], ()], "is empty; pass at least one"),
    (Shape, [(2,), [1, 8, 8]], [2, (), None], "pass"),
    (Callable, [len, VAE], [3, None, "x"], "pass a function"),
    (Network, [nn.Linear(2, 2)], [3, None], "such as TimeMLP(schedule)"),
    (Schedule, [schedules.cosine(3)], [3, None, schedules], "pass a Schedule, such as schedules.cosine(T)"),
    (Schedule | None, [None, schedules.cosine(3)], [3], "pass a Schedule"),
    (Generator | None, [None, seeded()], ["7", np.random.default_rng(1), GOOD], "manual_seed(0)"),
    (Any, [None, 3, GOOD], [], ""),
    (Points, [GOOD, GOOD.half(), torch.zeros(3, 1, 8, 8)], [torch.zeros(3), torch.zeros(0, 2), 3], "pass"),
    (PlanePoints, [GOOD], [torch.zeros(3, 3), torch.zeros(2), torch.zeros(1, 3, 2)], "(n, 2)"),
    (Numbers, [torch.tensor(math.nan)], [3.0, [3.0]], "pass"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "good", "bad", "fix"), ANNOTATIONS)
def test_an_annotation_lets_in_what_it_names(annotation, good, bad, fix):
    for value in good:
        hold(annotation, value, "it")
    for value in bad:
        with refused("it", fix):
            hold(annotation, value, "it")


def test_an_entry_of_a_list_is_named_by_its_place():
    with refused("names[1] is an int", "pass a str"):
        hold(Sequence[str], ["a", 3], "names")


def test_a_seed_is_no_generator():
    with refused("generator = 7", "pass PyTorch's, such as torch.Generator().manual_seed(7)"):
        hold(Generator | None, 7, "generator")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_have_an_error_of_their_own(value):
    with pytest.raises(NotFiniteError, match=r"^x has 1 points with NaN or infinite .* pass x\[x"):
        hold(Points, torch.tensor([[0.0, value], [0.0, 0.0]]), "x")


# --- arguments that depend on each other --------------------------------------------------------------------


@checked
def together(
    x_0: Points, eps: Annotated[Points, like("x_0")], y: Annotated[Points, same_type("x_0")]
) -> None:
    """Three arguments."""


@checked
class Model(nn.Module):
    """Points of shape (2,), weights of float32."""

    shape = (2,)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def points(self, x: Points, generator: Generator | None = None) -> None:
        """Points and a generator."""

    def noisy(self, z: Points, sigma: Sigma) -> None:
        """Points with noise of one level each."""


def test_shapes_and_types_are_compared():
    together(GOOD, GOOD, GOOD[:1])
    with refused("x_0 and eps have shapes (3, 2) and (2, 2)", "one shape"):
        together(GOOD, GOOD[:2], GOOD)
    with refused("x_0 and eps are torch.float32 on cpu and torch.float64 on cpu", "pass eps.to(x_0)"):
        together(GOOD, GOOD.double(), GOOD)
    with refused("x_0 and eps are torch.float32 on cpu and torch.float32 on meta", "pass eps.to(x_0)"):
        together(GOOD, GOOD.to("meta"), GOOD)
    with refused("x_0 and y have shapes (3, 2) and (3, 3)", "points of one shape"):
        together(GOOD, GOOD, torch.zeros(3, 3))


def test_points_are_where_the_model_is_of_its_type_and_of_its_shape():
    model = Model()
    model.points(GOOD, seeded())
    with refused("x is torch.float64 and the model torch.float32", "pass x.to(torch.float32)"):
        model.points(GOOD.double())
    with refused("x is on meta and the model on cpu", "pass x.to('cpu')"):
        model.points(GOOD.to("meta"))
    with refused("x has shape (3, 3)", "(n, 2)"):
        model.points(torch.zeros(3, 3))
    with refused("generator is on cpu and the model on meta", "pass torch.Generator('meta')"):
        Model().to("meta").points(GOOD.to("meta"), seeded())


def test_noise_levels_are_positive_one_or_one_for_each_point():
    model = Model()
    for sigma in (1, 0.5, torch.tensor(2.0), torch.ones(3), [1.0, 2.0, 3.0]):
        model.noisy(GOOD, sigma)
    for sigma in (0, -1.0, torch.tensor([1.0, 0.0, 1.0]), math.inf, math.nan):
        with refused("sigma has entries that are not positive", "pass"):
            model.noisy(GOOD, sigma)
    for sigma in (torch.ones(2), torch.ones(3, 1), True, 1j):
        with refused("sigma is torch.", "for 3 points; pass"):
            model.noisy(GOOD, sigma)


# --- steps and chains ---------------------------------------------------------------------------------------


@checked
def at_step(x_t: Points, t: Steps, schedule: Schedule) -> None:
    """Points at a step."""


@checked
def along(chain: Chain, schedule: Schedule) -> None:
    """Chains of the schedule."""


@pytest.mark.parametrize(
    "t", [1, 10, np.int64(3), torch.tensor(4), torch.tensor([1, 10, 2]), torch.tensor([7]).int(), [1, 2, 3]]
)
def test_steps_pass(t):
    at_step(GOOD, t, schedules.cosine(10))


@pytest.mark.parametrize(
    ("t", "parts"),
    [
        (0, ("from 0 to 0", "1…T", "T = 10")),
        (11, ("from 11 to 11", "1…T", "T = 10")),
        (-1, ("from -1", "1…T")),
        (torch.tensor([1, 0, 11]), ("from 0 to 11", "1…T")),
        (2.0, ("torch.float", "whole numbers")),
        (torch.tensor([1.5]), ("torch.float", "t.long()")),
        (True, ("torch.bool", "whole numbers")),
        (torch.tensor([1, 1], dtype=torch.uint8), ("torch.uint8", "t.long()")),
        (torch.tensor([], dtype=torch.long), ("shape (0,)", "one step")),
        (torch.ones(2).long(), ("t has shape (2,)", "x_t has 3 rows", "one for each row")),
        (torch.ones(3, 1).long(), ("t has shape (3, 1)", "x_t has 3 rows")),
        (None, ("t = None is no step", "an int64 tensor")),
        ("1", ("t = '1' is no step", "an int64 tensor")),
    ],
)
def test_steps_outside_the_chain_are_refused(t, parts):
    with refused("t ", *parts):
        at_step(GOOD, t, schedules.cosine(10))


def test_chains_pass():
    along(torch.zeros(11, 3, 2), schedules.cosine(10))
    along(torch.zeros(2, 1, 1, 8, 8), schedules.cosine(1))


@pytest.mark.parametrize(
    ("chain", "parts"),
    [
        ([[0.0, 1.0]], ("chain is list", "(11, n, …)")),
        (torch.zeros(11, 2), ("chain is (11, 2)", "(11, n, …)")),
        (torch.zeros(12, 3, 2), ("chain is (12, 3, 2)", "x_0…x_T", "forward.trajectory")),
        (torch.zeros(11, 0, 2), ("chain is empty", "at least one")),
        (torch.zeros(11, 3, 2).long(), ("chain is torch.int64", "chain.float()")),
        (torch.full((11, 1, 2), np.inf), ("chain has 11 points", "infinite", "remove")),
    ],
)
def test_what_is_no_chain_is_refused(chain, parts):
    with refused(*parts):
        along(chain, schedules.cosine(10))
