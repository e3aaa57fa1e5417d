"""Models as files: their weights with the settings to build them again, and nothing that could be run.

The format is safetensors: numbers and a few words. A file that a stranger made can be opened without risk.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffusion_lib.contracts import FilePath, a, a_file, checked
from diffusion_lib.models.conditional import ConditionalDiffusion, TextDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.latent import PictureVAE
from diffusion_lib.models.networks import LabelledMLP, TimeMLP
from diffusion_lib.models.palette import PaletteDiffusion, PaletteMLP
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.text import TextMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import Schedule

MODELS = {kind.__name__: kind for kind in (Diffusion, ConditionalDiffusion, TextDiffusion, PaletteDiffusion)}
NETWORKS = {kind.__name__: kind for kind in (UNet, PictureMLP, PaletteMLP, TextMLP, TimeMLP, LabelledMLP)}
KEY = "diffusion_lib"  # under which a file has its settings
SCHEDULE = "_extra_state"  # α_0…α_T in a model's state_dict

Kept = Annotated[nn.Module, a(nn.Module, "a Diffusion")]


@checked
def save(model: Kept, path: FilePath, half: bool = False) -> None:
    """Write a model's weights, its schedule and its settings to a file, such as "digits.safetensors".

    With a network of the library's, `load` builds all of it again. With one of the reader's own, the file has
    its weights, and `load` needs a model to put them into. With `half` each weight takes two bytes, float16,
    and `load` makes float32 of them again: three digits are kept.

    Raises:
        ValueError: for a model that is none of `Diffusion`, `ConditionalDiffusion`, `TextDiffusion` and
            `PictureVAE`.
    """
    _known(model)
    weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    if half:
        weights = {name: value if name == SCHEDULE else value.half() for name, value in weights.items()}
    if isinstance(model, PictureVAE):
        settings = {"model": ["PictureVAE", model.settings], "network": None}
    else:
        settings = {"model": [type(model).__name__, _settings(model)], "network": _network(model.network)}
    save_file(weights, path, {KEY: json.dumps(settings)})


def _known(model: nn.Module) -> None:
    """Raise `ValueError` for a model of another kind than is kept in files."""
    if type(model) not in (PictureVAE, *MODELS.values()):
        raise ValueError(f"model is a {type(model).__name__}; pass a {' or a '.join(MODELS)}")


def _settings(model: Diffusion) -> dict[str, Any]:
    """The keyword arguments that made a model, but its network and schedule."""
    told = isinstance(model, ConditionalDiffusion | TextDiffusion)
    own = {name: getattr(model, name) for name in (["dropout"] if told else ["weighting", "stratified"])}
    return {"predict": model.predict, "reverse_var": model.variance, "shape": list(model.shape), **own}


def _network(network: nn.Module) -> list[Any]:
    """Which network it is, and the keyword arguments that made it but the schedule: none if not of ours."""
    known = type(network) in NETWORKS.values()
    return [type(network).__name__, network.settings if known else None]


@checked
def load(path: Annotated[str | Path, a_file], model: Kept | None = None) -> Diffusion | PictureVAE:
    """The model that `save` wrote: built anew, or `model`, whose weights become those of the file.

    Raises:
        ValueError: if the file is not one that `save` wrote, or needs a newer library; if it is of a network
            of the reader's own, and no `model` is passed; if `model` has other settings or another schedule
            than the file's, or weights of other names or shapes. Then `model` is as it was.
    """
    settings, weights = _read(path)
    if model is not None:
        _known(model)
    if settings.get("model", [""])[0] == "PictureVAE":
        return _autoencoder(settings["model"][1], weights, Path(path).name, model)
    try:
        (kind, own), (network, of_network) = settings["model"], settings["network"]
        built = MODELS[kind] if model is None else None
    except (KeyError, TypeError, ValueError) as error:
        found = f"path: {Path(path).name} is of no model known here ({error})"
        raise ValueError(f"{found}; take a newer library") from error
    if model is None:
        if network not in NETWORKS or of_network is None:
            raise ValueError(
                f"path: {Path(path).name} has weights of a {network}, which is not the library's; "
                "pass a model with such a network as well, load(path, model)"
            )
        schedule = Schedule(weights[SCHEDULE])
        model = built(NETWORKS[network](schedule, **of_network), schedule, **own)
        kept = next(value.dtype for name, value in weights.items() if name != SCHEDULE)
        model.to(torch.promote_types(kept, torch.float32))
    else:
        _same(own, _settings(model), "")
        if of_network is not None and type(model.network).__name__ == network:
            _same(of_network, model.network.settings, "network.")
    _fit(weights, model.state_dict(), Path(path).name)
    model.set_extra_state(weights[SCHEDULE])  # refuses another schedule, before any weight is changed
    model.load_state_dict(weights)
    return model


def _autoencoder(own: dict[str, Any], weights: dict[str, Tensor], file: str, model: Any) -> PictureVAE:
    """The autoencoder of a file."""
    if model is not None and not isinstance(model, PictureVAE):
        raise ValueError(f"model is a {type(model).__name__} and {file} has a PictureVAE; pass no model")
    model = model or PictureVAE(**own)
    _same(own, model.settings, "")
    _fit(weights, model.state_dict(), file)
    model.load_state_dict(weights)
    return model


def _read(path: FilePath) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A file's settings and its weights."""
    try:
        with safe_open(path, "pt") as file:
            settings = json.loads((file.metadata() or {})[KEY])
            return settings, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"path: {Path(path).name} is no checkpoint of this library ({error}); pass a file that save wrote"
        ) from error


def _same(found: Mapping[str, Any], own: Mapping[str, Any], of: str) -> None:
    """Raise `ValueError` at the first setting in which a file and a model differ."""
    for name in own:
        if found.get(name) != own[name]:
            raise ValueError(
                f"model has {of}{name} = {own[name]!r} and the file {found.get(name)!r}; build the model "
                "with the file's, or leave it out: load(path)"
            )


def _fit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], file: str) -> None:
    """Raise `ValueError` unless a file has weights of a model's names and shapes; the schedule may differ."""
    for name in sorted(weights.keys() ^ own.keys()):
        where, there = ("the model", "the file") if name in own else ("the file", "the model")
        raise ValueError(f"path: {where} has {name} and {there} has not; pass the file of such a model")
    for name, value in weights.items():
        if name != SCHEDULE and value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)} in {file} and {tuple(own[name].shape)} in the model"
            raise ValueError(f"path: {name} has shape {shapes}; build the model with the file's sizes")
