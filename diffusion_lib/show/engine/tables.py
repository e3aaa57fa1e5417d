"""A model as tables of numbers: what the engine that trains in the browser needs to know of it.

The engine trains a `TimeMLP`, or a `LabelledMLP`, on inputs x_t = signal_t x_0 + noise_t ε to say
target_x_0_t x_0 + target_eps_t ε, and samples by steps x ← x_scale x + output_scale · output + noise_scale ε.
`tables.js` has the same formulas.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from diffusion_lib.contracts import between, checked, descending
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.models.networks import LabelledMLP, TimeMLP
from diffusion_lib.process.posterior import posterior_weights

Table = dict[str, Any]  # lists of numbers by name, as JSON has them


def _linear_layers(network: TimeMLP) -> list[nn.Linear]:
    return [layer for layer in network.body if isinstance(layer, nn.Linear)]


@checked
def network_table(network: TimeMLP) -> Table:
    """The sizes of a network, its waves, 2 lists, and its level features, T + 1 lists.

    That of a `LabelledMLP` has the features of its labels, too, n_labels + 1 lists.
    """
    layers = _linear_layers(network)
    table = {
        "width": layers[0].out_features,
        "hidden": len(layers) - 1,
        "waves": network.waves.waves.tolist(),
        "level": network.level.tolist(),
    }
    if isinstance(network, LabelledMLP):
        table["classes"] = network.classes.tolist()
    return table


@checked
def weights_of(network: TimeMLP) -> list[list[float]]:
    """A network's weights and biases in the order of its parameters, each flat."""
    return [parameter.detach().flatten().tolist() for parameter in network.parameters()]


@checked
def process_table(model: Diffusion) -> Table:
    """What a model's network learns: T + 1 numbers each, 0…T.

    `weight` is that of |output − target|² in the loss. With weighting "bound" it makes the loss the negative
    ELBO but for the terms that no training changes.
    """
    signal, noise = model.schedule.signal, model.schedule.noise
    zero, one = torch.zeros_like(signal), torch.ones_like(signal)
    targets = {"x_0": (one, zero), "eps": (zero, one), "v": (-noise, signal), "u": (-one, one)}
    of_x_0, of_eps = targets[model.predict]
    weight = one
    if isinstance(model, Flow):  # its network sees the points of the straight path
        noise = model.schedule.straight_time
        signal = 1 - noise
    if model.weighting == "bound":
        weight = model.T * model.bound_weight * _estimate(model)[1] ** 2
    weight = torch.cat([zero[:1], weight[1:]])  # there is no step 0
    names = ("signal", "noise", "target_x_0", "target_eps", "weight")
    return dict(zip(names, (x.tolist() for x in (signal, noise, of_x_0, of_eps, weight)), strict=True))


def _estimate(model: Diffusion) -> tuple[Tensor, Tensor]:
    """The weights of x_t and of the network's output in x̂_0, over t = 0…T."""
    signal, noise = model.schedule.signal, model.schedule.noise
    return {
        "x_0": (torch.zeros_like(signal), torch.ones_like(signal)),
        "eps": (1 / signal, -noise / signal),
        "v": (signal, -noise),
        "u": (1 / (signal + noise), -noise / (signal + noise)),
    }[model.predict]


@checked
def ancestral_table(model: Diffusion) -> Table:
    """Ancestral sampling: an entry for each of the steps T…1."""
    x_t, x_0 = posterior_weights(model.schedule)
    std = model.reverse_var.sqrt()
    steps = list(range(model.T, 0, -1))
    return _sampler(model, steps, lambda t, _: (x_t[t], x_0[t], std[t]))


@checked
def langevin_table(model: NCSN) -> Table:
    """Annealed Langevin: an entry for each of the `steps` at the levels T…1, then the last answer x̂_0.

    As x_t = √ᾱ_t z, a step z ← z − (rσ_t/2) ε̂ + √r σ_t ξ is one of x_t with √(1 − ᾱ_t) for σ_t. The last one
    at a level brings x_t to the next level's units.
    """
    signal, noise, r = model.schedule.signal, model.schedule.noise, model.r
    rows = []
    for t in range(model.T, 0, -1):
        step = (1.0, float(-r / 2 * noise[t]), float(math.sqrt(r) * noise[t]))
        rows += [(t, *step)] * (model.steps - 1)
        onward = float(signal[t - 1] / signal[t]) if t > 1 else 1.0
        rows.append((t, *(onward * scale for scale in step)))
    rows.append((1, float(1 / signal[1]), float(-noise[1] / signal[1]), 0.0))
    return _columns(rows)


@checked
def euler_table(model: Flow) -> Table:
    """Euler's steps x ← x + (t′ − t) u of a flow, from x = ε: an entry for each of its `calls`."""
    times = model.schedule.straight_time.tolist()
    return _columns([(i, 1.0, times[lower] - times[i], 0.0) for i, lower in pairwise(model.steps)])


@checked
def ddim_table(
    model: Diffusion,
    steps: Annotated[Sequence[int], descending] | None = None,
    eta: Annotated[float, between(-1e-9, 1 + 1e-9, "a number from 0 to 1")] = 0.0,
) -> Table:
    """DDIM on falling steps, by default T…1 (Song et al. 2021, eqs 12 and 16); see `solvers.steps.ddim`."""

    def step(t: int, s: int) -> tuple[Tensor, Tensor, Tensor]:
        schedule = model.schedule
        kept = schedule.alpha_bar
        var = eta**2 * (1 - kept[s]) / (1 - kept[t]) * (1 - kept[t] / kept[s])
        x_t = (1 - kept[s] - var).sqrt() / schedule.noise[t]
        return x_t, schedule.signal[s] - x_t * schedule.signal[t], var.sqrt()

    return _sampler(model, list(steps or range(model.T, 0, -1)), step)


def _sampler(model: Diffusion, steps: list[int], step: Callable[[int, int], tuple]) -> Table:
    """A sampler from what a step from t to s does: the weights of x_t and x̂_0, and the noise's deviation."""
    x_weight, output_weight = _estimate(model)
    rows = []
    for t, s in zip(steps, [*steps[1:], 0], strict=True):
        x_t, x_0, std = step(t, s)
        rows.append((t, float(x_t + x_0 * x_weight[t]), float(x_0 * output_weight[t]), float(std)))
    return _columns(rows)


def _columns(rows: list[tuple[int, float, float, float]]) -> Table:
    """A sampler from its steps, of which each has t and three scales."""
    names = ("t", "x_scale", "output_scale", "noise_scale")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
