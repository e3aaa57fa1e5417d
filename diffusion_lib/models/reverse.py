"""The reverse chains of chapters 3 and 4, each trained on one form of the bound."""

import math

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.checks import a_weight, check_callable, check_generator, check_points
from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, at


class FirstFormChain(ReverseChain):
    """Steps of known variance whose means undo one forward step, trained on the first form of the bound.

    A forward step is x_t = √α_t x_{t−1} + √β_t ε*, so x_{t−1} = (x_t − √β_t ε*)/√α_t. The network guesses
    that step's noise ε*, and the guess in its place gives the mean. The variance is β_t.

    Args:
        network: maps points x_t and steps t to a guess of ε*, of the shape of x_t; a `TimeMLP`.
        schedule: the forward process.
    """

    def __init__(self, network: nn.Module, schedule: Schedule):
        check_callable(network, "network", "TimeMLP(schedule)")
        super().__init__(network, schedule)
        self.reverse_var = schedule.beta.clone()
        self.reverse_var[1] = 0

    def _reverse(self, x_t: Tensor, t: Tensor) -> Gaussian:
        schedule = self.schedule
        noise = at(schedule.beta, t, x_t).sqrt() * self.network(x_t, t)
        self._check_output(noise, x_t)
        mean = (x_t - noise) / at(schedule.alpha, t, x_t).sqrt()
        return Gaussian(mean, at(self.reverse_var, t, x_t))

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """An estimate of the negative ELBO in nats, from one forward chain for each point x_0 (B, 2)."""
        check_points(x_0, "x_0", a_weight(self))
        chain = forward.trajectory(x_0, self.schedule, generator)
        return self._first_form(chain).sum(dim=0).mean()


class SecondFormChain(ReverseChain):
    """Steps whose means and variances are learned, trained on the KL divergences of the bound's second form.

    The mean is the posterior's at a guess x̂_0 of x_0. With the network's output (m, l), each of two columns,

        x̂_0 = √ᾱ_t x_t − √(1 − ᾱ_t) m        variance = β̃_t exp(l), one for each coordinate:

    an output of 0 says that x̂_0 is the shrunken x_t, and that the step is as wide as the posterior. The
    objective is that of Sohl-Dickstein et al. 2015.

    Args:
        network: maps points (B, 2) and steps to (B, 4), also in groups, (T, B, 2) to (T, B, 4); a
            `HeadPerStep`.
        schedule: the forward process.
    """

    def __init__(self, network: nn.Module, schedule: Schedule):
        check_callable(network, "network", "HeadPerStep(schedule)")
        super().__init__(network, schedule)
        self.signal = schedule.alpha_bar.sqrt()  # √ᾱ_t
        self.noise = (1 - schedule.alpha_bar).sqrt()  # √(1 − ᾱ_t), a standard deviation

    def _reverse(self, x_t: Tensor, t: Tensor) -> Gaussian:
        output = self.network(x_t, t)
        self._check_output(output, x_t, columns=4)
        m, log_ratio = output.chunk(2, dim=-1)
        x_0_hat = at(self.signal, t, x_t) * x_t - at(self.noise, t, x_t) * m
        mean = at(self.x_t_weight, t, x_t) * x_t + at(self.x_0_weight, t, x_t) * x_0_hat
        return Gaussian(mean, at(self.posterior_var, t, x_t) * log_ratio.exp())

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """An estimate of the negative ELBO in nats, averaged over points x_0 (B, 2).

        A sum of means is the mean of the sum, so each term can have points of its own: they are dealt out to
        the T steps, ⌈B/T⌉ to each; the last few, if T does not divide B, are the first ones again.
        """
        check_points(x_0, "x_0", a_weight(self))
        check_generator(generator)
        rows = math.ceil(len(x_0) / self.T)
        x_0 = x_0[torch.arange(self.T * rows) % len(x_0)].reshape(self.T, rows, 2)
        eps = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        t = torch.arange(1, self.T + 1)
        x_t = at(self.signal, t, x_0) * x_0 + at(self.noise, t, x_0) * eps
        return self._second_form(x_0, x_t).sum(dim=0).mean()
