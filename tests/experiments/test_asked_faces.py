"""Chapter 11's experiments on real faces, whose answers are known, in place of drawn ones."""

import pytest
import torch
from torch import Generator

from diffusion_lib.data.captions import ATTRIBUTES, captions_of, wishes
from diffusion_lib.data.faces import PARTS, describe_faces, draw_faces, face_parts
from diffusion_lib.experiments import text_to_image as asked

UNSEEN, SEEN = asked.PAIRS["unseen"], asked.PAIRS["seen"]


@pytest.fixture(scope="module")
def parts():
    return face_parts(4000, Generator().manual_seed(5))


def test_a_face_has_a_pair_if_it_has_both_words(parts):
    places = {part: i for i, part in enumerate(PARTS)}
    for pair in (*UNSEEN, *SEEN):
        wanted = [
            all(PARTS[part][face[places[part]]] == word for part, word in pair.items())
            for face in parts.tolist()
        ]
        assert asked.has_pair(parts, pair).tolist() == wanted


def test_real_faces_show_what_their_captions_say_as_far_as_it_can_be_seen():
    parts, seen = asked.fresh_faces(600)
    faces, captions = draw_faces(parts), captions_of(parts)
    assert asked.accuracy(faces, captions, seen)["all"] > 0.995
    hidden = asked.accuracy(faces, captions, torch.ones_like(seen))  # what no pixel shows counts, too
    assert hidden["all"] < 0.99
    assert asked.accuracy(faces, captions[1:] + captions[:1], seen)["all"] < 0.7


def test_a_word_that_nobody_said_is_not_judged():
    parts, seen = asked.fresh_faces(600)
    found = asked.accuracy(draw_faces(parts), captions_of(parts), seen)
    only = asked.accuracy(draw_faces(parts[:1]), ["a smiling face"], torch.ones_like(seen[:1]))
    assert set(only) == {"mouth", "all"}
    assert set(only) < set(found)


def test_what_could_not_be_seen_is_not_judged():
    parts, seen = asked.fresh_faces(600)
    no_mouth = torch.tensor([[part != "mouth" for part in ATTRIBUTES]])
    found = asked.accuracy(draw_faces(parts), captions_of(parts), seen & no_mouth)
    assert set(found) == {*ATTRIBUTES, "all"} - {"mouth"}


def recorded(monkeypatch):
    """The captions that the model is asked for, while a real face stands in for each that it draws."""
    lines = []

    def stand_in(captions, w, seed):
        lines.append(captions)
        return draw_faces(face_parts(len(captions), Generator().manual_seed(seed)))

    monkeypatch.setattr(asked, "drawn", stand_in)
    return lines


@pytest.mark.parametrize("kind", ["unseen", "seen"])
def test_pairs_asks_for_the_pairs_and_judges_faces_that_have_them(monkeypatch, kind):
    lines = recorded(monkeypatch)
    found = asked.pairs(kind=kind, w=2.0, seed=0, n=20)
    for pair, captions in zip(asked.PAIRS[kind], lines, strict=True):
        said = [wishes(line) for line in captions]
        assert all(wish[part] == word for wish in said for part, word in pair.items())
        others = [all(wish.get(p) == w for p, w in unseen.items()) for wish in said for unseen in UNSEEN]
        assert any(others) == (kind == "unseen")
    assert found["both of real faces"] > 0.98
    assert found["accuracy of real faces"] > 0.98
    assert found["both"] < 0.2  # faces of nobody's asking


def test_pairs_reads_the_seen_faces_apart_from_the_unseen(monkeypatch):
    found = {}
    for kind in ("unseen", "seen"):
        lines = recorded(monkeypatch)
        asked.pairs(kind=kind, w=2.0, seed=0, n=20)
        found[kind] = {line for captions in lines for line in captions}
    assert not found["unseen"] & found["seen"]


def faces_with(pool, hair, shirt):
    """A real face with long hair of this colour, which can be seen, and such a shirt."""
    for row, words in zip(pool, describe_faces(pool), strict=True):
        wanted = {"hair": "long", "hair colour": hair, "shirt colour": shirt, "hat": "none"}
        if wanted.items() <= words.items():
            return row
    raise LookupError(f"no {hair} hair with a {shirt} shirt")


@pytest.mark.parametrize(("turned", "as_asked", "swapped"), [(False, 1, 0), (True, 0, 1)])
def test_binding_tells_what_was_asked_from_what_was_swapped(monkeypatch, turned, as_asked, swapped):
    pool = face_parts(60_000, Generator().manual_seed(6))

    def right_or_turned(captions, w, seed):
        rows = {}
        for line in dict.fromkeys(captions):
            colours = [wishes(line)[part] for part in ("hair colour", "shirt colour")]
            rows[line] = faces_with(pool, *(colours[::-1] if turned else colours))
        return draw_faces(torch.stack([rows[line] for line in captions]))

    monkeypatch.setattr(asked, "drawn", right_or_turned)
    found = asked.binding(w=2.0, seed=0)
    assert found["as asked"] == pytest.approx(as_asked, abs=0.1)
    assert found["swapped"] == pytest.approx(swapped, abs=0.1)


def test_a_caption_counts_if_more_than_half_of_its_faces_show_it(monkeypatch, tmp_path):
    recorded(monkeypatch)
    (tmp_path / "fifty").write_text("a smiling face\n" * 50, encoding="utf-8")
    monkeypatch.setattr(asked, "FIFTY", tmp_path / "fifty")
    shares = torch.zeros(50, 16, dtype=torch.bool)
    shares[:10], shares[10:20, :8], shares[20:30, :9] = True, True, True
    monkeypatch.setattr(asked, "shows", lambda levels, wanted: shares.flatten().tolist())
    found = asked.fifty(w=2.0, seed=0)
    assert found["captions"] == 20
    assert found["faces"] == pytest.approx((10 * 16 + 10 * 8 + 10 * 9) / 800)
