"""The variational autoencoder: one hidden cause z behind each point x, and the bound that trains it."""

import math

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.checks import (
    a_weight,
    check_count,
    check_finite,
    check_generator,
    check_points,
    check_positive,
    check_same_type,
    check_tensor,
    check_weights,
)
from diffusion_lib.models.networks import mlp
from diffusion_lib.process.gaussians import Gaussian

START_STD = 0.05  # of a decoder that learns its variance; a wide start more often ends in a poor place


class VAE(nn.Module):
    """The model p(z) p_θ(x | z), and an encoder q_φ(z | x) that guesses the z behind a given x.

        p(z) = N(0, I)      p_θ(x | z) = N(μ_θ(z), Σ_θ(z))      q_φ(z | x) = N(μ_φ(x), Σ_φ(x))

    All Σ are diagonal and hold variances, which the networks put out as logarithms.

    Args:
        latent: dimension of z, 1 or 2: small enough to draw z, and to integrate over it.
        width: units in each hidden layer of both networks.
        hidden: hidden layers of both networks.
        decoder_std: a fixed standard deviation of p_θ(x | z), in the data's unit, or None to learn Σ_θ(z).
        least_std: added in quadrature to a learned one, Σ_θ = exp(output) + least_std². Data on a curve has
            no density: without a least variance the bound would have no maximum.

    Raises:
        ValueError: for another `latent`, counts below 1, standard deviations that are not positive; in the
            methods for points that are not finite or not (n, 2), and z or ε of another shape.

    Source: Kingma & Welling 2014.
    """

    def __init__(
        self,
        latent: int = 2,
        width: int = 128,
        hidden: int = 2,
        decoder_std: float | None = None,
        least_std: float = 0.02,
    ):
        super().__init__()
        check_count(latent, "latent")
        if latent > 2:
            raise ValueError(f"latent = {latent!r}; choose 1 or 2, a line or a plane")
        for std, name in ((decoder_std, "decoder_std"), (least_std, "least_std")):
            if std is not None or name == "least_std":
                check_positive(std, name, "0.1")
        self.latent, self.decoder_std, self.least_std = latent, decoder_std, least_std
        self.encoder = mlp(2, 2 * latent, width, hidden)
        self.decoder = mlp(latent, 4 if decoder_std is None else 2, width, hidden)
        if decoder_std is None:
            nn.init.constant_(self.decoder[-1].bias[2:], 2 * math.log(START_STD))

    # --- the three distributions ---------------------------------------------------------------------------

    def prior(self, n: int = 1) -> Gaussian:
        """p(z) = N(0, I) for n points: mean and variance of shape (n, latent)."""
        check_count(n, "n")
        like = self.decoder[-1].bias
        zeros = like.new_zeros(n, self.latent)
        return Gaussian(zeros, torch.ones_like(zeros))

    def encode(self, x: Tensor) -> Gaussian:
        """q_φ(z | x) for points x (n, 2): mean and variance of shape (n, latent)."""
        check_points(x, "x", a_weight(self))
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        return Gaussian(mean, log_var.exp())

    def decode(self, z: Tensor) -> Gaussian:
        """p_θ(x | z) for latents z (..., latent): mean of shape (..., 2)."""
        check_tensor(z, "z")
        if z.shape[-1:] != (self.latent,):
            raise ValueError(f"z has shape {tuple(z.shape)}; its last axis must have {self.latent} entries")
        check_finite(z, "z")
        check_weights(z, "z", a_weight(self))
        if self.decoder_std is not None:
            mean = self.decoder(z)
            return Gaussian(mean, mean.new_full((1,), self.decoder_std**2))
        mean, log_var = self.decoder(z).chunk(2, dim=-1)
        return Gaussian(mean, log_var.exp() + self.least_std**2)

    # --- training ------------------------------------------------------------------------------------------

    def elbo_terms(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The ELBO's terms in nats: log p_θ(x | z) at z = μ_φ(x) + √Σ_φ(x) ε, and KL(q_φ(z | x) ‖ p(z)).

        For points x (n, 2) and noise ε (n, latent) both have shape (n,). With K draws for each point, ε of
        shape (K, n, latent), the first has shape (K, n). The ELBO is the mean of the first over ε, minus the
        second.
        """
        q = self.encode(x)
        check_tensor(eps, "eps")
        if eps.shape[-2:] != q.mean.shape or eps.ndim > 3:
            n, d = q.mean.shape
            raise ValueError(
                f"eps has shape {tuple(eps.shape)} for {n} points x; pass ({n}, {d}), or (K, {n}, {d}) for K"
            )
        check_finite(eps, "eps")
        check_same_type(q.mean, eps, "x and eps")
        z = q.mean + q.var.sqrt() * eps
        return self.decode(z).log_prob(x), q.kl(self.prior())

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The negative ELBO on points x_0 (B, 2), one z for each: a scalar, the mean in nats."""
        check_points(x_0, "x_0", a_weight(self))
        check_generator(generator)
        eps = torch.randn(len(x_0), self.latent, generator=generator, dtype=x_0.dtype)
        reconstruction, kl = self.elbo_terms(x_0, eps)
        return (kl - reconstruction).mean()

    # --- sampling ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(self, n: int, generator: Generator | None = None) -> Tensor:
        """z from the prior, then x from p_θ(x | z): (2, n, 2). A z on a line gets 0 as second coordinate."""
        check_count(n, "n")
        check_generator(generator)
        z = self.prior(n).sample(generator)
        x = self.decode(z).sample(generator)
        return torch.stack([nn.functional.pad(z, (0, 2 - self.latent)), x])

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """`n` new points x, shape (n, 2), from the whole of p_θ(x | z), its noise included."""
        return self.trajectory(n, generator)[-1]
