"""Small drawing functions. Each draws on a given Axes; the colours mean the same in all chapters."""

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from diffusion_lib.checks import (
    check_choice,
    check_points,
    check_positive,
    check_same_shape,
    check_tensor,
    check_type,
)

# Okabe & Ito's palette, safe for colour-blind readers. The widgets' style sheet has the same roles.
COLOURS = {"data": "#0072B2", "model": "#D55E00", "noise": "#8A8A8A", "accent": "#B4478A", "text": "#333333"}


def use_book_style() -> None:
    """Set matplotlib's defaults for the book's figures: quiet frames, readable type, dense pixels."""
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
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


def cloud(ax: Axes, x: Tensor, role: str = "data", label: str = "", limit: float = 2.3) -> None:
    """Points (n, 2) in the box [−limit, limit]², without ticks and with equal units on both axes."""
    _check_axes(ax)
    check_points(x, "x")
    check_positive(limit, "limit", "2.3")
    ax.scatter(*x.detach().T, s=2, color=_colour(role), alpha=0.6, linewidths=0, label=label, rasterized=True)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)


def arrows(ax: Axes, start: Tensor, end: Tensor, role: str = "accent") -> None:
    """Arrows from the rows of `start` to the rows of `end`, both (n, 2), in the units of the axes."""
    _check_axes(ax)
    check_points(start, "start")
    check_points(end, "end")
    check_same_shape(start, end, "start and end")
    start, end = start.detach(), end.detach()
    ax.quiver(
        *start.T, *(end - start).T, color=_colour(role), angles="xy", scale_units="xy", scale=1, width=0.004
    )


def per_step(ax: Axes, values: Tensor, role: str = "data", label: str = "", **style) -> None:
    """A curve over t = 1…T from values whose index is t (so entry 0 is left out)."""
    _check_axes(ax)
    check_tensor(values, "values")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values has shape {tuple(values.shape)}; pass entries for t = 0…T, shape (T + 1,)")
    ax.plot(torch.arange(1, len(values)), values[1:].detach(), color=_colour(role), label=label, **style)
    ax.set_xlabel("$t$")


def _check_axes(ax: Axes) -> None:
    check_type(ax, "ax", Axes, "plt.gca()")


def _colour(role: str) -> str:
    """The colour of a role; raises `ValueError` for a role that the book does not have."""
    check_choice(role, "role", tuple(COLOURS))
    return COLOURS[role]
