"""Chapter 7's experiments: guidance, tilted steps, inpainting, with the exact denoiser and with a network.

Distances are sliced Wasserstein distances of samples to as many points of the law that is asked for, in noise
floors: 1 is what such points score among each other. Of inpainting, the weights of the crossings are kept.
"""

import math
from collections.abc import Iterator
from functools import cache, partial
from statistics import fmean

import torch
from torch import Generator, Tensor

from diffusion_lib.conditioning.guidance import ClassifierGuided, Guided
from diffusion_lib.conditioning.inpainting import dps, reconstruction, repaint
from diffusion_lib.conditioning.particles import twisted
from diffusion_lib.conditioning.tilting import TiltedSteps, tilt_powers
from diffusion_lib.data.planes import labelled_swiss_roll, roll_quadrature, swiss_roll
from diffusion_lib.data.units import Standardiser
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.evaluation import sliced_wasserstein
from diffusion_lib.models.conditional import ConditionalDiffusion
from diffusion_lib.models.networks import LabelledMLP
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule, even_log_snr
from diffusion_lib.solvers.steps import Denoiser, PosteriorSteps, ancestral, ddim, last
from diffusion_lib.training import train

SETS = 4  # of data, against which each draw of samples is scored
SOFTNESS = 4.0  # of the soft labels, in squared radians
SEEDS = (0, 1, 2)


@cache
def roll(panels: int = 32) -> tuple[Standardiser, Tensor, Tensor, Tensor]:
    """The chapter's units, and in these the roll's quadrature: points (n, 2), weights and arms (n,)."""
    scale = Standardiser.fit(swiss_roll(50_000, Generator().manual_seed(5)))
    nodes, weights, arm = roll_quadrature(panels)
    return scale, scale(nodes.float()), weights.float(), arm


def p_label(points: Tensor, arm: Tensor, y: int, labels: str) -> Tensor:
    """p(y | x_0) at points of the roll: 0 or 1 for hard labels; soft ones depend on the angle θ alone."""
    if labels == "hard":
        return (arm == y).to(points)
    angle = 10 * roll()[0].undo(points).norm(dim=1)[:, None]  # the roll's radius is θ/10
    middle = math.pi * torch.tensor([2.0, 3.0, 4.0])
    return (-(angle - middle).square() / SOFTNESS).softmax(dim=1)[:, y - 1]


def drawn(points: Tensor, weights: Tensor, n: int, generator: Generator) -> Tensor:
    """n of the points, by their weights."""
    return points[torch.multinomial(weights, n, replacement=True, generator=generator)]


def in_floors(samples: Tensor, truth: list[Tensor]) -> float:
    """The mean distance of the samples to half of the sets of true points, in that of both halves."""
    half = len(truth) // 2
    floor = fmean(map(sliced_wasserstein, truth[:half], truth[half:]))
    return fmean(sliced_wasserstein(samples, x) for x in truth[:half]) / floor


def truths(weights: Tensor, n: int, generator: Generator) -> list[Tensor]:
    """2 · SETS draws of n points of the roll, each in proportion to these weights of 400 panels' nodes."""
    return [drawn(roll(400)[1], weights, n, generator) for _ in range(2 * SETS)]


def sampled(denoiser: Denoiser, n: int, sampler: str, generator: Generator, T: int = 100) -> Tensor:
    """n samples by 100 ancestral steps, or as many deterministic ones."""
    schedule = even_log_snr(T)
    x_T = torch.randn(n, 2, generator=generator)
    if sampler == "ddim":
        return last(ddim(denoiser, x_T, schedule))
    return last(ancestral(PosteriorSteps(denoiser, schedule), x_T, T, generator))


