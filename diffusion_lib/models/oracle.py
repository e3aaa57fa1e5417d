"""The exact denoiser of a finite data set: what a perfect network would answer."""

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Points, Sigma, checked


@checked
class ExactDenoiser(nn.Module):
    """E[x_0 | z] for z = x_0 + σε, when x_0 is one of the given points (N, *shape), all equally likely.

    By Bayes, p(x_0 = i | z) ∝ exp(−‖z − x_0^i‖² / (2σ²)), and the answer is the mean of the points under
    these weights. No denoiser has a smaller squared error.

    Args:
        points: the data set.
        chunk: rows handled at once, so that the table of weights fits the cache.
    """

    def __init__(self, points: Points, chunk: Count = 200):
        super().__init__()
        self.register_buffer("points", points)
        self.shape, self.chunk = tuple(points.shape[1:]), chunk

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """x̂_0 for points z (B, *shape) with noise of the standard deviation σ, one number or (B,)."""
        points = self.points.to(z).flatten(1)
        sigma = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).expand(len(z))
        answers = []
        for rows, std in zip(z.flatten(1).split(self.chunk), sigma.split(self.chunk), strict=True):
            # Coordinate by coordinate: a matrix product loses the digits that matter at small noise, and
            # torch.cdist has a wrong derivative under torch.func.jacrev (PyTorch 2.13).
            pairs = zip(rows.unbind(1), points.unbind(1), strict=True)
            squared = sum(((a[:, None] - b) / std[:, None]).square() for a, b in pairs)  # (B, N)
            answers.append(torch.softmax(-0.5 * squared, dim=1) @ points)
        return torch.cat(answers).reshape(z.shape)
