"""The forward process: the fixed chain q that turns data x_0 into noise x_T."""

from typing import Annotated

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Chain, Points, Steps, checked, like
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.process.schedules import Schedule, at


@checked
def step(x_prev: Points, t: Steps, schedule: Schedule) -> Gaussian:
    """q(x_t | x_{t−1}) = N(√α_t x_{t−1}, (1 − α_t) I) for points x_{t−1} (n, *shape).

    Source: Ho et al. 2020, eq. 2.
    """
    alpha_t = at(schedule.alpha, t, x_prev)
    return Gaussian(alpha_t.sqrt() * x_prev, at(schedule.beta, t, x_prev), x_prev.ndim - 1)


@checked
def marginal(x_0: Points, t: Steps, schedule: Schedule) -> Gaussian:
    """q(x_t | x_0) = N(√ᾱ_t x_0, (1 − ᾱ_t) I) for points x_0 (n, *shape).

    Source: Ho et al. 2020, eq. 4.
    """
    alpha_bar_t = at(schedule.alpha_bar, t, x_0)
    return Gaussian(alpha_bar_t.sqrt() * x_0, at(1 - schedule.alpha_bar, t, x_0), x_0.ndim - 1)


@checked
def diffuse(x_0: Points, t: Steps, eps: Annotated[Points, like("x_0")], schedule: Schedule) -> Tensor:
    """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: the whole way from 0 to t in one jump, ε ~ N(0, I) given."""
    return marginal(x_0, t, schedule).from_noise(eps)


@checked
def trajectory(x_0: Points, schedule: Schedule, generator: Generator | None = None) -> Tensor:
    """The chain run step by step: x_0, x_1, …, x_T, shape (T + 1, n, *shape)."""
    eps = standard_normal((schedule.T, *x_0.shape), x_0, generator)
    kept, added = (values.sqrt().to(x_0) for values in (schedule.alpha, schedule.beta))
    chain = [x_0]
    for t in range(1, schedule.T + 1):
        chain.append(kept[t] * chain[-1] + added[t] * eps[t - 1])
    return torch.stack(chain)


@checked
def log_prob(chain: Chain, schedule: Schedule) -> Tensor:
    """log q(x_t | x_{t−1}) in nats along chains (T + 1, n, *shape): (T + 1, n), row t for step t, row 0 0."""
    t = torch.arange(1, schedule.T + 1, device=chain.device)
    mean = at(schedule.alpha, t, chain).sqrt() * chain[:-1]
    q = Gaussian(mean, at(schedule.beta, t, chain), chain.ndim - 2)
    return torch.cat([chain.new_zeros(1, chain.shape[1]), q.log_prob(chain[1:])])
