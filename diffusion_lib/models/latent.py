"""The autoencoder of a latent diffusion model: chapter 1's VAE for pictures, with convolutions."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import Points, Positive, checked, rows
from diffusion_lib.models.unet import GROUPS
from diffusion_lib.process.gaussians import Gaussian, standard_normal

PICTURE, LATENT = (3, 32, 32), (4, 8, 8)
LEAST_LOG_VAR = -12.0  # of a latent; below, the bound has nothing more to gain
Pictures = Annotated[Tensor, rows(PICTURE)]
Latents = Annotated[Tensor, rows(LATENT)]


class PlainBlock(nn.Module):
    """x ↦ x + f(x): two 3 × 3 convolutions, for pictures (B, C, H, W). A new block passes on what it gets."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip
        nn.init.zeros_(self.body[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Place(nn.Module):
    """x ↦ x + a picture that is learned: tells the layers after it where they are."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.picture = nn.Parameter(0.02 * torch.randn(1, channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.picture


@checked
class PictureVAE(nn.Module):
    """Pictures (n, 3, 32, 32) of numbers −1…1, and twelve times fewer numbers for them: (n, 4, 8, 8).

        q_φ(z | x) = N(μ_φ(x), Σ_φ(x))      p_θ(x | z) = N(μ_θ(z), s² I)      p(z) = N(0, I)

    It is trained by chapter 1's bound. With a small s the KL costs little beside the error of the picture, so
    Σ_φ becomes small and the latents are far from N(0, I): what they are distributed as is left to a model of
    latents.

    Args:
        decoder_std: s, in the pictures' units; 0.025 is about three of 255 levels.
        width: channels of 16 × 16 maps; those of 8 × 8 have twice as many. A multiple of 8.

    Source: Rombach et al. 2022, section 3.1 (there with other losses beside).
    """

    def __init__(self, decoder_std: Positive = 0.025, width: int = 32):
        super().__init__()
        self.settings = {"decoder_std": decoder_std, "width": width}
        self.decoder_std, self.shape = decoder_std, PICTURE
        self.register_buffer(
            "unit", torch.ones(())
        )  # the standard deviation of all latents, once it is known
        a, b, c = width, 2 * width, LATENT[0]
        self.encoder = nn.Sequential(
            nn.Conv2d(3, a, 4, stride=2, padding=1), PlainBlock(a),  # 16 × 16
            nn.Conv2d(a, b, 4, stride=2, padding=1), PlainBlock(b),  # 8 × 8
            nn.GroupNorm(GROUPS, b), nn.SiLU(), nn.Conv2d(b, 2 * c, 3, padding=1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(c, b, 3, padding=1), Place(b, 8), PlainBlock(b), PlainBlock(b),
            nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2), Place(a, 16), PlainBlock(a),  # 16 × 16
            nn.GroupNorm(GROUPS, a), nn.SiLU(), nn.Conv2d(a, 12, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip

    def encode(self, x: Pictures) -> Gaussian:
        """q_φ(z | x) for pictures x (n, 3, 32, 32): mean and variance (n, 4, 8, 8)."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return Gaussian(mean, log_var.clamp(LEAST_LOG_VAR, 8).exp(), event_dims=3)

    def decode(self, z: Latents) -> Tensor:
        """The mean of p_θ(x | z) for latents z (n, 4, 8, 8): pictures (n, 3, 32, 32)."""
        return self.decoder(z)

    @torch.no_grad()
    def measure_unit(self, x: Pictures) -> None:
        """Take the standard deviation of these pictures' latents for the unit of `to_latents`."""
        self.unit.copy_(_by_blocks(lambda rows: self.encode(rows).mean, x).std())

    @torch.no_grad()
    def to_latents(self, x: Pictures) -> Tensor:
        """The means of q_φ(z | x) in units of their standard deviation: what a model of latents learns."""
        return _by_blocks(lambda rows: self.encode(rows).mean, x) / self.unit

    @torch.no_grad()
    def to_pictures(self, z: Latents) -> Tensor:
        """Pictures for latents in these units, (n, 3, 32, 32), numbers −1…1."""
        return _by_blocks(self.decode, z * self.unit).clamp(-1, 1)

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """The negative ELBO on pictures (B, 3, 32, 32), less its constant: a scalar, the mean in nats."""
        q = self.encode(x_0)
        z = q.from_noise(standard_normal(q.mean.shape, q.mean, generator))
        prior = Gaussian(torch.zeros_like(z), torch.ones_like(z), event_dims=3)
        error = (self.decode(z) - x_0).square().flatten(1).sum(dim=1)
        return (error / (2 * self.decoder_std**2) + q.kl(prior)).mean()


def _by_blocks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of rows, 250 at a time, which fit the cache."""
    return torch.cat([function(rows) for rows in x.split(250)])
