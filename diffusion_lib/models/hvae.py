"""The hierarchical VAE: T latents in a chain, with an encoder that is learned, or frozen to adding noise."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from diffusion_lib.contracts import Count, OneStep, Points, all_states, checked, state
from diffusion_lib.models.chain import CarriesSchedule
from diffusion_lib.models.networks import mlp
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.solvers.steps import evaluating, last

FREQUENCIES = (1.5, 3.5)  # of the waves a network sees of its input, in radians per unit
FLOOR_STD = 0.01  # in units of the data's standard deviation; without it, a curve's density has no maximum
START_STD = 0.15  # before training: wide noise would drown what the levels below have to say


@checked
class GaussianMLP(nn.Module):
    """A conditional Gaussian p(y | x): points (B, n_in) → N(mean, var) of n_out coordinates.

        mean = x + m(x)        var = (FLOOR_STD + softplus(s(x)))², one for each coordinate

    The perceptron (m, s) sees x and waves of x, sin and cos of f · x for each f in `FREQUENCIES`, which let
    it draw sharp curves. Softplus keeps a standard deviation positive and grows only linearly. In the mean, x
    is cut, or filled up with zeros, to n_out coordinates; without `skip` it is left out.
    """

    def __init__(self, n_in: Count, n_out: Count, width: Count = 32, skip: bool = True):
        super().__init__()
        self.shape, self.skip, self.widen = (n_in,), skip, n_out - n_in
        self.body = mlp(n_in * (1 + 2 * len(FREQUENCIES)), 2 * n_out, width)
        nn.init.constant_(self.body[-1].bias[n_out:], math.log(math.expm1(START_STD)))  # softplus⁻¹

    def forward(self, x: Points) -> Gaussian:
        phase = torch.cat([f * x for f in FREQUENCIES], dim=1)
        output = self.body(torch.cat([x, phase.sin(), phase.cos()], dim=1))
        mean, spread = output.chunk(2, dim=1)  # (B, n_out) each
        if self.skip:
            mean = mean + F.pad(x, (0, self.widen))  # a negative number of zeros is a cut
        return Gaussian(mean, (FLOOR_STD + F.softplus(spread)).square())


@checked
class HVAE(CarriesSchedule):
    """The chain p(z_T) ∏ p_θ(z_{t−1} | z_t) that ends at z_0 = x, and an encoder ∏ q_φ(z_t | z_{t−1}).

    p(z_T) = N(0, I). All other factors are Gaussians with a network each, for mean and variances.

    Args:
        T: the number of levels.
        latent: the dimension of z_1…z_T.
        width: units in each of the two hidden layers of a network.
        skip: whether the mean of a level is the level before plus what the network says, or only the latter.
        schedule: freezes the encoder to q(z_t | z_{t−1}) = N(√α_t z_{t−1}, (1 − α_t) I). It has no
            networks then, and `latent` must be `dim`.
        dim: the dimension of x.

    Raises:
        ValueError: for counts below 1, a schedule that does not fit `T` and `latent`; in the methods for t
            not in 1…T, points that are not finite or not (n, dim), and states that do not fit the levels.

    Sources: Sønderby et al. 2016; Luo 2022, section "Hierarchical Variational Autoencoders".
    """

    def __init__(
        self,
        T: Count = 4,
        latent: Count = 2,
        width: Count = 32,
        skip: bool = True,
        schedule: Schedule | None = None,
        dim: Count = 2,
    ):
        super().__init__()
        if schedule is not None and (schedule.T, latent) != (T, dim):
            raise ValueError(
                f"schedule has T = {schedule.T}, for T = {T} and latent = {latent}; a frozen encoder needs "
                f"the same T and latent = {dim}, the dimension of x"
            )
        self.T, self.latent, self.schedule, self.shape = T, latent, schedule, (dim,)
        self.sizes = [dim] + [latent] * T  # of z_0…z_T
        pairs = list(pairwise(self.sizes))  # (dimension of z_{t−1}, of z_t) for t = 1…T
        learned = pairs if schedule is None else []
        self.encoders = nn.ModuleList(GaussianMLP(low, high, width, skip) for low, high in learned)
        self.decoders = nn.ModuleList(GaussianMLP(high, low, width, skip) for low, high in pairs)

    # --- the distributions ---------------------------------------------------------------------------------

    def encode(self, z_prev: Annotated[Tensor, state(below=True)], t: OneStep) -> Gaussian:
        """q_φ(z_t | z_{t−1}) for states z_{t−1} of shape (n, dim) for t = 1, else (n, latent)."""
        return forward.step(z_prev, t, self.schedule) if self.schedule else self.encoders[int(t) - 1](z_prev)

    def decode(self, z_t: Annotated[Tensor, state()], t: OneStep) -> Gaussian:
        """p_θ(z_{t−1} | z_t) for states z_t of shape (n, latent)."""
        return self.decoders[int(t) - 1](z_t)

    def prior(self, n: Count = 1) -> Gaussian:
        """p(z_T) = N(0, I) for n points: mean and variance of shape (n, latent)."""
        zeros = self.decoders[0].body[-1].bias.new_zeros(n, self.latent)
        return Gaussian(zeros, torch.ones_like(zeros))

    # --- the bound -----------------------------------------------------------------------------------------

    def infer(self, x: Points, generator: Generator | None = None) -> list[Tensor]:
        """A draw from q_φ(z_1…z_T | x) for each point x (n, dim): the list z_0 = x, z_1, …, z_T."""
        return self._climb(x, generator)[0]

    def _climb(self, x: Tensor, generator: Generator | None) -> tuple[list[Tensor], list[Gaussian]]:
        """The chain z_0…z_T, and the T Gaussians from which z_1…z_T were drawn."""
        chain, guesses = [x], []
        for t in range(1, self.T + 1):
            guesses.append(self.encode(chain[-1], t))
            chain.append(guesses[-1].sample(generator))
        return chain, guesses

    def terms(self, chain: Annotated[Sequence[Tensor], all_states]) -> Tensor:
        """The negative ELBO's terms, one for each variable of a chain z_0…z_T: (T + 1, n), in nats.

        Row 0 is 𝓛_1 = −log p(x | z_1), row t − 1 is 𝓛_t = log q(z_{t−1} | z_{t−2}) − log p(z_{t−1} | z_t),
        and row T is 𝓛_prior = log q(z_T | z_{T−1}) − log p(z_T). On chains from `infer`, their sum is an
        unbiased estimate of the negative ELBO (Luo 2022, before any expectation is taken).
        """
        return self._terms(chain, [self.encode(z, t) for t, z in enumerate(chain[:-1], start=1)])

    def _terms(self, chain: list[Tensor], guesses: list[Gaussian]) -> Tensor:
        log_q = [q.log_prob(z) for q, z in zip(guesses, chain[1:], strict=True)]
        steps = [decoder(z) for decoder, z in zip(self.decoders, chain[1:], strict=True)]
        log_p = [p.log_prob(z) for p, z in zip(steps, chain[:-1], strict=True)]
        top = self.prior(len(chain[-1])).log_prob(chain[-1])
        return torch.stack([torch.zeros_like(top), *log_q]) - torch.stack([*log_p, top])

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """The negative ELBO on points x_0 (B, dim), one chain for each: a scalar, the mean in nats."""
        return self._terms(*self._climb(x_0, generator)).sum(dim=0).mean()

    # --- sampling ------------------------------------------------------------------------------------------

    def states(self, n: Count, generator: Generator | None = None) -> list[Tensor]:
        """Ancestral sampling, every state kept: the list z_T, z_{T−1}, …, z_0 = x."""
        return list(self._states(n, generator))

    @torch.no_grad()
    def _states(self, n: int, generator: Generator | None) -> Iterator[Tensor]:
        z = self.prior(n).sample(generator)
        yield z
        for t in range(self.T, 0, -1):
            with evaluating(self):
                z = self.decode(z, t).sample(generator)
            yield z

    def trajectory(self, n: Count, generator: Generator | None = None) -> Tensor:
        """`states` as one tensor (T + 1, n, dim). Only for latent = dim, where all states are points."""
        if self.latent != self.shape[0]:
            raise ValueError(f"latent = {self.latent}; a path of points needs latent = dim: use states(n)")
        return torch.stack(self.states(n, generator))

    def sample(self, n: Count, generator: Generator | None = None) -> Tensor:
        """`n` new points x, shape (n, dim), from the whole chain, the noise of its last step included."""
        return last(self._states(n, generator))
