"""Small networks. They map points to points and know nothing of diffusion but the noise level."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from diffusion_lib.checks import check_count
from diffusion_lib.schedules import Schedule


def mlp(n_in: int, n_out: int, width: int = 64, hidden: int = 2) -> nn.Sequential:
    """A plain perceptron with `hidden` hidden layers of `width` SiLU units: (B, n_in) → (B, n_out)."""
    for value, name in ((n_in, "n_in"), (n_out, "n_out"), (width, "width"), (hidden, "hidden")):
        check_count(value, name)
    sizes = [n_in] + [width] * hidden
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(width, n_out))


class TimeMLP(nn.Module):
    """A perceptron for (x_t, t): (B, 2) points and (B,) steps → (B, 2).

    Besides x_t itself it sees fixed waves over the plane, sin and cos of f · (x_t · u) for `n_directions`
    directions u and each f in `frequencies`, which let it draw sharp structure (Tancik et al. 2020), and
    eight waves of log σ_t, where σ_t = √((1 − ᾱ_t)/ᾱ_t) is the noise-to-signal ratio.
    """

    def __init__(
        self,
        schedule: Schedule,
        width: int = 64,
        hidden: int = 2,
        n_directions: int = 12,
        frequencies: Sequence[float] = (1.5, 3.5),
    ):
        super().__init__()
        check_count(n_directions, "n_directions")
        self.T = schedule.T
        if len(frequencies) == 0:
            raise ValueError(f"frequencies = {frequencies!r}; pass at least one, in radians per unit of x_t")
        angle = torch.arange(n_directions) * math.pi / n_directions
        directions = torch.stack([angle.cos(), angle.sin()])  # (2, n_directions)
        waves = torch.cat([f * directions for f in frequencies], dim=1)  # (2, directions × frequencies)
        self.register_buffer("waves", waves, persistent=False)

        log_sigma = -0.5 * schedule.snr[1:].log()
        phase = log_sigma[:, None] * torch.tensor([0.25, 0.5, 1.0, 2.0], dtype=torch.float64)  # (T, 4)
        level = torch.cat([torch.zeros(1, 8), torch.cat([phase.sin(), phase.cos()], dim=1).float()])
        self.register_buffer("level", level, persistent=False)  # (T + 1, 8): row t for step t, row 0 unused

        self.body = mlp(2 + 2 * self.waves.shape[1] + 8, 2, width, hidden)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        phase = x_t @ self.waves  # (B, directions × frequencies)
        level = self.level[t].expand(len(x_t), -1)  # (B, 8)
        return self.body(torch.cat([x_t, phase.sin(), phase.cos(), level], dim=1))
