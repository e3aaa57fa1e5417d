"""Small networks. They map points to points and know nothing of diffusion but the noise level."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Labels, Steps, between, checked, columns, some
from diffusion_lib.process.schedules import Schedule

InPlane = Annotated[Tensor, columns(2)]  # NaN goes through: the models look for it, once
RowsInPlane = Annotated[Tensor, columns(2, rows=True)]
Frequencies = Annotated[Sequence[float], some(between())]


@checked
def mlp(n_in: Count, n_out: Count, width: Count = 64, hidden: Count = 2) -> nn.Sequential:
    """A plain perceptron with `hidden` hidden layers of `width` SiLU units: (B, n_in) → (B, n_out)."""
    sizes = [n_in] + [width] * hidden
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(width, n_out))


@checked
class Waves(nn.Module):
    """A point beside fixed waves over the plane: (..., 2) → (..., n_features).

    The waves are sin and cos of f · (x · u) for `n_directions` directions u, evenly spread over the half
    circle, and each f in `frequencies`, in radians per unit of x. They let a small network draw sharp
    structure (Tancik et al. 2020).
    """

    def __init__(self, n_directions: Count = 12, frequencies: Frequencies = (1.5, 3.5)):
        super().__init__()
        angle = torch.arange(n_directions) * math.pi / n_directions
        directions = torch.stack([angle.cos(), angle.sin()])  # (2, n_directions)
        waves = torch.cat([f * directions for f in frequencies], dim=1)  # (2, directions × frequencies)
        self.register_buffer("waves", waves, persistent=False)
        self.n_features = 2 + 2 * waves.shape[1]

    def forward(self, x: InPlane) -> Tensor:
        phase = x @ self.waves.to(x)
        return torch.cat([x, phase.sin(), phase.cos()], dim=-1)


def level_waves(schedule: Schedule) -> Tensor:
    """Eight waves of log σ_t, four sines and four cosines: (T + 1, 8), row t for step t, row 0 unused."""
    log_sigma = -0.5 * schedule.snr[1:].log()
    phase = log_sigma[:, None] * log_sigma.new_tensor([0.25, 0.5, 1.0, 2.0])  # (T, 4)
    return nn.functional.pad(torch.cat([phase.sin(), phase.cos()], dim=1), (0, 0, 1, 0))


@checked
class TimeMLP(nn.Module):
    """One perceptron for all steps, for points of the plane: points (B, 2) and steps () or (B,) → (B, 2).

    It sees the point, the `Waves` of it, and eight waves of log σ_t, where σ_t = √((1 − ᾱ_t)/ᾱ_t) is the
    noise-to-signal ratio.
    """

    def __init__(
        self,
        schedule: Schedule,
        width: Count = 64,
        hidden: Count = 2,
        n_directions: Count = 12,
        frequencies: Frequencies = (1.5, 3.5),
    ):
        super().__init__()
        self.settings = {"width": width, "hidden": hidden, "n_directions": n_directions}
        self.settings |= {"frequencies": list(frequencies)}
        self.T = schedule.T
        self.waves = Waves(n_directions, frequencies)
        self.body = mlp(self.waves.n_features + 8, 2, width, hidden)
        self.register_buffer("level", level_waves(schedule).to(self.body[0].weight), persistent=False)

    def forward(self, x_t: RowsInPlane, t: Steps) -> Tensor:
        return self.body(self._features(x_t, t))

    def _features(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        level = self.level[torch.as_tensor(t, device=x_t.device)].expand(len(x_t), 8)
        return torch.cat([self.waves(x_t), level], dim=1)


@checked
class LabelledMLP(TimeMLP):
    """A `TimeMLP` that may be told what the point is of: labels are 1…n_labels, and 0 says that none is told.

    It has one input more for each label, 1 where the label is that one. With label 0 all of them are 0.
    """

    def __init__(
        self,
        schedule: Schedule,
        n_labels: Count,
        width: Count = 64,
        hidden: Count = 2,
        n_directions: Count = 12,
        frequencies: Frequencies = (1.5, 3.5),
    ):
        super().__init__(schedule, width, hidden, n_directions, frequencies)
        self.settings["n_labels"] = n_labels
        self.body = mlp(self.waves.n_features + 8 + n_labels, 2, width, hidden)
        classes = torch.eye(n_labels + 1)[:, 1:].to(self.level)  # (n_labels + 1, n_labels): row y for label y
        self.register_buffer("classes", classes, persistent=False)

    def forward(self, x_t: RowsInPlane, t: Steps, labels: Labels = 0) -> Tensor:
        label = self.classes[torch.as_tensor(labels, device=x_t.device)].expand(len(x_t), -1)
        return self.body(torch.cat([self._features(x_t, t), label], dim=1))


@checked
class HeadPerStep(nn.Module):
    """A shared trunk and one head for each step: points (B, 2) and steps () or (B,) → (B, n_out).

    The trunk, one layer on the `Waves` of the point, knows nothing of t; the head of step t, with one hidden
    layer, does the rest (after Sohl-Dickstein et al. 2015). All heads lie in one tensor, so that groups of
    points at several steps take one batched product instead of many small ones.
    """

    def __init__(self, schedule: Schedule, width: Count = 48, n_out: Count = 4):
        super().__init__()
        self.T = schedule.T
        waves = Waves()
        self.trunk = nn.Sequential(waves, nn.Linear(waves.n_features, width), nn.SiLU())
        self.hidden = self._heads(width, width)
        self.out = self._heads(width, n_out)

    def _heads(self, n_in: int, n_out: int) -> nn.Parameter:
        """One layer of all heads, (T + 1, n_in + 1, n_out): entry t for step t, its last row the biases."""
        return nn.Parameter(torch.empty(self.T + 1, n_in + 1, n_out).uniform_(-1, 1) / n_in**0.5)

    def forward(self, x_t: RowsInPlane, t: Steps) -> Tensor:
        t = torch.as_tensor(t, device=x_t.device).flatten()  # one group, or groups of one
        return self.grouped(x_t.reshape(len(t), -1, 2), t).reshape(len(x_t), -1)

    def grouped(self, x_t: InPlane, t: Steps) -> Tensor:
        """The same for groups of points (S, B, 2), each at one step (S,): (S, B, n_out)."""
        t = torch.as_tensor(t, device=x_t.device).flatten()
        hidden, out = self.hidden[t], self.out[t]
        features = nn.functional.silu(self.trunk(x_t) @ hidden[:, :-1] + hidden[:, -1:])
        return features @ out[:, :-1] + out[:, -1:]
