"""The models that the book ships: the files are those that were scored, small, and load without a network."""

import hashlib
import json

import fifty_captions
import pytest
import text_weights
import torch
import weights as tool

from diffusion_lib.data.units import PixelScale
from diffusion_lib.models import load

RECORD = json.loads((tool.WEIGHTS / "weights.json").read_text(encoding="utf-8"))
shipped = pytest.mark.parametrize("name", sorted(set(RECORD) & set(tool.RECIPES)))


def test_every_file_is_recorded():
    files = {path.stem for path in tool.WEIGHTS.glob("*.safetensors")}
    assert files == set(RECORD) <= {*tool.RECIPES, *text_weights.RECIPES}


@pytest.mark.parametrize("name", RECORD)
def test_a_file_is_the_one_that_was_scored(name):
    path = tool.WEIGHTS / f"{name}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == RECORD[name]["sha256"]
    assert path.stat().st_size < 4e6


def test_all_files_together_are_small():
    assert sum(path.stat().st_size for path in tool.WEIGHTS.glob("*.safetensors")) < 14e6


@pytest.mark.parametrize("name", text_weights.RECIPES)
def test_a_model_of_chapter_11_is_that_of_its_recipe(name):
    assert RECORD[name]["recipe"] == text_weights.recipe(name)


def test_the_reader_of_captions_does_what_they_ask():
    scores = RECORD["words"]["scores"]
    assert RECORD["autoencoder"]["scores"]["accuracy"][0] > 0.99
    for w in (1, 2, 3):
        assert scores[f"accuracy at w = {w}, all"][0] > 0.95
        assert all(
            scores[f"accuracy at w = {w}, {part} colour"][0] > 0.95 for part in ("hair", "hat", "shirt")
        )
        distance, floor = scores[f"Fréchet distance at w = {w}"]
        assert distance < 2 * floor


@pytest.mark.slow
def test_the_fifty_captions_are_those_that_their_seeds_draw():
    kept = (tool.WEIGHTS / "fifty_captions.txt").read_text(encoding="utf-8").splitlines()
    assert fifty_captions.fifty_captions() == kept


@shipped
def test_it_is_the_model_of_its_recipe(name):
    model, recipe = load(tool.WEIGHTS / f"{name}.safetensors"), tool.RECIPES[name]
    levels, held_out = recipe.data()
    untrained = recipe.model(PixelScale(recipe.highest)(levels))
    assert model.shape == levels.shape[1:] == held_out.shape[1:]
    for ours, recipes in ((model, untrained), (model.network, untrained.network)):
        assert type(ours) is type(recipes)
    drawing = {"doubt": tool.DOUBT} if name == "refiner" else {}
    assert model.network.settings == untrained.network.settings | drawing
    torch.testing.assert_close(model.schedule.alpha, untrained.schedule.alpha, rtol=1e-12, atol=0)
    theirs = dict(model.network.named_buffers())  # such as the palette, kept as float16
    for buffer, value in untrained.network.named_buffers():
        torch.testing.assert_close(theirs[buffer], value, rtol=1e-3, atol=1e-4)
    assert RECORD[name]["recipe"] == tool.described(recipe)


@shipped
def test_its_samples_are_pictures(name):
    model, recipe = load(tool.WEIGHTS / f"{name}.safetensors"), tool.RECIPES[name]
    levels = tool.drawn(name, model, 20, seed=0)
    assert torch.equal(levels, levels.round())
    real = recipe.data()[1].flatten()
    assert abs(levels.mean() - real.mean()) < 0.3 * real.std()
    assert 0.7 < levels.std() / real.std() < 1.3


@shipped
def test_its_scores_are_good(name):
    scores = {figure: model / floor for figure, (model, floor) in RECORD[name]["scores"].items() if floor}
    assert scores["Fréchet distance"] < tool.RECIPES[name].most_floors
    assert 0.9 < scores["nearest training picture"] < 1.2
    copies, real = RECORD[name]["scores"]["copies"]  # real faces are at times alike, too
    assert copies <= max(0.002, real)


def test_models_of_the_same_pictures_were_scored_alike():
    """Their floors are those of one set of pictures: where they differ, one of them was measured long ago."""
    floors = [{k: floor for k, (_, floor) in RECORD[name]["scores"].items()} for name in ("faces", "refiner")]
    assert floors[0] == floors[1]


def test_a_refined_face_is_mostly_one_that_can_be_drawn():
    refined, base = (RECORD[name]["scores"] for name in ("refiner", "faces"))
    assert refined["drawable"][0] > 2 * base["drawable"][0]
    assert refined["Fréchet distance"][0] < base["Fréchet distance"][0]


@pytest.mark.long
def test_digits_can_be_trained_again():
    """Other machines round differently: the scores agree as those of other seeds do."""
    recipe = tool.RECIPES["digits"]
    found = tool.scores("digits", tool.trained(recipe, 0), 0)
    kept, _ = RECORD["digits"]["scores"]["Fréchet distance"]
    assert 0.8 < found["Fréchet distance"].model / kept < 1.25
