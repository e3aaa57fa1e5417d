"""The engine's tables in both languages, the distance on the page, the script, and the compiled file."""

import gzip
import json
import math
import re

import build_engine as builder
import pytest
import torch
from engine_probe import in_node, make_model, run_in_node
from scipy import stats
from support import LEAST_T, MAKERS, seeded

from diffusion_lib import data
from diffusion_lib.measure.evaluation import distance_to_curve, sliced_wasserstein
from diffusion_lib.models import Flow, TimeMLP
from diffusion_lib.process.schedules import cosine, even_log_snr, straight
from diffusion_lib.show.engine import (
    ancestral_table,
    ddim_table,
    euler_table,
    network_table,
    process_table,
    script,
)
from diffusion_lib.show.widgets.live import picture_steps
from diffusion_lib.solvers.steps import ddim

KINDS = ["eps", "x_0", "v", "u"]


# --- the tables against the models, without the engine


def step_by_step(model, table, x, noise):
    """What a sampler's table makes of x, with the network of a model, in PyTorch."""
    for t, x_scale, output_scale, noise_scale, eps in zip(*map(table.get, STEP), noise, strict=True):
        x = x_scale * x + output_scale * model.network(x, torch.tensor(t)) + noise_scale * eps
    return x.detach()


STEP = ("t", "x_scale", "output_scale", "noise_scale")


def draws(n, seed=1, rows=40):
    """Noise in the order in which a sampler draws it, first the start."""
    generator = seeded(seed)
    return [torch.randn(rows, 2, generator=generator, dtype=torch.float64) for _ in range(n)]


