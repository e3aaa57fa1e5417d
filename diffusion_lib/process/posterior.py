"""The forward process run backwards from a known start, and four ways of saying the same thing about x_t.

Given x_t, any one of x_0, ε, the score ∇ log q(x_t | x_0) and v fixes the other three:

    ε = (x_t − √ᾱ_t x_0) / √(1 − ᾱ_t)        score = −ε / √(1 − ᾱ_t)        v = √ᾱ_t ε − √(1 − ᾱ_t) x_0
"""

import torch
from torch import Tensor

from diffusion_lib.checks import check_choice, check_points, check_same_shape
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, at, check_points_at, check_schedule

KINDS = ("x_0", "eps", "score", "v")


def posterior_var(schedule: Schedule) -> Tensor:
    """β̃_t = (1 − α_t)(1 − ᾱ_{t−1})/(1 − ᾱ_t) for t = 0…T, shape (T + 1,); β̃_1 = 0, and β̃_0 = 0 too."""
    check_schedule(schedule)
    noise_var = 1 - schedule.alpha_bar
    var = torch.zeros_like(noise_var)
    var[1:] = schedule.beta[1:] * noise_var[:-1] / noise_var[1:]
    return var


def posterior_weights(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """The weights of x_t and of x_0 in the posterior's mean, for t = 0…T, each of shape (T + 1,).

    √α_t (1 − ᾱ_{t−1})/(1 − ᾱ_t) and √ᾱ_{t−1} (1 − α_t)/(1 − ᾱ_t). They are 0 and 1 at t = 1 (and t = 0).
    """
    check_schedule(schedule)
    noise_var = 1 - schedule.alpha_bar
    x_t_weight, x_0_weight = torch.zeros_like(noise_var), torch.ones_like(noise_var)
    x_t_weight[1:] = schedule.alpha[1:].sqrt() * noise_var[:-1] / noise_var[1:]
    x_0_weight[1:] = schedule.alpha_bar[:-1].sqrt() * schedule.beta[1:] / noise_var[1:]
    return x_t_weight, x_0_weight


def posterior(x_t: Tensor, x_0: Tensor, t: int | Tensor, schedule: Schedule) -> Gaussian:
    """q(x_{t−1} | x_t, x_0), for points of shape (n, 2) (Ho et al. 2020, eqs 6 and 7; Luo 2022, eq. 84).

    Its mean is [√α_t (1 − ᾱ_{t−1}) x_t + √ᾱ_{t−1} (1 − α_t) x_0] / (1 − ᾱ_t), its variance β̃_t. At t = 1
    this is the point x_0 with variance 0, by the same formula.
    """
    check_points_at(x_t, "x_t", t, schedule)
    check_points(x_0, "x_0")
    check_same_shape(x_t, x_0, "x_t and x_0")
    x_t_weight, x_0_weight = posterior_weights(schedule)
    mean = at(x_t_weight, t, x_t) * x_t + at(x_0_weight, t, x_t) * x_0
    return Gaussian(mean, at(posterior_var(schedule), t, x_t))


def to_x_0(value: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule, kind: str) -> Tensor:
    """x_0 from x_t and a `value` of the given `kind` ("x_0", "eps", "score" or "v"); shapes (n, 2)."""
    signal, noise = _signal_and_noise(value, "value", x_t, t, schedule, kind)
    return solve_for_x_0(value, x_t, signal, noise, kind)


def solve_for_x_0(value: Tensor, x_t: Tensor, signal: Tensor, noise: Tensor, kind: str) -> Tensor:
    """`to_x_0` for inputs that are trusted, with √ᾱ_t and √(1 − ᾱ_t) given, which broadcast against x_t."""
    if kind == "x_0":
        return value
    if kind == "v":
        return signal * x_t - noise * value
    eps = value if kind == "eps" else -noise * value
    return (x_t - noise * eps) / signal


def from_x_0(x_0: Tensor, x_t: Tensor, t: int | Tensor, schedule: Schedule, kind: str) -> Tensor:
    """The value of the given `kind` ("x_0", "eps", "score" or "v") that x_0 and x_t fix; shapes (n, 2)."""
    signal, noise = _signal_and_noise(x_0, "x_0", x_t, t, schedule, kind)
    if kind == "x_0":
        return x_0
    eps = (x_t - signal * x_0) / noise
    if kind == "v":
        return signal * eps - noise * x_0
    return eps if kind == "eps" else -eps / noise


def _signal_and_noise(
    value: Tensor, name: str, x_t: Tensor, t: int | Tensor, schedule: Schedule, kind: str
) -> tuple[Tensor, Tensor]:
    """√ᾱ_t and √(1 − ᾱ_t), what multiplies x_0 and ε in x_t, after a check of the inputs."""
    check_choice(kind, "kind", KINDS)
    check_points_at(x_t, "x_t", t, schedule)
    check_points(value, name)
    check_same_shape(value, x_t, f"{name} and x_t")
    return at(schedule.alpha_bar, t, x_t).sqrt(), at(1 - schedule.alpha_bar, t, x_t).sqrt()
