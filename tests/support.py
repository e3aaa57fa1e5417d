"""What several test modules share: seeds, rounding, all schedules, and the form of a refusal."""

import math
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn

from diffusion_lib import data
from diffusion_lib.process import schedules

ROOT = Path(__file__).parents[1]
EPS = torch.finfo(torch.float64).eps  # the distance from 1 to the next float64
K = 5  # bounds on random figures are this many standard errors wide: one false alarm in a million

MAKERS = {
    f.__name__: f
    for f in (
        schedules.linear,
        schedules.cosine,
        schedules.sigmoid,
        schedules.even_log_snr,
        schedules.straight,
    )
}
LEAST_T = {"linear": 21, "cosine": 1, "sigmoid": 1, "even_log_snr": 2, "straight": 2}


def seeded(seed=0):
    """A fresh generator with this seed."""
    return torch.Generator().manual_seed(seed)


def evenly_spaced(n, generator):
    """Real data as a reader may pass it: the same points in each draw, in another order."""
    x, _ = make_moons(n, random_state=int(torch.randint(2**31, (1,), generator=generator)))
    return torch.from_numpy(x).float()


DRAWS = {**data.DATASETS, "evenly spaced": evenly_spaced}


def normal(*shape, seed=0):
    """Standard normal float64 numbers from a seed."""
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


class Function(nn.Module):
    """A plain function (x_t, t) → tensor in the place of a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x_t, t):
        return self.function(x_t, t)


def forward_chain(x_0, beta, seed=0):
    """x_0…x_T (T + 1, n, 2) with the variances β_1…β_T, made step by step without the library."""
    states = [x_0]
    for beta_t, eps in zip(beta, normal(len(beta), *x_0.shape, seed=seed), strict=True):
        states.append(math.sqrt(1 - beta_t) * states[-1] + math.sqrt(beta_t) * eps)
    return torch.stack(states)


def share_kept(beta, t):
    """ᾱ_t of the variances β_1…β_T."""
    return math.prod(1 - beta_t for beta_t in beta[:t])


def given_next(x_t, beta_t, mean, var):
    """Mean and variance of x_{t−1} ~ N(mean, var) once x_t = √(1 − β_t) x_{t−1} + √β_t ε is known.

    The two are jointly Gaussian; this is the textbook rule for conditioning one on the other.
    """
    covariance = math.sqrt(1 - beta_t) * var
    var_next = (1 - beta_t) * var + beta_t
    surprise = x_t - math.sqrt(1 - beta_t) * mean
    return mean + covariance / var_next * surprise, var - covariance**2 / var_next


def posterior_by_bayes(x_t, x_0, t, beta):
    """Mean and variance of q(x_{t−1} | x_t, x_0), for t ≥ 2."""
    kept = share_kept(beta, t - 1)
    return given_next(x_t, beta[t - 1], math.sqrt(kept) * x_0, 1 - kept)


@contextmanager
def refused(*parts):
    """Expect a `ValueError` whose message has all the parts: argument, value, fix."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts are the match
        yield
    missing = [part for part in parts if part not in str(caught.value)]
    assert not missing, f"{missing} not in the message: {caught.value}"
