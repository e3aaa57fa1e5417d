"""Pixel faces: painted as the sprites say, with the words that are true of them."""

import math

import numpy as np
import pytest
import torch
from support import K, refused, seeded

from diffusion_lib.data import faces
from diffusion_lib.data.faces import PARTS, caption, describe_faces, draw_faces, face_parts

COLUMNS = {part: k for k, part in enumerate(PARTS)}


def sprites():
    with np.load(faces.SPRITES) as kept:
        return dict(zip(kept["names"].tolist(), kept["sprites"].astype(float) / 255, strict=True))


def rgb(code):
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def test_a_face_is_painted_pixel_by_pixel():
    """One face by hand: light skin, a cap, glasses; each layer over the others."""
    face = dict.fromkeys(PARTS, 0)
    words = {
        "background": "green",
        "skin": "tone 2",
        "shirt colour": "red",
        "hair colour": "pink",
        "hat": "cap",
    }
    words |= {
        "hair": "long",
        "glasses": "glasses",
        "beard": "moustache",
        "hat colour": "blue",
        "mouth": "sad",
    }
    face |= {part: PARTS[part].index(word) for part, word in words.items()} | {"earrings": 1}
    layers = [("skin/base", "eac393"), ("accessories/variant01", "ffd700"), ("clothing/variant01", "d11141"),
              ("eyes/variant01", "76778b"), ("glasses/light02", "323232"), ("beard/variant04", "e66fb0"),
              ("mouth/sad01", "d29985"), ("hair/long01", "e66fb0"), ("hat/variant02", "2663a3")]  # fmt: skip
    expected, all_sprites = np.zeros((16, 16, 3)), sprites()
    for i in range(16):
        for j in range(16):
            colour = rgb("c8e6c9")
            for name, tint in layers:
                pixel = all_sprites[name][i, j]
                colour = colour * (1 - pixel[3]) + pixel[:3] + pixel[4] * rgb(tint)
            expected[i, j] = np.round(255 * colour)
    found = draw_faces(torch.tensor([list(face.values())]))[0]
    np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_dark_skin_has_other_lips():
    parts = face_parts(1, seeded()).repeat(6, 1)
    parts[:, COLUMNS["skin"]] = torch.arange(6)
    parts[:, COLUMNS["beard"]] = 0
    lips = sprites()[faces._WORDS["mouth"]["smiling"][0]][..., 4] == 1
    parts[:, COLUMNS["mouth"]] = 0
    shown = draw_faces(parts).permute(0, 2, 3, 1)[:, torch.from_numpy(lips)]
    expected = [rgb("d29985" if k < 3 else "e35d6a") * 255 for k in range(6)]
    np.testing.assert_array_equal(shown[:, 0].numpy(), np.array(expected))


def test_every_sprite_is_used_and_every_word_has_one():
    used = {name for part in faces._SHAPES.values() for row in part.values() for name in row} - {""}
    assert used | {"skin/base"} == set(sprites())
    assert all(words.values() for words in faces._WORDS.values())


def test_levels_are_whole_and_faces_differ():
    levels = draw_faces(face_parts(2000, seeded()))
    assert levels.shape == (2000, 3, 16, 16)
    assert torch.equal(levels, levels.round())
    assert (levels.min(), levels.max()) == (0, 255)
    assert len(levels.flatten(1).unique(dim=0)) == 2000


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_seen(part):
    """Changing one part changes the picture, unless what it colours is not there."""
    parts = face_parts(50, seeded(1))
    parts[:, COLUMNS["hair"]], parts[:, COLUMNS["hat"]] = PARTS["hair"].index("pigtails"), 0
    if part == "hat colour":
        parts[:, COLUMNS["hat"]] = 1
    if part == "mouth":  # which some beards cover
        parts[:, COLUMNS["beard"]] = 0
    if part == "eye colour" or part == "eyes":
        parts[:, COLUMNS["glasses"]] = 0
    others = []
    for number in range(len(PARTS[part])):
        parts[:, COLUMNS[part]] = number
        others.append(draw_faces(parts))
    for first in range(len(others)):
        for second in range(first):
            assert (others[first] != others[second]).flatten(1).any(dim=1).all()


def test_words_have_their_shares():
    n = 40_000
    parts = face_parts(n, seeded(2))
    wanted = {
        ("glasses", "none"): 0.5, ("earrings", "earrings"): 0.2, ("hair", "short"): 0.3,
        ("hat", "cap"): 0.2 * 0.8, ("mouth", "sad"): 1 / 3, ("skin", "tone 4"): 1 / 6,
    }  # fmt: skip
    for (part, word), share in wanted.items():
        found = np.mean([PARTS[part][k] == word for k in parts[:, COLUMNS[part]].tolist()])
        assert abs(found - share) < K * math.sqrt(share * (1 - share) / n), (part, word)


