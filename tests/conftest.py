"""Fixtures of the unit tests, and the file in which the checks of the equations say what they have shown."""

import json
from pathlib import Path

import pytest
import torch
from equations import CHECKS
from hypothesis import settings

# The same examples on each run, and as much time for one as a busy machine needs. `make mutants` has its own.
if settings.get_current_profile_name() != "planted":
    settings.register_profile("steady", derandomize=True, deadline=None)
    settings.load_profile("steady")

EVIDENCE = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_addoption(parser):
    parser.addoption("--evidence", type=Path, help="where to write what the equations' checks have shown")


def pytest_configure(config):
    config.stash[EVIDENCE] = {}


def pytest_sessionfinish(session, exitstatus):
    """Write the evidence if all tests have passed, and only where it differs from what is there."""
    path = session.config.getoption("--evidence")
    if path and exitstatus == 0:
        if session.config.stash[EVIDENCE].keys() != CHECKS.keys():
            raise pytest.UsageError("--evidence needs all of tests/test_equations.py, run in one process")
        found = json.dumps(session.config.stash[EVIDENCE], indent=1, ensure_ascii=False, sort_keys=True)
        if not path.exists() or path.read_text(encoding="utf-8") != found:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found, encoding="utf-8")


@pytest.fixture
def evidence(request):
    """What the checks of the equations have shown so far, by label, for the pages of the book."""
    return request.config.stash[EVIDENCE]


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
