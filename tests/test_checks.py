"""Every refusal names the argument, the value and the fix, and right input passes."""

import numpy as np
import pytest
import torch
from support import refused, seeded
from torch import nn

from diffusion_lib import checks

GOOD = torch.zeros(3, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_points_pass(dtype):
    checks.check_points(GOOD.to(dtype), "x")


@pytest.mark.parametrize(
    ("x", "parts"),
    [
        ([[0.0, 1.0]], ("list", "floating-point tensor")),
        (np.zeros((3, 2)), ("ndarray", "floating-point tensor")),
        (GOOD.long(), ("torch.int64", "x_0.float()")),
        (torch.zeros(3, 3), ("(3, 3)", "(n, 2)")),
        (torch.zeros(2), ("(2,)", "(n, 2)")),
        (torch.zeros(1, 3, 2), ("(1, 3, 2)", "(n, 2)")),
        (torch.zeros(0, 2), ("empty", "(0, 2)", "at least one")),
        (torch.tensor([[0.0, np.nan], [np.inf, np.inf], [0.0, 0.0]]), ("2 points", "NaN", "remove")),
    ],
)
def test_points_that_are_none_are_refused(x, parts):
    with refused("x_0", *parts):
        checks.check_points(x, "x_0")


def test_chains_pass():
    checks.check_chain(torch.zeros(11, 3, 2), T=10)
    checks.check_chain(torch.zeros(2, 1, 2), T=1)


@pytest.mark.parametrize(
    ("chain", "parts"),
    [
        ([[0.0, 1.0]], ("chain is list", "(11, n, 2)")),
        (torch.zeros(11, 2), ("chain is (11, 2)", "(11, n, 2)")),
        (torch.zeros(10, 3, 2), ("chain is (10, 3, 2)", "(11, n, 2)")),
        (torch.zeros(12, 3, 2), ("chain is (12, 3, 2)", "x_0…x_T")),
        (torch.zeros(11, 3, 3), ("chain is (11, 3, 3)", "forward.trajectory")),
        (torch.zeros(1, 11, 3, 2), ("chain is (1, 11, 3, 2)", "(11, n, 2)")),
        (torch.zeros(11, 0, 2), ("chain is empty", "at least one")),
        (torch.zeros(11, 3, 2).long(), ("chain is torch.int64", "chain.float()")),
        (torch.full((11, 1, 2), np.inf), ("chain has 11 points", "infinite", "remove")),
    ],
)
def test_what_is_no_chain_is_refused(chain, parts):
    with refused(*parts):
        checks.check_chain(chain, T=10)


@pytest.mark.parametrize(
    "t", [1, 10, np.int64(3), torch.tensor(4), torch.tensor([1, 10]), torch.tensor([7]).int()]
)
def test_steps_pass(t):
    checks.check_t(t, T=10)


@pytest.mark.parametrize(
    ("t", "parts"),
    [
        (0, ("from 0 to 0", "1…T", "T = 10")),
        (11, ("from 11 to 11", "1…T", "T = 10")),
        (-1, ("from -1", "1…T")),
        (torch.tensor([1, 0, 11]), ("from 0 to 11", "1…T")),
        (2.0, ("torch.float", "whole numbers")),
        (torch.tensor([1.5]), ("torch.float", "whole numbers")),
        (True, ("torch.bool", "whole numbers")),
        (torch.tensor([1, 1], dtype=torch.uint8), ("torch.uint8", "t.long()")),
        (torch.tensor([], dtype=torch.long), ("empty", "one step")),
    ],
)
def test_steps_outside_the_chain_are_refused(t, parts):
    with refused("t ", *parts):
        checks.check_t(t, T=10)


@pytest.mark.parametrize("t", [1, torch.tensor(1), torch.tensor([1]), torch.tensor([1, 2, 3])])
def test_one_step_or_one_for_each_row_passes(t):
    checks.check_batch(t, GOOD, "x_t")


@pytest.mark.parametrize("t", [torch.ones(2).long(), torch.ones(4).long(), torch.ones(3, 1).long()])
def test_other_numbers_of_steps_are_refused(t):
    with refused(f"t has shape {tuple(t.shape)}", "x_t has 3 rows", "one for each row"):
        checks.check_batch(t, GOOD, "x_t")


def test_shapes_are_compared():
    checks.check_same_shape(GOOD, GOOD, "a and b")
    with refused("a and b", "(3, 2)", "(2, 2)", "one shape"):
        checks.check_same_shape(GOOD, GOOD[:2], "a and b")


@pytest.mark.parametrize("value", [2, 100, np.int32(2)])
def test_counts_pass(value):
    checks.check_count(value, "T", least=2)


@pytest.mark.parametrize("value", [1, 0, -3, 2.0, True, "10", None, float("nan")])
def test_what_is_no_count_is_refused(value):
    with refused(f"T = {value!r}", "whole number of at least 2"):
        checks.check_count(value, "T", least=2)


def test_choices():
    checks.check_choice("eps", "predict", ("x_0", "eps"))
    with refused("predict = 'noise'", "choose one of 'x_0', 'eps'"):
        checks.check_choice("noise", "predict", ("x_0", "eps"))


@pytest.mark.parametrize("value", ["noise", "", None, 3, ["eps"], GOOD])
def test_what_is_no_choice_is_refused(value):
    with refused("predict = ", "choose one of 'x_0', 'eps'"):
        checks.check_choice(value, "predict", ("x_0", "eps"))


@pytest.mark.parametrize("check", [checks.check_tensor, checks.check_points])
def test_tensors_on_another_device_are_refused(check):
    with refused("x is on meta", "the CPU", "pass x.cpu()"):
        check(GOOD.to("meta"), "x")


def test_steps_on_another_device_are_refused():
    with refused("t is on meta", "pass t.cpu()"):
        checks.check_t(torch.tensor([1]).to("meta"), T=10)


@pytest.mark.parametrize("t", [None, "1", [None], object()])
def test_what_is_no_step_is_refused(t):
    with refused("t = ", "pass an int or an int64 tensor"):
        checks.check_t(t, T=10)


def test_points_have_the_type_and_the_device_of_the_weights():
    checks.check_weights(GOOD, "x", None)
    checks.check_weights(GOOD, "x", checks.a_weight(nn.Linear(2, 2)))
    with refused("x is torch.float64", "the model torch.float32", "pass x.to(torch.float32)"):
        checks.check_weights(GOOD.double(), "x", checks.a_weight(nn.Linear(2, 2)))
    with refused("x is on the CPU", "the model on meta", ".cpu()"):
        checks.check_weights(GOOD, "x", checks.a_weight(nn.Linear(2, 2, device="meta")))
    assert checks.a_weight(nn.ReLU()) is None


def test_types_are_compared():
    for check in (checks.check_same_type, checks.check_same_shape):
        check(GOOD, GOOD, "a and b")
        with refused("a and b", "torch.float32", "torch.float64", "pass both as one type"):
            check(GOOD, GOOD.double(), "a and b")


@pytest.mark.parametrize("check", [checks.check_finite, checks.check_points])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_have_an_error_of_their_own(check, value):
    check(GOOD, "x")
    with pytest.raises(checks.NotFiniteError, match="^x has .* NaN or infinite"):
        check(torch.tensor([[0.0, value]]), "x")


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(2)])
def test_positive_numbers_pass(value):
    checks.check_number(-value, "s")
    checks.check_positive(value, "s", "0.1")


