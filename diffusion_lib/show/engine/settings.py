"""A whole training as the engine's settings: what a page needs to let its reader train a model."""

from typing import Any

from torch import Tensor, nn

from diffusion_lib.data.units import Standardiser
from diffusion_lib.models.conditional import ConditionalDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.models.networks import LabelledMLP, TimeMLP
from diffusion_lib.show.engine.tables import (
    ancestral_table,
    euler_table,
    langevin_table,
    network_table,
    process_table,
)

KINDS = {  # of models, the network of each, and the table of its sampler
    Diffusion: (TimeMLP, ancestral_table),
    ConditionalDiffusion: (LabelledMLP, ancestral_table),
    NCSN: (TimeMLP, langevin_table),
    Flow: (TimeMLP, euler_table),
}
MOST_POINTS = 4096  # of the data that travels with a page
# As in engine.js.
LIMITS = {"width": 128, "hidden": 4, "features": 128, "waves": 48, "T": 1000, "rows": 16384}


def fits(model: nn.Module, batch_size: int) -> bool:
    """Whether the engine can train the model on such batches: a kind that it knows, within limits.

    That is a `Diffusion`, an `NCSN` or a `Flow` with a `TimeMLP`, or a `ConditionalDiffusion` with a
    `LabelledMLP`, whose training draws its steps one by one. A subclass may compute something else, of which
    the engine knows nothing.
    """
    if type(model) not in KINDS or type(model.network) is not KINDS[type(model)][0] or model.stratified:
        return False
    table = network_table(model.network)
    sizes = {
        "width": table["width"],
        "hidden": table["hidden"],
        "features": model.network.body[0].in_features,
        "waves": len(table["waves"][0]),
        "T": model.T,
        "rows": batch_size,
    }
    return table["width"] % 4 == 0 and all(size <= LIMITS[name] for name, size in sizes.items())


def training_settings(
    model: Diffusion,
    x_0: Tensor,
    training: dict[str, Any],
    pictures: dict[str, Any],
    roll: Standardiser | None = None,
    labels: Tensor | None = None,
    noise: Tensor | None = None,
) -> dict[str, Any]:
    """The settings of `session.js`, with numbers as JSON has them.

    `training` has steps, batch_size and learning_rate; `pictures` the steps `at` which to sample, how many
    `points`, and their seed. With `roll`, the standard units of the Swiss roll, each batch is a fresh one;
    else batches are drawn from the first `MOST_POINTS` points of x_0, (n, 2), with their `labels` or `noise`.
    """
    data = {"x_0": x_0[:MOST_POINTS].flatten().tolist()}
    if labels is not None:
        data |= {"labels": labels[:MOST_POINTS].tolist(), "dropout": model.dropout}
    elif noise is not None:
        data |= {"eps": noise[:MOST_POINTS].flatten().tolist()}
    elif roll is not None:
        data = {"roll": {"mean": roll.mean.tolist(), "std": roll.std}}
    settings = {
        "network": network_table(model.network),
        "process": process_table(model),
        "data": data,
        "training": training,
        "sampler": KINDS[type(model)][1](model),
        "pictures": pictures,
    }
    return _short(settings)


def _short(value: Any) -> Any:
    """The value with its numbers in as many digits as float32 has: the engine computes in that."""
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_short(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value
