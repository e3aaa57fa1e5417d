"""What is measured of pictures: against SciPy, closed forms, and cases whose answer is known."""

import hashlib
import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from support import K, normal, refused, seeded

from diffusion_lib.data import digits, face_parts, pixel_faces
from diffusion_lib.data.faces import PARTS, draw_faces
from diffusion_lib.measure.evaluation import Figure
from diffusion_lib.measure.pictures import (
    FEATURES,
    evaluate_pictures,
    frechet_distance,
    nearest_distances,
    picture_features,
    share_copied,
)

HASHES = {
    "digits": "e066b3e8428ca7020947c1a8b542c268118e95b20867142c8d2a58fc1d8edaf6",
    "faces": "e24e2ca1b24a5165383deb331148a475a19631ff3cd0568e73c043eab694cdbc",
}


# --- the fixed features


@pytest.mark.parametrize("kind", HASHES)
def test_the_features_are_the_fixed_ones(kind):
    """With others, no Fréchet distance in the book could be compared with one that was measured before."""
    assert hashlib.sha256((FEATURES / f"{kind}.safetensors").read_bytes()).hexdigest() == HASHES[kind]


def test_the_digits_features_know_digits():
    found, features = digits(), picture_features("digits")
    for levels, answers in ((found.train, found.train_digits), (found.held_out, found.held_out_digits)):
        assert (features.answers(levels).argmax(dim=1) == answers).double().mean() > 0.98
    assert features(found.train).shape == (1437, 64)
    torch.testing.assert_close(features(found.train).mean(dim=0), torch.zeros(64), rtol=0, atol=0.15)
    torch.testing.assert_close(features(found.train).std(dim=0), torch.ones(64), rtol=0, atol=0.15)


def test_the_faces_features_know_glasses_and_backgrounds():
    parts, features = face_parts(1000, seeded(11)), picture_features("faces")
    sizes = [len(set(words)) for words in PARTS.values()]
    logits = dict(zip(PARTS, features.answers(draw_faces(parts)).split(sizes, dim=1), strict=True))
    for part in ("glasses", "background", "shirt colour"):
        words = list(dict.fromkeys(PARTS[part]))
        true = [words.index(PARTS[part][k]) for k in parts[:, list(PARTS).index(part)].tolist()]
        assert (logits[part].argmax(dim=1) == torch.tensor(true)).double().mean() > 0.95


def test_features_take_pictures_of_their_kind_alone():
    with refused("levels has shape (2, 3, 16, 16)", "points are rows, (n, 1, 8, 8)"):
        picture_features("digits")(pixel_faces(2))
    with refused("kind = 'cats'", "choose one of 'digits', 'faces'"):
        picture_features("cats")


# --- Fréchet distance


def test_the_frechet_distance_is_scipys():
    x, y = normal(200, 5), normal(300, 5, seed=1) @ normal(5, 5, seed=2) + 0.3
    cov_x, cov_y = np.cov(x.numpy().T), np.cov(y.numpy().T)
    root = sqrtm(cov_x @ cov_y).real
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(cov_x + cov_y - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_of_gaussians_along_the_axes_it_is_the_distance_of_means_and_deviations():
    """Exactly: points at mean ± std along one axis at a time have these moments, up to the n − 1."""

    def cross(mean, std):
        n = 2 * len(std)
        arms = torch.diag(std) * math.sqrt((n - 1) / 2)
        return mean + torch.cat([arms, -arms])

    mean_x, mean_y = torch.tensor([0.0, 1.0, -2.0]).double(), torch.tensor([0.5, 1.0, 0.0]).double()
    std_x, std_y = torch.tensor([1.0, 2.0, 0.3]).double(), torch.tensor([0.5, 2.0, 0.9]).double()
    found = frechet_distance(cross(mean_x, std_x), cross(mean_y, std_y))
    expected = (mean_x - mean_y).square().sum() + (std_x - std_y).square().sum()
    assert found == pytest.approx(float(expected), rel=1e-10)


def test_it_is_symmetric_and_zero_between_a_set_and_itself():
    x, y = normal(50, 8), normal(40, 8, seed=3) * 2  # 8 columns of 40 points: full rank
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x[:3], x[:3]) == pytest.approx(0, abs=1e-6)  # of rank 2: roots of rounding errors


def test_what_has_no_covariance_is_refused():
    with refused("x and y have 1 and 5 points; pass at least 2 of each"):
        frechet_distance(normal(1, 3), normal(5, 3))
    with refused("shapes (5, 3) and (5, 2)"):
        frechet_distance(normal(5, 3), normal(5, 2))


# --- copies


