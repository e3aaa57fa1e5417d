"""What a step costs: memory, bytes on the wire, and time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from diffusion_lib.contracts import Count, Positive, Shape, a_function, checked

Make = Annotated[Callable[[], Callable], a_function("lambda: UNet(schedule, (3, 16, 16))")]
Loss = Annotated[Callable[[], Tensor], a_function("lambda: model.loss(x_0)")]


@checked
def ring_bytes(n_bytes: Positive, processes: Count) -> float:
    """What each process sends to add up n_bytes over a ring: 2 (p − 1)/p times n_bytes.

    First each process gathers the sum of its own p-th part, in p − 1 messages of n_bytes/p; then the parts go
    round once more. It is the least that any way of adding up can do (Patarasuk and Yuan 2009).
    """
    return 2 * (processes - 1) / processes * n_bytes


@checked
def kept_for_backward(loss: Loss) -> int:
    """The bytes of what is kept from the forward pass of `loss()` for the backward pass, weights left out.

    Each storage counts once, however many tensors look at it.
    """
    sizes = {}

    def note(x: Tensor) -> Tensor:
        base = x if x._base is None else x._base
        if not (base.requires_grad and base.is_leaf):
            sizes[x.untyped_storage()._cdata] = x.untyped_storage().nbytes()
            held.append(x)  # what is freed would give its address to another
        return x

    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss()
    return sum(sizes.values())


@dataclass(frozen=True)
class RowCosts:
    """What one row costs a network: nothing was computed to find it.

    Attributes:
        parameters: how many the network has.
        gflop: 10⁹ floating-point operations of one call, a multiplication and an addition being two.
        kept: bytes kept for the backward pass.
    """

    parameters: int
    gflop: float
    kept: int


@checked
def row_costs(make: Make, shape: Shape) -> RowCosts:
    """What a row of this shape costs the network that `make()` makes, found without a single number of it.

    PyTorch's fake tensors have shapes and nothing else.
    """

    def loss(n: int) -> Tensor:
        return network(torch.zeros(n, *shape), torch.ones(n, dtype=torch.int64)).square().sum()

    with FakeTensorMode(allow_non_fake_inputs=True):
        network = make()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            loss(2)
        both, one = (kept_for_backward(lambda n=n: loss(n)) for n in (2, 1))
    parameters = sum(p.numel() for p in network.parameters())
    return RowCosts(parameters, counter.get_total_flops() / 2e9, both - one)


@dataclass(frozen=True)
class StepTime:
    """A model of a step's time: what is fixed, computing, moving memory, and adding up gradients over a ring.

    A row of numbers for it has `gflop`, 10⁹ floating-point operations, and `kept`, 10⁶ bytes kept for the
    backward pass, both of the whole batch; `mbytes`, 10⁶ bytes of gradients; and `processes`.

    Attributes:
        fixed: seconds for each step, whatever its size.
        work: seconds for 10⁹ floating-point operations of one process.
        memory: seconds for 10⁶ bytes that one process keeps for the backward pass.
        start: seconds for each message of the ring, of which there are 2(p − 1).
        sent: seconds for 10⁶ bytes that each process sends.
    """

    fixed: float
    work: float
    memory: float
    start: float
    sent: float

    @classmethod
    def fit(cls, rows: Sequence[dict[str, float]]) -> "StepTime":
        """Non-negative least squares in relative errors, from rows that have `seconds`, too."""
        seconds = np.array([row["seconds"] for row in rows])
        table = np.array([_terms(**row) for row in rows]) / seconds[:, None]
        return cls(*(float(value) for value in nnls(table, np.ones(len(rows)))[0]))

    def __call__(self, gflop: float, kept: float, mbytes: float, processes: int, **others: float) -> float:
        """Seconds of a step."""
        terms = _terms(gflop, kept, mbytes, processes)
        return float(np.dot(terms, [self.fixed, self.work, self.memory, self.start, self.sent]))


def _terms(gflop: float, kept: float, mbytes: float, processes: float, **others: float) -> list[float]:
    messages = 2 * (processes - 1)
    return [1.0, gflop / processes, kept / processes, messages, messages / processes * mbytes]