def guidance(
    *, labels: str, w: float, sampler: str, seed: int, n: int = 3000, y: int = 2
) -> dict[str, float]:
    """Exact guidance towards label y, against p(x) p(y | x)^w: and what the exact denoiser of that scores."""
    generator = Generator().manual_seed(seed)
    _, points, weights, arm = roll()
    likely, fine = p_label(points, arm, y, labels), roll(400)
    some = likely > 0
    truth = truths(fine[2] * p_label(fine[1], fine[3], y, labels) ** w, n, generator)
    null = ExactDenoiser(points, weights)
    asked = ExactDenoiser(points[some], (weights * likely)[some])
    tilted = ExactDenoiser(points[some], (weights * likely**w)[some])
    return {
        "guided": in_floors(sampled(Guided(asked, null, w), n, sampler, generator), truth),
        "tilted": in_floors(sampled(tilted, n, sampler, generator), truth),
    }


CENTRE, WIDTH = (1.0, 0.0), 0.7  # of r, which `tilting` asks for, in standard units


def tilting(*, kind: str, seed: int, n: int = 3000) -> dict[str, float]:
    """p(x) r(x) for a Gaussian r by tilted steps, with powers of r of this kind, the exact h, or none."""
    generator = Generator().manual_seed(seed)
    _, points, weights, _ = roll()
    r = Gaussian(torch.tensor(CENTRE), torch.tensor([WIDTH**2]))
    truth = truths(roll(400)[2] * r.log_prob(roll(400)[1]).exp(), n, generator)
    schedule, oracle = even_log_snr(100), ExactDenoiser(points, weights)
    steps = PosteriorSteps(oracle, schedule)
    if kind == "exact h":
        wish = ExactDenoiser(points, weights * r.log_prob(points).exp())
        log_h = lambda z, sigma: wish.log_prob(z, sigma) - oracle.log_prob(z, sigma)  # noqa: E731
        steps = PosteriorSteps(ClassifierGuided(oracle, log_h), schedule)
    elif kind != "nothing":
        steps = TiltedSteps(steps, r, tilt_powers(schedule, kind))
    x_T = torch.randn(n, 2, generator=generator)
    return {"floors": in_floors(last(ancestral(steps, x_T, schedule.T, generator)), truth)}


@cache
def crossings(x_1: float) -> tuple[Tensor, Tensor]:
    """Where the roll has this first coordinate, (k, 2), and the weights 1/|dx_1/dθ| of these points, (k,)."""
    angle = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 200_001, dtype=torch.float64)
    curve = roll()[0](torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1) / 10)
    away = curve[:, 0] - x_1
    before = torch.nonzero(away[:-1] * away[1:] < 0).flatten()
    weights = 1 / (away[before + 1] - away[before]).abs()
    return curve[before].float(), (weights / weights.sum()).float()


def by_crossing(samples: Tensor, x_1: float) -> dict[str, float]:
    """The samples' shares by nearest crossing, and their mean distance to it."""
    places, _ = crossings(x_1)
    away = torch.cdist(samples, places)
    share = torch.bincount(away.argmin(dim=1), minlength=len(places)) / len(samples)
    shares = {f"crossing {i + 1}": float(p) for i, p in enumerate(share)}
    return shares | {"away": float(away.min(dim=1).values.mean())}


def reconstructed(
    denoiser: Denoiser, seen: Tensor, x_T: Tensor, schedule: Schedule, generator: Generator
) -> Iterator[Tensor]:
    """Ancestral sampling with reconstruction guidance."""
    return ancestral(PosteriorSteps(reconstruction(denoiser, seen), schedule), x_T, schedule.T, generator)


METHODS = {
    "replacement": repaint,
    "RePaint, 5": partial(repaint, repeats=5),
    "RePaint, 20": partial(repaint, repeats=20),
    "reconstruction": reconstructed,
    "DPS, 0.1": partial(dps, step_size=0.1),
    "DPS, 0.3": partial(dps, step_size=0.3),
    "DPS, 1": partial(dps, step_size=1.0),
}


def inpainting(*, method: str, x_1: float, seed: int, n: int = 1000, T: int = 100) -> dict[str, float]:
    """One coordinate seen, the exact denoiser: which share of n samples comes to which crossing."""
    generator = Generator().manual_seed(seed)
    oracle, seen = ExactDenoiser(*roll()[1:3]), torch.tensor([x_1, torch.nan])
    x_T = torch.randn(n, 2, generator=generator)
    states = METHODS[method](oracle, seen, x_T, even_log_snr(T), generator=generator)
    return by_crossing(last(states), x_1)


