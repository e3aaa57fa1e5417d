"""Captions: words and numbers and back, and what a caption asks for is what the face has."""

import torch
from support import refused, seeded

from diffusion_lib.data.captions import ATTRIBUTES, LONGEST, WORDS, captions_of, tokens, wishes, words_of
from diffusion_lib.data.faces import describe_faces, face_parts


def test_numbers_say_the_words_again():
    lines = captions_of(face_parts(50, seeded(1)), 0.3, seeded(2))
    for row, line in zip(tokens(lines).tolist(), lines, strict=True):
        said = words_of(line)
        assert [WORDS[k] for k in row] == said + [""] * (LONGEST - len(said))


def test_capitals_and_commas_make_no_difference_and_no_caption_is_zeros():
    assert torch.equal(tokens(["A sad face, with a cap."]), tokens(["a sad face with a cap"]))
    assert not tokens([""]).any()


def test_every_word_of_the_compositor_is_known():
    lines = captions_of(face_parts(2000, seeded(3)))
    assert {word for line in lines for word in words_of(line)} == set(WORDS) - {""}
    assert max(len(words_of(line)) for line in lines) <= LONGEST


def test_a_full_caption_asks_for_what_the_face_has():
    parts = face_parts(500, seeded(4))
    for face, line in zip(describe_faces(parts), captions_of(parts), strict=True):
        assert wishes(line) == {k: face[k] for k in ATTRIBUTES if face.get(k, "none") != "none"}


def test_a_shorter_caption_asks_for_less_and_never_for_something_else():
    parts = face_parts(500, seeded(5))
    for face, line in zip(describe_faces(parts), captions_of(parts, 0.5, seeded(6)), strict=True):
        assert wishes(line).items() <= face.items()


def test_a_colour_belongs_to_the_thing_it_stands_before():
    assert wishes("a face with red hair and a blue shirt") == {"hair colour": "red", "shirt colour": "blue"}
    assert wishes("a sad face with a blue cap, a red shirt and a blue background") == {
        "mouth": "sad", "hat": "cap", "hat colour": "blue", "shirt colour": "red", "background": "blue",
    }  # fmt: skip


def test_unknown_words_and_long_captions_are_refused():
    with refused("captions", "'blonde'", "take one of these: blond"):
        tokens(["a face with blonde hair"])
    with refused("captions", "'xqz'", "take one of these: a, face"):
        tokens(["xqz"])
    with refused("captions", "29 words", "pass at most 28"):
        tokens(["a " * 29])
