"""Guided denoisers: wrappers around denoisers, which are denoisers again."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import (
    Count,
    Labels,
    PlanePoints,
    Points,
    Positive,
    Sigma,
    a_function,
    at_least,
    checked,
)
from diffusion_lib.contracts.labels import labels_of_points_to_come
from diffusion_lib.models.networks import Waves, mlp
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.solvers.steps import Denoiser


def _told(value, name, given):
    """Labels that say something: 1…n_labels, not 0."""
    y, most = torch.as_tensor(value), given["self"].n_labels
    if int(y.min()) < 1 or int(y.max()) > most:
        found = f"{name} runs from {int(y.min())} to {int(y.max())}"
        raise ValueError(f"{found}; pass labels in 1…{most}: a classifier has no label 0")


Told = Annotated[int | Tensor, labels_of_points_to_come, _told]
LogProb = Annotated[Callable[[Tensor, Tensor], Tensor], a_function("classifier.given(y)")]


@checked
class Guided(nn.Module):
    """x̂_0 = null(z, σ) + w (conditional(z, σ) − null(z, σ)): classifier-free guidance, as a denoiser.

    The weights of the two answers add up to 1, so the formula is the same for ε̂, the score and v. w = 0 asks
    for nothing, w = 1 is the conditional denoiser, w > 1 goes beyond it. Ho & Salimans' w is ours minus 1. An
    answer without weight isn't asked for: with w = 0 and w = 1 a call costs half.

    Args:
        conditional: a denoiser that knows the label, such as `model.given(y)`.
        null: one that doesn't.
        w: the scale, any real number.

    Raises:
        ValueError: for what can't be called, and for w that is no finite number; in `forward` for points that
            are not finite rows, and for σ that is not positive.

    Source: Ho & Salimans 2022, eq. 6.
    """

    def __init__(self, conditional: Denoiser, null: Denoiser, w: float):
        super().__init__()
        self.conditional, self.null, self.w = conditional, null, w
        self.shape = getattr(null, "shape", ())  # of one point

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """x̂_0 for points z = x_0 + σε (B, *shape), σ one number or (B,): (B, *shape)."""
        if self.w in (0, 1):
            return (self.conditional if self.w else self.null)(z, sigma)
        plain = self.null(z, sigma)
        return plain + self.w * (self.conditional(z, sigma) - plain)


@checked
class ClassifierGuided(nn.Module):
    """x̂_0 = denoiser(z, σ) + w σ² ∇_z log p(y | z, σ): classifier guidance, as a denoiser.

    With w = 1 and an exact log p(y | z, σ), up to a constant, it is E[x_0 | z, y]. `log_prob` must be that of
    *noisy* points: of z, at this σ.

    Args:
        denoiser: one that doesn't know the wish.
        log_prob: (z, σ) → log p(y | z, σ), (B,), which PyTorch can differentiate by z.
        w: the scale, any real number.

    Raises:
        ValueError: as `Guided`.

    Source: Dhariwal & Nichol 2021, section 4; there for ε̂ and x_t, with √(1 − ᾱ_t) for σ².
    """

    def __init__(self, denoiser: Denoiser, log_prob: LogProb, w: float = 1.0):
        super().__init__()
        self.denoiser, self.log_prob, self.w = denoiser, log_prob, w
        self.shape = getattr(denoiser, "shape", ())  # of one point

    def forward(self, z: Points, sigma: Sigma) -> Tensor:
        """x̂_0 for points z = x_0 + σε (B, *shape), σ one number or (B,): (B, *shape)."""
        var = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).square()
        var = var.reshape(-1, *[1] * (z.ndim - 1))
        uphill = slope(lambda x: self.log_prob(x, sigma), z)
        return self.denoiser(z, sigma) + self.w * var * uphill


def slope(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """∇_z of a function (B, *shape) → (B,), whose rows know nothing of each other: (B, *shape).

    Within `torch.no_grad`, too; where z itself is to be differentiated by, one can go on through the result.
    """
    further = torch.is_grad_enabled() and z.requires_grad
    with torch.enable_grad():
        z = z if further else z.detach().requires_grad_()
        return torch.autograd.grad(function(z).sum(), z, create_graph=further)[0]


@checked
class NoisyClassifier(nn.Module):
    """log p(y | z, σ) for labels y = 1…n_labels of noisy points z = x_0 + σε of the plane, by a perceptron.

    It sees z/√(1 + σ²), the `Waves` of it, and eight waves of log σ. Its `loss` is the cross-entropy at noise
    levels even in log σ from `sigma_min` to `sigma_max`: train it by `training.train(…, labels=y)`.

    Raises:
        ValueError: for fewer than two labels, and levels that don't rise; in the methods for points that are
            not finite rows (n, 2), labels outside 1…n_labels, and σ that is not positive.
    """

    def __init__(
        self,
        n_labels: Annotated[int, at_least(2)],
        width: Count = 64,
        sigma_min: Positive = 0.005,
        sigma_max: Positive = 20.0,
    ):
        super().__init__()
        if not sigma_min < sigma_max:
            raise ValueError(f"sigma_min = {sigma_min}, sigma_max = {sigma_max}; take sigma_min < sigma_max")
        self.n_labels, self.range = n_labels, (sigma_min, sigma_max)
        self.waves = Waves()
        self.body = mlp(self.waves.n_features + 8, n_labels, width)

    def forward(self, z: PlanePoints, sigma: Sigma) -> Tensor:
        """log p(y | z, σ) for all labels, (B, n_labels): column y − 1 for label y."""
        sigma = torch.as_tensor(sigma, dtype=z.dtype, device=z.device).expand(len(z))[:, None]
        phase = sigma.log() * sigma.new_tensor([0.25, 0.5, 1.0, 2.0])  # (B, 4)
        seen = self.waves(z / (1 + sigma.square()).sqrt())
        return self.body(torch.cat([seen, phase.sin(), phase.cos()], dim=1)).log_softmax(dim=1)

    def given(self, y: Told) -> Callable[[Tensor, Tensor], Tensor]:
        """The function (z, σ) → log p(y | z, σ), (B,), of a label, or of one for each row."""
        return lambda z, sigma: self._of(z, sigma, y)

    def loss(
        self,
        x_0: PlanePoints,
        generator: Generator | None = None,
        labels: Annotated[Labels, _told] = 1,
    ) -> Tensor:
        """The mean of −log p(y | z, σ) in nats on points x_0 (B, 2) with labels (B,); a scalar."""
        low, high = (torch.tensor(level, dtype=x_0.dtype).log() for level in self.range)
        share = torch.rand(len(x_0), generator=generator, dtype=x_0.dtype, device=x_0.device)
        sigma = (low + (high - low) * share).exp()
        z = x_0 + sigma[:, None] * standard_normal(x_0.shape, x_0, generator)
        return -self._of(z, sigma, labels).mean()

    def _of(self, z: Tensor, sigma: float | Tensor, y: int | Tensor) -> Tensor:
        """log p(y | z, σ) of a label, or of one for each row: (B,)."""
        y = torch.as_tensor(y, device=z.device).long().expand(len(z))
        return self(z, sigma).gather(1, y[:, None] - 1).squeeze(1)
