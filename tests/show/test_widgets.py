"""The Stepper's Python side: what is stored is what was given, to half a step, and wrong input is named."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from diffusion_lib.show.widgets import (
    Axis,
    Frame,
    Panel,
    Stepper,
    arrows,
    curve,
    ellipses,
    images,
    labels,
    points,
)
from diffusion_lib.show.widgets.stepper import BOXES, LARGEST, MISSING, dequantise, quantise

PANEL = Panel(x=(-1, 3), y=(0, 10), equal=False)
HALF_STEP = np.array([4, 10]) * BOXES / (2 * LARGEST) / 2


def stored(stepper: Stepper, layer: dict, block: int = 0, panel: Panel = PANEL) -> np.ndarray:
    """The positions of one of a layer's blocks, read back from the widget's state."""
    steps = np.frombuffer(stepper.coordinates, "<i2").reshape(-1, 2)
    start = layer["at"][block]
    return dequantise(steps[start : start + layer["n"]], panel)


def still(*layers, panels=(PANEL,)) -> tuple[Stepper, list[dict]]:
    """A stepper with one frame, and that frame's layers as JSON."""
    stepper = Stepper("Still", [Axis("t", [0])], [Frame("One frame.", layers)], panels=panels)
    return stepper, stepper.content["frames"][0]["layers"]


# Up to one box width outside the box on each side.
inside = hnp.arrays(np.float64, st.tuples(st.integers(0, 20), st.just(2)), elements=st.floats(-1.5, 1.5))


@given(inside)
def test_quantised_positions_come_back_within_half_a_step(fractions):
    x = np.array([1, 5]) + np.array([4, 10]) * fractions
    error = np.abs(dequantise(quantise(x, PANEL), PANEL) - x)
    assert (error <= HALF_STEP * (1 + 1e-9)).all()


def test_strays_go_to_the_edge_and_nan_rows_stay_nan():
    steps = quantise(np.array([[np.inf, -np.inf], [np.nan, 1.0], [1e300, -1e300]]), PANEL)
    assert steps.tolist() == [[LARGEST, -LARGEST], [MISSING, MISSING], [LARGEST, -LARGEST]]
    assert np.isnan(dequantise(steps, PANEL)[1]).all()


def with_gradient(x):
    return torch.tensor(x, requires_grad=True)


@pytest.mark.parametrize("convert", [torch.tensor, with_gradient, np.array, list])
def test_tensors_arrays_and_lists_are_stored_alike(convert):
    x = [[0.0, 1.0], [2.0, 9.0]]
    stepper, (layer,) = still(points(convert(x)))
    np.testing.assert_allclose(stored(stepper, layer), x, atol=HALF_STEP.max())


def test_each_layer_stores_its_blocks():
    a, b = np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([[2.0, 3.0], [2.5, 4.0]])
    stepper, (dots, arrow, ellipse, line) = still(points(a), arrows(a, b), ellipses(a, [0.5, 1.0]), curve(b))
    tolerance = {"atol": HALF_STEP.max()}
    np.testing.assert_allclose(stored(stepper, arrow, block=1), b, **tolerance)
    np.testing.assert_allclose(stored(stepper, ellipse, block=1), a + [[0.5, 0.5], [1.0, 1.0]], **tolerance)
    np.testing.assert_allclose(stored(stepper, line), b, **tolerance)
    assert dots["at"] == arrow["at"][:1] == ellipse["at"][:1], "the same positions are stored once"


