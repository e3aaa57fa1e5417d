"""The index lens: a table that shows where the values of step t sit in arrays over t = 0…T."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from torch import Tensor

from diffusion_lib.contracts import Count, Index, checked, over_same_time
from diffusion_lib.show.widgets.frames import Layer, Panel, curve, labels

LEFT, RIGHT = 0.12, 7.9
COLUMNS = (2.0, 2.7, 3.45, 4.6, 5.75, 6.5, 7.35)  # of the entries 0, …, t − 1, t, t + 1, …, T
HEADS = ("0", "…", "t−1", "t", "t+1", "…", "T")


@checked
def lens_panel(n_arrays: Count) -> Panel:
    """The panel of a lens over this many arrays: rows for the heads, the index and each array."""
    rows = n_arrays + 2
    return Panel((0, 8), (0, rows), "Index lens", equal=False, aspect=19.5 / rows, wide=True)


@checked
def lens_table(names: Sequence[str], panel: Index) -> list[Layer]:
    """What stays the same in all frames: the rows' names, a rule below the heads, a box around column t."""
    top = len(names) + 2 - 0.1
    left, right = COLUMNS[3] - 0.55, COLUMNS[3] + 0.55
    box = [(left, 0.1), (right, 0.1), (right, top), (left, top), (left, 0.1)]
    rows = [(LEFT, len(names) + 0.5 - k) for k in range(len(names) + 1)]
    return [
        curve([(LEFT, len(names) + 1), (RIGHT, len(names) + 1)], "noise", panel, faint=True),
        curve(box, "accent", panel),
        labels(rows, ["index", *names], panel=panel, anchor="left"),
    ]


@checked
def index_lens(
    arrays: Annotated[Mapping[str, Tensor], over_same_time], t: Index, panel: Index
) -> list[Layer]:
    """The entries of the arrays, each of shape (T + 1,), at and beside index t in 0…T.

    Raises `ValueError` for an index outside the arrays, and for arrays that differ in length.
    """
    values = [array.detach() for array in arrays.values()]
    T = len(values[0]) - 1
    if t > T:
        raise ValueError(f"t = {t}; pass an index in 0…T, here with T = {T}")
    window = (0, None, t - 1, t, t + 1, None, T)
    shown = (t > 1, t > 2, t > 0, True, t < T, t < T - 2, t < T - 1)
    cells = {True: [], False: []}  # in the column of t, and elsewhere
    for x, head, i, show in zip(COLUMNS, HEADS, window, shown, strict=True):
        if show:
            dots = ["…"] * (len(values) + 1)
            column = dots if i is None else [str(i), *(_short(float(array[i])) for array in values)]
            cells[i == t] += [((x, len(values) + 1.5 - k), text) for k, text in enumerate([head, *column])]
    layers = [labels(*zip(*cells[True], strict=True), "accent", panel, bold=True)]
    if cells[False]:
        layers.append(labels(*zip(*cells[False], strict=True), panel=panel))
    return layers


def _short(value: float) -> str:
    """Four digits after the point; one digit and the power of ten for what they would not show."""
    if value in (0, 1):
        return f"{value:.0f}"
    return f"{value:.4f}" if abs(value) > 5e-5 else f"{value:.0e}"
