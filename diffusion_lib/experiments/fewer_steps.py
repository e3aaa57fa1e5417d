"""Chapter 9: how few calls will do, on the exact denoiser and on trained networks, and what students need.

All samplers go down the same levels, every k-th of 65 from σ = 8 to 0.02, evenly spaced in log σ, and then
to 0. Distances are in noise floors: 1 is what fresh data scores against fresh data.
"""

import copy
import math
from functools import cache
from itertools import combinations
from statistics import fmean

import torch
from scipy.spatial import cKDTree
from torch import Generator, Tensor

from diffusion_lib.data.planes import roll_curve, roll_quadrature, swiss_roll
from diffusion_lib.data.units import Standardiser
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.evaluation import distance_to_curve, sliced_wasserstein
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.distilled import ConsistencyStudent, PairStudent, ProgressiveStudent
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers.ode import dpm_solver_pp_2m, euler, heun, log_even
from diffusion_lib.solvers.steps import Denoiser, ddim, last
from diffusion_lib.training import train

T, SIGMA_MIN, SIGMA_MAX = 65, 0.02, 8.0
LEVELS = even_log_snr(T, SIGMA_MIN, SIGMA_MAX)
CALLS = (5, 9, 17, 33, 65)
SETS = 4  # of real points, against which samples are scored
OFF = 0.1  # standard units from the curve: farther points are off it
ELSEWHERE = 0.5  # standard units from where the exact path ends: a sample that far off is another one
SEEDS = (0, 1, 2)


# --- the roll and its judges --------------------------------------------------------------------------------


@cache
def scale() -> Standardiser:
    """The chapter's units."""
    return Standardiser.fit(swiss_roll(50_000, Generator().manual_seed(5)))


def fresh(n: int, generator: Generator) -> Tensor:
    """n new points of the roll, (n, 2), in standard units."""
    return scale()(swiss_roll(n, generator))


@cache
def exact(panels: int = 32) -> ExactDenoiser:
    """The roll's denoiser, good to σ = 0.02, in float64."""
    nodes, weights, _ = roll_quadrature(panels)
    return ExactDenoiser(scale()(nodes), weights)


@cache
def real(n: int) -> tuple[list[Tensor], float]:
    """Sets of n real points, and what they score against each other: the noise floor."""
    sets = list(fresh(SETS * n, Generator().manual_seed(6)).split(n))
    return sets, fmean(sliced_wasserstein(x, y) for x, y in combinations(sets, 2))


def in_floors(samples: Tensor) -> float:
    """The mean distance to the sets of real points, in noise floors."""
    sets, floor = real(len(samples))
    return fmean(sliced_wasserstein(samples, x) for x in sets) / floor


@cache
def curve() -> Tensor:
    """The roll's curve, in standard units."""
    return scale()(roll_curve()).float()


def off_the_curve(samples: Tensor) -> float:
    """The share of the points that lie farther than OFF from the curve."""
    nearest = cKDTree(curve().numpy()).query(samples.numpy())[0]
    return float((nearest > OFF).mean())


def started(x_T: Tensor) -> Tensor:
    """z at σ_max for x_T ~ N(0, I)."""
    return x_T * math.sqrt(1 + SIGMA_MAX**2)


# --- solvers ------------------------------------------------------------------------------------------------

SOLVERS = {"Euler": euler, "Heun": heun, "DPM++": dpm_solver_pp_2m}


