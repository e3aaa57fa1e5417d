"""The variational autoencoder: one hidden cause z behind each point x, and the bound that trains it."""

import math
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import Count, Points, Positive, checked, latents
from diffusion_lib.models.networks import mlp
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.solvers.steps import evaluating

START_STD = 0.05  # of a decoder that learns its variance; a wide start more often ends in a poor place


@checked
class VAE(nn.Module):
    """The model p(z) p_θ(x | z), and an encoder q_φ(z | x) that guesses the z behind a given x.

        p(z) = N(0, I)      p_θ(x | z) = N(μ_θ(z), Σ_θ(z))      q_φ(z | x) = N(μ_φ(x), Σ_φ(x))

    All Σ are diagonal and hold variances, which the networks put out as logarithms.

    Args:
        latent: dimension of z, at most that of x.
        width: units in each hidden layer of both networks.
        hidden: hidden layers of both networks.
        decoder_std: a fixed standard deviation of p_θ(x | z), in the data's unit, or None to learn Σ_θ(z).
        least_std: added in quadrature to a learned one, Σ_θ = exp(output) + least_std². Data on a curve has
            no density: without a least variance the bound would have no maximum.
        dim: dimension of x.

    Raises:
        ValueError: for another `latent`, counts below 1, standard deviations that are not positive; in the
            methods for points that are not finite or not (n, dim), and z or ε of another shape.

    Source: Kingma & Welling 2014.
    """

    def __init__(
        self,
        latent: Count = 2,
        width: Count = 128,
        hidden: Count = 2,
        decoder_std: Positive | None = None,
        least_std: Positive = 0.02,
        dim: Count = 2,
    ):
        super().__init__()
        if latent > dim:
            raise ValueError(f"latent = {latent}, dim = {dim}; choose a latent of at most dim")
        self.latent, self.decoder_std, self.least_std, self.shape = latent, decoder_std, least_std, (dim,)
        self.encoder = mlp(dim, 2 * latent, width, hidden)
        self.decoder = mlp(latent, 2 * dim if decoder_std is None else dim, width, hidden)
        if decoder_std is None:
            nn.init.constant_(self.decoder[-1].bias[dim:], 2 * math.log(START_STD))

    # --- the three distributions ---------------------------------------------------------------------------

    def prior(self, n: Count = 1) -> Gaussian:
        """p(z) = N(0, I) for n points: mean and variance of shape (n, latent)."""
        zeros = self.decoder[-1].bias.new_zeros(n, self.latent)
        return Gaussian(zeros, torch.ones_like(zeros))

    def encode(self, x: Points) -> Gaussian:
        """q_φ(z | x) for points x (n, dim): mean and variance of shape (n, latent)."""
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        return Gaussian(mean, log_var.exp())

    def decode(self, z: Annotated[Tensor, latents]) -> Gaussian:
        """p_θ(x | z) for latents z (..., latent): mean of shape (..., dim)."""
        if self.decoder_std is not None:
            mean = self.decoder(z)
            return Gaussian(mean, mean.new_full((1,), self.decoder_std**2))
        mean, log_var = self.decoder(z).chunk(2, dim=-1)
        return Gaussian(mean, log_var.exp() + self.least_std**2)

    # --- training ------------------------------------------------------------------------------------------

    def elbo_terms(self, x: Points, eps: Annotated[Tensor, latents]) -> tuple[Tensor, Tensor]:
        """The ELBO's terms in nats: log p_θ(x | z) at z = μ_φ(x) + √Σ_φ(x) ε, and KL(q_φ(z | x) ‖ p(z)).

        For points x (n, dim) and noise ε (n, latent) both have shape (n,). With K draws for each point, ε of
        shape (K, n, latent), the first has shape (K, n). The ELBO is the mean of the first over ε, minus the
        second.
        """
        q = self.encode(x)
        return self.decode(q.from_noise(eps)).log_prob(x), q.kl(self.prior())

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """The negative ELBO on points x_0 (B, dim), one z for each: a scalar, the mean in nats."""
        eps = standard_normal((len(x_0), self.latent), x_0, generator)
        reconstruction, kl = self.elbo_terms(x_0, eps)
        return (kl - reconstruction).mean()

    # --- sampling ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(self, n: Count, generator: Generator | None = None) -> Tensor:
        """z from the prior, then x from p_θ(x | z): (2, n, dim). A short z gets zeros as last coordinates."""
        with evaluating(self):
            z = self.prior(n).sample(generator)
            x = self.decode(z).sample(generator)
        return torch.stack([nn.functional.pad(z, (0, self.shape[0] - self.latent)), x])

    @torch.no_grad()
    def sample(self, n: Count, generator: Generator | None = None) -> Tensor:
        """`n` new points x, shape (n, dim), from the whole of p_θ(x | z), its noise included."""
        with evaluating(self):
            return self.decode(self.prior(n).sample(generator)).sample(generator)
