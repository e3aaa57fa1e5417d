"""The hierarchical VAE: T latents in a chain, with an encoder that is learned, or frozen to adding noise."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from diffusion_lib.checks import (
    a_weight,
    check_count,
    check_finite,
    check_generator,
    check_points,
    check_t,
    check_tensor,
    check_type,
    check_weights,
)
from diffusion_lib.models.networks import mlp
from diffusion_lib.process import forward
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, check_schedule

FREQUENCIES = (1.5, 3.5)  # of the waves a network sees of its input, in radians per unit
FLOOR_STD = 0.01  # in units of the data's standard deviation; without it, a curve's density has no maximum
START_STD = 0.15  # before training: wide noise would drown what the levels below have to say


class GaussianMLP(nn.Module):
    """A conditional Gaussian p(y | x): points (B, n_in) → N(mean, var) of n_out coordinates.

        mean = x + m(x)        var = (FLOOR_STD + softplus(s(x)))², one for each coordinate

    The perceptron (m, s) sees x and waves of x, sin and cos of f · x for each f in `FREQUENCIES`, which let
    it draw sharp curves. Softplus keeps a standard deviation positive and grows only linearly. In the mean, x
    is cut, or filled up with zeros, to n_out coordinates; without `skip` it is left out.
    """

    def __init__(self, n_in: int, n_out: int, width: int = 32, skip: bool = True):
        super().__init__()
        check_count(n_in, "n_in")
        check_count(n_out, "n_out")
        check_type(skip, "skip", bool, "True")
        self.n_in = n_in
        self.skip, self.widen = skip, n_out - n_in
        self.body = mlp(n_in * (1 + 2 * len(FREQUENCIES)), 2 * n_out, width)
        nn.init.constant_(self.body[-1].bias[n_out:], math.log(math.expm1(START_STD)))  # softplus⁻¹

    def forward(self, x: Tensor) -> Gaussian:
        check_tensor(x, "x")
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"x has shape {tuple(x.shape)}; pass (n, {self.n_in})")
        check_weights(x, "x", self.body[-1].bias)
        check_finite(x, "x")
        phase = torch.cat([f * x for f in FREQUENCIES], dim=1)
        output = self.body(torch.cat([x, phase.sin(), phase.cos()], dim=1))
        mean, spread = output.chunk(2, dim=1)  # (B, n_out) each
        if self.skip:
            mean = mean + F.pad(x, (0, self.widen))  # a negative number of zeros is a cut
        return Gaussian(mean, (FLOOR_STD + F.softplus(spread)).square())


class HVAE(nn.Module):
    """The chain p(z_T) ∏ p_θ(z_{t−1} | z_t) that ends at z_0 = x, and an encoder ∏ q_φ(z_t | z_{t−1}).

    p(z_T) = N(0, I). All other factors are Gaussians with a network each, for mean and variances.

    Args:
        T: the number of levels.
        latent: the dimension of z_1…z_T.
        width: units in each of the two hidden layers of a network.
        skip: whether the mean of a level is the level before plus what the network says, or only the latter.
        schedule: freezes the encoder to q(z_t | z_{t−1}) = N(√α_t z_{t−1}, (1 − α_t) I). It has no
            networks then, and `latent` must be 2, the dimension of the data.

    Raises:
        ValueError: for counts below 1, a schedule that does not fit `T` and `latent`; in the methods for t
            not in 1…T, points that are not finite or not (n, 2), and states that do not fit the levels.

    Sources: Sønderby et al. 2016; Luo 2022, section "Hierarchical Variational Autoencoders".
    """

    def __init__(
        self,
        T: int = 4,
        latent: int = 2,
        width: int = 32,
        skip: bool = True,
        schedule: Schedule | None = None,
    ):
        super().__init__()
        check_count(T, "T")
        check_count(latent, "latent")
        if schedule is not None:
            check_schedule(schedule)
        if schedule is not None and (schedule.T, latent) != (T, 2):
            raise ValueError(
                f"schedule has T = {schedule.T}, for T = {T} and latent = {latent}; a frozen encoder needs "
                "the same T and latent = 2"
            )
        self.T, self.latent, self.schedule = T, latent, schedule
        sizes = list(pairwise([2] + [latent] * T))  # (dimension of z_{t−1}, of z_t) for t = 1…T
        learned = sizes if schedule is None else []
        self.encoders = nn.ModuleList(GaussianMLP(low, high, width, skip) for low, high in learned)
        self.decoders = nn.ModuleList(GaussianMLP(high, low, width, skip) for low, high in sizes)

    # --- the distributions ---------------------------------------------------------------------------------

    def encode(self, z_prev: Tensor, t: int) -> Gaussian:
        """q_φ(z_t | z_{t−1}) for states z_{t−1} of shape (n, 2) for t = 1, else (n, latent)."""
        t = self._check_step(t)
        self._check_state(z_prev, "z_prev", t - 1)
        return self._encode(z_prev, t)

    def _encode(self, z_prev: Tensor, t: int) -> Gaussian:
        return forward.step(z_prev, t, self.schedule) if self.schedule else self.encoders[t - 1](z_prev)

    def decode(self, z_t: Tensor, t: int) -> Gaussian:
        """p_θ(z_{t−1} | z_t) for states z_t of shape (n, latent)."""
        t = self._check_step(t)
        self._check_state(z_t, "z_t", t)
        return self.decoders[t - 1](z_t)

    def prior(self, n: int = 1) -> Gaussian:
        """p(z_T) = N(0, I) for n points: mean and variance of shape (n, latent)."""
        check_count(n, "n")
        zeros = self.decoders[0].body[-1].bias.new_zeros(n, self.latent)
        return Gaussian(zeros, torch.ones_like(zeros))

    def _check_step(self, t: int) -> int:
        check_t(t, self.T)
        if torch.as_tensor(t).numel() != 1:
            raise ValueError(f"t = {t!r}; each level has networks of its own: pass one step, such as 1")
        return int(torch.as_tensor(t))

    def _check_state(self, z: Tensor, name: str, t: int) -> None:
        """Raise `ValueError` unless `z` holds finite states z_t."""
        size = self.latent if t else 2
        check_tensor(z, name)
        if z.ndim != 2 or z.shape[1] != size or len(z) == 0:
            raise ValueError(f"{name} has shape {tuple(z.shape)}; for z_{t} pass (n, {size}) with n ≥ 1")
        check_finite(z, name)
        check_weights(z, name, a_weight(self))

    # --- the bound -----------------------------------------------------------------------------------------

    def infer(self, x: Tensor, generator: Generator | None = None) -> list[Tensor]:
        """A draw from q_φ(z_1…z_T | x) for each point x (n, 2): the list z_0 = x, z_1, …, z_T."""
        check_points(x, "x", a_weight(self))
        check_generator(generator)
        return self._climb(x, generator)[0]

    def _climb(self, x: Tensor, generator: Generator | None) -> tuple[list[Tensor], list[Gaussian]]:
        """The chain z_0…z_T, and the T Gaussians from which z_1…z_T were drawn."""
        chain, guesses = [x], []
        for t in range(1, self.T + 1):
            guesses.append(self._encode(chain[-1], t))
            chain.append(guesses[-1].sample(generator))
        return chain, guesses

    def terms(self, chain: list[Tensor]) -> Tensor:
        """The negative ELBO's terms, one for each variable of a chain z_0…z_T: (T + 1, n), in nats.

        Row 0 is −log p(x | z_1), row t is log q(z_t | z_{t−1}) − log p(z_t | z_{t+1}), and row T is
        log q(z_T | z_{T−1}) − log p(z_T). On chains from `infer`, their sum is an unbiased estimate of the
        negative ELBO (Luo 2022, before any expectation is taken).
        """
        if not isinstance(chain, Sequence) or len(chain) != self.T + 1:
            found = f"{len(chain)} states" if isinstance(chain, Sequence) else f"type {type(chain).__name__}"
            raise ValueError(f"chain has {found}; pass the list z_0…z_T of states, which are {self.T + 1}")
        for t, z in enumerate(chain):
            self._check_state(z, f"chain[{t}]", t)
        if len({len(z) for z in chain}) > 1:
            raise ValueError(f"chain has {[len(z) for z in chain]} rows; pass states of the same points")
        return self._terms(chain, [self.encode(chain[t - 1], t) for t in range(1, self.T + 1)])

    def _terms(self, chain: list[Tensor], guesses: list[Gaussian]) -> Tensor:
        log_q = [q.log_prob(z) for q, z in zip(guesses, chain[1:], strict=True)]
        steps = [decoder(z) for decoder, z in zip(self.decoders, chain[1:], strict=True)]
        log_p = [p.log_prob(z) for p, z in zip(steps, chain[:-1], strict=True)]
        top = self.prior(len(chain[-1])).log_prob(chain[-1])
        return torch.stack([torch.zeros_like(top), *log_q]) - torch.stack([*log_p, top])

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The negative ELBO on points x_0 (B, 2), one chain for each: a scalar, the mean in nats."""
        check_points(x_0, "x_0", a_weight(self))
        check_generator(generator)
        return self._terms(*self._climb(x_0, generator)).sum(dim=0).mean()

    # --- sampling ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def states(self, n: int, generator: Generator | None = None) -> list[Tensor]:
        """Ancestral sampling, every state kept: the list z_T, z_{T−1}, …, z_0 = x."""
        check_count(n, "n")
        check_generator(generator)
        states = [self.prior(n).sample(generator)]
        for t in range(self.T, 0, -1):
            states.append(self.decode(states[-1], t).sample(generator))
        return states

    def trajectory(self, n: int, generator: Generator | None = None) -> Tensor:
        """`states` as one tensor (T + 1, n, 2). Only for latent = 2, where all states are points."""
        if self.latent != 2:
            raise ValueError(f"latent = {self.latent}; a path of points needs latent = 2: use states(n)")
        return torch.stack(self.states(n, generator))

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """`n` new points x, shape (n, 2), from the whole chain, the noise of its last step included."""
        return self.states(n, generator)[-1]
