"""Reverse chains: what all diffusion models share, and their bound on −log p(x_0) in its two forms."""

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.checks import a_weight, check_chain, check_count, check_generator, check_points
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.posterior import posterior_var, posterior_weights
from diffusion_lib.process.schedules import Schedule, at, check_points_at, check_schedule


class ReverseChain(nn.Module):
    """p(x_T) ∏ p(x_{t−1} | x_t): it starts from p(x_T) = N(0, I) and takes Gaussian steps to x_0.

    A subclass says what a step is, in `_reverse(x_t, t)`, for points (B, 2) with t of shape () or (B,), and
    for groups of points (S, B, 2) with t (S,), one step for each group. The variance at t = 1 is 0, so that
    sampling adds no noise at the end; a density needs a positive one, and p(x_0 | x_1) is scored with
    variance β_1, that of the noise in x_1.

    Args:
        network: maps points x_t and steps t to whatever the subclass makes a step of.
        schedule: the forward process.

    Raises:
        ValueError: for a network made for another T; in the methods for t not in 1…T, points that are not
            finite or not (B, 2), chains that are not (T + 1, n, 2), and counts below 1.
    """

    def __init__(self, network: nn.Module, schedule: Schedule):
        super().__init__()
        check_schedule(schedule)
        if getattr(network, "T", schedule.T) != schedule.T:
            raise ValueError(
                f"network is for T = {network.T}, schedule has T = {schedule.T}; build both from one schedule"
            )
        self.network, self.schedule = network, schedule
        self.x_t_weight, self.x_0_weight = posterior_weights(schedule)  # arrays over t = 0…T, as all others
        self.posterior_var = posterior_var(schedule)
        self.added_var = torch.zeros_like(schedule.beta)  # what a density has on top of a sampling step
        self.added_var[1] = schedule.beta[1]

    @property
    def T(self) -> int:
        """The number of steps."""
        return self.schedule.T

    def reverse(self, x_t: Tensor, t: int | Tensor) -> Gaussian:
        """The sampling step p(x_{t−1} | x_t) for points (B, 2) and steps () or (B,)."""
        check_points_at(x_t, "x_t", t, self.schedule)
        return self._reverse(x_t, torch.as_tensor(t))

    def _reverse(self, x_t: Tensor, t: Tensor) -> Gaussian:
        raise NotImplementedError(f"{type(self).__name__} must say what its steps are, in _reverse(x_t, t)")

    def _check_output(self, output: Tensor, x_t: Tensor, columns: int = 2) -> None:
        """Raise `ValueError` unless the network's answer to points (..., 2) has shape (..., columns)."""
        if not isinstance(output, Tensor) or output.shape != (*x_t.shape[:-1], columns):
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"network gives {found} for points {tuple(x_t.shape)}; {type(self).__name__} needs "
                f"{columns} numbers for each point: pass a network with {columns} outputs"
            )

    # --- the bound -----------------------------------------------------------------------------------------

    def first_form(self, chain: Tensor) -> Tensor:
        """The bound's terms in nats, one for each variable, on forward chains (T + 1, n, 2): (T + 1, n).

        Row 0 is −log p(x_0 | x_1), row t is log q(x_t | x_{t−1}) − log p(x_t | x_{t+1}), and row T is
        log q(x_T | x_{T−1}) − log p(x_T). Their sum is an unbiased estimate of the negative ELBO when the
        chains are drawn from q (Luo 2022, eq. 37 to 44, before any expectation is taken).
        """
        check_chain(chain, self.T, a_weight(self))
        return self._first_form(chain)

    def _first_form(self, chain: Tensor) -> Tensor:
        log_p = self._steps(chain[1:]).log_prob(chain[:-1])  # (T, n), row t − 1 for step t
        log_p = torch.cat([log_p, _standard(chain[-1]).log_prob(chain[-1])[None]])
        return forward.log_prob(chain, self.schedule) - log_p

    def second_form(self, chain: Tensor) -> Tensor:
        """The bound's terms with the KL divergences in closed form, on (T + 1, n, 2): (T + 1, n), in nats.

        Row 0 is −log p(x_0 | x_1), row t is KL(q(x_t | x_{t+1}, x_0) ‖ p(x_t | x_{t+1})), and row T is
        KL(q(x_T | x_0) ‖ p(x_T)) (Luo 2022, eq. 58). Its sum has the same mean as that of `first_form`. Here
        it matters only that each x_t is drawn from q(x_t | x_0), not how the x_t hang together.
        """
        check_chain(chain, self.T, a_weight(self))
        return self._second_form(chain[:1].expand_as(chain[1:]), chain[1:])

    def _second_form(self, x_0: Tensor, x_t: Tensor) -> Tensor:
        """`second_form` for points x_t (T, n, 2) of the steps 1…T, each from its own x_0 (T, n, 2)."""
        p = self._steps(x_t)
        first = -Gaussian(p.mean[0], p.var[0]).log_prob(x_0[0])
        t = torch.arange(2, self.T + 1)
        mean = at(self.x_t_weight, t, x_t) * x_t[1:] + at(self.x_0_weight, t, x_t) * x_0[1:]
        kl = Gaussian(mean, at(self.posterior_var, t, x_t)).kl(Gaussian(p.mean[1:], p.var[1:]))
        return torch.cat([first[None], kl, self._prior_kl(x_0[-1])[None]])

    def _steps(self, x_t: Tensor) -> Gaussian:
        """The densities p(x_{t−1} | x_t) of all steps t = 1…T at points (T, n, 2)."""
        t = torch.arange(1, self.T + 1)
        step = self._reverse(x_t, t)
        return Gaussian(step.mean, step.var + at(self.added_var, t, x_t))

    def prior_kl(self, x_0: Tensor) -> Tensor:
        """KL(q(x_T | x_0) ‖ N(0, I)) in nats, shape (B,): the part of the bound that no training changes."""
        check_points(x_0, "x_0")
        return self._prior_kl(x_0)

    def _prior_kl(self, x_0: Tensor) -> Tensor:
        return forward.marginal(x_0, self.T, self.schedule).kl(_standard(x_0))

    # --- sampling ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(self, n: int, generator: Generator | None = None) -> Tensor:
        """Ancestral sampling, every state kept: x_T, x_{T−1}, …, x_0, shape (T + 1, n, 2).

        Source: Ho et al. 2020, Algorithm 2.
        """
        check_count(n, "n")
        check_generator(generator)
        states = [torch.randn(n, 2, generator=generator)]
        weight = a_weight(self)
        if weight is not None:
            states = [states[0].to(weight.dtype)]
        for t in range(self.T, 0, -1):
            states.append(self._reverse(states[-1], torch.tensor(t)).sample(generator))
        return torch.stack(states)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """`n` new points x_0, shape (n, 2), by ancestral sampling."""
        return self.trajectory(n, generator)[-1]


def _standard(x: Tensor) -> Gaussian:
    """N(0, I), one for each row of x."""
    return Gaussian(torch.zeros_like(x), torch.ones_like(x))
