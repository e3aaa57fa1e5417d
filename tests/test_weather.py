"""Bad weather: whatever a public function is given, it works, or it says what is wrong and what to do.

Each case takes good arguments and, more often than not, puts a bad one in the place of one of them. With good
arguments the function must work. With a bad one it works, or raises a `ValueError` or `TypeError` that names
the argument and has a fix.
"""

import inspect
import re
from types import SimpleNamespace

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from weather import (
    ARGUMENTS,
    SETTINGS,
    TRUSTED,
    Call,
    Setting,
    is_a,
    one_step,
    public,
    states,
    steps,
    tensors,
)
from weather_widgets import WIDGETS

from diffusion_lib import data
from diffusion_lib.models import hvae, networks
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.gaussians import Gaussian
from diffusion_lib.process.schedules import Schedule
from diffusion_lib.training import TrainingRun

CASES = 24  # for each function
PHASES = (Phase.generate, Phase.shrink)
FIX = re.compile(r"[;:,] .*\b(pass|take|choose|remove|reshape|give|make|build|must|needs?)\b", re.DOTALL)


def fitted(s):
    return data.Standardiser(s.normal(2), 0.5)


def oracle(s):
    return ExactDenoiser(s.normal(4, 2), s.schedule, chunk=2)


def noise(s):
    return tensors(-1, s.vae().latent)(s)


def heads(s):
    good, bad = [s.heads()], [s.network(), None, 3, "x", networks.HeadPerStep(Schedule.from_beta([0.1] * 9))]
    return good, bad


def few(s):
    """Numbers for what needs 21 points or steps, or nearly as many."""
    return [21, 22], [0, -1, 5, 18, 2.5, None, "30"]


def level(s):
    return s.model(hvae.GaussianMLP, 2, 3, width=4)


def scalar(a):
    return ()


def drawn(a):
    return (a.n, 2)


def a_path(a):
    return (a.s.T + 1, a.n, 2)


def rows(name, *more):
    return lambda a: (*getattr(a, name).shape[:-1], *more)


def gaussians(name, columns=2):
    return lambda a: (Gaussian, *getattr(a, name).shape[:-1], columns)


def column(a):
    t = torch.as_tensor(a.t)
    return (*t.shape, *[1] * (a.x.ndim - t.ndim))


def over_t(a):
    return (a.s.T + 1,)


def terms(a):
    return (a.s.T + 1, a.s.n)


