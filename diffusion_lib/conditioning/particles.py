"""Twisted particles: guidance as a proposal, and weights that make up for what it approximates."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from diffusion_lib.conditioning.inpainting import Seen, SeenThrough, log_seen
from diffusion_lib.contracts import Count, Points, checked
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.posterior import posterior
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.solvers.steps import Denoiser, blocks, evaluating


@checked
def twisted(
    denoiser: Denoiser,
    seen: Seen,
    x_T: Points,
    schedule: Schedule,
    particles: Count = 8,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """x_T, …, x_0 (n, *shape), where each `particles` rows are the particles of one chain.

    A particle steps by the model that reconstruction guidance has turned towards the seen part y,
    π(x_{t−1} | x_t), and gets the weight

        ψ(x_{t−1}) p(x_{t−1} | x_t) / (ψ(x_t) π(x_{t−1} | x_t))        ψ(x_t) = N(y; x̂_0(x_t), s_t²)

    with the ψ of `SeenThrough`, which at t = T is all of it. Then the particles of a chain are drawn anew by
    their weights, once these differ so much that half the particles would do, and at t = 1 in any case. So
    at the end all have equal weight. The last step, of variance 0, is the denoiser's answer with y put in.

    Raises:
        ValueError: if the rows of x_T are no multiple of `particles`, and for what else is no good argument.

    Source: Wu et al. 2023, Algorithm 1.
    """
    if len(x_T) % particles:
        raise ValueError(f"x_T has {len(x_T)} rows, particles = {particles}; pass a multiple of it as rows")
    return _states(denoiser, seen, x_T, schedule, particles, generator)


@torch.no_grad()
def _states(
    denoiser: Denoiser, seen: Tensor, x_T: Tensor, schedule: Schedule, K: int, generator: Generator | None
) -> Iterator[Tensor]:
    """The states of `twisted`."""
    twist, x_t = SeenThrough(denoiser, seen), x_T
    yield x_t
    with evaluating(denoiser):
        x_0_hat, log_psi, uphill = _look(twist, x_t, schedule.T, schedule)
        log_w = log_psi
        for t in range(schedule.T, 1, -1):
            x_t, x_0_hat, log_psi, uphill, log_w = _drawn_anew(
                (x_t, x_0_hat, log_psi, uphill), log_w, K, 0.5, generator
            )
            p = posterior(x_t, x_0_hat, t, schedule)
            pi = posterior(x_t, x_0_hat + schedule.sigma[t].to(x_t) ** 2 * uphill, t, schedule)
            x_t = pi.from_noise(standard_normal(x_t.shape, x_t, generator))
            log_w = log_w + p.log_prob(x_t) - pi.log_prob(x_t) - log_psi
            x_0_hat, log_psi, uphill = _look(twist, x_t, t - 1, schedule)
            log_w = log_w + log_psi
            yield x_t
        x_0_hat, _ = _drawn_anew((x_0_hat,), log_w, K, 1.0, generator)
        yield torch.where(seen.isnan(), x_0_hat, seen.to(x_0_hat))


def _look(twist: SeenThrough, x_t: Tensor, t: int, schedule: Schedule) -> tuple[Tensor, Tensor, Tensor]:
    """x̂_0, log ψ and ∇_z log ψ at points x_t (n, *shape), in blocks: one call of the denoiser."""
    z, sigma, looks = x_t / schedule.signal[t].to(x_t), schedule.sigma[t].to(x_t), []
    seen = twist.seen.to(x_t).expand_as(x_t)
    for rows, y in blocks(z, seen):
        with torch.enable_grad():
            rows = rows.detach().requires_grad_()
            x_0_hat = twist.denoiser(rows, sigma)
            log_psi = log_seen(x_0_hat, y, sigma)
            (uphill,) = torch.autograd.grad(log_psi.sum(), rows)
        looks.append((x_0_hat.detach(), log_psi.detach(), uphill))
    return tuple(map(torch.cat, zip(*looks, strict=True)))


def _drawn_anew(
    states: tuple[Tensor, ...], log_w: Tensor, K: int, least: float, generator: Generator | None
) -> tuple[Tensor, ...]:
    """The states (n, …) and log weights (n,) of chains of K rows; a chain whose effective number of
    particles, (Σw)²/Σw², is at most `least` · K draws its rows anew, and then all have the weight 1.
    """
    chains = log_w.reshape(-1, K)
    w = chains.softmax(dim=1)
    poor = 1 / w.square().sum(dim=1) <= least * K * (1 + 1e-6)
    own = torch.arange(K, device=w.device).expand_as(w)
    row = torch.where(poor[:, None], torch.multinomial(w, K, replacement=True, generator=generator), own)
    row = (row + K * torch.arange(len(w), device=w.device)[:, None]).flatten()
    log_w = torch.where(poor[:, None], 0.0, chains).flatten()
    return *(state[row] for state in states), log_w
