"""Starting the script: its options, and what is said if it fails."""

import json

import pytest
from accelerate.state import AcceleratorState

from diffusion_lib.many.__main__ import main, parser
from diffusion_lib.many.kept import contents, newest_whole
from diffusion_lib.many.launch import command, environment, launch
from diffusion_lib.many.recipes import RECIPES, made


def test_one_process_needs_no_launcher_and_two_do():
    assert command(1, "roll")[1:] == ["-m", "diffusion_lib.many", "roll"]
    assert command(2, "roll", "--steps", 3)[-4:] == ["diffusion_lib.many", "roll", "--steps", "3"]
    assert "--nproc-per-node=2" in command(2, "roll")
    assert environment()["OMP_NUM_THREADS"] == "1"


def test_what_failed_is_said():
    with pytest.raises(RuntimeError, match="ended with code 2:(.|\n)*invalid choice: 'nothing'"):
        launch(1, "nothing", "--out", "nowhere")
    with pytest.raises(RuntimeError, match="could not run"):
        launch(1, "roll", "--out", "nowhere", timeout=0.01)


def test_the_script_takes_the_recipes_settings_but_for_those_given(tmp_path):
    AcceleratorState._reset_state(True)
    options = ["digits", "--out", str(tmp_path), "--steps", "2", "--batch-size", "4", "--seed", "3", "--cpu"]
    main([*options, "--rows-at-once", "3"])
    found = contents(newest_whole(tmp_path))["settings"]
    digits = RECIPES["digits"]
    assert found == {
        "steps": 2, "batch_size": 4, "seed": 3, "precision": "no",
        "learning_rate": digits.learning_rate, "ema": digits.ema,
    }  # fmt: skip
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    assert parser().parse_args(["roll", "--out", "x"]).every == 100


@pytest.mark.parametrize("name", ["roll", "digits"])
def test_each_recipe_has_data_that_its_objective_takes(name):
    recipe = RECIPES[name]
    (x_0,) = recipe.data()
    one, same, other = (made(recipe, seed).model for seed in (0, 0, 1))
    assert one.shape == tuple(x_0.shape[1:])
    assert all(p.equal(q) for p, q in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(p.equal(q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
    assert 0.8 < float(x_0.std()) < 1.2 if name == "roll" else float(x_0.abs().max()) == 1


def test_two_processes_learn_the_roll_as_one_does(tmp_path):
    for processes in (1, 2):
        options = ["roll", "--steps", "20", "--batch-size", "33", "--cpu"]
        launch(processes, *options, "--out", tmp_path / str(processes))
    one, two = (
        [json.loads(line)["loss"] for line in (tmp_path / str(p) / "log.jsonl").read_text().splitlines()]
        for p in (1, 2)
    )
    assert len(one) == len(two) == 20
    assert two == pytest.approx(one, rel=1e-4)
