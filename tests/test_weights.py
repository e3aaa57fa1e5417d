"""The models that the book ships: the files are those that were scored, small, and load without a network."""

import hashlib
import itertools
import json
import re
from functools import cache
from statistics import mean, stdev

import fifty_captions
import pytest
import text_weights
import torch
import weights as tool
from torch import Generator

from diffusion_lib.data.images import pixel_faces
from diffusion_lib.data.units import PixelScale
from diffusion_lib.measure.pictures import share_copied
from diffusion_lib.models import Diffusion, ExactDenoiser, load
from diffusion_lib.solvers.steps import AtSteps

RECORD = json.loads((tool.WEIGHTS / "weights.json").read_text(encoding="utf-8"))
LIKE_ONE = (5, 8, 2, 4, 0, 2, 2, 9, 1, 11, 6, 2)  # copies among 2,000 fresh faces, seeds 9000…9011
shipped = pytest.mark.parametrize("name", sorted(set(RECORD) & set(tool.RECIPES)))


@cache
def pictures_of(data):
    """The first of a recipe's training pictures, and those held out: 200,000 faces take a while to draw."""
    levels, held_out = data()
    return levels[:20_000].clone(), held_out


def test_every_file_is_recorded():
    files = {path.stem for path in tool.WEIGHTS.glob("*.safetensors")}
    assert files == set(RECORD) <= {*tool.RECIPES, *text_weights.RECIPES}


@pytest.mark.parametrize("name", RECORD)
def test_a_file_is_the_one_that_was_scored(name):
    path = tool.WEIGHTS / f"{name}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == RECORD[name]["sha256"]
    assert path.stat().st_size < 4e6


def test_all_files_together_are_small():
    assert sum(path.stat().st_size for path in tool.WEIGHTS.glob("*.safetensors")) < 18e6


def test_make_weights_trains_a_model_after_the_one_it_goes_on_from():
    makefile = (tool.WEIGHTS.parents[1] / "Makefile").read_text(encoding="utf-8")
    lanes = [re.findall(r"weights (\w+)", lane) for lane in re.findall(r"{ (train .*);", makefile)]
    assert sorted(itertools.chain(*lanes)) == sorted(RECORD)
    assert lanes[1].index("faces") < lanes[1].index("sketcher")
    assert lanes[0][0] == "autoencoder"  # in the other lane "words" has waited for it
    assert lanes[1][-1] == "words"


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
    levels, held_out = pictures_of(recipe.data)
    untrained = recipe.model(PixelScale(recipe.highest)(levels))
    assert model.shape == levels.shape[1:] == held_out.shape[1:]
    for ours, recipes in ((model, untrained), (model.network, untrained.network)):
        assert type(ours) is type(recipes)
    drawing = {"doubt": recipe.doubt} if recipe.doubt else {}
    assert model.network.settings == untrained.network.settings | drawing
    torch.testing.assert_close(model.schedule.alpha, untrained.schedule.alpha, rtol=1e-12, atol=0)
    theirs = dict(model.network.named_buffers())  # such as the palette, kept as float16
    for buffer, value in untrained.network.named_buffers():
        torch.testing.assert_close(theirs[buffer], value, rtol=1e-3, atol=1e-4)
    assert RECORD[name]["recipe"] == tool.described(recipe)


@shipped
def test_its_samples_are_pictures(name):
    model, recipe = load(tool.WEIGHTS / f"{name}.safetensors"), tool.RECIPES[name]
    levels = tool.drawn(recipe, model, 20, seed=0)
    assert torch.equal(levels, levels.round())
    real = pictures_of(recipe.data)[1].flatten()
    assert abs(levels.mean() - real.mean()) < 0.3 * real.std()
    assert 0.7 < levels.std() / real.std() < 1.3


@shipped
def test_its_scores_are_good(name):
    recipe = tool.RECIPES[name]
    scores = {figure: model / floor for figure, (model, floor) in RECORD[name]["scores"].items() if floor}
    assert scores["Fréchet distance"] < recipe.most_floors
    assert 0.9 < scores["nearest training picture"] < 1.2
    copies, _ = RECORD[name]["scores"]["copies"]
    if recipe.pictures == "digits":
        assert copies == 0
    else:
        scatter = stdev(LIKE_ONE) / recipe.draws**0.5
        assert copies <= (mean(LIKE_ONE) + 2 * scatter) / 2000


@pytest.mark.slow
def test_fresh_faces_count_as_copies_at_times():
    """Two faces are alike by chance: so many of 2,000 that no model has seen, beside 20,000 others."""
    levels, _ = tool.RECIPES["faces"].data()
    near = levels[torch.randperm(len(levels), generator=Generator().manual_seed(0))[:20_000]]
    fresh = pixel_faces(2000, Generator().manual_seed(9000)).to(near)
    assert share_copied(fresh, near) * 2000 == pytest.approx(LIKE_ONE[0])


def test_models_of_the_same_pictures_were_scored_alike():
    """Their floors are those of one set of pictures: where they differ, one of them was measured long ago."""
    of_faces = [name for name, recipe in tool.RECIPES.items() if recipe.pictures == "faces"]
    floors = [{k: floor for k, (_, floor) in RECORD[name]["scores"].items()} for name in of_faces]
    assert len(floors) == 3
    assert all(each == floors[0] for each in floors)


def test_a_refined_face_is_mostly_one_that_can_be_drawn():
    refined, base = (RECORD[name]["scores"] for name in ("refiner", "faces"))
    assert refined["drawable"][0] > 2 * base["drawable"][0]
    assert refined["Fréchet distance"][0] < base["Fréchet distance"][0]


def test_pooled_targets_keep_the_minimiser_and_scatter_less():
    """An exact denoiser's loss falls to almost nothing where targets are means; elsewhere nothing changes."""
    x_0 = PixelScale(255)(pixel_faces(30, Generator().manual_seed(0)))
    exact = AtSteps(ExactDenoiser(x_0), tool.SCHEDULE)
    model = Diffusion(exact, tool.SCHEDULE, "x_0", shape=x_0.shape[1:])
    pooled = tool.Pooled(model, x_0, 3000, Generator().manual_seed(1))
    eps = torch.randn(x_0.shape, generator=Generator().manual_seed(2))
    for t in (950, 1000):
        plain, other = (m.squared_error(x_0, torch.full((30,), t), eps).mean() for m in (model, pooled))
        assert plain > 10
        assert other < 0.1 * plain
    z, near = x_0 + 3 * eps, torch.full((30,), tool.FAR - 1)  # none of the pictures, so the answer is wrong
    assert torch.equal(pooled.squared_error(z, near, eps), model.squared_error(z, near, eps))


@pytest.mark.long
def test_digits_can_be_trained_again():
    """Other machines round differently: the scores agree as those of other seeds do."""
    recipe = tool.RECIPES["digits"]
    found = tool.scores(recipe, tool.trained(recipe, 0), 0)
    kept, _ = RECORD["digits"]["scores"]["Fréchet distance"]
    assert 0.8 < found["Fréchet distance"].model / kept < 1.25
