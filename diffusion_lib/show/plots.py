"""Small drawing functions. Each draws on a given Axes; the colours mean the same in all chapters."""

import math
from typing import Annotated, Literal

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from diffusion_lib.contracts import OverTime, PlanePoints, Positive, checked, like

# Okabe & Ito's palette, safe for colour-blind readers; the grey of text reads on a light and on a dark page.
# The widgets' style sheet has the same roles.
COLOURS = {"data": "#0072B2", "model": "#D55E00", "noise": "#8A8A8A", "accent": "#B4478A", "text": "#757575"}
Role = Literal["data", "model", "noise", "accent", "text"]


def use_book_style() -> None:
    """Set matplotlib's defaults for the book's figures: quiet frames, dense pixels, no ground of their own.

    So they read on a light page and on a dark one. What a matplotlibrc of the reader's says gives way.
    """
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "figure.facecolor": "none",
            "savefig.facecolor": "none",
            "axes.facecolor": "none",
            "text.color": COLOURS["text"],
            "axes.titlecolor": COLOURS["text"],
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": COLOURS["noise"],
            "axes.labelcolor": COLOURS["text"],
            "axes.titlesize": 10,
            "xtick.color": COLOURS["text"],
            "ytick.color": COLOURS["text"],
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        }
    )


@checked
def cloud(ax: Axes, x: PlanePoints, role: Role = "data", label: str = "", limit: Positive = 2.3) -> None:
    """Points (n, 2) in the box [−limit, limit]², without ticks and with equal units on both axes."""
    ax.scatter(*_drawn(x), s=2, color=COLOURS[role], alpha=0.6, linewidths=0, label=label, rasterized=True)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


@checked
def arrows(
    ax: Axes, start: PlanePoints, end: Annotated[PlanePoints, like("start")], role: Role = "accent"
) -> None:
    """Arrows from the rows of `start` to the rows of `end`, both (n, 2), in the units of the axes."""
    look = {"color": COLOURS[role], "angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004}
    ax.quiver(*_drawn(start), *_drawn(end - start), **look)


@checked
def per_step(ax: Axes, values: OverTime, role: Role = "data", label: str = "", **style) -> None:
    """A curve over t = 1…T from values whose index is t (so entry 0 is left out)."""
    ax.plot(range(1, len(values)), _drawn(values)[1:], **{"color": COLOURS[role], "label": label} | style)
    ax.set_xlabel("$t$")


def _place(value, name, given):
    """The two coordinates of a place."""
    try:
        x, y = map(float, value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} = {value!r}; pass a place, such as (0.5, 1)") from error
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"{name} = {value!r}; pass two finite numbers, such as (0.5, 1)")


Place = Annotated[tuple[float, float], _place]


@checked
def box(ax: Axes, at: Place, text: str, role: Role = "text") -> None:
    """A text in a frame with round corners, centred at the place `at` of the axes: a part of a diagram."""
    frame = {"boxstyle": "round,pad=0.5", "facecolor": "none", "edgecolor": COLOURS[role]}
    ax.text(*at, text, ha="center", va="center", color=COLOURS[role], bbox=frame)


@checked
def link(ax: Axes, start: Place, end: Place, role: Role = "text", text: str = "", bend: float = 0.0) -> None:
    """A diagram's arrow between two places, with a text at its middle; `bend` curves it to its right."""
    look = {"arrowstyle": "-|>", "color": COLOURS[role], "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0, "linewidth": 1.4})
    (x, y), (x_end, y_end) = start, end
    # The arc's middle lies half its control point's way off the straight line.
    at = ((x + x_end) / 2 + bend * (y_end - y) / 2, (y + y_end) / 2 - bend * (x_end - x) / 2)
    ax.text(*at, text, ha="center", va="bottom", color=COLOURS[role])


def _drawn(x: torch.Tensor) -> torch.Tensor:
    """What matplotlib can draw: on the CPU, without a gradient, coordinates first."""
    return x.detach().cpu().movedim(-1, 0)