@pytest.mark.parametrize("predict", KINDS)
@pytest.mark.parametrize("reverse_var", ["posterior", "beta"])
def test_ancestral_tables_give_the_models_steps(predict, reverse_var):
    model = make_model(predict, 8, even_log_snr(20, 0.01, 5.0), reverse_var=reverse_var).double()
    x_T, *noise = draws(21)
    with torch.no_grad():
        x = x_T
        for t, eps in zip(range(20, 0, -1), noise, strict=True):
            x = model.reverse(x, t).from_noise(eps)
    torch.testing.assert_close(step_by_step(model, ancestral_table(model), x_T, noise), x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("predict", KINDS)
@pytest.mark.parametrize(("steps", "eta"), [(None, 0.0), ([20, 7, 2], 0.3), ([20, 5], 1.0)])
def test_ddim_tables_give_the_samplers_states(predict, steps, eta):
    model = make_model(predict, 8, even_log_snr(20, 0.01, 5.0)).double()
    table = ddim_table(model, steps, eta)
    x_T, *noise = draws(len(table["t"]) + 1)
    generator = seeded(1)
    torch.randn(40, 2, generator=generator, dtype=torch.float64)  # the start
    states = list(ddim(model, x_T, model.schedule, steps, eta, generator))
    torch.testing.assert_close(step_by_step(model, table, x_T, noise), states[-1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("calls", [20, 4])
def test_euler_tables_give_a_flows_states(calls):
    model = make_flow(calls).double()
    x, *_ = draws(1)
    table = euler_table(model)
    states = [
        step_by_step(model, {name: table[name][:k] for name in STEP}, x, [x] * k) for k in range(calls + 1)
    ]
    start = seeded(1)
    torch.testing.assert_close(torch.stack(states), model.trajectory(40, start), rtol=0, atol=1e-9)


def make_flow(calls=20):
    torch.manual_seed(0)
    schedule = straight(20)
    return Flow(TimeMLP(schedule, 8), schedule, calls)


@pytest.mark.parametrize("predict", KINDS)
@pytest.mark.parametrize("weighting", ["simple", "bound"])
def test_process_tables_give_the_models_loss(float64, predict, weighting):
    assert_loss_of(make_model(predict, 8, even_log_snr(20), weighting).double())


def test_a_flows_process_table_gives_its_loss(float64):
    assert_loss_of(make_flow().double())


def assert_loss_of(model):
    x_0, eps = draws(2)
    t = torch.randint(1, 21, (40,), generator=seeded(3))
    columns = {
        name: torch.tensor(x, dtype=torch.float64)[t, None] for name, x in process_table(model).items()
    }
    x_t = columns["signal"] * x_0 + columns["noise"] * eps
    error = model.network(x_t, t) - columns["target_x_0"] * x_0 - columns["target_eps"] * eps
    found = (columns["weight"] * error.square()).sum(dim=1)
    true = model.squared_error(x_0, t, eps)
    if model.weighting == "bound":
        true = model.T * (model.bound_term(x_0, t, eps) - model.bound_constant[t])
    torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-9)


# --- the tables in JavaScript


def row(numbers):
    return torch.tensor(numbers, dtype=torch.float64).flatten().tolist()


def assert_same(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name, numbers in theirs.items():
        assert row(ours[name]) == pytest.approx(row(numbers), **tolerance)


# Tables are written to the engine in float32: a difference of 1e-9 is none there.
CLOSE = {"rel": 1e-9, "abs": 1e-12}
# The library's waves have a size of up to 4, at angles of up to 4, in float32.
SINGLE = 4 * 4 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("name", MAKERS)
def test_schedules_are_the_librarys(name):
    for T in (LEAST_T[name], 100):
        schedule, found = MAKERS[name](T), in_node("tables", f"schedules.{name}", {"T": T})
        assert found["T"] == T
        for array in ("alpha", "beta", "alpha_bar", "signal", "noise"):
            assert found[array] == pytest.approx(getattr(schedule, array).tolist(), abs=1e-14)


def test_settings_of_schedules_are_the_librarys():
    found = in_node("tables", "schedules.even_log_snr", {"T": 30, "sigma_min": 0.02, "sigma_max": 7})
    assert found["alpha_bar"] == pytest.approx(even_log_snr(30, 0.02, 7.0).alpha_bar.tolist(), abs=1e-14)
    found = in_node("tables", "schedules.cosine", {"T": 30, "s": 0.1, "beta_max": 0.5})
    assert found["alpha_bar"] == pytest.approx(cosine(30, 0.1, 0.5).alpha_bar.tolist(), abs=1e-14)


@pytest.mark.parametrize("predict", KINDS)
@pytest.mark.parametrize("weighting", ["simple", "bound"])
@pytest.mark.parametrize("reverse_var", ["posterior", "beta"])
def test_what_is_learnt_is_the_same_in_both_languages(predict, weighting, reverse_var):
    model = make_model(predict, 8, even_log_snr(30), weighting, reverse_var)
    options = {"predict": predict, "weighting": weighting, "reverse_var": reverse_var}
    found = in_node("of_schedule", "process", "even_log_snr", {"T": 30}, options)
    assert_same(found, process_table(model), **CLOSE)
    found = in_node("of_schedule", "ancestral", "even_log_snr", {"T": 30}, options)
    assert_same(found, ancestral_table(model), **CLOSE)


@pytest.mark.parametrize("predict", KINDS)
@pytest.mark.parametrize(("steps", "eta"), [(None, 1.0), ([30, 7, 2], 0.3), ([5], 0.0)])
def test_ddim_is_the_same_in_both_languages(predict, steps, eta):
    options = {"predict": predict, "eta": eta} | ({"steps": steps} if steps else {})
    found = in_node("of_schedule", "ddim", "even_log_snr", {"T": 30}, options)
    assert_same(found, ddim_table(make_model(predict, 8, even_log_snr(30)), steps, eta), **CLOSE)


def test_the_network_is_the_same_in_both_languages():
    found = in_node("of_schedule", "network", "even_log_snr", {})
    assert_same(found, network_table(make_model().network), abs=SINGLE)
    options = {"width": 32, "hidden": 3, "n_directions": 5, "frequencies": [2, 1, 4]}
    model = make_model(schedule=cosine(40), **options)
    found = in_node("of_schedule", "network", "cosine", {"T": 40}, options)
    assert_same(found, network_table(model.network), abs=SINGLE)


@pytest.mark.parametrize(("steps", "pictures"), [(1000, 10), (1, 3), (2000, 12), (300, 1)])
def test_pictures_are_taken_when_the_live_cell_takes_them(steps, pictures):
    assert set(in_node("tables", "moments", steps, pictures)) == picture_steps(steps, pictures)


def test_the_distance_is_the_librarys():
    x, y = data.swiss_roll(200, seeded(1)), data.moons(200, seeded(2))
    found = in_node("tables", "slicedWasserstein", x, y)
    assert found == pytest.approx(sliced_wasserstein(x.double(), y.double()), rel=1e-12)


def test_rolls_to_show_are_scikit_learns():
    one, again, other = (in_node("tables", "swissRoll", 4000, seed) for seed in (1, 1, 2))
    assert one == again
    assert one[0] != other[0]
    x = torch.tensor(one).reshape(-1, 2)
    assert distance_to_curve(x, data.roll_curve(20_000)) < 1e-6
    angle = (10 * x.double().norm(dim=1)).numpy()
    assert stats.kstest(angle, stats.uniform(1.5 * math.pi, 3 * math.pi).cdf).pvalue > 1e-4


# --- the script and the compiled file


def test_the_script_runs_as_it_is():
    text = "process.stdout.write(Object.keys(diffusionTrainer).join())"
    assert run_in_node(script() + text) == "start,tables"


def test_the_script_is_small_and_evaluates_no_text():
    assert len(gzip.compress(script().encode(), 9)) < 25_000
    assert "eval(" not in script()
    assert "new Function" not in script()
    assert "</script" not in script()


def test_both_sides_of_the_engine_have_the_same_limits():
    sides = [(builder.ROOM / name).read_text(encoding="utf-8") for name in ("engine.js", "engine.c")]
    limits = re.search(r"LIMITS = \{(.*?)\}", sides[0], re.DOTALL)[1]
    ours = {name.upper(): value for name, value in re.findall(r"(\w+): (\d+)", limits)}
    theirs = dict(re.findall(r"  MAX_(\w+) = (\d+),", sides[1]))
    assert ours == theirs


def test_the_engine_can_do_nothing_but_compute():
    module = f"new WebAssembly.Module(require('fs').readFileSync({json.dumps(str(builder.ENGINE))}))"
    assert run_in_node(f"process.stdout.write(JSON.stringify(WebAssembly.Module.imports({module})))") == "[]"


def test_the_compiled_engine_is_that_of_its_source():
    """If this fails: `make engine`."""
    assert json.loads(builder.RECORD.read_text(encoding="utf-8")) == builder.record()


@pytest.mark.long
def test_the_source_compiles_to_the_same_bytes(tmp_path):
    builder.compile_engine(tmp_path / "engine.wasm")
    assert (tmp_path / "engine.wasm").read_bytes() == builder.ENGINE.read_bytes()
