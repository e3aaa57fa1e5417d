"""Every public function of the library, and good and bad arguments for it.

What an argument may be follows from its name, which means the same everywhere.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from support import seeded

import diffusion_lib
from diffusion_lib import data
from diffusion_lib.data import faces
from diffusion_lib.measure import evaluation
from diffusion_lib.models import hvae, networks, vae
from diffusion_lib.models.conditional import ConditionalDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.models.reverse import FirstFormChain, SecondFormChain
from diffusion_lib.process import schedules
from diffusion_lib.process.gaussians import Gaussian

# Left out: the contracts themselves (tests/contracts), those of positions among them.
FILES = pkgutil.walk_packages(diffusion_lib.__path__, "diffusion_lib.")
NAMES = {file.name.removeprefix("diffusion_lib.") for file in FILES}
MODULES = {name for name in NAMES if not name.startswith("contracts") and not name.endswith("positions")}
# What checks nothing, and why.
TRUSTED = {
    "experiments": "run by make results and by chapters, with cases of their own",
    "data.faces.face_layer": "called by draw_faces and nearest_face, with what they have",
    "data.images.Digits": "a record that digits fills in",
    "data.images.folder": "reads files: data/test_images.py",
    "measure.evaluation.Figure": "a record that the library fills in",
    "training.TrainingRun": "a record that the library fills in",
    "process.gaussians.standard_normal": "gets a shape and a tensor that the library has",
    "models.checkpoints": "read and write files: models/test_checkpoints.py",
    "many.kept": "read and write files: many/test_kept.py",
    "many.loop": "trains, and writes files: many/test_loop.py",
    "many.launch": "starts processes: many/test_launch.py",
    "many.__main__": "a script: many/test_launch.py",
    "many.recipes": "made by name, or by a reader as in chapter 12: many/test_recipes.py",
    "many.costs.RowCosts": "a record that row_costs fills in",
    "many.costs.row_costs": "gets a network and its shape: many/test_costs.py",
    "many.costs.StepTime": "fitted to what was measured: many/test_costs.py",
    "training.Average": "gets the parameters and the decay that train has",
    "training.adamw": "gets the parameters and the rate that train has",
    "models.chain.ReverseChain.reverse": "is what a subclass says",
    "models.unet.ResidualBlock": "a part of UNet, which holds what it gets",
    "models.unet.Attention": "a part of UNet, which holds what it gets",
    "models.unet.from_zero": "called by networks, with what they made",
    "models.networks.level_waves": "called by networks, with a schedule they have checked",
    "models.picture_mlp.DenseBlock": "a part of PictureMLP, which holds what it gets",
    "models.text.WordBlock": "a part of TextEncoder, which holds what it gets",
    "models.text.CrossAttention": "a part of TextMLP, which holds what it gets",
    "models.text.attend": "called by parts of networks, with what they have",
    "models.latent.PlainBlock": "a part of PictureVAE, which holds what it gets",
    "models.latent.Place": "a part of PictureVAE, which holds what it gets",
    "data.captions.words_of": "called by tokens and wishes, with what they have",
    "measure.judge.face_judge": "takes nothing",
    "draw.sheet": "called by the command line, with what it has drawn",
    "draw.main": "a script: test_draw.py",
    "models.chain.CarriesSchedule": "PyTorch calls its methods",
    "measure.information.answer": "called by coders and rates, with what they have",
    "measure.information.as_many": "called by coders and rates, with what they have",
    "measure.information.step_from": "called by coders and rates, with what they have",
    "measure.files.Hop": "a record that a coder fills in",
    "measure.files.crc": "called by coders, with what they have",
    "measure.files.entropy_coder": "takes nothing",
    "solvers.steps.blocks": "called by samplers, with what they have",
    "solvers.steps.in_blocks": "called by samplers, with what they have",
    "solvers.steps.rows_in_hand": "takes nothing",
    "solvers.steps.drawn_back": "called by samplers, with what they have",
    "solvers.steps.evaluating": "takes anything, and sets the mode of modules",
    "conditioning.guidance.slope": "called by guided denoisers, with what they have",
    "conditioning.inpainting.log_seen": "called by SeenThrough and by particles, with what they have",
    "models.distilled.straight_on": "called by students, with what they have",
    "models.distilled.aim": "called by students, with what they have",
    "models.distilled.ConsistencyStudent.follow": "takes nothing",
    "solvers.steps.last": "takes what a sampler gives",
    "show.engine.page.script": "takes nothing",
    "show.engine.settings": "get what train_live has checked",
    "show.widgets.frames.Layer": "a record that points, arrows, ellipses, curve and labels fill in",
    "show.widgets.live_run.LiveRun": "a record that train_live fills in",
    "show.widgets.live.TabTrainer": "a Stepper that train_live makes",
    "show.widgets.camera.Camera": "made by train_live, with what it has checked",
    "show.widgets.picture_camera": "made by train_live, with what it has checked",
    "show.widgets.live.script": "takes nothing",
    "show.widgets.stepper.quantise": "gets what points, arrows, … and Panel have checked",
    "show.widgets.stepper.dequantise": "gets what quantise gave",
}


def public() -> Iterator[tuple[str, Callable]]:
    """Each public function, class, method and property of the modules, by its name in the library."""
    for module in sorted(MODULES):
        for name, thing in vars(importlib.import_module(f"diffusion_lib.{module}")).items():
            home = getattr(thing, "__module__", "")
            if name.startswith("_") or home != f"diffusion_lib.{module}":
                continue
            yield f"{module}.{name}", thing
            for method, value in vars(thing).items() if inspect.isclass(thing) else ():
                kinds = property | classmethod | type(public)
                if isinstance(value, kinds) and (not method.startswith("_") or method == "__call__"):
                    bound = isinstance(value, classmethod)
                    yield f"{module}.{name}.{method}", getattr(thing, method) if bound else value


@dataclass(frozen=True)
class Setting:
    """The sizes, the type and the seed that the good arguments of one case share."""

    n: int
    T: int
    dtype: torch.dtype
    seed: int

    @property
    def schedule(self) -> schedules.Schedule:
        return schedules.cosine(self.T)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=seeded(self.seed), dtype=self.dtype)

    def gaussian(self) -> Gaussian:
        return Gaussian(self.normal(self.n, 2), self.normal(self.n, 1).exp())

    def model(self, make: Callable, *args: Any, **settings: Any) -> torch.nn.Module:
        torch.manual_seed(self.seed)
        return make(*args, **settings).to(self.dtype)

    def diffusion(self) -> Diffusion:
        weighting = ("simple", "bound")[self.seed % 2]
        return Diffusion(self.network(), self.schedule, weighting=weighting)

    def network(self) -> torch.nn.Module:
        return self.model(networks.TimeMLP, self.schedule, width=3, n_directions=2)

    def labelled(self) -> torch.nn.Module:
        return self.model(networks.LabelledMLP, self.schedule, 3, width=3, n_directions=2)

    def conditional(self) -> ConditionalDiffusion:
        return ConditionalDiffusion(self.labelled(), self.schedule)

    def heads(self) -> torch.nn.Module:
        return self.model(networks.HeadPerStep, self.schedule, width=3)

    def first(self) -> FirstFormChain:
        return FirstFormChain(self.network(), self.schedule)

    def second(self) -> SecondFormChain:
        return SecondFormChain(self.heads(), self.schedule)

    def any_chain(self) -> torch.nn.Module:
        return (self.first, self.second, self.diffusion)[self.seed % 3]()

    def vae(self) -> vae.VAE:
        fixed = (None, 0.1)[self.seed % 2]
        return self.model(vae.VAE, latent=1 + self.seed % 2, width=3, decoder_std=fixed)

    def hvae(self) -> hvae.HVAE:
        frozen = self.schedule if self.seed % 2 else None
        return self.model(hvae.HVAE, self.T, width=3, schedule=frozen)

    def any_model(self) -> torch.nn.Module:
        return (self.any_chain, self.vae, self.hvae)[self.seed % 5 % 3]()


SETTINGS = st.builds(
    Setting,
    n=st.sampled_from([1, 2, 3, 7]),
    T=st.sampled_from([1, 2, 5]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 999),
)


# --- arguments: for each name, the good and the bad ones ----------------------------------------------------

Values = tuple[list[Any], list[Any]]


def tensors(*shape: int) -> Callable[[Setting], Values]:
    """Floating-point tensors of this shape, in which -1 stands for n and None for T + 1."""

    def values(s: Setting) -> Values:
        x = s.normal(*({-1: s.n, None: s.T + 1}.get(size, size) for size in shape))
        spread_out = x.repeat_interleave(2, dim=0)[::2]
        good = [x, spread_out, x.mT.contiguous().mT if x.ndim > 1 else x, x.clone().requires_grad_()]
        other = torch.float64 if s.dtype == torch.float32 else torch.float32
        bad = [x * torch.nan, x / 0, x.long(), x > 0, x.tolist(), x.numpy(), x.to(other)]
        return good, [*bad, x[:0], torch.cat([x, x]), x[..., :1], x[None], x.sum(), None, "x", 3]

    return values


def steps(s: Setting) -> Values:
    one, each = torch.tensor(s.T), torch.randint(1, s.T + 1, (s.n,), generator=seeded(s.seed))
    bad = [0, s.T + 1, -1, 1.0, torch.nan, True, None, "1", one.float(), one > 0, each[:0]]
    bad += [torch.ones(s.n + 2).long(), each[:, None], each * 0, each.tolist(), each.numpy(), each.byte()]
    return [1, s.T, np.int64(s.T), one, each, each.int()], bad


def labels(s: Setting) -> Values:
    each = torch.randint(4, (s.n,), generator=seeded(s.seed))
    bad = [-1, 4, 1.0, torch.nan, True, None, "1", each.float(), each > 0, each[:0], each[:, None], each + 4]
    return [0, 3, np.int64(2), torch.tensor(1), each, each.int()], [*bad, torch.ones(s.n + 2).long()]


def levels(s: Setting) -> Values:
    each = s.normal(s.n).abs() + 0.1
    bad = [0, -1.0, torch.nan, torch.inf, None, "1", True, 1j, each[:, None], torch.ones(s.n + 2), -each]
    return [1, 0.5, each, torch.tensor(2.0)], bad


def seen_part(s: Setting) -> Values:
    """A point, or one for each row, with NaN where it is not seen."""
    one, each = s.normal(2), s.normal(s.n, 2)
    one[1], each[:, 0] = torch.nan, torch.nan
    bad = [one * torch.nan, one / 0, one.tolist(), one.numpy(), torch.ones(2).long(), None, "x", 3]
    return [one, each, s.normal(2)], [*bad, s.normal(s.n, 3), s.normal(s.n + 1, 2), s.normal(1).sum()]


def oracle(s: Setting) -> Callable:
    return ExactDenoiser(s.normal(4, 2), chunk=2)


def chances(n: int) -> Callable[[Setting], Values]:
    """Weights of n points, or of those of a case."""

    def values(s: Setting) -> Values:
        w = s.normal(n if n > 0 else s.n).abs()
        bad = [-w, w * 0, w * torch.nan, w[:, None], w.tolist(), w.long(), 3, "x", torch.cat([w, w])]
        return [None, w, w.double()], bad

    return values


def one_step(s: Setting) -> Values:
    good, bad = steps(s)
    return good[:4], bad


def count(good: int, *more: int) -> Callable[[Setting], Values]:
    bad = [0, -1, 2.5, True, None, "3", torch.nan, [1], torch.tensor([1, 2])]
    return lambda s: ([good, *more], bad)


def number(*good: float | None) -> Callable[[Setting], Values]:
    bad = [0, -1.0, torch.nan, torch.inf, -torch.inf, "0.1", None, [0.1], torch.ones(2), 1j]
    return lambda s: (list(good), bad)


def choice(*good: str) -> Callable[[Setting], Values]:
    return lambda s: (list(good), ["noise", "", None, 3, ["eps"], np.ones(2), torch.ones(2)])


def things(good: Callable[[Setting], Any]) -> Callable[[Setting], Values]:
    """What is neither number nor tensor."""
    return lambda s: ([good(s)], [None, 3, "x", [], torch.ones(2), s.network()])


def generators(s: Setting) -> Values:
    return [None, seeded(s.seed)], [0, 7, "0", np.random.default_rng(0), torch.ones(1), True]


def schedule(s: Setting) -> Values:
    return [s.schedule], [s.T, None, "linear", s.schedule.alpha, schedules.cosine]


def sampler(s: Setting) -> Values:
    good = [lambda n, generator: torch.randn(n, 2, generator=generator), data.moons]
    wrong = [lambda n, generator: None, lambda n, generator: torch.full((n, 2), torch.nan)]
    return good, [*wrong, lambda n, generator: torch.zeros(n, 3), None, 3, "moons"]


def shares(first: list[float]) -> Callable[[Setting], Values]:
    """α_0…α_T, or β_1…β_T without the first."""
    good = torch.tensor([*first, 0.9, 0.5])
    bad = [good * torch.nan, good * 2, -good, good[:0], good[None], None, "x", 3, ["x"]]
    return lambda s: ([good, good.tolist(), good.numpy(), good.clone().requires_grad_()], bad)


def states(s: Setting) -> Values:
    good = [s.normal(s.n, 2) for _ in range(s.T + 1)]
    wrong = [
        good[:-1],
        [*good[:-1], good[-1] * torch.nan],
        [*good[:-1], good[-1][:0]],
        [x.long() for x in good],
    ]
    return [good, tuple(good)], [*wrong, [*good[:-1], torch.cat([good[-1]] * 2)], None, 3, [3] * (s.T + 1)]


def variances(s: Setting) -> Values:
    good, bad = tensors(-1, 1)(s)
    return [x.detach().exp() for x in good], [good[0], -good[0], *bad]


def face_rows(s: Setting) -> Values:
    """The parts of faces."""
    good = faces.face_parts(s.n, seeded(s.seed))
    bad = [good.float(), good[:, :3], good[0], good + 100, -good - 1, good[:0], good.tolist(), None, "x", 3]
    return [good, good.clone()], bad


POINTS = tensors(-1, 2)
ARGUMENTS = dict.fromkeys(
    ("x", "y", "x_0", "x_0_hat", "x_t", "x_prev", "eps", "value", "start", "end"), POINTS
)
ARGUMENTS |= dict.fromkeys(("z_prev", "z_t", "z", "x_T", "points", "mean"), POINTS)
ARGUMENTS |= {
    "t": steps, "generator": generators, "schedule": schedule, "chain": tensors(None, -1, 2), "n": count(5),
    "T": count(3, 30), "n_in": count(2), "n_out": count(3), "width": count(4), "hidden": count(1, 3),
    "n_directions": count(1, 4), "chunk": count(2), "sets": count(1), "digits": count(3),
    "n_neighbors": count(2), "panels": count(1),
    "labels": labels, "n_labels": count(3), "dropout": number(0, 0.1),
    "latent": count(1, 2), "steps": count(1, 2), "batch_size": count(1, 9), "var": variances,
    "sigma": levels, "shape": lambda s: ([(2,), [2]], [(), (0,), 2, None, "x", (2.5,)]), "dim": count(2),
    "event_dims": count(1), "eta": number(0, 0.5, 1), "denoiser": things(oracle),
    "reverse": things(lambda s: s.diffusion().reverse), "score": things(lambda s: torch.sin),
    "h": number(0.1), "r": number(0.3), "corrector_steps": lambda s: ([0, 2], [-1, 2.5, None, "1"]),
    "sigmas": lambda s: ([(2.0, 0.5), [1]], [(), (1.0, 1.0), (1.0, 2.0), (1.0, -1.0), None, 3, "x", [None]]),
    "final_denoising": lambda s: ([True, False], []),
    "step": lambda s: ([0, 1], [2.5, "1", None]),
    "kind": choice("x_0", "eps", "score", "v", "u"), "predict": choice("x_0", "eps", "v", "u"),
    "role": choice("data"),
    "weighting": choice("simple", "bound"), "reverse_var": choice("posterior", "beta"),
    "weights": chances(-1), "w": number(-1.0, 0, 1, 2.5), "seen": seen_part, "step_size": number(0.1, 1),
    "repeats": count(1, 2), "particles": count(1), "conditional": things(oracle), "null": things(oracle),
    "std": number(0.5), "beta_1": number(None, 0.01), "beta_T": number(None, 0.02), "s": number(0, 0.01),
    "beta_max": number(0.9), "sigma_min": number(0.01),
    "rho": number(7.0, 1.0), "sigma_max": number(10), "limit": number(2, 2.5),
    "decoder_std": number(None, 0.1), "least_std": number(0.02), "learning_rate": number(1e-3, 1, 1e30),
    "frequencies": lambda s: ([(1.5, 3.5), [2]], [(), None, 3, "x", [torch.nan], [None], torch.ones(2)]),
    "alpha": shares([1.0]), "beta": shares([]), "values": tensors(None), "curve": tensors(9, 2),
    "sample": sampler, "fresh": sampler, "ax": things(lambda s: plt.gca()),
    "stratified": lambda s: ([True, False], []), "ema": number(None, 0, 0.9),
    "delta": number(0.1), "order": count(2), "paths": count(1, 2), "oracle": things(oracle),
    "method": choice("heun", "euler"), "divergence": choice("exact", "hutchinson"),
    "seed": lambda s: ([0, 7], [-1, 2.5, None, "1"]), "correlated": lambda s: ([True, False], []),
    "candidates": count(3), "zipf": number(1.5, 2),
    "skip": lambda s: ([True, False], []),
    "parts": face_rows, "highest": count(16), "levels": tensors(-1, 2),
    "size": count(4, 16), "reduce": count(4),
    "face": things(lambda s: faces.describe_faces(face_rows(s)[0][0])[0]), "drop": number(0, 0.2),
    "figures": things(lambda s: {"a": evaluation.Figure(2.0, 1.0)}), "other": things(Setting.gaussian),
    "model": things(Setting.any_model), "on_step": lambda s: ([None, lambda run: None], [3, "x", []]),
    "network": things(Setting.network), "label": lambda s: (["", "x"], []),
    "example": lambda s: ([0, 9], [-1, 2.5, None, "1"]), "purpose": lambda s: ([0, 3], [-1, 2.5, None, "1"]),
    "examples": lambda s: ([[0, 2], range(3), (5,)], [[], [-1], 3, None, "x", [0.5]]),
    "rank": lambda s: ([0], [-1, 2.5, None, "1", 5]), "processes": count(1), "n_bytes": number(8.0),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """What a function gives, from its arguments, and for a method, what it is a method of.

    A tuple is the shape of a tensor; after `Gaussian`, that of a Gaussian; all else is a type. `passes` says
    that NaN and infinities go through, as they do where a check would slow down every step of training.
    """

    gives: Callable[[Any], Any]
    of: Callable[[Setting], Any] | None = None
    arguments: dict[str, Callable[[Setting], Values]] = field(default_factory=dict)
    passes: bool = False


def is_a(kind: type) -> Callable[[Any], type]:
    return lambda a: kind
