"""The judge of faces: fixed, right about real faces, and silent about what cannot be seen."""

import hashlib

import torch
from support import seeded

from diffusion_lib.data.captions import ATTRIBUTES
from diffusion_lib.data.faces import PARTS, describe_faces, draw_faces, face_parts
from diffusion_lib.measure import judge
from diffusion_lib.measure.judge import ANSWERS, face_judge, visible

SHA = "5b6de23a26c536b2c768f1ccf50a90172351df85e78f4fcd4617361abe19b04c"


def face(**words):
    """The parts of one face with these words, all else the first one."""
    row = [PARTS[part].index(words.get(part.replace(" ", "_"), PARTS[part][0])) for part in PARTS]
    return torch.tensor([row])


def test_the_file_is_the_one_that_judged():
    assert hashlib.sha256(judge.JUDGE.read_bytes()).hexdigest() == SHA


def test_it_is_right_about_real_faces_where_there_is_something_to_be_seen():
    parts = face_parts(300, seeded(123))
    found, seen = face_judge().words(draw_faces(parts)), visible(parts)
    right = [
        answer[part] == true[part]
        for answer, true, can in zip(found, describe_faces(parts), seen.tolist(), strict=True)
        for part, known in zip(ATTRIBUTES, can, strict=True)
        if known and part in true
    ]
    assert sum(right) / len(right) > 0.99


def test_its_answers_are_the_words_of_each_attribute():
    logits = face_judge()(draw_faces(face_parts(3, seeded())))
    assert logits.shape == (3, sum(len(set(PARTS[part])) for part in ATTRIBUTES))
    assert all(set(ANSWERS[part]) == set(PARTS[part]) for part in ATTRIBUTES)


def can_be_seen(parts):
    return dict(zip(ATTRIBUTES, visible(parts)[0].tolist(), strict=True))


def test_what_is_hidden_or_absent_is_not_seen():
    assert not can_be_seen(face(hair="short", hat="none"))["hat colour"]  # of no hat
    assert can_be_seen(face(hair="short", hat="cap"))["hat colour"]
    assert not can_be_seen(face(hair="bald", beard="none"))["hair colour"]
    assert can_be_seen(face(hair="bald", beard="beard"))["hair colour"]


def test_seen_means_that_every_other_word_would_change_two_pixels():
    """By hand, for the style of hair under a hat: with every sprite of another word, as far as it fits."""
    parts = face_parts(60, seeded(9))
    parts[:, list(PARTS).index("hat")] = PARTS["hat"].index("cap")
    column, faces, seen = list(PARTS).index("hair"), draw_faces(parts), visible(parts)[:, 0]
    for row, own, answer in zip(parts, faces, seen.tolist(), strict=True):
        least = 1000
        for number, word in enumerate(PARTS["hair"]):
            if word in ("mohawk", "wild") or word == PARTS["hair"][row[column]]:
                continue
            other = row.clone()
            other[column] = number
            least = min(least, int(((draw_faces(other[None])[0] - own).abs().amax(dim=0) > 24).sum()))
        assert answer == (least >= 2)
