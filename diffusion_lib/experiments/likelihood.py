"""Chapter 8's experiments: bounds and ODE likelihoods of the noisy roll, and files of the roll's points.

The noisy roll has noise of the standard deviation DELTA in standard units. A gap is the mean over points of
what a method says −log p is, minus the exact −log p, in nats: more than 0 for a bound; less than 0 where
a method claims more than the truth. Files are in bits a point.
"""

import math
from functools import cache

import torch
from torch import Generator, Tensor

from diffusion_lib.data.planes import swiss_roll
from diffusion_lib.experiments.conditions import roll
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.coding import IndexCoder, UniversalCoder
from diffusion_lib.measure.information import answer, spreads
from diffusion_lib.measure.likelihood import Blurred, importance_bound, ode_log_prob
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process import forward
from diffusion_lib.process.schedules import Schedule, even_log_snr
from diffusion_lib.solvers.ode import log_even
from diffusion_lib.solvers.steps import AtSteps
from diffusion_lib.training import train

DELTA = 0.05
LEAST = 0.01  # σ_1 of the chains
SEEDS = (0, 1, 2)


@cache
def oracle() -> ExactDenoiser:
    """The roll's exact denoiser, in the units of chapter 7, float64."""
    _, points, weights, _ = roll()
    return ExactDenoiser(points.double(), weights.double())


def noisy_roll(n: int, generator: Generator) -> Tensor:
    """n points of the noisy roll, (n, 2)."""
    return roll()[0](swiss_roll(n, generator)) + DELTA * torch.randn(n, 2, generator=generator)


def exact(y: Tensor, more: float = 0.0) -> Tensor:
    """−log p of points of the noisy roll, to which noise of the deviation `more` was added."""
    return -oracle().log_prob(y.double(), math.hypot(DELTA, more))


def chain_of(T: int, reverse_var: str = "beta") -> Diffusion:
    """The chain of the noisy roll's exact denoiser."""
    schedule = even_log_snr(T, sigma_min=LEAST)
    blurred = Blurred(oracle(), DELTA)
    return Diffusion(AtSteps(blurred, schedule), schedule, "x_0", reverse_var=reverse_var)


def bound(model: Diffusion, y: Tensor, generator: Generator) -> Tensor:
    """The negative ELBO by the second form, one path a point: (n,)."""
    with torch.no_grad():
        chain = forward.trajectory(y, model.schedule, generator)
        return model.second_form(chain).sum(dim=0)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def steps_gap(*, T: int, reverse_var: str, seed: int, n: int = 2000) -> dict[str, float]:
    """The gap of the exact denoiser's bound: what so many steps cost."""
    generator = Generator().manual_seed(seed)
    y = noisy_roll(n, generator)
    gap, error = mean_and_error(bound(chain_of(T, reverse_var), y, generator) - exact(y))
    return {"gap": gap, "error": error}


