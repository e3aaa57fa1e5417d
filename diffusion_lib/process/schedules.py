"""Noise schedules: how much signal each step of the forward process keeps.

A schedule is the pair of arrays α_t and ᾱ_t = α_1 ⋯ α_t. Both have length T + 1 and α_0 = ᾱ_0 = 1, so that
the index in the code is the index in the text: `alpha_bar[t]` is ᾱ_t for t = 0…T.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffusion_lib.checks import (
    check_batch,
    check_count,
    check_number,
    check_points,
    check_t,
    check_tensor,
    check_type,
)


@dataclass(frozen=True, eq=False)
class Schedule:
    """α_t and ᾱ_t for t = 0…T.

    Attributes:
        alpha: shape (T + 1,), float64, `alpha[0] = 1` and 0 < α_t < 1 for t ≥ 1: the share of variance that
            step t keeps.
        alpha_bar: shape (T + 1,), float64: ᾱ_t, the share of the data's variance still there after t steps.
    """

    alpha: Tensor
    alpha_bar: Tensor = field(init=False)

    def __post_init__(self):
        alpha = _numbers(self.alpha, "alpha").clone()  # the caller may go on to change theirs
        if alpha.ndim != 1 or len(alpha) < 2:
            raise ValueError(
                f"alpha has shape {tuple(alpha.shape)}; pass the T + 1 values α_0 = 1, α_1, …, α_T with T ≥ 1"
            )
        if alpha[0] != 1 or not ((alpha[1:] > 0) & (alpha[1:] < 1)).all():
            raise ValueError(
                f"alpha starts with {float(alpha[0])} and the rest runs from {float(alpha[1:].min())} to "
                f"{float(alpha[1:].max())}; it needs α_0 = 1 and 0 < α_t < 1 for t ≥ 1"
            )
        alpha_bar = alpha.cumprod(dim=0)
        if not (alpha_bar.diff() < 0).all():
            raise ValueError(
                f"alpha_bar, which ends at {float(alpha_bar[-1]):g} for T = {len(alpha) - 1}, stops falling: "
                "the signal left, or one step, is too small for float64; take fewer steps or other beta"
            )
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "alpha_bar", alpha_bar)

    @classmethod
    def from_beta(cls, beta: Tensor) -> "Schedule":
        """From the T values β_1…β_T = 1 − α_t, in the order and indexing in which papers list them."""
        beta = _numbers(beta, "beta")
        if beta.ndim != 1 or len(beta) == 0:
            raise ValueError(f"beta has shape {tuple(beta.shape)}; pass the T values β_1, …, β_T with T ≥ 1")
        if not ((beta > 0) & (beta < 1)).all():
            raise ValueError(
                f"beta runs from {float(beta.min())} to {float(beta.max())}, so alpha from "
                f"{float(1 - beta.max())} to {float(1 - beta.min())}; it needs 0 < α_t < 1: pass 0 < beta < 1"
            )
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), 1 - beta]))

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.alpha) - 1

    @property
    def beta(self) -> Tensor:
        """β_t = 1 − α_t, the variance of the noise that step t adds; β_0 = 0."""
        return 1 - self.alpha

    @property
    def snr(self) -> Tensor:
        """The signal-to-noise ratio ᾱ_t / (1 − ᾱ_t), falling in t; infinite at t = 0."""
        return self.alpha_bar / (1 - self.alpha_bar)


def _numbers(values: Tensor, name: str) -> Tensor:
    """A tensor, array or list of numbers as float64 on the CPU."""
    values = values.detach() if isinstance(values, Tensor) else values
    try:
        numbers = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} = {values!r}; pass a tensor or a list of numbers") from error
    check_tensor(numbers, name)
    return numbers


def check_schedule(schedule: Schedule) -> None:
    """Raise `ValueError` unless `schedule` is a `Schedule`."""
    check_type(schedule, "schedule", Schedule, "schedules.cosine(T)")


def check_points_at(
    x: Tensor, name: str, t: int | Tensor, schedule: Schedule, weight: Tensor | None = None
) -> None:
    """Raise `ValueError` unless `x` passes `check_points`, and `t` is one step, or one for each point."""
    check_schedule(schedule)
    check_points(x, name, weight)
    check_t(t, schedule.T)
    check_batch(t, x, name)


def at(values: Tensor, t: int | Tensor, x: Tensor) -> Tensor:
    """`values[t]` in the dtype of `x`, shaped to multiply x.

    That is (1, 1) or (B, 1) for points x (B, 2), and (S, 1, 1) for groups x (S, B, 2) with one step each. A
    negative t counts from the end, as everywhere in Python: it is for the callers to refuse it.
    """
    try:
        t = torch.as_tensor(t)
        return values[t].to(x.dtype).reshape(*t.shape, *[1] * (x.ndim - t.ndim))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        # Each step of training comes here many times, so nothing is checked beforehand.
        raise ValueError(
            f"values, t = {t!r} and x do not go together ({error}): pass values over t = 0…T, whole numbers "
            "t in this range, and points x"
        ) from error


def linear(T: int = 1000, beta_1: float | None = None, beta_T: float | None = None) -> Schedule:
    """β_t rising evenly from β_1 to β_T (Ho et al. 2020, section 4).

    The defaults are 0.1/T and 20/T: the paper's 1e-4 and 0.02 at its T = 1000, and the same total amount of
    noise for any other T. With the paper's values and a small T the chain would stop far from N(0, I).
    """
    check_count(T, "T")
    beta_1 = 0.1 / T if beta_1 is None else beta_1
    beta_T = 20 / T if beta_T is None else beta_T
    check_number(beta_1, "beta_1", "a number in (0, 1)")
    check_number(beta_T, "beta_T", "a number in (0, 1)")
    if not (0 < beta_1 < 1 and 0 < beta_T < 1):
        raise ValueError(
            f"beta_1 = {beta_1:g} and beta_T = {beta_T:g} for T = {T}; both must lie in (0, 1): "
            "pass such numbers, or leave both out and take T > 20"
        )
    return Schedule.from_beta(torch.linspace(beta_1, beta_T, T, dtype=torch.float64))


def cosine(T: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> Schedule:
    """ᾱ_t = f(t)/f(0) with f(t) = cos²(π/2 · (t/T + s)/(1 + s)), and β_t at most `beta_max`.

    Source: Nichol & Dhariwal 2021, eq. 17.
    """
    check_count(T, "T")
    check_number(s, "s")
    check_number(beta_max, "beta_max")
    if not (s >= 0 and 0 < beta_max < 1):
        raise ValueError(f"s = {s} and beta_max = {beta_max}; take s ≥ 0 and beta_max between 0 and 1")
    level = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    f = torch.cos(math.pi / 2 * (level + s) / (1 + s)) ** 2
    return Schedule.from_beta((1 - f[1:] / f[:-1]).clamp(max=beta_max))


def sigmoid(T: int = 40) -> Schedule:
    """β_t = 1e-5 + (0.3 − 1e-5) · σ(u_t), u_t even from −18 to 10, σ the logistic function.

    The schedule of the small reimplementations of Sohl-Dickstein et al. 2015, tuned there for T = 40.
    """
    check_count(T, "T")
    u = torch.linspace(-18, 10, T, dtype=torch.float64)
    return Schedule.from_beta(1e-5 + (0.3 - 1e-5) * torch.sigmoid(u))


def even_log_snr(T: int = 100, sigma_min: float = 0.005, sigma_max: float = 20.0) -> Schedule:
    """log SNR(t) falling evenly, from −2 log `sigma_min` at t = 1 to −2 log `sigma_max` at t = T.

    `sigma` is the noise-to-signal ratio √((1 − ᾱ_t)/ᾱ_t): the noise's standard deviation in units of the
    data's. Every step multiplies it by the same factor, so each size of detail gets its share of the steps.
    """
    check_count(T, "T", least=2)
    check_number(sigma_min, "sigma_min")
    check_number(sigma_max, "sigma_max")
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"sigma_min = {sigma_min}, sigma_max = {sigma_max}; take 0 < sigma_min < sigma_max < inf"
        )
    log_sigma = torch.linspace(math.log(sigma_min), math.log(sigma_max), T, dtype=torch.float64)
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.sigmoid(-2 * log_sigma)])
    return Schedule.from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])
