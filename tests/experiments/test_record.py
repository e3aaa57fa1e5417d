"""Kept results: they are those of the experiments as they stand, case by case."""

from importlib import import_module

import pytest
import results as tool

from diffusion_lib.experiments import record
from diffusion_lib.experiments.record import Experiment, by, grid

MODULES = tool.modules()


def double(*, seed, w):
    return {"twice": 2.0 * w + seed}


def test_a_grid_has_all_combinations():
    assert grid(w=(1, 2), seed=(0, 1)) == [
        {"w": 1, "seed": 0},
        {"w": 1, "seed": 1},
        {"w": 2, "seed": 0},
        {"w": 2, "seed": 1},
    ]


def test_seeds_are_gathered():
    rows = [{**case, **double(**case)} for case in grid(w=(1, 3), seed=(0, 1))]
    assert by(rows, "w", value="twice") == {1: [2.0, 3.0], 3: [6.0, 7.0]}
    assert by(rows, "seed", "w", value="twice")[(1, 3)] == [7.0]


def test_an_experiment_has_the_name_of_its_function():
    assert Experiment(double, grid(w=(1,), seed=(0,))).name == "double"


@pytest.mark.parametrize("module", MODULES)
def test_the_kept_results_are_those_of_the_module(module):
    """If not: make results, and read what the chapter says of them."""
    experiments = import_module(f"diffusion_lib.experiments.{module}").EXPERIMENTS
    kept = record.results(module)
    assert list(kept) == [experiment.name for experiment in experiments]
    for experiment in experiments:
        for row, case in zip(kept[experiment.name], experiment.cases, strict=True):
            assert row.items() >= case.items()
    assert record.stale(module) == ""


@pytest.mark.parametrize("module", MODULES)
def test_every_experiment_has_three_seeds(module):
    for experiment in import_module(f"diffusion_lib.experiments.{module}").EXPERIMENTS:
        assert {case["seed"] for case in experiment.cases} >= {0, 1, 2}
