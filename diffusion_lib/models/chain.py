"""Reverse chains: what all diffusion models share, and their bound on −log p(x_0) in its two forms."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain as in_turn

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import Chain, Count, Network, Points, Shape, Steps, checked
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.process.posterior import posterior
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.solvers.steps import ancestral, last


class CarriesSchedule(nn.Module):
    """A model whose `state_dict` holds its `schedule`, if it has one; it takes no weights of another."""

    schedule: Schedule | None

    def get_extra_state(self) -> Tensor:
        """What `state_dict` holds beside the weights: α_0…α_T."""
        return self.schedule.alpha if self.schedule else torch.ones(1)

    def set_extra_state(self, alpha: Tensor) -> None:
        """Raise `ValueError` if the weights to be loaded were trained on another schedule."""
        own, alpha = CarriesSchedule.get_extra_state(self).double(), alpha.to("cpu", torch.float64)
        if own.shape != alpha.shape or not torch.allclose(own, alpha, rtol=0, atol=1e-12):
            fix = "Schedule(state_dict['_extra_state'])" if len(alpha) > 1 else "schedule=None"
            raise ValueError(
                f"state_dict is of a model with {_in_words(alpha)}, this {type(self).__name__} has "
                f"{_in_words(own)}: build the model with {fix}"
            )


def _in_words(alpha: Tensor) -> str:
    """What α_0…α_T says of a schedule: where it ends, and after how many steps."""
    T, end = len(alpha) - 1, float(alpha.prod())
    return f"a schedule of T = {T} steps that ends at alpha_bar = {end:.3g}" if T else "no schedule"


@checked
class ReverseChain(CarriesSchedule):
    """p(x_T) ∏ p(x_{t−1} | x_t): it starts from p(x_T) = N(0, I) and takes Gaussian steps to x_0.

    A subclass says what a step is, in `reverse(x_t, t)`, for points (B, *shape) with t of shape () or (B,),
    and for groups of points (S, B, *shape) with t (S,), one step for each group. The variance at t = 1 is
    0, so that sampling adds no noise at the end; a density needs a positive one, and p(x_0 | x_1) is scored
    with variance β_1, that of the noise in x_1.

    Args:
        network: maps points (B, *shape) and steps t (B,), int64, to what the subclass makes a step of.
        schedule: the forward process. `state_dict` carries it, and none of another schedule is loaded.
        shape: of one point.

    Raises:
        ValueError: for a network made for another T, or one that fails on what it gets; in the methods for t
            not in 1…T, points that are not finite or not rows of `shape`, and counts below 1.
    """

    def __init__(self, network: Network | None, schedule: Schedule, shape: Shape = (2,)):
        super().__init__()
        if getattr(network, "T", schedule.T) != schedule.T:
            raise ValueError(
                f"network is for T = {network.T}, schedule has T = {schedule.T}; build both from one schedule"
            )
        self.network, self.schedule, self.shape = network, schedule, tuple(shape)

    @property
    def T(self) -> int:
        """The number of steps."""
        return self.schedule.T

    def reverse(self, x_t: Points, t: Steps) -> Gaussian:
        """The sampling step p(x_{t−1} | x_t) for points (B, *shape) and steps () or (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must say what its steps are, in reverse(x_t, t)")

    def _ask(self, x_t: Tensor, t: int | Tensor, outputs: int = 1) -> Tensor:
        """The network's answer at points or groups of points: `outputs` numbers for each of theirs.

        Whatever the caller has, the network gets rows (B, *shape) and one step a row, int64. Only one that
        has a method `grouped` gets each group with its step.
        """
        several, (first, *rest) = x_t.shape[: x_t.ndim - len(self.shape)], self.shape
        steps = torch.as_tensor(t, device=x_t.device).long()
        t = steps.reshape(*steps.shape, *[1] * (len(several) - steps.ndim)).expand(several).flatten()
        rows = x_t.reshape(-1, *self.shape)
        ask = self.network
        if hasattr(self.network, "grouped"):
            rows, t = rows.reshape(steps.numel(), -1, *self.shape), steps.flatten()
            ask = self.network.grouped
        try:
            answer = ask(rows, t)
        except torch.cuda.OutOfMemoryError:  # no fault of the network's
            raise
        except (AttributeError, IndexError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"network fails ({error}); it gets {self._sent(rows, t)}: make it take these"
            ) from error
        wanted = (*rows.shape[: rows.ndim - len(self.shape)], outputs * first, *rest)
        if not isinstance(answer, Tensor) or answer.shape != wanted:
            found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ValueError(
                f"network gives {found} for {self._sent(rows, t)}; {type(self).__name__} needs {wanted}: "
                f"pass a network with {outputs * first} outputs"
            )
        return answer.reshape(*several, outputs * first, *rest)

    def _sent(self, x_t: Tensor, t: Tensor) -> str:
        """What a network got, in words."""
        return f"points {tuple(x_t.shape)} and their steps t {tuple(t.shape)}, int64, in 1…{self.T}"

    # --- the bound -----------------------------------------------------------------------------------------

    def first_form(self, chain: Chain) -> Tensor:
        """The bound's terms in nats, one for each variable, on forward chains (T + 1, n, *shape): (T + 1, n).

        Row 0 is −log p(x_0 | x_1), row t is log q(x_t | x_{t−1}) − log p(x_t | x_{t+1}), and row T is
        log q(x_T | x_{T−1}) − log p(x_T). Their sum is an unbiased estimate of the negative ELBO when the
        chains are drawn from q (Luo 2022, eq. 37 to 44, before any expectation is taken).
        """
        log_p = self._densities(chain[1:]).log_prob(chain[:-1])  # (T, n), row t − 1 for step t
        log_p = torch.cat([log_p, self._prior(chain[-1]).log_prob(chain[-1])[None]])
        return forward.log_prob(chain, self.schedule) - log_p

    def second_form(self, chain: Chain) -> Tensor:
        """The bound's terms in nats, KL divergences in closed form, on (T + 1, n, *shape): (T + 1, n).

        Row 0 is −log p(x_0 | x_1), row t is KL(q(x_t | x_{t+1}, x_0) ‖ p(x_t | x_{t+1})), and row T is
        KL(q(x_T | x_0) ‖ p(x_T)) (Luo 2022, eq. 58). Its sum has the same mean as that of `first_form`. Here
        it matters only that each x_t is drawn from q(x_t | x_0), not how the x_t hang together.
        """
        return self._kl_terms(chain[:1].expand_as(chain[1:]), chain[1:])

    def _kl_terms(self, x_0: Tensor, x_t: Tensor) -> Tensor:
        """The second form for points x_t (T, n, *shape) of the steps 1…T, each from a x_0 of its own."""
        p, t = self._densities(x_t), torch.arange(2, self.T + 1, device=x_t.device)
        first = -replace(p, mean=p.mean[0], var=p.var[0]).log_prob(x_0[0])
        q = posterior(x_t[1:], x_0[1:], t, self.schedule)
        kl = replace(p, mean=q.mean, var=q.var).kl(replace(p, mean=p.mean[1:], var=p.var[1:]))
        return torch.cat([first[None], kl, self.prior_kl(x_0[-1])[None]])

    def _densities(self, x_t: Tensor) -> Gaussian:
        """The densities p(x_{t−1} | x_t) of all steps t = 1…T at points (T, n, *shape)."""
        step = self.reverse(x_t, torch.arange(1, self.T + 1, device=x_t.device))
        added = step.var.new_zeros(self.T, *[1] * (x_t.ndim - 1))
        added[0] = self.schedule.beta[1]
        return replace(step, var=step.var + added)

    def prior_kl(self, x_0: Points) -> Tensor:
        """KL(q(x_T | x_0) ‖ N(0, I)) in nats, shape (B,): the part of the bound that no training changes."""
        return forward.marginal(x_0, self.T, self.schedule).kl(self._prior(x_0))

    def _prior(self, x: Tensor) -> Gaussian:
        """N(0, I), one for each point of x."""
        return Gaussian(torch.zeros_like(x), torch.ones_like(x), len(self.shape))

    # --- sampling ------------------------------------------------------------------------------------------

    def trajectory(self, n: Count, generator: Generator | None = None) -> Tensor:
        """Ancestral sampling, every state kept: x_T, x_{T−1}, …, x_0, shape (T + 1, n, *shape)."""
        return torch.stack(list(self._states(n, generator)))

    def sample(self, n: Count, generator: Generator | None = None) -> Tensor:
        """`n` new points x_0, shape (n, *shape), by ancestral sampling."""
        return last(self._states(n, generator))

    def _states(self, n: int, generator: Generator | None) -> Iterator[Tensor]:
        like = next(in_turn(self.parameters(), self.buffers()), torch.empty(0))
        return ancestral(self.reverse, standard_normal((n, *self.shape), like, generator), self.T, generator)
