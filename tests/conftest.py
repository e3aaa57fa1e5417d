"""Fixtures of the unit tests."""

import pytest
import torch


@pytest.fixture
def float64():
    """Make float64 the type of new tensors, so that two computations can be compared to its rounding."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def reference():
    """A function (schedule, prediction_type, variance_type) → diffusers' DDPMScheduler, in float64.

    Their step t is our t + 1. The scheduler keeps its table in float32; it gets ours in float64, so that what
    is compared is its formulas. It is imported here because that takes seconds.
    """
    from diffusers import DDPMScheduler

    def make(schedule, prediction_type="epsilon", variance_type="fixed_small"):
        scheduler = DDPMScheduler(
            num_train_timesteps=schedule.T,
            trained_betas=schedule.beta[1:].tolist(),
            prediction_type=prediction_type,
            variance_type=variance_type,
            clip_sample=False,
        )
        scheduler.alphas_cumprod = schedule.alpha_bar[1:]
        scheduler.one = torch.ones((), dtype=torch.float64)
        return scheduler

    return make
