"""The exact denoiser of a data set, or of a law by quadrature: what a perfect network would answer."""

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Points, Sigma, checked, one_for_each, weights_for

FEW = 16  # coordinates of a point; a picture has more


@checked
class ExactDenoiser(nn.Module):
    """E[x_0 | z] for z = x_0 + σε, when x_0 is one of the given points (N, *shape), with the given chances.

    By Bayes, p(x_0 = i | z) ∝ w_i exp(−‖z − x_0^i‖² / (2σ²)), and the answer is the mean of the points under
    these weights. No denoiser has a smaller squared error.

    With the nodes and weights of a quadrature, such as `data.roll_quadrature`, it is the denoiser of a law
    with a density. Weights times p(y | x_0) make it the denoiser of p(x_0 | y), as they are or to a power.

    Args:
        points: the data set, or the nodes.
        weights: (N,), in proportion to the points' chances; without them all are equally likely.
        chunk: rows handled at once, so that the table of weights fits the cache.

    Raises:
        ValueError: for weights that are negative, not finite, all 0, or not one for each point; in the
            methods for points that are not finite or not rows of one shape, and for σ that is not positive.
    """

    def __init__(
        self,
        points: Points,
        weights: Annotated[Tensor, weights_for("points")] | None = None,
        chunk: Count = 200,
    ):
        super().__init__()
        weights = torch.ones_like(points[:, *[0] * (points.ndim - 1)]) if weights is None else weights
        self.register_buffer("points", points)
        self.register_buffer("log_weights", (weights / weights.sum()).log().to(points))
        self.shape, self.chunk = tuple(points.shape[1:]), chunk

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """x̂_0 for points z (B, *shape) with noise of the standard deviation σ, one number or (B,)."""
        return self.expect(z, sigma, self.points)

    def expect(self, z: Points, sigma: Sigma, values: Annotated[Tensor, one_for_each("points")]) -> Tensor:
        """E[f(x_0) | z] for z (B, *shape), where `values` (N, …) are f at the points: (B, …)."""
        flat = values.to(z).reshape(len(values), -1)
        means = torch.cat([torch.softmax(joint, dim=1) @ flat for joint in self._log_joint(z, sigma)])
        return means.reshape(len(z), *values.shape[1:])

    def log_prob(self, z: Points, sigma: Sigma) -> Tensor:
        """log p(z) in nats, the log density of the points blurred with noise of the deviation σ: (B,)."""
        log_scale = (math.sqrt(2 * math.pi) * torch.as_tensor(sigma, dtype=z.dtype, device=z.device)).log()
        total = torch.cat([joint.logsumexp(dim=1) for joint in self._log_joint(z, sigma)])
        return total - math.prod(self.shape) * log_scale

    def _log_joint(self, z: Tensor, sigma: float | Tensor) -> Iterator[Tensor]:
        """log w_i − ‖z − x_0^i‖² / (2σ²), some rows (b, N) at a time."""
        points, log_weights = self.points.to(z).flatten(1), self.log_weights.to(z)
        sigma = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).expand(len(z))
        for rows, std in zip(z.flatten(1).split(self.chunk), sigma.split(self.chunk), strict=True):
            squared = _squared_distances(rows, points, std[:, None])
            yield log_weights - 0.5 * squared


def _squared_distances(x: Tensor, y: Tensor, std: Tensor) -> Tensor:
    """‖x_i − y_j‖² / σ_i² of rows (n, D) and (m, D), with σ (n, 1): (n, m).

    Not by torch.cdist, which has a wrong derivative under torch.func.jacrev (PyTorch 2.13).
    """
    if x.shape[1] <= FEW:  # one by one: a matrix product loses the digits that matter at small noise
        return sum(((a[:, None] - b) / std).square() for a, b in zip(x.unbind(1), y.unbind(1), strict=True))
    rows, points = x.double(), y.double()  # digits enough for pictures, and many times as fast
    squared = rows.square().sum(1, True) - 2 * rows @ points.T + points.square().sum(1)
    return (squared / std.double().square()).to(x)
