"""Noise schedules: how much signal each step of the forward process keeps.

A schedule is the pair of arrays α_t and ᾱ_t = α_1 ⋯ α_t. Both have length T + 1 and α_0 = ᾱ_0 = 1, so that
the index in the code is the index in the text: `alpha_bar[t]` is ᾱ_t for t = 0…T.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from diffusion_lib.contracts import (
    Count,
    Levels,
    Numbers,
    OverTime,
    Positive,
    Shares,
    at_least,
    between,
    checked,
    index,
)

Fraction = Annotated[float, between(0, 1, "a number between 0 and 1, ends excluded")]


@checked
@dataclass(frozen=True, eq=False)
class Schedule:
    """α_t and ᾱ_t for t = 0…T.

    Attributes:
        alpha: shape (T + 1,), float64, `alpha[0] = 1` and 0 < α_t < 1 for t ≥ 1: the share of variance that
            step t keeps.
        alpha_bar: shape (T + 1,), float64: ᾱ_t, the share of the data's variance still there after t steps.
    """

    alpha: Shares
    alpha_bar: Tensor = field(init=False)

    def __post_init__(self):
        alpha = _numbers(self.alpha).clone()  # the caller may go on to change theirs
        alpha_bar = alpha.cumprod(dim=0)
        if not (alpha_bar.diff() < 0).all():
            raise ValueError(
                f"alpha_bar, which ends at {float(alpha_bar[-1]):g} for T = {len(alpha) - 1}, stops falling: "
                "the signal left, or one step, is too small for float64; take fewer steps or other beta"
            )
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "alpha_bar", alpha_bar)

    @classmethod
    def from_beta(cls, beta: Shares) -> "Schedule":
        """From the T values β_1…β_T = 1 − α_t, in the order and indexing in which papers list them."""
        beta = _numbers(beta)
        return cls(torch.cat([beta.new_ones(1), 1 - beta]))

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

    @property
    def signal(self) -> Tensor:
        """√ᾱ_t, what multiplies x_0 in x_t."""
        return self.alpha_bar.sqrt()

    @property
    def noise(self) -> Tensor:
        """√(1 − ᾱ_t), what multiplies ε in x_t: a standard deviation."""
        return (1 - self.alpha_bar).sqrt()

    @property
    def sigma(self) -> Tensor:
        """The noise-to-signal ratio √((1 − ᾱ_t) / ᾱ_t), rising in t; 0 at t = 0."""
        return self.noise / self.signal

    @property
    def straight_time(self) -> Tensor:
        """σ/(1 + σ): the time at which the path (1 − time) x_0 + time ε has this noise-to-signal ratio."""
        return self.noise / (self.noise + self.signal)

    def nearest(self, levels: Levels) -> list[float]:
        """For falling noise levels σ the nearest σ_t, t ≥ 1, in log σ; those that fall together become one.

        At whole steps a network of steps is called once, between two of them twice: see `Diffusion`.
        """
        wanted = torch.tensor(levels, dtype=torch.float64, device="cpu").log()
        t = 1 + (wanted[:, None] - self.sigma[1:].log()).abs().argmin(dim=1)
        return self.sigma[t.unique_consecutive()].tolist()


def _numbers(values: Tensor) -> Tensor:
    """A tensor, an array or a list as float64 on the CPU, where all schedules are: see `at`."""
    return torch.as_tensor(values, dtype=torch.float64, device="cpu").detach()


def _even(start: float, end: float, n: int) -> Tensor:
    """`n` numbers from `start` to `end`, evenly spaced."""
    return torch.linspace(start, end, n, dtype=torch.float64, device="cpu")


@checked
def at(values: OverTime, t: Annotated[int | Tensor, index("values")], x: Numbers) -> Tensor:
    """`values[t]` on the device and in the type of `x`, shaped to multiply x.

    That is (1, 1) or (B, 1) for points x (B, 2), (B, 1, 1, 1) for images x (B, C, H, W), and (S, 1, 1) for
    groups x (S, B, 2) with one step each.
    """
    t = torch.as_tensor(t, device=x.device)
    return values.to(x.device, x.dtype)[t.flatten()].reshape((*t.shape, *[1] * (x.ndim - t.ndim)))


@checked
def linear(
    T: Annotated[int, at_least(2)] = 1000, beta_1: Fraction | None = None, beta_T: Fraction | None = None
) -> Schedule:
    """β_t running evenly from β_1 to β_T (Ho et al. 2020, section 4).

    The defaults are 0.1/T and 20/T: the paper's 1e-4 and 0.02 at its T = 1000, and the same total amount of
    noise for any other T, which must be above 20. With the paper's values and a small T the chain would
    stop far from N(0, I).
    """
    if beta_T is None and T <= 20:
        raise ValueError(
            f"T = {T} gives beta_T = {20 / T:g}, which must be below 1; take T > 20, or pass beta_T"
        )
    return Schedule.from_beta(_even(beta_1 or 0.1 / T, beta_T or 20 / T, T))


@checked
def cosine(
    T: Count = 1000,
    s: Annotated[float, between(-math.ulp(0.0), wanted="a number of at least 0")] = 0.008,
    beta_max: Fraction = 0.999,
) -> Schedule:
    """ᾱ_t = f(t)/f(0) with f(t) = cos²(π/2 · (t/T + s)/(1 + s)), and β_t at most `beta_max`.

    Source: Nichol & Dhariwal 2021, eq. 17.
    """
    f = torch.cos(math.pi / 2 * (_even(0, 1, T + 1) + s) / (1 + s)) ** 2
    return Schedule.from_beta((1 - f[1:] / f[:-1]).clamp(max=beta_max))


@checked
def sigmoid(T: Count = 40) -> Schedule:
    """β_t = 1e-5 + (0.3 − 1e-5) · σ(u_t), u_t even from −18 to 10, σ the logistic function.

    The schedule of the small reimplementations of Sohl-Dickstein et al. 2015, tuned there for T = 40.
    """
    return Schedule.from_beta(1e-5 + (0.3 - 1e-5) * torch.sigmoid(_even(-18, 10, T)))


@checked
def even_log_snr(
    T: Annotated[int, at_least(2)] = 100, sigma_min: Positive = 0.005, sigma_max: Positive = 20.0
) -> Schedule:
    """log SNR(t) falling evenly, from −2 log `sigma_min` at t = 1 to −2 log `sigma_max` at t = T.

    `sigma` is the noise-to-signal ratio √((1 − ᾱ_t)/ᾱ_t): the noise's standard deviation in units of the
    data's. Every step multiplies it by the same factor, so each size of detail gets its share of the steps.
    """
    if not sigma_min < sigma_max:
        raise ValueError(f"sigma_min = {sigma_min}, sigma_max = {sigma_max}; take sigma_min < sigma_max")
    log_sigma = _even(math.log(sigma_min), math.log(sigma_max), T)
    alpha_bar = torch.cat([log_sigma.new_ones(1), torch.sigmoid(-2 * log_sigma)])
    return Schedule.from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])


@checked
def straight(T: Annotated[int, at_least(2)] = 100, end: Fraction = 0.9999) -> Schedule:
    """The noise levels of the straight path (1 − t) x_0 + t ε at t = 1/T, 2/T, …, 1: σ = t/(1 − t).

    At t = 1 nothing of the data would be left, and log SNR would be infinite, so the last t is `end`.
    Source: Liu et al. 2023, eq. 1.
    """
    t = _even(0, 1, T + 1).clamp(max=end)
    if not t[-2] < t[-1]:
        raise ValueError(f"T = {T}, end = {end}; take end > {1 - 1 / T:g}, the t before the last")
    alpha_bar = (1 - t) ** 2 / ((1 - t) ** 2 + t**2)
    return Schedule.from_beta(1 - alpha_bar[1:] / alpha_bar[:-1])
