"""The exact denoiser of a finite data set: what a perfect network would answer."""

import torch
from torch import Tensor, nn

from diffusion_lib.checks import check_batch, check_count, check_points, check_t
from diffusion_lib.process.schedules import Schedule, at, check_schedule


class ExactDenoiser(nn.Module):
    """E[x_0 | x_t] when x_0 is one of the given points, all equally likely: (B, 2) and () or (B,) → (B, 2).

    By Bayes, p(x_0 = i | x_t) ∝ exp(−‖x_t − √ᾱ_t x_0^i‖² / (2(1 − ᾱ_t))), and the answer is the mean of the
    points under these weights. No network has a smaller squared error. It takes the place of a network in
    `Diffusion(..., predict="x_0")`, and so has its loss, sampler and trajectories.
    """

    def __init__(self, points: Tensor, schedule: Schedule, chunk: int = 200):
        super().__init__()
        check_points(points, "points")
        check_schedule(schedule)
        check_count(chunk, "chunk")
        self.register_buffer("points", points)
        self.schedule = schedule
        self.chunk = chunk  # rows handled at once, so that the table of weights fits the cache

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        in_groups = isinstance(x_t, Tensor) and x_t.ndim == 3  # (S, B, 2): the rows of one after the other
        rows = x_t.flatten(0, 1) if in_groups else x_t
        check_points(rows, "x_t")
        check_t(t, self.schedule.T)
        check_batch(t, x_t, "x_t")
        t = torch.as_tensor(t)
        t = t.reshape(*t.shape, *[1] * (x_t.ndim - 1 - t.ndim)).expand(x_t.shape[:-1]).flatten()
        chunks = zip(rows.split(self.chunk), t.split(self.chunk), strict=True)
        return torch.cat([self._denoise(*chunk) for chunk in chunks]).reshape(x_t.shape)

    def _denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        signal, snr = at(self.schedule.alpha_bar, t, x_t).sqrt(), at(self.schedule.snr, t, x_t)  # (B, 1)
        points = self.points.to(x_t.dtype)
        # ‖x_t − √ᾱ_t x_0‖² / (1 − ᾱ_t) = SNR(t) ‖x_t/√ᾱ_t − x_0‖², by differences: the faster way, with
        # a matrix product, loses the digits that matter at small noise.
        distance = torch.cdist(x_t / signal, points, compute_mode="donot_use_mm_for_euclid_dist")  # (B, N)
        return torch.softmax(-0.5 * snr * distance**2, dim=1) @ points
