"""Two ways to send the next z′: universal quantisation, and the index of a shared candidate.

Both write and read files of the form of `measure.files`.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from diffusion_lib.contracts import Count, Index, Levels, Points, Shape, between, checked
from diffusion_lib.measure.files import Coded, FileCoder, Hop, entropy_coder
from diffusion_lib.measure.information import Spread
from diffusion_lib.solvers.steps import Denoiser

Exponent = Annotated[float, between(1, wanted="a number above 1, such as 1.3")]

CELLS = 4096  # a symbol of the universal coder lies within so many cells of its forecast
GRID = 4096  # forecasts are rounded to this part of a cell, so that a float's last digits don't decide
ROWS = 100  # points whose candidates are drawn at once


@checked
class UniversalCoder(FileCoder):
    """Universal quantisation: rounding with a shared random shift sends z′ = target + *uniform* noise.

    A cell is w = √12 · noise wide. With a shift u ~ U(0, 1) that both sides draw from the seed, the sender
    sends the whole number k nearest to target/w − u, and z′ = (k + u) w lies evenly within half a cell of the
    target, wherever that is. The code for k comes from the Gaussian forecast, given u, and if the coder is
    correlated, given the coordinates before.

    Sources: Ziv 1985; Yang et al. 2025.
    """

    def bits(self, x_0: Points, order: Count = 16) -> Tensor:
        """KL(q ‖ p) of each step in bits, along the way that `encode` goes, for each point: (levels, n).

        q is uniform around the target; p is the forecast with as much uniform noise. It is the mean length of
        an ideal code, over the shift u: Gauss and Legendre's rule.
        """
        place, weight = (torch.from_numpy(x) / 2 for x in np.polynomial.legendre.leggauss(order))
        found = []
        for hop, z, _ in self._way(len(x_0), x_0=x_0):
            width, total = math.sqrt(12) * hop.noise, 0.0
            for part, mean, std in _forecasts(hop, z.flatten(1)):
                away = ((hop.target[:, part] - mean) / width)[
                    ..., None
                ] + place  # z′ in cells from the forecast
                far, near = ((half - away.abs()) * (width / std)[..., None] for half in (-0.5, 0.5))
                inside = torch.special.ndtr(near) - torch.special.ndtr(far)
                total = total - (inside.clamp(min=1e-300).log2() @ weight).sum(dim=1)
            found.append(total)
        return torch.stack(found)

    def _step(self, hop: Hop, decoder: Any) -> tuple[Coded, Tensor]:
        width = math.sqrt(12) * hop.noise
        shift = torch.rand(hop.forecast.shape, generator=hop.dice, dtype=torch.float64)
        z, coded = torch.zeros_like(shift), []
        for part, mean, std in _forecasts(hop, z):
            u = shift[:, part]
            place = mean / width - u
            near = place.round()
            offset = ((place - near) * GRID).round().flatten().numpy() / GRID
            wide = (std / width).flatten().numpy()
            model = entropy_coder().model.QuantizedGaussian(-CELLS, CELLS), offset, wide
            if decoder is None:
                symbols = (
                    ((hop.target[:, part] / width - u).round() - near).flatten().numpy().astype(np.int32)
                )
                if len(symbols) and abs(symbols).max() > CELLS:
                    raise ValueError(f"x_0 has points {CELLS} cells from their forecast; take fewer levels")
            else:
                symbols = decoder.decode(*model)
            coded.append((symbols, model))
            z[:, part] = (torch.from_numpy(symbols.astype(np.float64)).reshape(u.shape) + near + u) * width
        return coded, z


def _forecasts(hop: Hop, z: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Which coordinates come next, and the forecast of their target, mean and standard deviation (n, …).

    All at once, or with a root one after the other, each given those before it in z′.
    """
    if hop.root is None:
        yield slice(None), hop.forecast, torch.full_like(hop.forecast, hop.spread)
        return
    e = torch.zeros_like(hop.forecast)  # z′ − forecast, in standard units
    for j in range(z.shape[1]):
        row, part = hop.root[:, j], slice(j, j + 1)
        mean = hop.forecast[:, part] + (row[:, :j] * e[:, :j]).sum(dim=1, keepdim=True)
        yield part, mean, (row[:, part].square() - hop.noise**2).clamp(min=1e-20).sqrt()
        e[:, part] = (z[:, part] - mean) / row[:, part]