@pytest.mark.parametrize("value", [None, "0.1", np.nan, np.inf, 1j, [1.0], GOOD])
def test_what_is_no_number_is_refused(value):
    with refused("s = ", "pass a number"):
        checks.check_number(value, "s")
    with refused("s = ", "pass a positive number, such as 0.1"):
        checks.check_positive(value, "s", "0.1")


@pytest.mark.parametrize("value", [0, -1.0])
def test_numbers_that_are_not_positive_are_refused(value):
    with refused(f"s = {value}", "pass a positive number, such as 0.1"):
        checks.check_positive(value, "s", "0.1")


def test_generators_pass():
    checks.check_generator(None)
    checks.check_generator(seeded())


@pytest.mark.parametrize(
    ("generator", "seed"), [(7, 7), (np.int64(3), 3), ("7", 0), (np.random.default_rng(1), 0), (GOOD, 0)]
)
def test_a_seed_is_no_generator(generator, seed):
    with refused("generator = ", f"torch.Generator().manual_seed({seed})"):
        checks.check_generator(generator)


def test_types_and_functions():
    checks.check_type([], "chain", list, "[1]")
    checks.check_callable(len, "sample", "model.sample")
    with refused("chain is a tuple", "pass a list, such as [1]"):
        checks.check_type((), "chain", list, "[1]")
    with refused("sample is a int", "pass a function, such as model.sample"):
        checks.check_callable(3, "sample", "model.sample")
