"""The diffusion model: x_0, ε and v parameterisations of one class, its losses and its sampler."""

import math

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.checks import (
    a_weight,
    check_callable,
    check_choice,
    check_generator,
    check_points,
    check_same_shape,
)
from diffusion_lib.models.chain import ReverseChain
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.posterior import solve_for_x_0
from diffusion_lib.process.schedules import Schedule, at, check_points_at


class Diffusion(ReverseChain):
    """A reverse chain each of whose steps is the forward posterior at a predicted x_0.

    Args:
        network: maps points x_t (B, 2) and steps t, (B,) or (), to the predicted quantity (B, 2).
        schedule: the forward process.
        predict: what the network's output means: "x_0", "eps" or "v" (defined in `posterior.py`).
        weighting: of the training loss. "simple": the squared error of the predicted quantity, weighted alike
            for every t (Ho et al. 2020, eq. 14). "bound": an unbiased estimate of the negative ELBO, in nats.
        reverse_var: the variance of p(x_{t−1} | x_t). "posterior": β̃_t, that of q(x_{t−1} | x_t, x_0).
            "beta": β_t. The one is right for data that is a single point, the other for data that is N(0, I)
            (Ho et al. 2020, section 3.2). With either, sampling adds no noise at t = 1.

    Raises:
        ValueError: for an unknown `predict`, `weighting` or `reverse_var`; in the methods for t not in 1…T,
            points that are not finite or not (B, 2), and counts below 1.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        predict: str = "eps",
        weighting: str = "simple",
        reverse_var: str = "posterior",
    ):
        check_callable(network, "network", "TimeMLP(schedule)")
        super().__init__(network, schedule)
        check_choice(predict, "predict", ("x_0", "eps", "v"))
        check_choice(weighting, "weighting", ("simple", "bound"))
        check_choice(reverse_var, "reverse_var", ("posterior", "beta"))
        self.predict, self.weighting = predict, weighting

        # Arrays over t = 0…T, so that entry t belongs to step t.
        self.signal = schedule.alpha_bar.sqrt()  # √ᾱ_t
        self.noise = (1 - schedule.alpha_bar).sqrt()  # √(1 − ᾱ_t), a standard deviation
        self.reverse_var = self.posterior_var.clone()  # 0 at t = 1: the last step adds no noise
        if reverse_var == "beta":
            self.reverse_var[2:] = schedule.beta[2:]
        self.bound_weight, self.bound_constant = self._bound()

    def _bound(self) -> tuple[Tensor, Tensor]:
        """Weight w_t and constant c_t of the bound's terms w_t ‖x_0 − x̂_0‖² + c_t, of shape (T + 1,)."""
        var = self.reverse_var + self.added_var
        ratio = self.posterior_var[2:] / var[2:]
        weight, constant = torch.zeros_like(var), torch.zeros_like(var)
        weight[1:] = self.x_0_weight[1:] ** 2 / (2 * var[1:])
        constant[1] = torch.log(2 * math.pi * var[1])  # of −log N in two dimensions
        constant[2:] = ratio - 1 - ratio.log()  # of the KL between two Gaussians in two dimensions
        return weight, constant

    # --- one step ------------------------------------------------------------------------------------------

    def denoise(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """x̂_0(x_t, t), the network's estimate of E[x_0 | x_t], for points (B, 2) and steps () or (B,)."""
        check_points_at(x_t, "x_t", t, self.schedule, a_weight(self))
        return self._denoise(x_t, t)

    def _denoise(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        output = self.network(x_t, torch.as_tensor(t))
        self._check_output(output, x_t)
        return solve_for_x_0(output, x_t, at(self.signal, t, x_t), at(self.noise, t, x_t), self.predict)

    def _reverse(self, x_t: Tensor, t: int | Tensor) -> Gaussian:
        """The posterior q(x_{t−1} | x_t, x_0) with x̂_0(x_t, t) in the place of x_0."""
        mean = at(self.x_t_weight, t, x_t) * x_t + at(self.x_0_weight, t, x_t) * self._denoise(x_t, t)
        return Gaussian(mean, at(self.reverse_var, t, x_t))

    # --- training ------------------------------------------------------------------------------------------

    def loss(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The training loss on points x_0 (B, 2), with one random t in 1…T for each; a scalar."""
        check_points(x_0, "x_0", a_weight(self))
        check_generator(generator)
        t = torch.randint(1, self.T + 1, (len(x_0),), generator=generator)
        eps = torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype)
        if self.weighting == "simple":
            return self._squared_error(x_0, t, eps).mean()
        return (self.T * self._bound_term(x_0, t, eps) + self._prior_kl(x_0)).mean()

    def squared_error(self, x_0: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        """‖predicted − true‖² of the predicted quantity at x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: shape (B,)."""
        self._check(x_0, t, eps)
        return self._squared_error(x_0, t, eps)

    def _squared_error(self, x_0: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        signal, noise = at(self.signal, t, x_0), at(self.noise, t, x_0)
        target = {"x_0": x_0, "eps": eps, "v": signal * eps - noise * x_0}[self.predict]
        answer = self.network(signal * x_0 + noise * eps, torch.as_tensor(t))
        self._check_output(answer, x_0)
        return (answer - target).square().sum(dim=1)

    def bound_term(self, x_0: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        """One term of the negative ELBO in nats, at x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε: shape (B,).

        For t ≥ 2, KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)); for t = 1, −log p(x_0 | x_1), variance β_1.
        The terms of t = 1…T and `prior_kl` add up to the bound (Luo 2022, eq. 58).
        """
        self._check(x_0, t, eps)
        return self._bound_term(x_0, t, eps)

    def _bound_term(self, x_0: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        x_t = at(self.signal, t, x_0) * x_0 + at(self.noise, t, x_0) * eps
        error = (x_0 - self._denoise(x_t, t)).square().sum(dim=1)
        weight, constant = at(self.bound_weight, t, x_0), at(self.bound_constant, t, x_0)
        return weight[:, 0] * error + constant[:, 0]

    def _check(self, x_0: Tensor, t: int | Tensor, eps: Tensor) -> None:
        check_points_at(x_0, "x_0", t, self.schedule, a_weight(self))
        check_points(eps, "eps")
        check_same_shape(x_0, eps, "x_0 and eps")
