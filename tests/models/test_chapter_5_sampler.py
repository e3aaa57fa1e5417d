"""The sampler that chapter 5 prints, as it stands in the notebook, against diffusers' scheduler."""

from pathlib import Path

import nbformat
import torch
from support import EPS, seeded

from diffusion_lib.process.schedules import even_log_snr, linear

CHAPTER = Path(__file__).parents[2] / "book" / "05_epsilon_objective.ipynb"


def bounded(x_t, t):
    """A smooth guess of the noise that depends on point and step."""
    return torch.sin(x_t.flip(1) + 0.1 * t)


def the_notebooks_sampler(schedule):
    """Its function `sample`, from the notebook's own text."""
    cells = nbformat.read(CHAPTER, as_version=4).cells
    (source,) = (c.source for c in cells if c.cell_type == "code" and "def sample(n" in c.source)
    names = {"torch": torch, "T": schedule.T, "network": bounded}
    names |= {"alpha": schedule.alpha, "alpha_bar": schedule.alpha_bar}
    exec(source.replace(".float()", ".double()"), names)
    return names["sample"]


def test_the_sampler_of_chapter_5_is_that_of_diffusers(reference, float64):
    for schedule in (linear(50), even_log_snr(100)):
        ours = the_notebooks_sampler(schedule)(16, seeded(3))
        generator, scheduler = seeded(3), reference(schedule, "epsilon", "fixed_small")
        x_t = torch.randn(16, 2, generator=generator)
        size = 0.0
        for t in range(schedule.T, 0, -1):
            x_t = scheduler.step(bounded(x_t, torch.tensor(t)), t - 1, x_t, generator).prev_sample
            size = max(size, float(x_t.abs().max()))
        # Their β_t is a difference of numbers near 1, and their x̂_0 is divided by √ᾱ_t.
        rounding = 20 * EPS * schedule.T * size
        rounding *= 1 / float(schedule.beta[1:].min()) + 1 / float(schedule.alpha_bar[-1].sqrt())
        torch.testing.assert_close(ours, x_t, rtol=0, atol=rounding)