def test_the_nearest_are_found_and_in_order():
    x, points = normal(7, 1, 3, 3), normal(20, 1, 3, 3, seed=1)
    apart = np.linalg.norm(x.flatten(1).numpy()[:, None] - points.flatten(1).numpy()[None], axis=2)
    np.testing.assert_allclose(
        nearest_distances(x, points, 3).numpy(), np.sort(apart, axis=1)[:, :3], rtol=1e-12
    )
    with refused("k = 21 and there are 20 points; take k of at most 20"):
        nearest_distances(x, points, 21)


@pytest.mark.parametrize("far", [0, 1e6])
def test_a_picture_that_is_among_the_points_is_at_distance_nought(far):
    points = far + normal(300, 3, 16, 16)
    found = nearest_distances(points[::7], points, 2)
    assert (found[:, 0] == 0).all()
    by_differences = (points[::7, None] - points).flatten(2).norm(dim=2).sort(dim=1).values[:, 1]
    torch.testing.assert_close(found[:, 1], by_differences, rtol=1e-6, atol=0)


def test_a_copy_is_three_times_nearer_to_one_picture_than_to_any_other():
    train = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    at = lambda place: torch.tensor([[place, 0.0]])  # noqa: E731
    assert [share_copied(at(place), train) for place in (0.0, 0.99, 1.01, 2.0, 3.01, 5.9, 6.1)] == [
        1,
        1,
        0,
        0,
        1,
        1,
        0,
    ]
    assert share_copied(torch.cat([at(0.5), at(2.0)]), train) == 0.5
    with refused("train has 1 picture; pass at least 2"):
        share_copied(at(0.0), train[:1])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_by_chance_a_third_to_the_dimension_are_copies(dim):
    """Of evenly scattered points: the nearest divides the ball to the second nearest evenly, by volume."""
    n, share = 3000, 3.0**-dim
    train, x = torch.rand(n, dim, generator=seeded(1)), 0.2 + 0.6 * torch.rand(n, dim, generator=seeded(2))
    # Neighbours share their training points, so the shares scatter more than those of n draws: by 2 at most.
    assert abs(share_copied(x, train) - share) < 2 * K * math.sqrt(share * (1 - share) / n)


# --- all together


def test_copies_pass_the_frechet_distance_and_are_found_out():
    found = digits()
    train, held_out = found.train[:400], found.held_out
    rows = torch.randint(400, (400,), generator=seeded())
    scores = evaluate_pictures(train[rows], train, held_out, "digits")
    assert scores["copies"] == Figure(1.0, share_copied(held_out, train))
    assert scores["copies"].floor < 0.05
    assert scores["nearest training picture"].model == 0
    assert scores["nearest training picture"].floor > 15
    assert scores["Fréchet distance"].ratio < 1.6  # as good as real ones, though each is a copy


def test_noise_and_means_are_far_from_pictures():
    found, mean = digits(), digits().train.mean(dim=0, keepdim=True)
    noise = torch.randint(17, (400, 1, 8, 8), generator=seeded()).float()
    blurred = (0.5 * found.train[:400] + 0.5 * mean).round()
    real = evaluate_pictures(found.held_out, found.train, found.held_out, "digits")
    assert real["Fréchet distance"].model < 1e-6
    for pictures in (noise, blurred):
        scores = evaluate_pictures(pictures, found.train, found.held_out, "digits")
        assert scores["Fréchet distance"].ratio > 5


def test_the_floor_is_what_training_pictures_score():
    levels, features = pixel_faces(600, seeded(3)), picture_features("faces")
    x, train, held_out = levels.split(200)
    scores = evaluate_pictures(x, train, held_out, "faces")
    assert scores["Fréchet distance"].floor == frechet_distance(features(train), features(held_out))
    assert 0.7 < scores["Fréchet distance"].ratio < 1.4  # as x are real faces: two draws of the same distance
    near = nearest_distances(held_out, train).mean()
    assert scores["nearest training picture"].floor == pytest.approx(float(near))


def test_more_pictures_than_there_are_to_train_on_are_refused():
    x = pixel_faces(30, seeded())
    with refused("x has 30 pictures and train 10; pass at most as many"):
        evaluate_pictures(x, x[:10], x, "faces")


def test_small_sets_score_too_much():
    """Why the floor is of sets as large: the distance of a few points of one law is no zero."""
    found = [frechet_distance(normal(n, 4, seed=n), normal(4000, 4, seed=n + 1)) for n in (50, 500)]
    assert found[0] > 3 * found[1] > 0
    scores = [frechet_distance(normal(200, 2, seed=2 * k), normal(200, 2, seed=2 * k + 1)) for k in range(50)]
    # The means alone: a χ² of 2 degrees, times 2/200; covariances add less than half as much again.
    assert 0.02 - K * 0.02 / math.sqrt(50) < np.mean(scores) < 1.5 * 0.02 + K * 0.03 / math.sqrt(50)
