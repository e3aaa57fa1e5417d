"""Costs: a ring that is walked, what autograd keeps, and a fit that finds what made the numbers."""

import pytest
import torch
from torch import nn

from diffusion_lib.many.costs import StepTime, kept_for_backward, ring_bytes


def walked(n, p):
    """The numbers each of p processes sends to add up n numbers over a ring, message by message."""
    parts = [torch.arange(n).tensor_split(p) for _ in range(p)]
    sent = [0] * p
    for _ in range(2):  # gather the sums, then pass them round
        for message in range(p - 1):
            for rank in range(p):
                sent[rank] += len(parts[rank][(rank - message) % p])
    return sent


@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_the_bytes_of_a_ring_are_those_of_its_messages(p):
    assert walked(60, p) == [ring_bytes(60, p)] * p


def test_many_processes_send_nearly_twice_what_there_is():
    assert 1.99 < ring_bytes(1.0, 1000) < 2


def test_what_is_kept_for_the_backward_pass():
    layer, x = nn.Linear(30, 40, bias=False), torch.randn(7, 30)
    # x for the weights' gradient, and the sine's argument; the weights aren't counted.
    assert kept_for_backward(lambda: layer(x).sin().sum()) == 4 * (7 * 30 + 7 * 40)


def test_it_grows_with_the_rows_and_a_storage_counts_once():
    layer = nn.Linear(30, 40, bias=False)
    one, two = (kept_for_backward(lambda n=n: layer(torch.ones(n, 30)).sum()) for n in (1, 2))
    assert two == 2 * one
    x = torch.randn(5, requires_grad=True) * 1
    assert kept_for_backward(lambda: (x * x).sum()) == 4 * 5


def rows(model, grid):
    return [
        {"gflop": g, "mbytes": m, "processes": p, "seconds": model(g, m, p)}
        for g in grid
        for m in (1, 9)
        for p in (1, 2, 4)
    ]


def test_the_fit_finds_the_numbers_that_made_the_times():
    true = StepTime(0.02, 0.05, 0.004, 0.001)
    found = StepTime.fit(rows(true, (0.3, 2, 10)))
    for name, value in vars(true).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6)
    assert found(100, 50, 8) == pytest.approx(0.02 + 0.05 * 100 / 8 + 14 * 0.004 + 14 / 8 * 50 * 0.001)


def test_no_cost_is_negative():
    fast = [
        {**row, "seconds": row["seconds"] / row["processes"]} for row in rows(StepTime(0, 1, 0, 0), (1, 2))
    ]
    assert min(vars(StepTime.fit(fast)).values()) >= 0


def test_other_columns_do_no_harm():
    table = [{**row, "batch": 3.0} for row in rows(StepTime(1, 1, 1, 1), (1, 2))]
    assert StepTime.fit(table).fixed == pytest.approx(1)