def decoded(stepper, layer):
    """The pixels of a layer's sheet, (height, width, 4)."""
    png = base64.b64decode(stepper.content["sheets"][layer["sheet"]])
    return np.asarray(Image.open(BytesIO(png)).convert("RGBA"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("convert", [torch.tensor, np.array, list])
def test_pictures_lie_in_rows_with_a_gap_after_each(channels, convert):
    levels = np.random.default_rng(0).integers(0, 5, (5, channels, 4, 6)) / 4
    stepper, (layer,) = still(images(convert(levels), columns=3))
    found = decoded(stepper, layer)
    assert found.shape == (2 * 5, 3 * 7, 4)
    for k, picture in enumerate(levels):
        row, column = divmod(k, 3)
        tile = found[5 * row :, 7 * column :][:5, :7]
        assert (tile[:4, :6, :3] == np.rint(255 * picture.transpose(1, 2, 0))).all()
        assert (tile[:4, :6, 3] == 255).all()
        assert (tile[4, :, 3] == 0).all()
        assert (tile[:, 6, 3] == 0).all()
    assert (found[5:, 14:, 3] == 0).all(), "there is no sixth picture"
    np.testing.assert_allclose(stored(stepper, layer, block=1), [[3, -2]], atol=HALF_STEP.max())


def test_many_colours_are_brought_down_to_a_palette():
    x = np.random.default_rng(0).uniform(-0.5, 1.5, (4, 3, 32, 32))
    stepper, (layer,) = still(images(x, columns=4))
    found = decoded(stepper, layer)[:32, :, :3].reshape(32, 4, 33, 3)[:, :, :32].swapaxes(0, 1) / 255
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 255
    assert np.abs(found - x.clip(0, 1).transpose(0, 2, 3, 1)).mean() < 0.1


def test_a_sheet_that_comes_again_is_stored_once():
    x, y = np.zeros((2, 1, 4, 4)), np.ones((2, 1, 4, 4))
    stepper, layers = still(images(x), images(y), images(x))
    assert [layer["sheet"] for layer in layers] == [0, 1, 0]
    assert len(stepper.content["sheets"]) == 2
    growing = Stepper("Growing", [Axis("t")])
    for k, pictures in enumerate((x, y, x)):
        growing.append(Frame("One.", [images(pictures)]), k)
    assert growing.content["sheets"] == stepper.content["sheets"]


@pytest.mark.parametrize("std", [0.5, [0.5, 0.5], [[0.5, 0.5]], [[0.5], [0.5]], [[0.5, 0.5], [0.5, 0.5]]])
def test_the_std_of_ellipses_is_spread_over_their_means(std):
    mean = np.array([[0.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(ellipses(mean, std).blocks[1], mean + 0.5)


def test_labels_store_their_strings_and_positions():
    xy, texts = np.array([[0.0, 1.0], [2.0, 9.0]]), ["ᾱ = 0.98", "</script><b>"]
    stepper, (plain, styled) = still(labels(xy, texts), labels(xy, texts, "data", bold=True, anchor="left"))
    np.testing.assert_allclose(stored(stepper, plain), xy, atol=HALF_STEP.max())
    assert plain == {"kind": "labels", "role": "text", "panel": 0, "n": 2, "at": [0], "texts": texts}
    assert styled == {**plain, "role": "data", "bold": True, "anchor": "left"}
    assert json.loads(json.dumps(stepper.content)) == stepper.content


@pytest.mark.parametrize("n", [0, 1])
def test_any_number_of_labels_is_a_layer(n):
    layer = labels(np.zeros((n, 2)), ("t",) * n)
    assert (len(layer.blocks[0]), layer.options.get("texts", [])) == (n, ["t"] * n)


def test_a_wide_panel_says_so():
    assert [Panel(wide=wide).describe()["wide"] for wide in (False, True)] == [False, True]


def test_frames_are_the_product_of_the_axes():
    axes = [Axis("schedule", ["linear", "cosine"]), Axis("t", range(3))]
    frames = [Frame(f"{i}") for i in range(6)]
    stepper = Stepper("Two axes", axes, frames, start=(1, 2))
    assert stepper.content["axes"][0] == {"name": "schedule", "values": ["linear", "cosine"]}
    assert stepper.content["start"] == [1, 2]
    with pytest.raises(ValueError, match="frames has 5 entries but the axes have 2 schedule × 3 t"):
        Stepper("Two axes", axes, frames[:5])


def test_a_growing_stepper_ends_up_like_one_made_at_once():
    frames = [Frame(f"Step {i}.", [points(np.full((3, 2), i))]) for i in range(4)]
    grown = Stepper("Training", [Axis("step")])
    for i, frame in enumerate(frames):
        grown.append(frame, 10 * i)
    whole = Stepper("Training", [Axis("step", [0, 10, 20, 30])], frames, start=3)
    assert grown.content == whole.content
    assert grown.coordinates == whole.coordinates


def test_repr_is_the_same_in_every_run():
    assert repr(Stepper("Noise", [Axis("t", [0])], [Frame("Noise.")])) == "Stepper('Noise', 1 frames)"


def test_a_hundred_frames_of_a_thousand_points_stay_near_their_raw_size():
    rng = np.random.default_rng(0)
    frames = [Frame(f"At t = {t}.", [points(rng.normal(size=(1000, 2)))]) for t in range(100)]
    stepper = Stepper("Weight", [Axis("t", range(100))], frames)
    assert len(stepper.coordinates) == 100 * 1000 * 4
    assert len(json.dumps(stepper.content)) < 15_000


def test_code_is_small_since_a_page_stores_it_once_for_each_widget():
    assert len(str(Stepper._esm)) < 25_000
    assert len(str(Stepper._css)) < 5_000


def test_state_is_json_and_bytes_only():
    stepper, _ = still(points(np.zeros((2, 2)), name="dots", size=3, faint=True))
    assert json.loads(json.dumps(stepper.content)) == stepper.content
    assert base64.b64decode(base64.b64encode(stepper.coordinates)) == stepper.coordinates


WRONG_LAYERS = {
    "x has shape (3,)": lambda: points(np.zeros(3)),
    "x has shape (2, 3)": lambda: points(np.zeros((2, 3))),
    "x is not made of numbers": lambda: points([["a", "b"]]),
    "size = 0": lambda: points(np.zeros((1, 2)), size=0),
    "role = 'blue'; choose one of 'data'": lambda: points(np.zeros((1, 2)), "blue"),
    "start and end have shapes (1, 2) and (2, 2)": lambda: arrows(np.zeros((1, 2)), np.zeros((2, 2))),
    "std has shape (3,) for 2 means": lambda: ellipses(np.zeros((2, 2)), np.ones(3)),
    "std has a negative entry, -1": lambda: ellipses(np.zeros((2, 2)), -1),
    "x has shape (2, 8, 8); pass pictures": lambda: images(np.zeros((2, 8, 8))),
    "x has values that are not finite": lambda: images(np.full((2, 1, 8, 8), np.nan)),
    "xy has shape ()": lambda: curve(1.0),
    "xy has shape (2,)": lambda: labels([0, 1], ["t"]),
    "texts has 1 strings for 2 rows of xy": lambda: labels(np.zeros((2, 2)), ["t"]),
    "texts has 1 strings for 2 rows": lambda: labels(np.zeros((2, 2)), "ab"),
    "texts[1] is a float; pass a str": lambda: labels(np.zeros((2, 2)), ["t", 0.5]),
    "anchor = 'centre'; choose one of 'left'": lambda: labels(np.zeros((1, 2)), ["t"], anchor="centre"),
    "role = 'red'": lambda: labels(np.zeros((1, 2)), ["t"], "red"),
}

WRONG_STEPPERS = {
    "x = (1, 1); pass two finite numbers": lambda: Panel(x=(1, 1)),
    "y = (0, nan)": lambda: Panel(y=(0, float("nan"))),
    "aspect = 0": lambda: Panel(aspect=0),
    "x_ticks = [0, 1]; pass (position, label) pairs": lambda: Panel(x_ticks=[0, 1]),
    "panel = -1; pass a whole number": lambda: curve(np.zeros((2, 2)), panel=-1),
    "panels is empty": lambda: still(panels=()),
    "frames[0] has a layer on panel 1; panels are counted 0…0": lambda: still(curve([[0, 0]], panel=1)),
    "background has a layer on panel 1": lambda: Stepper(
        "x", [Axis("t")], background=[curve(np.zeros((2, 2)), panel=1)]
    ),
    "frames[0] has no text": lambda: Stepper("x", [Axis("t", [0])], [Frame("")]),
    "axes has 0 entries; pass one Axis or two": lambda: Stepper("x", []),
    "start = 1 but the axes have [1] steps": lambda: Stepper("x", [Axis("t", [0])], [Frame("a")], start=1),
    "start = (0, 0)": lambda: Stepper("x", [Axis("t", [0])], [Frame("a")], start=(0, 0)),
    "fps = 0": lambda: Stepper("x", [Axis("t", [0])], [Frame("a")], fps=0),
    "axes has 2 entries; only one axis can grow": lambda: Stepper("x", [Axis("a"), Axis("b")]).append(
        Frame("a"), 1
    ),
}


@pytest.mark.parametrize(("message", "call"), [*WRONG_LAYERS.items(), *WRONG_STEPPERS.items()])
def test_wrong_input_is_named(message, call):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 — the message is compared below
        call()
    assert message in str(caught.value)
