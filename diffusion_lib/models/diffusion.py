"""The diffusion model: x_0, ε, v and u parameterisations of one class, its losses and its sampler."""

import math
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Network, Points, Shape, Sigma, Steps, checked, like
from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.process.gaussians import Gaussian, standard_normal
from diffusion_lib.process.posterior import posterior, posterior_var, posterior_weights, to_x_0
from diffusion_lib.process.schedules import Schedule, at
from diffusion_lib.solvers.steps import ReverseVar, reverse_variance

LEVEL_TOLERANCE = 1e-5  # in log σ: as near as float32 knows a level


@checked
class Diffusion(ReverseChain):
    """A reverse chain each of whose steps is the forward posterior at a predicted x_0.

    It is a denoiser, too: `model(z, sigma)` is its estimate of E[x_0 | z] for z = x_0 + σε.

    Args:
        network: maps points x_t (B, *shape) and steps t (B,), int64, to the predicted quantity (B, *shape).
        schedule: the forward process.
        predict: what the network's output means: "x_0", "eps", "v" or "u" (see `process.posterior`).
        weighting: of the training loss. "simple": the squared error of the predicted quantity, weighted alike
            for every t (Ho et al. 2020, eq. 14). "bound": an unbiased estimate of the negative ELBO, in nats.
        reverse_var: the variance of p(x_{t−1} | x_t). "posterior": β̃_t, that of q(x_{t−1} | x_t, x_0).
            "beta": β_t. The one is right for data that is a single point, the other for data that is N(0, I)
            (Ho et al. 2020, section 3.2). With either, sampling adds no noise at t = 1.
        shape: of one point.
        stratified: whether the loss takes a batch's steps t evenly over 1…T, from one random offset. Each t
            is still random, and the loss right on average, but it scatters less (Kingma et al. 2021).

    Raises:
        ValueError: for an unknown `predict`, `weighting` or `reverse_var`; in the methods for t not in 1…T,
            points that are not finite or not rows of `shape`, and counts below 1.
    """

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        predict: Literal["x_0", "eps", "v", "u"] = "eps",
        weighting: Literal["simple", "bound"] = "simple",
        reverse_var: ReverseVar = "posterior",
        shape: Shape = (2,),
        stratified: bool = False,
    ):
        super().__init__(network, schedule, shape)
        self.predict, self.weighting, self.stratified = predict, weighting, stratified
        self.variance = reverse_var
        self.reverse_var = reverse_variance(schedule, reverse_var)  # over t = 0…T, as all arrays here
        self.bound_weight, self.bound_constant = self._bound()

    def _bound(self) -> tuple[Tensor, Tensor]:
        """Weight w_t and constant c_t of the bound's terms w_t ‖x_0 − x̂_0‖² + c_t, of shape (T + 1,)."""
        var, half_D = self.reverse_var.clone(), math.prod(self.shape) / 2
        var[1] = self.schedule.beta[1]
        ratio = posterior_var(self.schedule)[2:] / var[2:]
        weight, constant = torch.zeros_like(var), torch.zeros_like(var)
        weight[1:] = posterior_weights(self.schedule)[1][1:] ** 2 / (2 * var[1:])
        constant[1] = half_D * torch.log(2 * math.pi * var[1])  # of −log N in D dimensions
        constant[2:] = half_D * (ratio - 1 - ratio.log())  # of the KL between two Gaussians in D dimensions
        return weight, constant

    # --- one step ------------------------------------------------------------------------------------------

    def denoise(self, x_t: Points, t: Steps) -> Tensor:
        """x̂_0(x_t, t), the network's estimate of E[x_0 | x_t], for points (B, *shape), steps () or (B,)."""
        return to_x_0(self._ask(x_t, t), x_t, t, self.schedule, self.predict)

    def reverse(self, x_t: Points, t: Steps) -> Gaussian:
        """p(x_{t−1} | x_t): the posterior q(x_{t−1} | x_t, x_0) with x̂_0(x_t, t) for x_0."""
        q = posterior(x_t, self.denoise(x_t, t), t, self.schedule)
        return Gaussian(q.mean, at(self.reverse_var, t, x_t), len(self.shape))

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """x̂_0(z, σ) for points z = x_0 + σε of shape (B, *shape) and σ > 0, one number or (B,).

        The network knows the levels σ_t of whole steps alone, and at them it is called once. Between two of
        them the answer is a mean of both steps' answers, weighted evenly in log σ; beyond the last level it
        is the last one's.
        """
        level = self.schedule.sigma[1:].log().to(z.device, z.dtype)
        log_sigma = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).log().expand(len(z)).contiguous()
        later = torch.searchsorted(level, log_sigma).clamp(max=self.T - 1)
        earlier = (later - 1).clamp(min=0)
        gap = (level[later] - level[earlier]).clamp(min=torch.finfo(z.dtype).tiny)
        share = ((log_sigma - level[earlier]) / gap).clamp(0, 1)
        nearer = share.round()
        if bool(((share - nearer) * gap).abs().max() < LEVEL_TOLERANCE):
            return self._denoise_z(z, earlier + 1 + nearer.long() * (later - earlier))
        share = share.reshape(-1, *[1] * len(self.shape))
        low, high = self._denoise_z(z, earlier + 1), self._denoise_z(z, later + 1)
        return low + share * (high - low)

    def _denoise_z(self, z: Tensor, t: Tensor) -> Tensor:
        return self.denoise(at(self.schedule.signal, t, z) * z, t)

    # --- training ------------------------------------------------------------------------------------------

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """The training loss on points x_0 (B, *shape), with one random t in 1…T for each; a scalar."""
        t = self._random_steps(len(x_0), generator, x_0.device)
        eps = standard_normal(x_0.shape, x_0, generator)
        if self.weighting == "simple":
            return self.squared_error(x_0, t, eps).mean()
        return (self.T * self.bound_term(x_0, t, eps) + self.prior_kl(x_0)).mean()

    def _random_steps(self, n: int, generator: Generator | None, device: torch.device) -> Tensor:
        """n steps, each uniform in 1…T: independent, or evenly apart from one random offset."""
        if not self.stratified:
            return torch.randint(1, self.T + 1, (n,), generator=generator, device=device)
        offset = torch.rand(1, generator=generator, device=device, dtype=torch.float64)
        place = (offset + torch.arange(n, device=device) / n) % 1
        return 1 + (self.T * place).long().clamp(max=self.T - 1)

    def squared_error(self, x_0: Points, t: Steps, eps: Annotated[Points, like("x_0")]) -> Tensor:
        """‖predicted − true‖² of the predicted quantity at x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: shape (B,)."""
        signal, noise = at(self.schedule.signal, t, x_0), at(self.schedule.noise, t, x_0)
        target = {"x_0": x_0, "eps": eps, "v": signal * eps - noise * x_0, "u": eps - x_0}[self.predict]
        return (self._ask(signal * x_0 + noise * eps, t) - target).square().flatten(1).sum(dim=1)

    def bound_term(self, x_0: Points, t: Steps, eps: Annotated[Points, like("x_0")]) -> Tensor:
        """One term of the negative ELBO in nats, at x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: shape (B,).

        For t ≥ 2, KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)); for t = 1, −log p(x_0 | x_1), variance β_1.
        The terms of t = 1…T and `prior_kl` add up to the bound (Luo 2022, eq. 58).
        """
        x_t = at(self.schedule.signal, t, x_0) * x_0 + at(self.schedule.noise, t, x_0) * eps
        error = (x_0 - self.denoise(x_t, t)).square().flatten(1).sum(dim=1)
        weight, constant = at(self.bound_weight, t, x_0), at(self.bound_constant, t, x_0)
        return weight.flatten() * error + constant.flatten()
