"""The key frames on paper show what the widget would: the marks where they are, and the sentences."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import widget_strip

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

BOX = Panel(x=(0, 4), y=(0, 2))
SHEET = Panel(x=(0, 4), y=(-2, 0))
UNIT = widget_strip.SIDE / 2  # of this box: its height shows two units
NAN = float("nan")


def drawn(layer, kind):
    """The elements of one kind, in a strip whose only frame has one layer."""
    return figure(Stepper("One", [Axis("t", [0])], [Frame("At 0.", [layer])], [BOX])).iter(kind)


def figure(stepper):
    return ElementTree.fromstring(widget_strip.strip(stepper.content, stepper.coordinates))


def numbers(path):
    """The pairs of numbers in a path, in the units of the box."""
    found = np.array(re.findall(r"(-?\d+) (-?\d+)", path.get("d")), dtype=float) / UNIT
    return found * [1, -1]


def in_box(steps):
    """Positions from the steps between them, the first of which starts at the upper left corner."""
    return np.cumsum(steps, axis=0) + [0, 2]


def test_points_are_where_they_are_but_those_outside_and_at_nan():
    x = [[3, 0.5], [1, 1.5], [NAN, 1], [9, 1], [1, -2]]
    (path,) = drawn(points(x), "path")
    np.testing.assert_allclose(in_box(numbers(path)), [[1, 1.5], [3, 0.5]], atol=1 / UNIT)


def test_a_curve_goes_through_its_points_and_breaks_at_nan():
    (path,) = drawn(curve([[0, 0], [1, 1], [NAN, 0], [2, 1], [3, 2]], dashed=True), "path")
    np.testing.assert_allclose(numbers(path) + [0, 2], [[0, 0], [1, 1], [2, 1], [3, 2]], atol=1 / UNIT)
    assert re.findall("[ML]", path.get("d")) == ["M", "L", "M", "L"]
    assert path.get("stroke-dasharray")


def test_arrows_end_where_they_point():
    shafts, heads = drawn(arrows([[0, 0], [3, 1], [NAN, 1]], [[2, 0], [3, 1], [1, 1]]), "path")
    np.testing.assert_allclose(numbers(shafts)[0] + [0, 2], [0, 0], atol=1 / UNIT)
    np.testing.assert_allclose(numbers(heads)[0] + [0, 2], [2, 0], atol=1 / UNIT)
    assert (len(numbers(shafts)), len(numbers(heads))) == (2, 3), (
        "an arrow without length, or at NaN, is drawn"
    )


def test_images_reach_from_corner_to_corner():
    stepper = Stepper("One", [Axis("t", [0])], [Frame("At 0.", [images(np.eye(4)[None, None], 2)])], [SHEET])
    (image,) = figure(stepper).iter("image")
    x, y, width, height = (float(image.get(name)) / UNIT for name in ("x", "y", "width", "height"))
    assert (x, y, width, height) == pytest.approx((0, 0, 2, 1), abs=2 / UNIT)
    assert image.get("href") == f"data:image/png;base64,{stepper.content['sheets'][0]}"


def test_ellipses_show_one_and_two_standard_deviations():
    found = [
        [float(e.get(name)) / UNIT for name in ("cx", "cy", "rx", "ry")]
        for e in drawn(ellipses([[1, 0.5]], [[0.5, 0.25]]), "ellipse")
    ]
    np.testing.assert_allclose(found, [[1, 1.5, 1, 0.5], [1, 1.5, 0.5, 0.25]], atol=1 / UNIT)


def test_labels_are_written_as_they_are():
    first, last = drawn(labels([[1, 1], [NAN, 1], [3, 0]], ["<b>&", "none", "t"], anchor="left"), "text")
    assert (first.text, last.text) == ("<b>&", "t")
    assert (float(first.get("x")) / UNIT, float(last.get("y")) / UNIT) == pytest.approx((1, 2), abs=1 / UNIT)
    assert first.get("text-anchor") == "start"


def test_key_frames_run_from_the_first_to_the_last_where_the_widget_starts():
    frames = [Frame(f"{a}, {b}.", [points([[a, b]], name="a & b")]) for a in "01" for b in range(40)]
    stepper = Stepper("Two", [Axis("a", [0, 1]), Axis("b", range(40))], frames, start=(1, 7))
    captions = [caption.text for caption in figure(stepper).iter("figcaption") if caption.text]
    assert captions == ["1, 0.", "1, 13.", "1, 26.", "1, 39."]
    assert [mark.tail for mark in figure(stepper).iter("svg") if "stepper-mark" in mark.get("class", "")] == [
        "a & b"
    ]


def test_a_sentence_that_does_not_say_where_it_is_gets_its_place():
    frames = [Frame("Noise.", []), Frame("At t = 10.", []), Frame("At t = 1.", [])]
    stepper = Stepper("One", [Axis("t", [100, 10, 0])], frames)
    captions = [caption.text for caption in figure(stepper).iter("figcaption") if caption.text]
    assert captions == ["t = 100: Noise.", "At t = 10.", "t = 0: At t = 1."]


def test_there_is_room_for_the_labels_of_ticks():
    x_ticks, y_ticks = [(0, "0"), (4, "4,000,000")], [(0, "0"), (2, "0.00001×")]
    panel = Panel(x=(0, 4), y=(0, 2), x_ticks=x_ticks, y_ticks=y_ticks, x_label="x", y_label="y", equal=False)
    drawing = next(figure(Stepper("One", [Axis("t", [0])], [Frame("At 0.")], [panel])).iter("svg"))
    width = float(drawing.get("viewBox").split()[2])
    at = {text.text: float(text.get("x")) for text in drawing.iter("text")}
    digit = 0.56 * widget_strip.SMALL_FONT  # as wide as most fonts have it
    assert at["0.00001×"] - 8 * digit > at["y"], "a label is cut, or lies over the axis's name"
    assert at["4,000,000"] + 4.5 * digit < width


def test_panels_have_their_titles():
    stepper = Stepper("Two", [Axis("t", [0])], [Frame("At 0.", [])], [Panel(title="<x>"), Panel()])
    titles = [part.text for part in figure(stepper).iter("div") if part.get("class") == "stepper-title"]
    assert titles == ["<x>"]


def test_a_strip_is_light():
    cloud = np.random.default_rng(0).normal(size=(1000, 2))
    layers = [points(cloud, panel=panel) for panel in (0, 1)]
    stepper = Stepper(
        "Two", [Axis("t", range(60))], [Frame("Dots.", layers)] * 60, [Panel(), Panel()], layers
    )
    assert len(widget_strip.strip(stepper.content, stepper.coordinates)) < 60_000