CHAIN = {"of": Setting.any_chain}
VAE, HVAE = {"of": Setting.vae}, {"of": Setting.hvae}
CALLS = {
    "chain.ReverseChain": Call(is_a(nn.Module), arguments={"network": lambda s: ([s.network(), None], [])}),
    "chain.ReverseChain.T": Call(is_a(int), **CHAIN),
    "chain.ReverseChain.reverse": Call(gaussians("x_t"), **CHAIN),
    "chain.ReverseChain.first_form": Call(terms, **CHAIN),
    "chain.ReverseChain.second_form": Call(terms, **CHAIN),
    "chain.ReverseChain.prior_kl": Call(rows("x_0"), **CHAIN),
    "chain.ReverseChain.trajectory": Call(a_path, **CHAIN),
    "chain.ReverseChain.sample": Call(drawn, **CHAIN),
    **{f"data.{name}": Call(lambda a: (a.n, 2)) for name in data.DATASETS},
    "data.roll_curve": Call(drawn),
    "data.Standardiser": Call(is_a(data.Standardiser), arguments={"mean": tensors(2)}),
    "data.Standardiser.fit": Call(is_a(data.Standardiser), arguments={"x": tensors(5, 2)}),
    "data.Standardiser.__call__": Call(rows("x", 2), fitted, passes=True),
    "data.Standardiser.undo": Call(rows("x", 2), fitted, passes=True),
    "diffusion.Diffusion": Call(is_a(Diffusion)),
    "diffusion.Diffusion.denoise": Call(rows("x_t", 2), Setting.diffusion),
    "diffusion.Diffusion.loss": Call(scalar, Setting.diffusion),
    "diffusion.Diffusion.squared_error": Call(rows("x_0"), Setting.diffusion),
    "diffusion.Diffusion.bound_term": Call(rows("x_0"), Setting.diffusion),
    "evaluation.sliced_wasserstein": Call(is_a(float)),
    "evaluation.energy_distance": Call(is_a(float)),
    "evaluation.classifier_accuracy": Call(is_a(float), arguments={"x": tensors(9, 2), "y": tensors(8, 2)}),
    "evaluation.distance_to_curve": Call(is_a(float)),
    "evaluation.fresh_sets": Call(is_a(list)),
    "evaluation.evaluate": Call(is_a(dict), arguments={"n": few}),
    "evaluation.table": Call(is_a(str)),
    "forward.step": Call(gaussians("x_prev")),
    "forward.marginal": Call(gaussians("x_0")),
    "forward.diffuse": Call(rows("x_0", 2)),
    "forward.trajectory": Call(lambda a: (a.schedule.T + 1, len(a.x_0), 2)),
    "forward.log_prob": Call(terms),
    "gaussians.Gaussian": Call(lambda a: (Gaussian, *a.mean.shape), passes=True),
    "gaussians.Gaussian.log_prob": Call(rows("x"), Setting.gaussian, passes=True),
    "gaussians.Gaussian.sample": Call(lambda a: (a.s.n, 2), Setting.gaussian),
    "gaussians.Gaussian.kl": Call(lambda a: (a.s.n,), Setting.gaussian),
    "gaussians.Gaussian.product": Call(lambda a: (Gaussian, a.s.n, 2), Setting.gaussian),
    "hvae.GaussianMLP": Call(is_a(nn.Module)),
    "hvae.GaussianMLP.forward": Call(gaussians("x", 3), level, passes=True),
    "hvae.HVAE": Call(is_a(nn.Module), arguments={"T": lambda s: ([s.T], [0, 9, -1, 2.5, None, "3"]),
                                                 "latent": lambda s: ([2], [0, 3, None, 2.5, "2"])}),
    "hvae.HVAE.encode": Call(gaussians("z_prev"), arguments={"t": one_step}, **HVAE),
    "hvae.HVAE.decode": Call(gaussians("z_t"), arguments={"t": one_step}, **HVAE),
    "hvae.HVAE.prior": Call(lambda a: (Gaussian, a.n, 2), **HVAE),
    "hvae.HVAE.infer": Call(is_a(list), **HVAE),
    "hvae.HVAE.terms": Call(terms, arguments={"chain": states}, **HVAE),
    "hvae.HVAE.loss": Call(scalar, **HVAE),
    "hvae.HVAE.states": Call(is_a(list), **HVAE),
    "hvae.HVAE.trajectory": Call(a_path, **HVAE),
    "hvae.HVAE.sample": Call(drawn, **HVAE),
    "networks.mlp": Call(is_a(nn.Module)),
    "networks.Waves": Call(is_a(nn.Module)),
    "networks.Waves.forward": Call(rows("x", 6), lambda s: s.model(networks.Waves, 1), passes=True),
    "networks.TimeMLP": Call(is_a(nn.Module)),
    "networks.TimeMLP.forward": Call(rows("x_t", 2), Setting.network, passes=True),
    "networks.HeadPerStep": Call(is_a(nn.Module)),
    "networks.HeadPerStep.forward": Call(rows("x_t", 4), Setting.heads, passes=True),
    "oracle.ExactDenoiser": Call(is_a(nn.Module)),
    "oracle.ExactDenoiser.forward": Call(rows("x_t", 2), oracle),
    "plots.use_book_style": Call(is_a(type(None))),
    "plots.cloud": Call(is_a(type(None))),
    "plots.arrows": Call(is_a(type(None))),
    "plots.per_step": Call(is_a(type(None)), passes=True),
    "posterior.posterior_var": Call(over_t),
    "posterior.posterior_weights": Call(is_a(tuple)),
    "posterior.posterior": Call(gaussians("x_t")),
    "posterior.to_x_0": Call(rows("x_t", 2)),
    "posterior.from_x_0": Call(rows("x_t", 2)),
    "reverse.FirstFormChain": Call(is_a(nn.Module)),
    "reverse.FirstFormChain.loss": Call(scalar, Setting.first),
    "reverse.SecondFormChain": Call(is_a(nn.Module), arguments={"network": heads}),
    "reverse.SecondFormChain.loss": Call(scalar, Setting.second),
    "schedules.Schedule": Call(is_a(Schedule)),
    "schedules.Schedule.from_beta": Call(is_a(Schedule)),
    "schedules.Schedule.T": Call(is_a(int), lambda s: s.schedule),
    "schedules.Schedule.beta": Call(over_t, lambda s: s.schedule),
    "schedules.Schedule.snr": Call(over_t, lambda s: s.schedule, passes=True),  # infinite at t = 0
    "schedules.at": Call(column, arguments={"t": lambda s: (steps(s)[0], steps(s)[1][:-1])}, passes=True),
    "schedules.linear": Call(is_a(Schedule), arguments={"T": few}),
    "schedules.cosine": Call(is_a(Schedule)),
    "schedules.sigmoid": Call(is_a(Schedule)),
    "schedules.even_log_snr": Call(is_a(Schedule)),
    "training.train": Call(is_a(TrainingRun)),
    "training.warm_up_and_cosine": Call(is_a(float)),
    "vae.VAE": Call(is_a(nn.Module)),
    "vae.VAE.prior": Call(lambda a: (Gaussian, a.n, a.on.latent), **VAE),
    "vae.VAE.encode": Call(lambda a: (Gaussian, len(a.x), a.on.latent), **VAE),
    "vae.VAE.decode": Call(lambda a: (Gaussian, *a.z.shape[:-1], 2), arguments={"z": noise}, **VAE),
    "vae.VAE.elbo_terms": Call(is_a(tuple), arguments={"eps": noise}, **VAE),
    "vae.VAE.loss": Call(scalar, **VAE),
    "vae.VAE.trajectory": Call(lambda a: (2, a.n, 2), **VAE),
    "vae.VAE.sample": Call(drawn, **VAE),
    **WIDGETS,
}  # fmt: skip


