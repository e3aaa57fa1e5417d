"""The change of units that training wants."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffusion_lib.contracts import Count, Numbers, Points, Positive, checked, one_point, points_like


@checked
@dataclass(frozen=True, eq=False)
class Standardiser:
    """The change of units x ↦ (x − mean) / std that gives data mean 0 and overall standard deviation 1.

    One standard deviation serves all coordinates, so shapes keep their proportions.

    Attributes:
        mean: shape (*shape), in the data's units.
        std: a positive number, in the data's units.
    """

    mean: Annotated[Tensor, one_point]
    std: Positive

    @classmethod
    def fit(cls, x: Points) -> "Standardiser":
        """Fit to points (n, *shape); raises `ValueError` for constant data, which has no scale."""
        x = x.detach()
        mean = x.mean(dim=0)
        std = float((x - mean).square().mean().sqrt())
        rounding = 4 * torch.finfo(x.dtype).eps * float(x.abs().max())  # of the mean of equal numbers
        if std <= rounding:
            raise ValueError(
                f"x is constant (all {len(x)} points equal {x[0].tolist()}); pass data that varies"
            )
        return cls(mean, std)

    def __call__(self, x: Annotated[Tensor, points_like("mean")]) -> Tensor:
        """From the data's units to standard units, for points (..., *shape)."""
        return (x - self.mean.to(x)) / self.std

    def undo(self, x: Annotated[Tensor, points_like("mean")]) -> Tensor:
        """From standard units back to the data's, for points (..., *shape)."""
        return x * self.std + self.mean.to(x)


@checked
@dataclass(frozen=True)
class PixelScale:
    """The change of units of pictures whose levels are whole numbers 0…`highest`, and its exact inverse.

    x = (level − mean) / std. By itself it takes 0 to −1 and `highest` to 1, as most models of pictures have
    it; `fit` gives mean 0 and standard deviation 1. `undo` gives back exactly the levels that were, and for
    any other numbers the nearest levels. One level is 1/std wide, so the change of units takes log₂ std bits
    from what is counted for each number of a picture.

    Attributes:
        highest: the highest level, 16 or 255, say.
        mean, std: in levels.
    """

    highest: Count
    mean: float | None = None
    std: Positive | None = None

    def __post_init__(self):
        for name in ("mean", "std"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.highest / 2)

    @classmethod
    def fit(cls, levels: Points, highest: Count) -> "PixelScale":
        """With the mean and the standard deviation of all numbers of these pictures (n, C, H, W)."""
        x = levels.detach().double()
        return cls(highest, float(x.mean()), float(Standardiser.fit(x.flatten()[:, None]).std))

    def __call__(self, levels: Numbers) -> Tensor:
        """From levels to these units, for any shape."""
        return (levels - self.mean) / self.std

    def undo(self, x: Numbers) -> Tensor:
        """The nearest levels, whole numbers 0…`highest` in the type of x."""
        return (x * self.std + self.mean).round().clamp(0, self.highest)
