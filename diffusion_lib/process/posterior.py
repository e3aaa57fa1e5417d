"""The forward process run backwards from a known start, and five ways of saying the same thing about x_t.

Given x_t, any one of x_0, ε, the score ∇ log q(x_t | x_0), v and the velocity u fixes the other four:

    ε = (x_t − √ᾱ_t x_0) / √(1 − ᾱ_t)        score = −ε / √(1 − ᾱ_t)        v = √ᾱ_t ε − √(1 − ᾱ_t) x_0

    u = ε − x_0        (of the straight path from x_0 to ε: see `schedules.straight`)
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from diffusion_lib.contracts import Points, Steps, checked, like
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, at

Kind = Literal["x_0", "eps", "score", "v", "u"]


@checked
def posterior_var(schedule: Schedule) -> Tensor:
    """β̃_t = (1 − α_t)(1 − ᾱ_{t−1})/(1 − ᾱ_t) for t = 0…T, shape (T + 1,); β̃_1 = 0, and β̃_0 = 0 too."""
    noise_var = 1 - schedule.alpha_bar
    var = torch.zeros_like(noise_var)
    var[1:] = schedule.beta[1:] * noise_var[:-1] / noise_var[1:]
    return var


@checked
def posterior_weights(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """The weights of x_t and of x_0 in the posterior's mean, for t = 0…T, each of shape (T + 1,).

    √α_t (1 − ᾱ_{t−1})/(1 − ᾱ_t) and √ᾱ_{t−1} (1 − α_t)/(1 − ᾱ_t). They are 0 and 1 at t = 1 (and t = 0).
    """
    noise_var = 1 - schedule.alpha_bar
    x_t_weight, x_0_weight = torch.zeros_like(noise_var), torch.ones_like(noise_var)
    x_t_weight[1:] = schedule.alpha[1:].sqrt() * noise_var[:-1] / noise_var[1:]
    x_0_weight[1:] = schedule.alpha_bar[:-1].sqrt() * schedule.beta[1:] / noise_var[1:]
    return x_t_weight, x_0_weight


@checked
def posterior(x_t: Points, x_0: Annotated[Points, like("x_t")], t: Steps, schedule: Schedule) -> Gaussian:
    """q(x_{t−1} | x_t, x_0), for points (n, *shape) (Ho et al. 2020, eqs 6 and 7; Luo 2022, eq. 84).

    Its mean is [√α_t (1 − ᾱ_{t−1}) x_t + √ᾱ_{t−1} (1 − α_t) x_0] / (1 − ᾱ_t), its variance β̃_t. At t = 1
    this is the point x_0 with variance 0, by the same formula.
    """
    x_t_weight, x_0_weight = posterior_weights(schedule)
    mean = at(x_t_weight, t, x_t) * x_t + at(x_0_weight, t, x_t) * x_0
    return Gaussian(mean, at(posterior_var(schedule), t, x_t), x_t.ndim - 1)


@checked
def to_x_0(
    value: Points, x_t: Annotated[Points, like("value")], t: Steps, schedule: Schedule, kind: Kind
) -> Tensor:
    """x_0 from x_t and a `value` of a `kind`, "x_0", "eps", "score", "v" or "u"; shapes (n, *shape)."""
    signal, noise = at(schedule.signal, t, x_t), at(schedule.noise, t, x_t)
    if kind == "x_0":
        return value
    if kind == "v":
        return signal * x_t - noise * value
    if kind == "u":
        return (x_t - noise * value) / (signal + noise)
    eps = value if kind == "eps" else -noise * value
    return (x_t - noise * eps) / signal


@checked
def from_x_0(
    x_0: Points, x_t: Annotated[Points, like("x_0")], t: Steps, schedule: Schedule, kind: Kind
) -> Tensor:
    """The value of a `kind`, "x_0", "eps", "score", "v" or "u", that x_0 and x_t fix: (n, *shape)."""
    signal, noise = at(schedule.signal, t, x_t), at(schedule.noise, t, x_t)
    if kind == "x_0":
        return x_0
    eps = (x_t - signal * x_0) / noise
    if kind == "v":
        return signal * eps - noise * x_0
    if kind == "u":
        return eps - x_0
    return eps if kind == "eps" else -eps / noise
