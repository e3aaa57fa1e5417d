"""Costs: a ring that is walked, what autograd keeps, and a fit that finds what made the numbers."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from diffusion_lib.many.costs import StepTime, kept_for_backward, ring_bytes, row_costs
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import linear


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


def test_a_row_costs_on_paper_what_it_costs_a_network_that_computes():
    schedule = linear(30)
    make = lambda: UNet(schedule, (3, 8, 8), (8, 16))  # noqa: E731
    network, x, t = make(), torch.randn(2, 3, 8, 8), torch.tensor([3, 4])
    first = torch.randn(1, 3, 8, 8), torch.tensor([3])
    found = row_costs(make, (3, 8, 8))
    assert found.parameters == sum(p.numel() for p in network.parameters())
    with FlopCounterMode(display=False) as counter:
        network(x, t)
    assert found.gflop == pytest.approx(counter.get_total_flops() / 2e9)
    kept = [kept_for_backward(lambda s=s: network(*s).square().sum()) for s in ((x, t), first)]
    assert found.kept == pytest.approx(kept[0] - kept[1], rel=0.02)  # kernels of a device keep their own sums


def test_a_convolutions_operations_by_hand():
    class Convolution(nn.Conv2d):
        def forward(self, x, t):
            return super().forward(x)

    found = row_costs(lambda: Convolution(3, 5, 3, padding=1, bias=False), (3, 4, 4))
    assert found.parameters == 3 * 5 * 9
    assert found.gflop == pytest.approx(1e-9 * 2 * found.parameters * 16)
    assert found.kept == 4 * (3 + 5) * 16  # its input, and its output for the square


def rows(model, grid):
    cases = [
        {"gflop": g, "kept": k, "mbytes": m, "processes": p}
        for g in grid
        for k in (5, 20)
        for m in (1, 9)
        for p in (1, 2, 4)
    ]
    return [{**case, "seconds": model(**case)} for case in cases]


def test_the_fit_finds_the_numbers_that_made_the_times():
    true = StepTime(0.02, 0.05, 0.003, 0.004, 0.001)
    found = StepTime.fit(rows(true, (0.3, 2, 10)))
    for name, value in vars(true).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6)


def test_a_ring_of_eight_by_hand():
    model = StepTime(0.02, 0.05, 0.003, 0.004, 0.001)
    computing = 0.05 * 100 / 8 + 0.003 * 40 / 8
    assert model(100, 40, 50, 8) == pytest.approx(0.02 + computing + 14 * (0.004 + 0.001 * 50 / 8))
    assert model(100, 40, 50, 1) == pytest.approx(0.02 + 5 + 0.12)


def test_no_cost_is_negative():
    table = rows(StepTime(0, 1, 0, 0, 0), (1, 2))
    fast = [{**row, "seconds": row["seconds"] / row["processes"]} for row in table]
    assert min(vars(StepTime.fit(fast)).values()) >= 0


def test_other_columns_do_no_harm():
    table = [{**row, "batch": 3.0} for row in rows(StepTime(1, 1, 1, 1, 1), (1, 2))]
    assert StepTime.fit(table).fixed == pytest.approx(1)


def test_what_is_sent_grows_to_twice_the_gradient_and_no_further():
    sending = StepTime(0, 0, 0, 0, 0.001)
    assert sending(1, 1, 50, 2) == pytest.approx(0.001 * 50)
    assert sending(1, 1, 50, 1000) == pytest.approx(0.001 * 2 * 50, rel=2e-3)
