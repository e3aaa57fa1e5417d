"""What several test modules share: seeds, rounding, all schedules, and the form of a refusal."""

from contextlib import contextmanager

import pytest
import torch

from diffusion_lib import schedules

EPS = torch.finfo(torch.float64).eps  # the distance from 1 to the next float64
K = 5  # bounds on random figures are this many standard errors wide: one false alarm in a million

MAKERS = {
    f.__name__: f for f in (schedules.linear, schedules.cosine, schedules.sigmoid, schedules.even_log_snr)
}
LEAST_T = {"linear": 21, "cosine": 1, "sigmoid": 1, "even_log_snr": 2}


def seeded(seed=0):
    """A fresh generator with this seed."""
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    """Standard normal float64 numbers from a seed."""
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


@contextmanager
def refused(*parts):
    """Expect a `ValueError` whose message has all the parts: argument, value, fix."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts are the match
        yield
    missing = [part for part in parts if part not in str(caught.value)]
    assert not missing, f"{missing} not in the message: {caught.value}"
