"""Small networks. They map points to points and know nothing of diffusion but the noise level."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from diffusion_lib.checks import check_batch, check_count, check_number, check_t, check_tensor, check_weights
from diffusion_lib.process.schedules import Schedule, check_schedule


def mlp(n_in: int, n_out: int, width: int = 64, hidden: int = 2) -> nn.Sequential:
    """A plain perceptron with `hidden` hidden layers of `width` SiLU units: (B, n_in) → (B, n_out)."""
    for value, name in ((n_in, "n_in"), (n_out, "n_out"), (width, "width"), (hidden, "hidden")):
        check_count(value, name)
    sizes = [n_in] + [width] * hidden
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(width, n_out))


class Waves(nn.Module):
    """A point beside fixed waves over the plane: (..., 2) → (..., n_features).

    The waves are sin and cos of f · (x · u) for `n_directions` directions u, evenly spread over the half
    circle, and each f in `frequencies`, in radians per unit of x. They let a small network draw sharp
    structure (Tancik et al. 2020).
    """

    def __init__(self, n_directions: int = 12, frequencies: Sequence[float] = (1.5, 3.5)):
        super().__init__()
        check_count(n_directions, "n_directions")
        if not isinstance(frequencies, Sequence) or len(frequencies) == 0:
            raise ValueError(f"frequencies = {frequencies!r}; pass at least one, in radians per unit of x_t")
        for i, frequency in enumerate(frequencies):
            check_number(frequency, f"frequencies[{i}]")
        angle = torch.arange(n_directions) * math.pi / n_directions
        directions = torch.stack([angle.cos(), angle.sin()])  # (2, n_directions)
        waves = torch.cat([f * directions for f in frequencies], dim=1)  # (2, directions × frequencies)
        self.register_buffer("waves", waves, persistent=False)
        self.n_features = 2 + 2 * waves.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        _check_columns(x, "x", self.waves)
        phase = x @ self.waves
        return torch.cat([x, phase.sin(), phase.cos()], dim=-1)


class TimeMLP(nn.Module):
    """One perceptron for all steps: points (B, 2) and steps () or (B,) → (B, 2).

    It sees the point, the `Waves` of it, and eight waves of log σ_t, where σ_t = √((1 − ᾱ_t)/ᾱ_t) is the
    noise-to-signal ratio. Groups (S, B, 2) with steps (S,) give (S, B, 2).
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
        check_schedule(schedule)
        self.T = schedule.T
        self.waves = Waves(n_directions, frequencies)
        log_sigma = -0.5 * schedule.snr[1:].log()
        phase = log_sigma[:, None] * torch.tensor([0.25, 0.5, 1.0, 2.0], dtype=torch.float64)  # (T, 4)
        level = torch.cat([torch.zeros(1, 8), torch.cat([phase.sin(), phase.cos()], dim=1).float()])
        self.register_buffer("level", level, persistent=False)  # (T + 1, 8): row t for step t, row 0 unused
        self.body = mlp(self.waves.n_features + 8, 2, width, hidden)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        t = _check_steps(x_t, t, self.T, self.level)
        level = self.level[t].reshape(*t.shape, *[1] * (x_t.ndim - 1 - t.ndim), 8)
        return self.body(torch.cat([self.waves(x_t), level.expand(*x_t.shape[:-1], 8)], dim=-1))


class HeadPerStep(nn.Module):
    """A shared trunk and one head for each step: points (B, 2) and steps () or (B,) → (B, n_out).

    The trunk, one layer on the `Waves` of the point, knows nothing of t; the head of step t, with one hidden
    layer, does the rest (after Sohl-Dickstein et al. 2015). All heads lie in one tensor, so groups (T, B, 2)
    with steps (T,) take one batched product in the place of T small ones, and give (T, B, n_out).
    """

    def __init__(self, schedule: Schedule, width: int = 48, n_out: int = 4):
        super().__init__()
        check_schedule(schedule)
        check_count(width, "width")
        check_count(n_out, "n_out")
        self.T = schedule.T
        waves = Waves()
        self.trunk = nn.Sequential(waves, nn.Linear(waves.n_features, width), nn.SiLU())
        self.hidden = self._heads(width, width)
        self.out = self._heads(width, n_out)

    def _heads(self, n_in: int, n_out: int) -> nn.Parameter:
        """One layer of all heads, (T + 1, n_in + 1, n_out): entry t for step t, its last row the biases."""
        return nn.Parameter(torch.empty(self.T + 1, n_in + 1, n_out).uniform_(-1, 1) / n_in**0.5)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        t = _check_steps(x_t, t, self.T, self.hidden)
        own_step = t.ndim == x_t.ndim - 1  # each point its own step: groups of one point
        features = self.trunk(x_t.unsqueeze(-2) if own_step else x_t)
        hidden, out = self.hidden[t], self.out[t]
        features = nn.functional.silu(features @ hidden[..., :-1, :] + hidden[..., -1:, :])
        answer = features @ out[..., :-1, :] + out[..., -1:, :]
        return answer.squeeze(-2) if own_step else answer


def _check_columns(x: Tensor, name: str, weight: Tensor) -> None:
    """Raise `ValueError` unless `x` has shape (..., 2) and the type of `weight`."""
    check_tensor(x, name)
    if x.shape[-1:] != (2,):
        raise ValueError(f"{name} has shape {tuple(x.shape)}; points are rows: reshape it to (n, 2)")
    check_weights(x, name, weight)


def _check_steps(x_t: Tensor, t: int | Tensor, T: int, weight: Tensor) -> Tensor:
    """`t` as a tensor, after a check of the inputs. NaN is let through: the models look for it once."""
    _check_columns(x_t, "x_t", weight)
    check_t(t, T)
    check_batch(t, x_t, "x_t")
    return torch.as_tensor(t)
