"""The change of units that training wants."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffusion_lib.contracts import Points, Positive, checked, one_point, points_like


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
