"""The best denoiser of a data set of pictures that sees, for each pixel, only a patch around it."""

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import Count, Points, Sigma, checked


@checked
class PatchDenoiser(nn.Module):
    """E[pixel of x_0 | the patch of z around it], when x_0 is one of the given pictures (N, C, H, W).

    For each pixel on its own,

        p(x_0 = i | patch) ∝ exp(−‖patch of z − patch of x_0^i‖² / (2σ²))

    and the answer is the mean of the pictures' pixels under these weights. So different parts of one answer
    may come from different pictures. With a patch as large as the picture it is `ExactDenoiser`. At the edge
    a patch is what is left of it. Source: Kamb & Ganguli 2025, the local score machine.

    Args:
        points: the data set.
        size: the patch's side in pixels, an odd number.

    Raises:
        ValueError: for points that are no pictures, or an even size; in the call for pictures of another
            shape, and for σ that is not positive.
    """

    def __init__(self, points: Points, size: Count = 3):
        super().__init__()
        if points.ndim != 4:
            raise ValueError(f"points has shape {tuple(points.shape)}; pass pictures (N, C, H, W)")
        if size % 2 == 0:
            raise ValueError(f"size = {size}; pass an odd number, so that a pixel is in the middle")
        self.size, self.shape = size, tuple(points.shape[1:])
        self.register_buffer("pixels", points.flatten(2).permute(2, 0, 1))  # (H · W, N, C)
        self.register_buffer("patches", self._patches(points))

    def _patches(self, x: Tensor) -> Tensor:
        """The patch around each pixel, 0 outside the picture: (H · W, n, C · size²)."""
        patches = nn.functional.unfold(x, self.size, padding=self.size // 2)  # (n, C · size², H · W)
        return patches.permute(2, 0, 1)

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """x̂_0 for pictures z (B, C, H, W) with noise of the standard deviation σ, one number or (B,)."""
        var = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).expand(len(z)).square()[:, None]
        answers = []
        for seen, patches, pixels in zip(
            self._patches(z), self.patches.to(z), self.pixels.to(z), strict=True
        ):
            squared = torch.cdist(seen, patches, compute_mode="donot_use_mm_for_euclid_dist").square()
            answers.append(torch.softmax(-squared / (2 * var), dim=1) @ pixels)  # (B, C)
        return torch.stack(answers, dim=2).reshape(z.shape)