def test_every_public_function_is_called():
    names = {name for name, _ in public()}
    trusted = {name for name in names if any(name.startswith(record) for record in TRUSTED)}
    assert names - trusted == set(CALLS)
    assert len(CALLS) * CASES >= 2000


@pytest.mark.filterwarnings("ignore:Training ended early")
@pytest.mark.parametrize(("name", "function"), [call for call in public() if call[0] in CALLS])
def test_it_works_or_says_what_is_wrong(name, function):
    cases, call = [], CALLS[name]

    @settings(max_examples=CASES, derandomize=True, deadline=None, database=None, phases=PHASES)
    @given(s=SETTINGS, choices=st.data())
    def case(s, choices):
        cases.append(s)
        on = call.of(s) if call.of else None
        given, bad = arguments(function, call, s, choices)
        error, result = outcome(function, on, given)
        if error is None:
            assert not surely_wrong(name, bad, given.get(bad), s), f"{bad} = {given[bad]!r} is let in"
            wanted = call.gives(SimpleNamespace(**{"s": s, "on": on} | given))
            assert_gives(result, wanted, None if call.passes else type_of(name, given, s))
        else:
            assert bad, f"good arguments are refused: {error!r}"
            assert re.search(rf"(?<!\w){bad}(?!\w)", str(error)), f"{bad} is not named: {error!r}"
            assert FIX.search(str(error)), f"no fix: {error!r}"

    case()
    assert len(cases) >= CASES


def outcome(function, on, given):
    """The error that tells what is wrong, or None, and the result. Other errors are not caught."""
    try:
        if isinstance(function, property):
            return None, function.fget(on)
        return None, (function if on is None else function.__get__(on))(**given)
    except (ValueError, TypeError) as error:
        return error, None


def arguments(function, call, s, choices):
    """Arguments by name, and the name of the one that is bad; empty if all are good."""
    if isinstance(function, property):
        return {}, ""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.name != "self" and p.kind != p.VAR_KEYWORD]
    values = {name: ({**ARGUMENTS, **call.arguments})[name](s) for name in names}
    bad = choices.draw(st.sampled_from(["", *(name for name in names if values[name][1])]), "bad")
    return {name: choices.draw(picked(values[name][name == bad]), name) for name in names}, bad


def picked(values):
    """One of these values, which hypothesis counts, as it cannot compare tensors."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


def surely_wrong(name, bad, value, s):
    """Whether a bad argument can do nothing but harm; many others work, such as a list of steps."""
    if name.startswith("widgets"):  # which draw positions that are not finite, or of any type, as they can
        return bad not in ("", "x", "y", "x_0", "xy", "start", "end", "mean", "std")
    if bad == "t" and name != "schedules.at":  # which gives entry 0 as well
        return isinstance(value, int | float) and (type(value) is not int or not 1 <= value <= s.T)
    return bad in ("generator", "schedule") and value is not None


def type_of(name, given, s):
    """The type of the tensors that a function gives: that of the first it is given, or the one it says."""
    for value in given.values():
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.dtype
    return {"data": torch.float32, "schedules": torch.float64, "posterior": torch.float64}.get(
        name.split(".")[0], s.dtype
    )


def assert_gives(result, wanted, dtype):
    """The result has the shape or the type that is wanted and, where `dtype` is one, this type and no NaN."""
    if isinstance(wanted, type):
        assert isinstance(result, wanted)
    elif wanted[:1] == (Gaussian,):
        assert isinstance(result, Gaussian)
        result, wanted = result.mean, wanted[1:]
    if isinstance(wanted, tuple):
        assert result.shape == wanted
    if dtype and isinstance(result, float | Tensor):
        assert torch.as_tensor(result).isfinite().all()
    if dtype and isinstance(result, Tensor):
        assert result.dtype == dtype
    if isinstance(result, list | tuple):
        for part in result:
            assert_gives(part, object, dtype)
