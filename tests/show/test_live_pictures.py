"""A live training of pictures shows pictures; a live training with a measure shows that."""

import base64
import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from support import normal, refused, seeded
from torch import nn

from diffusion_lib.models import Diffusion, TimeMLP
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import cosine, even_log_snr
from diffusion_lib.show.widgets import Measure, train_live
from diffusion_lib.show.widgets.frames import Panel
from diffusion_lib.show.widgets.stepper import dequantise
from diffusion_lib.solvers import ddim, last

SHAPE = (1, 4, 4)


class Mean(nn.Module):
    """A network that says the same of every picture."""

    T = 40

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(SHAPE))

    def forward(self, x_t, t):
        return self.mean.expand_as(x_t)


def model():
    return Diffusion(Mean(), cosine(40), "x_0", shape=SHAPE)


def patterns(n, generator):
    return 0.5 + 0.1 * torch.randn(n, *SHAPE, generator=generator)


def live(of, x_0, fresh, **more):
    settings = {"steps": 6, "batch_size": 16, "generator": seeded(), "pictures": 2} | more
    return train_live(of, x_0, fresh, **settings)


@pytest.mark.filterwarnings("ignore:x_0")
def test_pictures_are_drawn_by_a_few_calls_and_shown_in_rows():
    x_0 = patterns(200, seeded())
    run = live(model(), x_0, patterns)
    content = run.view.content
    assert len(run.view) == len(run.steps) == 3
    assert run.trajectories[-1].shape == (21, 32, *SHAPE)
    x_T = standard_normal((32, *SHAPE), x_0, seeded(1))
    drawn = last(ddim(run.model, x_T, run.model.schedule, list(range(40, 0, -2))))
    torch.testing.assert_close(run.trajectories[-1][-1], drawn)
    (layer,) = [layer for layer in content["frames"][-1]["layers"] if layer["kind"] == "images"]
    sheet = np.asarray(
        Image.open(BytesIO(base64.b64decode(content["sheets"][layer["sheet"]]))).convert("RGBA")
    )
    assert sheet.shape == (4 * 5, 8 * 5, 4)
    grey = ((drawn[0, 0] - x_0.min()) / (x_0.max() - x_0.min())).clamp(0, 1)
    np.testing.assert_allclose(sheet[:4, :4, 0], 255 * grey, atol=0.5)


@pytest.mark.filterwarnings("ignore:x_0")
def test_the_loss_shown_is_that_of_pictures_held_out():
    held_out = patterns(300, seeded(5))
    asked = []

    def fresh(n, generator):
        asked.append(n)
        return held_out[:n]

    run = live(model(), patterns(200, seeded()), fresh)
    assert asked == [256]
    with torch.no_grad():
        loss, at_start = (float(m.loss(held_out[:256], seeded(1))) for m in (run.model, model()))
    assert run.view.content["frames"][-1]["text"].endswith(f"loss on pictures held out {loss:.3f}.")
    history = figure_of(run)
    assert history[-1] == pytest.approx(math.log(loss / at_start), abs=1e-3)


def figure_of(run):
    """The heights of the points in the right-hand panel of the last frame."""
    described = run.view.content["panels"][1]
    panel = Panel(tuple(described["x"]), tuple(described["y"]), equal=False)
    (layer,) = [
        x for x in run.view.content["frames"][-1]["layers"] if x["kind"] == "points" and x["panel"] == 1
    ]
    steps = np.frombuffer(run.view.coordinates, "<i2").reshape(-1, 2)
    return dequantise(steps[layer["at"][0] :][: layer["n"]], panel)[:, 1]


def make():
    torch.manual_seed(0)
    schedule = even_log_snr(5)
    return Diffusion(TimeMLP(schedule), schedule)


def plane(n, generator):
    return torch.randn(n, 2, generator=generator)


def test_a_measure_takes_the_distances_place():
    seen = []

    def gap(of, samples):
        seen.append((of, samples.shape))
        return 0.6

    of = make()
    run = live(of, normal(300, 2).float(), plane, measure=Measure("gap to the truth", gap, floor=0.2))
    assert seen == [(of, (600, 2))] * 3
    content = run.view.content
    assert content["panels"][1]["title"] == "Gap to the truth, in floors"
    assert content["frames"][-1]["text"].partition(" (")[0].endswith("gap to the truth 3.0 × its floor")
    np.testing.assert_allclose(figure_of(run), math.log(3), atol=1e-3)
    assert content["trainer"]["panel"]["title"] == "Sliced Wasserstein distance, in floors"


def test_without_a_measure_the_page_needs_no_other_panel():
    assert "panel" not in live(make(), normal(300, 2).float(), plane).view.content["trainer"]


def test_in_the_tab_the_distance_is_shown_whatever_the_measure():
    measure = Measure("gap", lambda of, samples: 1.0, floor=0.2)
    run = live(make(), normal(300, 2).float(), plane, measure=measure, engine="tab")
    assert run.view.content["panels"][1]["title"] == "Sliced Wasserstein distance, in floors"


def test_a_measure_below_zero_leaves_a_gap_in_the_curve():
    run = live(make(), normal(300, 2).float(), plane, measure=Measure("gap", lambda *_: -1.0, floor=0.2))
    assert np.isclose(figure_of(run), figure_of(run)[0]).all()
    assert ", gap -5.0 × its floor" in run.view.content["frames"][-1]["text"]


class Own(nn.Module):
    """A model of pictures that is no `Diffusion`."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def loss(self, x_0, generator):
        return self.weight.sum()

    def trajectory(self, n, generator):
        return torch.zeros(2, n, *SHAPE)


def test_what_is_no_picture_and_no_point_of_the_plane_is_refused():
    with refused("x_0 has shape (300, 2, 4, 4)", "points of the plane (n, 2) or pictures (n, C, H, W)"):
        live(Diffusion(Mean(), cosine(40), shape=(2, 4, 4)), normal(300, 2, 4, 4).float(), plane)
    with refused("model is an Own", "pass a Diffusion"):
        live(Own(), normal(30, 1, 4, 4).float(), patterns)
    with refused("the result of fresh has shape (256, 2)"):
        live(model(), patterns(30, seeded()), plane)
    with refused("floor = 0"):
        Measure("gap", lambda *_: 1.0, floor=0)