def importance(*, K: int, seed: int, T: int = 25) -> dict[str, float]:
    """The gap of the importance-weighted bound with K paths."""
    generator = Generator().manual_seed(seed)
    y = noisy_roll(min(2000, 25_600 // K), generator)
    gap, error = mean_and_error(importance_bound(chain_of(T), y, K, generator) - exact(y))
    return {"gap": gap, "error": error}


def ode_gap(*, method: str, calls: int, seed: int, n: int = 300) -> dict[str, float]:
    """The gap of the exact denoiser's ODE likelihood with so many calls."""
    y = noisy_roll(n, Generator().manual_seed(seed)).double()
    levels = log_even(calls // (2 if method == "heun" else 1) + 1, 20.0, DELTA)
    gap, error = mean_and_error(-ode_log_prob(oracle(), y, levels, method) - exact(y))
    return {"gap": gap, "error": error}


def mass(*, calls: int, seed: int, step: float = 0.07, side: float = 2.5) -> dict[str, float]:
    """∫ exp(claimed log p) over the plane: Heun's claims on a grid, which the seed shifts."""
    shift = torch.rand(2, generator=Generator().manual_seed(seed), dtype=torch.float64)
    line = torch.arange(-side, side, step, dtype=torch.float64)
    grid_points = torch.cartesian_prod(line, line) + step * shift
    near = grid_points[oracle().log_prob(grid_points, 2 * DELTA) > -20]
    claimed = ode_log_prob(oracle(), near, log_even(calls // 2 + 1, 20.0, DELTA))
    return {"mass": float(claimed.exp().sum()) * step**2}


def trained(seed: int, T: int = 100, steps: int = 2000) -> Diffusion:
    """An ε model of the noisy roll."""
    generator = Generator().manual_seed(seed)
    torch.manual_seed(seed)
    schedule: Schedule = even_log_snr(T, sigma_min=LEAST)
    model = Diffusion(TimeMLP(schedule), schedule, "eps", reverse_var="beta")
    train(model, noisy_roll(50_000, generator), steps=steps, generator=generator)
    return model


def network(*, seed: int, n: int = 2000, K: int = 64) -> dict[str, float]:
    """A trained network beside the exact denoiser, on the same points: bound, K paths, and the ODE."""
    models = {"network": trained(seed), "exact": chain_of(100)}
    found = {}
    for name, model in models.items():
        generator = Generator().manual_seed(100 + seed)
        y = noisy_roll(n, generator)
        few = y[: n // 10]
        found[f"{name}, bound"] = float((bound(model, y, generator) - exact(y)).mean())
        found[f"{name}, {K} paths"] = float((importance_bound(model, few, K, generator) - exact(few)).mean())
        z = few + LEAST * torch.randn(few.shape, generator=generator)
        denoiser = model if name == "network" else Blurred(oracle(), DELTA)
        claimed = ode_log_prob(denoiser, z, log_even(161, 20.0, LEAST))
        found[f"{name}, ODE"] = float((-claimed - exact(z, LEAST)).mean())
    return found


def files(
    *, kind: str, steps: int, correlated: bool, seed: int, n: int = 1000, end: float = 0.005
) -> dict[str, float]:
    """A file of n points of the roll: its bits a point, the ideal's, and what arrives."""
    generator = Generator().manual_seed(seed)
    points = [roll()[0](swiss_roll(n, generator)).double() for _ in range(2)]
    levels = log_even(steps, 0.5 if kind == "universal" else 2.0, end)
    r = spreads(oracle(), points[0], levels, generator)
    coder = {"universal": UniversalCoder, "index": IndexCoder}[kind](
        oracle(), levels, r, seed=seed, correlated=correlated
    )
    file = coder.encode(points[1])
    z = coder.decode(file)
    off = answer(oracle(), z, levels[-1]) - points[1]
    return {
        "file": 8 * len(file) / n,
        "ideal": float(coder.bits(points[1]).sum(dim=0).mean()),
        "same": float(torch.equal(z, coder.sent(points[1]))),
        "rmse": float(off.square().sum(dim=1).mean().sqrt()),
        "residual": float(((z - points[1]) / levels[-1]).std()),
    }


EXPERIMENTS = (
    Experiment(steps_gap, grid(reverse_var=("posterior", "beta"), T=(10, 25, 50, 100, 200), seed=SEEDS)),
    Experiment(importance, grid(K=(1, 4, 16, 64, 256), seed=SEEDS)),
    Experiment(
        ode_gap,
        grid(method=("euler", "heun"), calls=(10, 20, 40, 80, 160), seed=SEEDS),
    ),
    Experiment(mass, grid(calls=(10, 20, 40), seed=SEEDS)),
    Experiment(network, grid(seed=SEEDS)),
    Experiment(
        files,
        grid(kind=("universal",), steps=(4,), correlated=(False, True), seed=SEEDS)
        + grid(kind=("universal",), steps=(2, 8, 16), correlated=(True,), seed=SEEDS)
        + grid(kind=("index",), steps=(8, 16), correlated=(True,), seed=SEEDS, n=(200,)),
    ),
)