def orders(*, seed: int, n: int = 100) -> dict[str, float]:
    """Distances to the ends of paths of 1,024 steps at σ = 0.02, by solver and calls: medians and means."""
    noise = Generator().manual_seed(seed)
    z = started(torch.randn(n, 2, generator=noise, dtype=torch.float64))
    ends = lambda solver, levels: list(solver(exact(), z, levels))[-2]  # noqa: E731
    path, found = ends(dpm_solver_pp_2m, log_even(1025, SIGMA_MAX, SIGMA_MIN)), {}
    for name, solver in SOLVERS.items():
        for steps in (16, 32, 64, 128):
            levels = log_even((steps // 2 if name == "Heun" else steps) + 1, SIGMA_MAX, SIGMA_MIN)
            away = (ends(solver, levels) - path).norm(dim=1)
            found[f"{name}, {steps}"] = float(away.median())
            found[f"{name}, {steps}, mean"] = float(away.mean())
    return found


def trained(seed: int) -> Diffusion:
    """Chapter 5's model, guessing v at the 65 levels."""
    torch.manual_seed(seed)
    model = Diffusion(TimeMLP(LEVELS), LEVELS, predict="v")
    generator = Generator().manual_seed(seed)
    train(model, fresh(50_000, generator), steps=3000, generator=generator)
    return model


def sampled(denoiser: Denoiser, x_T: Tensor, sampler: str, calls: int, noise: Generator) -> Tensor:
    """Samples by so many calls of the denoiser; with Heun's sampler two to a level, but for the last."""
    levels = calls if sampler != "Heun" else (calls + 1) // 2
    steps = list(range(T, 0, -((T - 1) // (levels - 1))))
    if sampler.startswith("η"):
        return last(ddim(denoiser, x_T, LEVELS, steps, float(sampler.split()[-1]), noise))
    return last(SOLVERS[sampler](denoiser, started(x_T), LEVELS.sigma[steps].tolist()))


def solvers(*, denoiser: str, seed: int, n: int = 4000) -> dict[str, float]:
    """Floors and mean distance to the curve, for each sampler and number of calls; η = 0 is Euler's."""
    ask = exact() if denoiser == "exact" else trained(seed)
    x_T, found = torch.randn(n, 2, generator=Generator().manual_seed(100 + seed)), {}
    for sampler in ("η = 0", "η = 0.5", "η = 1", "Heun", "DPM++"):
        for calls in CALLS:
            noise = Generator().manual_seed(200 + seed)
            samples = sampled(ask, x_T, sampler, calls, noise)
            found[f"{sampler}, {calls}"] = in_floors(samples)
            found[f"{sampler}, {calls}, away"] = distance_to_curve(samples, curve())
    return found


# --- students -----------------------------------------------------------------------------------------------


def flow_map(x_T: Tensor) -> Tensor:
    """Where the exact denoiser's ODE leads from x_T, by 80 steps of Heun's."""
    return last(heun(exact(), started(x_T), log_even(80, SIGMA_MAX, SIGMA_MIN)))


def judged(name: str, ends: Tensor, x_T: Tensor) -> dict[str, float]:
    """Floors, share off the curve, and of the first 1,000 points the distance to the exact map's."""
    miss = (ends[:1000] - flow_map(x_T[:1000])).norm(dim=1)
    numbers = {
        "floors": in_floors(ends),
        "off the curve": off_the_curve(ends),
        "miss": float(miss.median()),
        "elsewhere": float((miss > ELSEWHERE).double().mean()),
    }
    return {f"{name}, {what}": value for what, value in numbers.items()}


def students(*, seed: int, n: int = 10_000, steps: int = 500) -> dict[str, float]:
    """Students of one network, each beside the exact flow map, from the same x_T.

    Progressive: six halvings of 64 steps, `steps` of training each. Of pairs, and consistent: as many in all.
    With several calls a consistency model draws noise on the way, so its samples need not be the map's.
    """
    model, noise = trained(seed), Generator().manual_seed(300 + seed)
    x_0, x_T = fresh(50_000, noise), torch.randn(n, 2, generator=noise)
    found = judged("teacher, 64", last(ddim(model, x_T, LEVELS, range(T, 1, -1))), x_T)
    found |= judged("denoiser, 1", last(ddim(model, x_T, LEVELS, [T])), x_T)

    teacher, path, network = model.denoise, list(range(T, 1, -1)), model.network
    while len(path) > 1:
        student = ProgressiveStudent(copy.deepcopy(network), LEVELS, teacher, path)
        train(student, x_0, steps=steps, learning_rate=5e-3, generator=noise)
        teacher, path, network = student.answer, student.steps, student.network
        found |= judged(f"progressive, {len(path)}", student.ends(x_T), x_T)

    eps = torch.randn(20_000, 2, generator=noise)
    pupil = PairStudent(copy.deepcopy(model.network), LEVELS)
    joined = last(ddim(model, eps, LEVELS, range(T, 1, -1)))
    train(pupil, joined, steps=6 * steps, learning_rate=5e-3, generator=noise, noise=eps)
    found |= judged("pairs, 1", pupil.ends(x_T), x_T)

    student = ConsistencyStudent(copy.deepcopy(model.network), LEVELS, model.denoise, [T])
    train(student, x_0, steps=6 * steps, learning_rate=5e-3, generator=noise)
    for path in ([T], [T, 40], [T, 48, 32, 16]):
        student.steps = path
        found |= judged(f"consistency, {len(path)}", student.ends(x_T, noise), x_T)
    return found


EXPERIMENTS = (
    Experiment(orders, grid(seed=SEEDS)),
    Experiment(solvers, grid(denoiser=("exact", "network"), seed=SEEDS)),
    Experiment(students, grid(seed=SEEDS)),
)