def test_the_sprites_of_a_word_are_equally_likely():
    n = 40_000
    hair = face_parts(n, seeded(3))[:, COLUMNS["hair"]]
    for number in (k for k, word in enumerate(PARTS["hair"]) if word == "short"):
        share = 0.3 / 12
        assert abs(float((hair == number).double().mean()) - share) < K * math.sqrt(share / n)


def test_no_hat_on_hair_that_stands_up():
    seen = [face for face in describe_faces(face_parts(3000, seeded())) if face["hair"] in ("mohawk", "wild")]
    assert len(seen) > 300
    assert {face["hat"] for face in seen} == {"none"}


def test_the_seed_is_all_that_decides():
    assert torch.equal(face_parts(50, seeded(4)), face_parts(50, seeded(4)))
    assert not torch.equal(face_parts(50, seeded(4)), face_parts(50, seeded(5)))


def test_colours_of_what_is_not_there_are_left_out():
    faces_seen = describe_faces(face_parts(2000, seeded()))
    for face in faces_seen:
        assert ("hat colour" in face) == (face["hat"] != "none")
        assert ("hair colour" in face) == (face["hair"] != "bald" or face["beard"] != "none")


FACE = {
    "background": "white", "skin": "tone 1", "shirt colour": "blue", "eye colour": "grey",
    "hair colour": "red", "earrings": "earrings", "shirt": "shirt", "eyes": "eyes", "glasses": "glasses",
    "beard": "none",
    "mouth": "smiling", "hair": "long", "hat": "cap", "hat colour": "green",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {},
            "a smiling face with long red hair, glasses, a green cap, earrings, a blue shirt "
            "and a white background",
        ),
        (
            {"hair": "bald", "beard": "beard", "hat": "none", "glasses": "none", "earrings": "none"},
            "a smiling face with a bald head, a red beard, a blue shirt and a white background",
        ),
        (
            {
                "hair": "mohawk",
                "hat": "none",
                "glasses": "sunglasses",
                "earrings": "none",
                "beard": "moustache",
            },
            "a smiling face with a red mohawk, sunglasses, a moustache, a blue shirt and a white background",
        ),
        (
            {"hair": "pigtails", "hat": "beanie", "glasses": "none", "earrings": "none", "mouth": "sad"},
            "a sad face with red pigtails, a green beanie, a blue shirt and a white background",
        ),
    ],
)
def test_a_whole_caption(changed, line):
    assert caption(FACE | changed) == line


def test_captions_leave_out_as_much_as_asked_for_and_say_only_what_is_true():
    generator, described = seeded(), describe_faces(face_parts(3000, seeded(6)))
    mouths = 0
    for face in described:
        line = caption(face, 0.25, generator)
        mouths += face["mouth"] in line.split()
        words = set(line.replace(",", "").split()) - {"a", "face", "with", "and"}
        true = set(face.values()) | {"hair", "head", "shirt", "background"}
        assert words <= true, line
    assert abs(mouths / 3000 - 0.75) < K * math.sqrt(0.75 * 0.25 / 3000)


def test_a_caption_may_say_nothing():
    lines = {caption(FACE, 0.99, seeded(seed)) for seed in range(20)}
    assert "a face" in lines


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (torch.zeros(2, 14), "parts is torch.float32; pass whole numbers, an int64 tensor"),
        ([[0] * 14], "parts is list"),
        (torch.zeros(14).long(), "parts has shape (14,); pass rows of 14 numbers"),
        (torch.zeros(2, 13).long(), "parts has shape (2, 13); pass rows of 14 numbers"),
        (torch.zeros(0, 14).long(), "pass rows of 14 numbers, (n, 14) with n ≥ 1"),
        (torch.full((2, 14), 6), "parts runs from 6 to 6 in column 0; pass numbers in 0…5 there"),
        (-torch.ones(2, 14).long(), "parts runs from -1 to -1 in column 0"),
    ],
)
def test_what_is_no_face_is_refused(parts, message):
    with refused(message):
        draw_faces(parts)


def test_a_caption_without_chance_of_words_is_refused():
    with refused("drop = 1", "a probability below 1"):
        caption(FACE, 1)
    with refused("face is a list", "pass a dict, such as describe_faces(parts)[0]"):
        caption([FACE])