@checked
class IndexCoder(FileCoder):
    """The Poisson functional representation: it says which of many shared candidates is z′, a draw from q.

    For each point both sides draw candidates from p and rising times τ_i, the arrivals of a Poisson process.
    The sender takes the i with the least τ_i p(z_i)/q(z_i); that z_i has the law q. It sends i, in a code for
    Zipf's law. Each index costs some bits of its own, and there must be many more candidates than 2^KL: with
    too few, q is sampled wrongly, and nothing tells.

    Source: Li & El Gamal 2018.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        levels: Levels,
        spread: Spread,
        seed: Index = 0,
        correlated: bool = False,
        shape: Shape = (2,),
        candidates: Count = 4096,
        zipf: Exponent = 1.3,
    ):
        super().__init__(denoiser, levels, spread, seed, correlated, shape)
        self.candidates = candidates
        chances = np.arange(1.0, candidates + 1) ** -zipf
        self.chances = chances / chances.sum()

    def bits(self, x_0: Points) -> Tensor:
        """KL(q ‖ p) of each step's Gaussians in bits, along the way that `encode` goes: (levels, n)."""
        found = []
        for hop, _, _ in self._way(len(x_0), x_0=x_0):
            D = hop.forecast.shape[1]
            wide = math.hypot(hop.noise, hop.spread) * torch.eye(D, dtype=hop.forecast.dtype)
            root = wide.expand(len(x_0), D, D) if hop.root is None else hop.root
            away = torch.cat(
                [(hop.target - hop.forecast)[..., None], hop.noise * torch.eye(D).to(root).expand_as(root)], 2
            )
            size = torch.linalg.solve_triangular(root, away, upper=False).square().sum(dim=(1, 2))
            log_ratio = root.diagonal(dim1=1, dim2=2).log().sum(dim=1) - D * math.log(hop.noise)
            found.append((log_ratio + (size - D) / 2) / math.log(2))
        return torch.stack(found)

    def _step(self, hop: Hop, decoder: Any) -> tuple[Coded, Tensor]:
        model = (entropy_coder().model.Categorical(self.chances, perfect=False),)
        n = len(hop.forecast)
        received = None if decoder is None else torch.from_numpy(decoder.decode(*model, n).astype(np.int64))
        indices, z = [], []
        for start in range(0, n, ROWS):
            rows = slice(start, start + ROWS)
            moved, log_arrival = self._candidates(hop, rows)
            if received is None:
                index = self._least(hop, rows, moved, log_arrival)
            else:
                index = received[rows]
            indices.append(index)
            z.append(hop.forecast[rows] + moved[torch.arange(len(moved)), index])
        return [(torch.cat(indices).numpy().astype(np.int32), model)], torch.cat(z)

    def _candidates(self, hop: Hop, rows: slice) -> tuple[Tensor, Tensor]:
        """z_i − forecast (b, candidates, D), and log τ_i p(z_i) up to a constant (b, candidates)."""
        size = (len(hop.forecast[rows]), self.candidates)
        gaps = -torch.rand(size, generator=hop.dice, dtype=torch.float64).clamp(min=1e-300).log()
        e = torch.randn(*size, hop.forecast.shape[1], generator=hop.dice, dtype=torch.float64)
        moved = e * math.hypot(hop.noise, hop.spread) if hop.root is None else e @ hop.root[rows].mT
        return moved, gaps.cumsum(dim=1).log() - e.square().sum(dim=2) / 2

    def _least(self, hop: Hop, rows: slice, moved: Tensor, log_arrival: Tensor) -> Tensor:
        """The candidate with the least τ_i p(z_i)/q(z_i): (b,)."""
        missed = (hop.forecast - hop.target)[rows, None] + moved
        return (log_arrival + (missed / hop.noise).square().sum(dim=2) / 2).argmin(dim=1)
