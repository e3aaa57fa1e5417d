"""The forward process: the fixed chain q that turns data x_0 into noise x_T."""

import torch
from torch import Generator, Tensor

from diffusion_lib.checks import check_chain, check_generator, check_points, check_same_shape
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, at, check_points_at, check_schedule


def step(x_prev: Tensor, t: int | Tensor, schedule: Schedule) -> Gaussian:
    """q(x_t | x_{t−1}) = N(√α_t x_{t−1}, (1 − α_t) I) for points x_{t−1} of shape (n, 2).

    Source: Ho et al. 2020, eq. 2.
    """
    check_points_at(x_prev, "x_prev", t, schedule)
    alpha_t = at(schedule.alpha, t, x_prev)
    return Gaussian(alpha_t.sqrt() * x_prev, at(schedule.beta, t, x_prev))


def marginal(x_0: Tensor, t: int | Tensor, schedule: Schedule) -> Gaussian:
    """q(x_t | x_0) = N(√ᾱ_t x_0, (1 − ᾱ_t) I) for points x_0 of shape (n, 2).

    Source: Ho et al. 2020, eq. 4.
    """
    check_points_at(x_0, "x_0", t, schedule)
    return Gaussian(at(schedule.alpha_bar, t, x_0).sqrt() * x_0, at(1 - schedule.alpha_bar, t, x_0))


def diffuse(x_0: Tensor, t: int | Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: the whole way from 0 to t in one jump, ε ~ N(0, I) given."""
    check_points(x_0, "x_0")
    check_points(eps, "eps")
    check_same_shape(x_0, eps, "x_0 and eps")
    q_t = marginal(x_0, t, schedule)
    return q_t.mean + q_t.var.sqrt() * eps


def trajectory(x_0: Tensor, schedule: Schedule, generator: Generator | None = None) -> Tensor:
    """The chain run step by step: x_0, x_1, …, x_T, shape (T + 1, n, 2)."""
    check_points(x_0, "x_0")
    check_schedule(schedule)
    check_generator(generator)
    eps = torch.randn(schedule.T, *x_0.shape, generator=generator, dtype=x_0.dtype)
    kept, added = schedule.alpha.sqrt().to(x_0.dtype), schedule.beta.sqrt().to(x_0.dtype)
    chain = [x_0]
    for t in range(1, schedule.T + 1):
        chain.append(kept[t] * chain[-1] + added[t] * eps[t - 1])
    return torch.stack(chain)


def log_prob(chain: Tensor, schedule: Schedule) -> Tensor:
    """log q(x_t | x_{t−1}) in nats along chains (T + 1, n, 2): (T + 1, n), row t for step t, row 0 zero."""
    check_schedule(schedule)
    check_chain(chain, schedule.T)
    t = torch.arange(1, schedule.T + 1)
    q = Gaussian(at(schedule.alpha, t, chain).sqrt() * chain[:-1], at(schedule.beta, t, chain))
    return torch.cat([torch.zeros_like(chain[:1, :, 0]), q.log_prob(chain[1:])])
