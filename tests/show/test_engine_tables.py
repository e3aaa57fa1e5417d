"""The engine's tables in both languages, the distance on the page, the script, and the compiled file."""

import gzip
import json

import build_engine as builder
import pytest
import torch
from engine_probe import in_node, make_model, run_in_node
from support import LEAST_T, MAKERS, seeded

from diffusion_lib import data
from diffusion_lib.measure.evaluation import sliced_wasserstein
from diffusion_lib.process.schedules import cosine, even_log_snr
from diffusion_lib.show.engine import ancestral_table, ddim_table, network_table, process_table, script
from diffusion_lib.show.widgets.live import picture_steps

KINDS = ["eps", "x_0", "v"]


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


# --- the script and the compiled file


def test_the_script_runs_as_it_is():
    text = "process.stdout.write(Object.keys(diffusionTrainer).join())"
    assert run_in_node(script() + text) == "start,tables"


def test_the_script_is_small_and_evaluates_no_text():
    assert len(gzip.compress(script().encode(), 9)) < 25_000
    assert "eval(" not in script()
    assert "new Function" not in script()
    assert "</script" not in script()


def test_the_compiled_engine_is_that_of_its_source():
    """If this fails: `make engine`."""
    assert json.loads(builder.RECORD.read_text(encoding="utf-8")) == builder.record()


@pytest.mark.long
def test_the_source_compiles_to_the_same_bytes(tmp_path):
    builder.compile_engine(tmp_path / "engine.wasm")
    assert (tmp_path / "engine.wasm").read_bytes() == builder.ENGINE.read_bytes()
