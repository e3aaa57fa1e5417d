"""The reverse chains of chapters 3 and 4, each trained on one form of the bound."""

import math

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Network, Points, Shape, Steps, checked
from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.process.posterior import posterior, posterior_var
from diffusion_lib.process.schedules import Schedule, at
from diffusion_lib.solvers.steps import reverse_variance


@checked
class FirstFormChain(ReverseChain):
    """Steps of known variance whose means undo one forward step, trained on the first form of the bound.

    A forward step is x_t = √α_t x_{t−1} + √β_t ε*, so x_{t−1} = (x_t − √β_t ε*)/√α_t. The network guesses
    that step's noise ε*, and the guess in its place gives the mean. The variance is β_t, and 0 at t = 1.

    Args:
        network: maps points x_t (B, *shape) and steps t (B,) to a guess of ε* (B, *shape); a `TimeMLP`.
        schedule: the forward process.
        shape: of one point.
    """

    def __init__(self, network: Network, schedule: Schedule, shape: Shape = (2,)):
        super().__init__(network, schedule, shape)
        self.reverse_var = reverse_variance(schedule, "beta")

    def reverse(self, x_t: Points, t: Steps) -> Gaussian:
        """p(x_{t−1} | x_t): the mean undoes the forward step with the guessed noise."""
        schedule = self.schedule
        noise = at(schedule.beta, t, x_t).sqrt() * self._ask(x_t, t)
        mean = (x_t - noise) / at(schedule.alpha, t, x_t).sqrt()
        return Gaussian(mean, at(self.reverse_var, t, x_t), len(self.shape))

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """An estimate of the negative ELBO in nats, from one forward chain for each point x_0 (B, *shape)."""
        chain = forward.trajectory(x_0, self.schedule, generator)
        return self.first_form(chain).sum(dim=0).mean()


@checked
class SecondFormChain(ReverseChain):
    """Steps whose means and variances are learned, trained on the KL divergences of the bound's second form.

    The mean is the posterior's at a guess x̂_0 of x_0. With the network's output (m, l), both like x_t,

        x̂_0 = √ᾱ_t x_t − √(1 − ᾱ_t) m        variance = β̃_t exp(l), one for each coordinate:

    an output of 0 says that x̂_0 is the shrunken x_t, and that the step is as wide as the posterior. The
    objective is that of Sohl-Dickstein et al. 2015.

    Args:
        network: maps points (B, D, …) and steps (B,) to (B, 2D, …), m before l; a `HeadPerStep`.
        schedule: the forward process.
        shape: of one point.
    """

    def __init__(self, network: Network, schedule: Schedule, shape: Shape = (2,)):
        super().__init__(network, schedule, shape)
        self.posterior_var = posterior_var(schedule)

    def reverse(self, x_t: Points, t: Steps) -> Gaussian:
        """p(x_{t−1} | x_t), whose mean and variances are learned."""
        schedule = self.schedule
        m, log_ratio = self._ask(x_t, t, outputs=2).chunk(2, dim=-len(self.shape))
        x_0_hat = at(schedule.signal, t, x_t) * x_t - at(schedule.noise, t, x_t) * m
        var = at(self.posterior_var, t, x_t) * log_ratio.exp()
        return Gaussian(posterior(x_t, x_0_hat, t, schedule).mean, var, len(self.shape))

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """An estimate of the negative ELBO in nats, averaged over points x_0 (B, *shape).

        A sum of means is the mean of the sum, so each term can have points of its own: they are dealt out to
        the T steps, ⌈B/T⌉ to each; the last few, if T does not divide B, are the first ones again.
        """
        rows, t = math.ceil(len(x_0) / self.T), torch.arange(1, self.T + 1, device=x_0.device)
        dealt = torch.arange(self.T * rows, device=x_0.device) % len(x_0)
        x_0 = x_0[dealt].reshape(self.T, rows, *self.shape)
        eps = standard_normal(x_0.shape, x_0, generator)
        x_t = at(self.schedule.signal, t, x_0) * x_0 + at(self.schedule.noise, t, x_0) * eps
        return self._kl_terms(x_0, x_t).sum(dim=0).mean()
