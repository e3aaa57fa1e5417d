"""The plotters draw what they are given, on the Axes they are given, in the book's colours."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb
from support import normal, refused

from diffusion_lib.show import plots

STYLE_SHEET = Path(plots.__file__).parent / "widgets" / "stepper.css"


DARK_PAGE = "#14181e"  # the theme's
DARK_BRIGHTNESS = 1.25  # of figures there, by book.css


@pytest.fixture
def ax():
    """Axes on a figure of their own, without a window."""
    with mpl.rc_context({"backend": "agg"}):
        figure = mpl.figure.Figure()
        yield figure.subplots()


def luminance(colour):
    """The relative luminance of WCAG 2."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("role", plots.COLOURS)
def test_colours_stand_out_from_the_page(role):
    least = 4.5 if role == "text" else 3  # WCAG 2.1: 1.4.3 for text, 1.4.11 for graphics
    assert 1.05 / (luminance(plots.COLOURS[role]) + 0.05) >= least
    lit = np.minimum(np.array(to_rgb(plots.COLOURS[role])) * DARK_BRIGHTNESS, 1)
    assert (luminance(lit) + 0.05) / (luminance(DARK_PAGE) + 0.05) >= least


@pytest.mark.parametrize("role", ["data", "model", "noise", "accent"])
def test_plots_and_widgets_have_the_same_colours(role):
    first = re.search(rf"--stepper-{role}:\s*(#[0-9a-f]{{6}})", STYLE_SHEET.read_text(encoding="utf-8"), re.I)
    assert first[1].lower() == plots.COLOURS[role].lower()


def test_a_cloud_shows_its_points(ax):
    x = normal(20, 2)
    assert plots.cloud(ax, x, role="model", label="samples", limit=1.5) is None
    (drawn,) = ax.collections
    np.testing.assert_allclose(drawn.get_offsets(), x)
    assert to_hex(drawn.get_facecolor()[0]) == plots.COLOURS["model"].lower()
    assert drawn.get_label() == "samples"
    assert ax.get_xlim() == ax.get_ylim() == (-1.5, 1.5)
    assert ax.get_aspect() == 1
    assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0


def test_arrows_go_from_start_to_end_in_the_units_of_the_axes(ax):
    start, end = normal(5, 2), normal(5, 2, seed=1)
    assert plots.arrows(ax, start, end) is None
    (drawn,) = ax.collections
    np.testing.assert_allclose(np.stack([drawn.X, drawn.Y], axis=1), start)
    np.testing.assert_allclose(np.stack([drawn.U, drawn.V], axis=1), end - start)
    assert (drawn.angles, drawn.scale_units, drawn.scale) == ("xy", "xy", 1)


def test_a_curve_over_steps_begins_at_step_one(ax):
    values = torch.tensor([np.inf, 3.0, 2.0, 1.0])
    assert plots.per_step(ax, values, label="SNR", linestyle="--") is None
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata().tolist() == [3, 2, 1]
    assert line.get_linestyle() == "--"
    assert ax.get_xlabel() == "$t$"


def test_a_curve_may_have_a_colour_and_a_name_of_its_own(ax):
    plots.per_step(ax, torch.zeros(3), color="red", label="own")
    assert (ax.lines[0].get_color(), ax.lines[0].get_label()) == ("red", "own")


def test_a_diagram_has_boxes_and_links(ax):
    plots.box(ax, (1, 2), "encoder", "model")
    (text,) = ax.texts
    assert (text.get_text(), text.get_position()) == ("encoder", (1, 2))
    assert (
        to_hex(text.get_color())
        == to_hex(text.get_bbox_patch().get_edgecolor())
        == plots.COLOURS["model"].lower()
    )
    plots.link(ax, (0, 0), (4, 0), text="to the right", bend=0.5)
    arrow, said = ax.texts[1:]
    assert (arrow.xy, arrow.xyann) == ((4, 0), (0, 0))
    assert said.get_position() == (2, -1), "on the arrow, which bends to the right of its way: down"


def test_the_style_is_one_call_that_matplotlib_knows():
    with mpl.rc_context({"text.usetex": True}):  # as a reader's matplotlibrc may have it
        plots.use_book_style()
        assert not plt.rcParams["axes.spines.top"]
        assert not plt.rcParams["text.usetex"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax, role: plots.cloud(ax, torch.zeros(2, 2), role),
        lambda ax, role: plots.arrows(ax, torch.zeros(2, 2), torch.ones(2, 2), role),
        lambda ax, role: plots.per_step(ax, torch.zeros(3), role),
    ],
    ids=["cloud", "arrows", "per_step"],
)
def test_unknown_roles_are_refused(draw, ax):
    with refused("role = 'red'", "choose one of 'data'", "'accent'"):
        draw(ax, "red")


def test_bad_points_are_refused(ax):
    with refused("x has shape (2, 3)", "(n, 2)"):
        plots.cloud(ax, torch.zeros(2, 3))
    with refused("start and end", "(2, 2)", "(3, 2)"):
        plots.arrows(ax, torch.zeros(2, 2), torch.zeros(3, 2))
