"""The index lens: which entries it shows for each t, how it writes them, and that they fit a phone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from support import refused

from diffusion_lib.process import schedules
from diffusion_lib.process.posterior import posterior_var
from diffusion_lib.show.widgets import Axis, Frame, Stepper, index_lens, lens_panel, lens_table

T = 10
ARRAYS = {"alpha": 0.5 + torch.arange(T + 1) / 100, "beta": 0.25 + torch.arange(T + 1) / 200}


def texts(layers):
    """(x, y, text, layer) of every label."""
    return [
        (*map(float, at), text, layer)
        for layer in layers
        if layer.kind == "labels"
        for at, text in zip(layer.blocks[0], layer.options["texts"], strict=True)
    ]


def columns(arrays, t):
    """The lens's columns from left to right, each from its head down."""
    cells = sorted((x, -y, text) for x, y, text, _ in texts(index_lens(arrays, t, panel=2)))
    return [[text for at, _, text in cells if at == x] for x in sorted({x for x, _, _ in cells})]


@pytest.mark.parametrize(
    ("t", "heads", "indices"),
    [
        (0, "t t+1 … T", "0 1 … 10"),
        (1, "t−1 t t+1 … T", "0 1 2 … 10"),
        (2, "0 t−1 t t+1 … T", "0 1 2 3 … 10"),
        (3, "0 … t−1 t t+1 … T", "0 … 2 3 4 … 10"),
        (5, "0 … t−1 t t+1 … T", "0 … 4 5 6 … 10"),
        (T - 2, "0 … t−1 t t+1 T", "0 … 7 8 9 10"),
        (T - 1, "0 … t−1 t t+1", "0 … 8 9 10"),
        (T, "0 … t−1 t", "0 … 9 10"),
    ],
)
def test_the_columns_are_the_ends_and_the_neighbours(t, heads, indices):
    shown = columns(ARRAYS, t)
    assert [column[0] for column in shown] == heads.split()
    assert [column[1] for column in shown] == indices.split()


@pytest.mark.parametrize("last", range(1, 9))
def test_no_entry_is_shown_twice_and_dots_stand_for_those_left_out(last):
    array = torch.linspace(0.3, 0.7, last + 1, dtype=torch.float64)
    for t in range(last + 1):
        shown = [-1, *(column[1] for column in columns({"array": array}, t)), last + 1]
        assert {"0", str(t), str(last)} <= set(shown[1:-1])
        for left, right in pairwise(shown):
            if "…" not in (left, right):
                assert int(right) == int(left) + 1
        for left, dots, right in zip(shown, shown[1:], shown[2:], strict=False):
            if dots == "…":
                assert int(right) > int(left) + 1


@pytest.mark.parametrize("t", range(T + 1))
def test_each_column_has_the_entries_of_its_index(t):
    for head, i, *entries in columns(ARRAYS, t):
        if head == "…":
            assert [i, *entries] == ["…"] * (1 + len(ARRAYS))
        else:
            assert entries == [f"{array[int(i)]:.4f}" for array in ARRAYS.values()]


@pytest.mark.parametrize("t", [0, 1, 5, T])
def test_the_column_of_t_and_nothing_else_is_emphasised_and_boxed(t):
    _, box, _ = lens_table(list(ARRAYS), panel=2)
    left, right = box.blocks[0][:, 0].min(), box.blocks[0][:, 0].max()
    for x, _, _, layer in texts(index_lens(ARRAYS, t, panel=2)):
        inside = left < x < right
        assert (layer.role == "accent", bool(layer.options.get("bold"))) == (inside, inside)
        assert layer.panel == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.12345678, "0.1235"),
        (0.99999, "1.0000"),
        (12.5, "12.5000"),
        (6e-5, "0.0001"),
        (4e-5, "4e-05"),
        (1.234e-9, "1e-09"),
        (-0.25, "-0.2500"),
        (-4e-5, "-4e-05"),
        (float("inf"), "inf"),
    ],
)
def test_entries_have_four_digits_or_a_power_of_ten(value, text):
    assert columns({"array": torch.tensor([value, 0.5], dtype=torch.float64)}, 0)[0] == ["t", "0", text]


@pytest.mark.parametrize(("t", "found"), [(-1, "= -1; pass"), (T + 1, "= 11; pass"), (0.5, "= 0.5; pass")])
def test_an_index_outside_the_arrays_is_refused(t, found):
    with refused("t ", found):
        index_lens(ARRAYS, t, panel=0)


def test_arrays_of_different_lengths_are_refused():
    with refused("arrays has lengths {'alpha': 4, 'beta': 3}", "T + 1"):
        index_lens({"alpha": torch.ones(4), "beta": torch.ones(3)}, 1, panel=0)
    with refused("arrays is empty", "at least one"):
        index_lens({}, 1, panel=0)


SCHEDULES = [schedules.linear(40), schedules.cosine(40), schedules.sigmoid(40), schedules.even_log_snr(40)]
NARROW = (
    328  # CSS pixels of the panel's box on a phone 360 pixels wide, whose page keeps 16 free on each side
)
SIZE = 12  # of the font there
FONTS = [FontProperties(family="DejaVu Sans", weight=weight, size=SIZE) for weight in ("normal", "bold")]
MEASURE = TextToPath().get_text_width_height_descent


def extent(x, text, layer, panel):
    """The left and right end of a label on a phone, in the panel's units, in a font that is rather wide."""
    pixels, _, _ = MEASURE(text, FONTS[layer.options.get("bold", False)], ismath=False)
    width = pixels * (panel.x[1] - panel.x[0]) / NARROW
    return (x, x + width) if layer.options.get("anchor") == "left" else (x - width / 2, x + width / 2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [0, 1, 2, 3, 20, 38, 39, 40])
def test_on_a_phone_labels_stay_inside_the_panel_and_apart(schedule, t):
    arrays = {
        "alpha": schedule.alpha,
        "alpha_bar": schedule.alpha_bar,
        "beta_tilde": posterior_var(schedule),
    }
    panel, rows = lens_panel(len(arrays)), {}
    for x, y, text, layer in texts(lens_table(list(arrays), 0) + index_lens(arrays, t, 0)):
        rows.setdefault(y, []).append(extent(x, text, layer, panel))
        half = SIZE / 2 * (panel.y[1] - panel.y[0]) / (NARROW / panel.aspect)
        assert panel.y[0] < y - half < y + half < panel.y[1]
    assert len(rows) == len(arrays) + 2  # the heads, the index, one row for each array
    for row in rows.values():
        ends = [panel.x[0], *np.ravel(sorted(row)), panel.x[1]]
        assert ends == sorted(ends)


def test_a_lens_is_drawn_in_its_panel():
    layers = index_lens(ARRAYS, 3, panel=0)
    stepper = Stepper(
        "Lens", [Axis("t", [3])], [Frame("t = 3.", layers)], [lens_panel(2)], lens_table(list(ARRAYS), 0)
    )
    assert stepper.content["panels"][0]["wide"]
    assert [layer["kind"] for layer in stepper.content["background"]] == ["curve", "curve", "labels"]
