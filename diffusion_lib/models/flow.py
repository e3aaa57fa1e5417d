"""Flow matching: a network that learns the velocity of straight paths from data to noise."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Count, Network, Points, Shape, checked, like
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import Schedule, at
from diffusion_lib.solvers.steps import in_blocks, last


@checked
class Flow(Diffusion):
    """The velocity u = ε − x_0 of the path (1 − t) x_0 + t ε, learnt at the times of `schedules.straight`.

    The loss is ‖u_θ − (ε − x_0)‖² (Liu et al. 2023, eq. 1; Lipman et al. 2023, eq. 23). Samples follow
    dx/dt = u_θ by Euler's steps, from x = ε at t = 1 to t = 0, and `trajectory` has the points of the path.

    It is a `Diffusion`, too, on the same noise levels: the path's point is √((1 − t)² + t²) times its x_t.
    So it is a denoiser, and has a bound.

    Args:
        network: maps points of the path (B, *shape) and the number i of the time (B,), 1…T, to u (B, *shape).
        schedule: `schedules.straight(T)`: the i-th time is i/T, its `straight_time`.
        calls: Euler's steps, all of one length; a number that divides T. By default T.
        shape: of one point.

    Raises:
        ValueError: for a number of calls that does not divide T, and as a `Diffusion` does.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        calls: Count | None = None,
        shape: Shape = (2,),
    ):
        super().__init__(network, schedule, predict="u", shape=shape)
        self.calls = calls or self.T
        if self.T % self.calls:
            fits = max(n for n in range(1, self.calls) if self.T % n == 0)
            raise ValueError(
                f"calls = {calls} does not divide T = {self.T}; pass one that does, such as {fits}"
            )

    @property
    def steps(self) -> list[int]:
        """The numbers i at which sampling asks the network, falling from T, and the 0 at which it ends."""
        return list(range(self.T, -1, -self.T // self.calls))

    def _ask(self, x_t: Tensor, t: int | Tensor, outputs: int = 1) -> Tensor:
        """The velocity at points x_t as chapter 5 scales them: the network sees the path's own points."""
        shrink = 1 / (self.schedule.signal + self.schedule.noise)
        return super()._ask(at(shrink, t, x_t) * x_t, t, outputs)

    def loss(
        self,
        x_0: Points,
        generator: Generator | None = None,
        noise: Annotated[Points, like("x_0")] | None = None,
    ) -> Tensor:
        """‖u_θ − (ε − x_0)‖² on points x_0 (B, *shape), each at a random time; a scalar.

        ε is drawn, or it is the `noise` that belongs to x_0: then the paths join the pairs (Liu et al. 2023).
        """
        if noise is None:
            return super().loss(x_0, generator)
        i = torch.randint(1, self.T + 1, (len(x_0),), generator=generator, device=x_0.device)
        return self.squared_error(x_0, i, noise).mean()

    def pairs(self, n: Count, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """n samples x_0, and the noise ε from which each came, both (n, *shape): what reflow learns from."""
        states = self._states(n, generator)
        eps = next(states)
        return last(states), eps

    @torch.no_grad()
    def _states(self, n: int, generator: Generator | None) -> Iterator[Tensor]:
        """Euler's states on the path, from ε to x_0: calls + 1 of them."""
        x = standard_normal((n, *self.shape), next(self.parameters(), torch.empty(0)), generator)
        yield x
        times = self.schedule.straight_time.tolist()
        for i, lower in pairwise(self.steps):
            u = in_blocks(lambda rows, i=i: Diffusion._ask(self, rows, i), x, of=self)
            x = x + (times[lower] - times[i]) * u
            yield x
