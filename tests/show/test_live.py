"""Live training: its pictures, its sentences, and what it says when training ends early."""

import math
import re
from statistics import fmean

import pytest
import torch
from support import DRAWS, refused, seeded

from diffusion_lib import data
from diffusion_lib.measure.evaluation import sliced_wasserstein
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.show.widgets import train_live
from diffusion_lib.show.widgets.live import picture_steps
from diffusion_lib.show.widgets.live_run import N_POINTS

SCHEDULE = even_log_snr(8)


def live(draw=data.swiss_roll, **settings):
    """A short live training of a small model on a data set, by default the roll."""
    torch.manual_seed(0)
    model = Diffusion(TimeMLP(SCHEDULE, width=8), SCHEDULE)
    generator = torch.Generator().manual_seed(0)
    return train_live(model, draw(200, generator), draw, generator=generator, **settings)


def texts(run):
    return [frame["text"] for frame in run.view.content["frames"]]


@pytest.mark.parametrize(("steps", "pictures"), [(1, 1), (1, 10), (30, 4), (2000, 10)])
def test_pictures_are_early_and_the_last_step_has_one(steps, pictures):
    moments = sorted(picture_steps(steps, pictures))
    assert 1 <= len(moments) <= pictures
    assert moments[0] == (steps if pictures == 1 else max(1, round(steps / 128)))
    assert moments[-1] == steps
    ratios = [b / a for a, b in zip(moments, moments[1:], strict=False) if a > 20]
    assert all(1 < ratio < 2 for ratio in ratios)


def test_each_picture_has_a_frame_and_a_trajectory(capsys):
    run = live(steps=30, pictures=4)
    assert run.steps == [0, *sorted(picture_steps(30, 4))]
    assert len(run.view) == len(run.steps) == len(run.trajectories)
    assert all(states.shape == (SCHEDULE.T + 1, N_POINTS, 2) for states in run.trajectories)
    assert all(
        torch.equal(states[0], run.trajectories[0][0]) for states in run.trajectories
    )  # the same noise
    assert len(run.run.losses) == 30
    assert texts(run)[0].startswith("Before training: ")
    assert texts(run)[1].startswith(f"Step {run.steps[1]} of 30: loss ")
    assert texts(run)[-1].startswith("Trained 30 steps in ")
    assert "30/30" in capsys.readouterr().err  # the bar of a plain script


def test_an_early_end_is_told_by_view_warning_and_repr():
    with pytest.warns(UserWarning, match="ended early: the loss became"):
        run = live(steps=60, pictures=3, learning_rate=1e12)
    assert texts(run)[-1].startswith("Ended at step ")
    assert f"The model is that of step {run.run.kept}" in texts(run)[-1]
    assert run.run.stopped in repr(run)
    assert all(math.isfinite(value) for value in run.trajectories[-1].flatten())


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_data_set_has_a_noise_floor(draw):
    run = live(draw, steps=3, pictures=2)
    title, background = run.view.content["panels"][1]["title"], run.view.content["background"]
    assert "floors" in title
    assert [layer["kind"] for layer in background] == ["points", "curve"]
    times = re.fullmatch(r"Before training: distance to data (\S+) × the noise floor.*\.", texts(run)[0])
    floor = sliced_wasserstein(run.trajectories[0][-1], draw(N_POINTS, seeded())) / float(times[1])
    many = draw(50_000, seeded(1))
    drawn = [many[torch.randint(len(many), (2, N_POINTS), generator=seeded(k))] for k in range(8)]
    # Means of eight distances that scatter by 40 %, all to the same points in the one that the view takes.
    assert 1 / 3 < floor / fmean(sliced_wasserstein(x, y) for x, y in drawn) < 3


@pytest.mark.parametrize("size", [0.0, 0.5, 2000.0])
def test_without_a_noise_floor_the_distance_is_in_the_datas_unit(size):
    run = live(lambda n, generator: torch.tensor([[size, 0.0]]).expand(n, 2), steps=3, pictures=2)
    panel, background = run.view.content["panels"][1], run.view.content["background"]
    assert [layer["kind"] for layer in background] == ["points"]  # no line for the floor
    for frame, states in zip(texts(run), run.trajectories, strict=True):
        distance = sliced_wasserstein(states[-1], torch.tensor([[size, 0.0]]).expand(N_POINTS, 2))
        assert f"distance to data {distance:.2g}; no noise floor: fresh data never differs" in frame
    assert "floor" not in panel["title"]
    box = 1.15 * size or 1
    scale = [float(label) / box for _, label in panel["ticks"][1]]
    assert scale == pytest.approx([scale[0], 10 * scale[0], 100 * scale[0]])
    assert 1e-3 < scale[0] <= 1e-2


@pytest.mark.parametrize(
    ("settings", "part"), [({"steps": 0}, "steps = 0"), ({"pictures": 0}, "pictures = 0")]
)
def test_bad_counts_are_refused(settings, part):
    with refused(part, "whole number"):
        live(**settings)
