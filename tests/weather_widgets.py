"""The public functions of the widgets, with good and bad arguments: a part of `test_weather.py`."""

from typing import get_args

import numpy as np
import torch
from weather import Call, Setting, Values, count, is_a, number, tensors

from diffusion_lib.data import Standardiser
from diffusion_lib.show.widgets import Axis, Frame, Measure, Panel, Stepper, points
from diffusion_lib.show.widgets.frames import Anchor, Layer, Role
from diffusion_lib.show.widgets.live_run import LiveRun

ROLL = Standardiser(torch.zeros(2), 0.7)
ODD = [None, 3, 2.5, [3], torch.ones(2), np.ones(2), {}, object()]


def words(*good):
    return lambda s: (list(good), ODD)


def flag(s: Setting) -> Values:
    return [True, False], ["yes", np.True_, torch.tensor([True, False]), *ODD]


def one_of(choices):
    return lambda s: (list(choices), ["", "red", ["data"], *ODD])


def items(*good):
    """Lists and tuples of one kind of thing, and the same with something else in it."""
    return lambda s: ([list(good), good], [[*good, None], (3,), "x", iter(good), *ODD])


def whole(least, *good):
    bad = [least - 1, 1.0, True, "0", torch.tensor([1, 2]), *ODD[4:]]
    return lambda s: ([least, *good, np.int64(least)], bad)


def extent(s: Setting) -> Values:
    backwards, endless = [(1, 0), (2, 2)], [(0, torch.inf), (torch.nan, 1)]
    return [(0, 1), [-2.5, 2.5]], [*backwards, *endless, ("0", "1"), "01", (0, 1, 2), (None, 1), *ODD]


def ticks(s: Setting) -> Values:
    good = [(0, "0"), (0.5, "half")]
    return [(), good], [[0, 1], [("a", "b")], [(torch.nan, "")], [*good, None], "ab", iter(good), *ODD]


def sentences(s: Setting) -> Values:
    good = [str(i) for i in range(s.n)]
    return [good, tuple(good)], [[*good, "one more"], good[1:] + [0.5], [None] * s.n, *ODD]


def distance(model, samples):
    return float(samples.abs().mean())


def pictures(s: Setting) -> Values:
    good = torch.rand(s.n, 3, 4, 5)
    return [good, good[:, :1].numpy()], [good[0], good[:, :2], good[:0], good / 0, *ODD]


def arrays(s: Setting) -> Values:
    good, other = torch.linspace(1, 0, s.T + 1), torch.ones(s.T + 2)
    bad = [good.tolist(), good.numpy(), good.long(), good[None], good.sum(), None, "x", 3]
    wrong = [{}, {"a": good, "b": other}, {"a": other[:0]}, *({"a": x} for x in bad), *ODD]
    return [{"a": good}, {"a": good, "b": good.clone().requires_grad_()}], wrong


def index(s: Setting) -> Values:
    return [0, 1, s.T, np.int64(s.T)], [-1, s.T + 1, 1.0, True, "1", torch.tensor([1, 2]), *ODD[4:]]


def spread(s: Setting) -> Values:
    good = s.normal(s.n, 2).abs()
    bad = [-good, -1, good[None], s.normal(s.n + 5), "x", 1j, None]
    return [0.5, 0, good, good[:, 0], good[:, :1].numpy()], bad


def starts(s: Setting) -> Values:
    return [0, 2, (1,), [2], np.int64(1)], [3, -1, (0, 0), [], 1.5, "1", (None,), torch.tensor([1]), *ODD[2:]]


def stepper(s: Setting) -> Stepper:
    return Stepper("Points", [Axis("t")])


anchor = one_of(get_args(Anchor))
FRAME = Frame("Points.", [points([[0, 1]])])
LOOK = {"role": one_of(get_args(Role)), "panel": whole(0, 3), "faint": flag, "name": words("", "data")}
LAYERS = {
    "points": {"size": number(2, 0.5), **LOOK},
    "arrows": LOOK,
    "ellipses": {"std": spread, **LOOK},
    "curve": {"xy": tensors(-1, 2), "dashed": flag, **LOOK},
    "labels": {"xy": tensors(-1, 2), "texts": sentences, "bold": flag, "anchor": anchor, **LOOK},
}
PANEL = {"x": extent, "y": extent, "x_ticks": ticks, "y_ticks": ticks, "aspect": number(1, 0.5)}
PANEL |= dict.fromkeys(("title", "x_label", "y_label"), words("", "t"))
PANEL |= dict.fromkeys(("equal", "wide"), flag)
AXIS = {"name": words("t"), "values": lambda s: ([(), range(3), ["a"]], ["abc", *ODD[:3], *ODD[4:]])}
STEPPER = {
    "label": words("Points"), "axes": items(Axis("t", range(3))), "frames": items(FRAME, FRAME, FRAME),
    "panels": items(Panel()), "background": items(*FRAME.layers), "start": starts, "autoplay": flag,
    "fps": number(12, 0.5),
}  # fmt: skip
FRAMES = {"text": words("Points."), "layers": items(*FRAME.layers)}
LENS = {"panel": whole(0, 2)}
WIDGETS = {
    **{f"show.widgets.frames.{name}": Call(is_a(Layer), arguments=taken) for name, taken in LAYERS.items()},
    "show.widgets.frames.Panel": Call(is_a(Panel), arguments=PANEL),
    "show.widgets.frames.Panel.describe": Call(is_a(dict), lambda s: Panel()),
    "show.widgets.frames.Axis": Call(is_a(Axis), arguments=AXIS),
    "show.widgets.frames.Frame": Call(is_a(Frame), arguments=FRAMES),
    "show.widgets.lens.lens_panel": Call(is_a(Panel), arguments={"n_arrays": count(1, 3)}),
    "show.widgets.lens.lens_table": Call(is_a(list), arguments={"names": items("alpha", "beta"), **LENS}),
    "show.widgets.lens.index_lens": Call(is_a(list), arguments={"arrays": arrays, "t": index, **LENS}),
    "show.widgets.live.picture_steps": Call(is_a(set), arguments={"pictures": count(1, 4)}),
    "show.widgets.camera.Measure": Call(is_a(Measure), arguments={
        "name": words("gap"), "of": lambda s: ([distance], [None, 3, "x"]), "floor": number(0.5)}),
    "show.widgets.live.train_live": Call(is_a(LiveRun), arguments={
        "measure": lambda s: ([None, Measure("gap", distance, 1.0)], ODD),
        "labels": lambda s: ([None], [3, "x", torch.ones(s.n)]), "noise": lambda s: ([None], [3, "x"]),
        "pictures": count(1, 2), "roll": lambda s: ([None, ROLL], ODD[1:]), "engine": one_of(["torch"])}),
    "show.widgets.pictures.images": Call(is_a(Layer), arguments={
        "x": pictures, "columns": count(1, 3), "panel": whole(0, 2)}),
    "show.widgets.stepper.Stepper": Call(is_a(Stepper), arguments=STEPPER),
    "show.widgets.stepper.Stepper.append": Call(is_a(type(None)), stepper, {
        "frame": lambda s: ([FRAME], ODD), "value": lambda s: ([0, "a", *ODD], [])}),
}  # fmt: skip