def particles(*, T: int, K: int, seed: int, n: int = 1000, x_1: float = 0.0) -> dict[str, float]:
    """The same by n chains of K twisted particles, T steps; the first particle of each chain is its draw."""
    generator = Generator().manual_seed(seed)
    oracle, seen = ExactDenoiser(*roll()[1:3]), torch.tensor([x_1, torch.nan])
    x_T = torch.randn(n * K, 2, generator=generator)
    return by_crossing(last(twisted(oracle, seen, x_T, even_log_snr(T), K, generator))[::K], x_1)


def the_chain(*, T: int, seed: int, n: int = 60_000, width: float = 0.02) -> dict[str, float]:
    """What a chain of T steps makes of x_1 = 0 without being asked: those of n samples that come so near."""
    samples = sampled(ExactDenoiser(*roll()[1:3]), n, "ancestral", Generator().manual_seed(seed), T)
    near = samples[samples[:, 0].abs() < width]
    return by_crossing(near, 0.0) | {"samples": float(len(near))}


def trained(*, seed: int, n: int = 10_000, y: int = 2, draws: int = 4) -> dict[str, float]:
    """One network for all labels and none, its guided samples: floors from p(x | y), distance to the roll.

    Beside them those of the exact denoisers. Steps back have the variance β_t, with which 100 of them are at
    the floor, given the exact denoiser. Of the network, means of so many draws of n samples.
    """
    generator = Generator().manual_seed(seed)
    x_0, labels = labelled_swiss_roll(50_000, generator)
    torch.manual_seed(seed)
    schedule = even_log_snr(100)
    model = ConditionalDiffusion(LabelledMLP(schedule, 3), schedule, predict="eps")
    train(model, roll()[0](x_0), steps=4000, generator=generator, labels=labels)
    truth, found = truths(roll(400)[2] * (roll(400)[3] == y), n, generator), {}
    _, points, weights, arm = roll()
    asked, null = ExactDenoiser(points[arm == y], weights[arm == y]), ExactDenoiser(points, weights)
    for w in (1.0, 2.0, 4.0, 8.0):
        guides = {"": Guided(model.given(y), model, w), ", exact": Guided(asked, null, w)}
        for kind, guided in guides.items():
            x_T = torch.randn((1 if kind else draws) * n, 2, generator=generator)
            steps = PosteriorSteps(guided, schedule, "beta")
            samples = last(ancestral(steps, x_T, schedule.T, generator))
            found[f"w = {w:g}{kind}"] = fmean(in_floors(x, truth) for x in samples.split(n))
            found[f"w = {w:g}{kind}, off the curve"] = off_the_curve(samples[:n])
    return found


def off_the_curve(samples: Tensor) -> float:
    """The mean distance of points to the nearest of 19,200 points of the roll."""
    return fmean(
        float(torch.cdist(rows, roll(400)[1]).min(dim=1).values.mean()) for rows in samples.split(500)
    )


EXPERIMENTS = (
    Experiment(
        guidance,
        grid(labels=("hard",), w=(0.5, 1.0, 2.0, 4.0), sampler=("ancestral",), seed=SEEDS)
        + grid(labels=("soft",), w=(2.0,), sampler=("ancestral", "ddim"), seed=SEEDS),
    ),
    Experiment(tilting, grid(kind=("nothing", "every step", "annealed", "alpha_bar", "exact h"), seed=SEEDS)),
    Experiment(inpainting, grid(method=tuple(METHODS), x_1=(0.0,), seed=SEEDS)),
    Experiment(
        particles,
        [
            {"T": T, "K": K, "seed": seed}
            for T, K in ((25, 1), (25, 8), (25, 32), (50, 8), (150, 8))
            for seed in SEEDS
        ],
    ),
    Experiment(the_chain, grid(T=(25,), seed=SEEDS)),
    Experiment(trained, grid(seed=SEEDS)),
)
