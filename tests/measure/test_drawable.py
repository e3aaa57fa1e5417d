"""The search for the nearest drawable face: it finds faces that were drawn, and none that was not."""

import pytest
import torch
from support import refused, seeded

from diffusion_lib.data import draw_faces, face_parts
from diffusion_lib.data.faces import PARTS
from diffusion_lib.measure import drawable
from diffusion_lib.measure.drawable import drawable_share, nearest_face

FEW = 12  # a search takes some hundredths of a second a face


def test_drawn_faces_are_found():
    own = draw_faces(face_parts(FEW, seeded(5)))
    parts, distance = nearest_face(own, starts=1000)
    assert (distance == 0).sum() >= FEW - 1
    assert torch.equal(draw_faces(parts)[distance == 0], own[distance == 0])


def test_a_little_noise_changes_nothing_and_the_distance_is_its_size():
    own = draw_faces(face_parts(FEW, seeded(6)))
    noise = 5 * torch.randn(own.shape, generator=seeded())
    parts, distance = nearest_face(own + noise, starts=1000)
    same = (draw_faces(parts) == own).flatten(1).all(dim=1)
    assert same.sum() >= FEW - 1
    size = noise.square().flatten(1).mean(dim=1).sqrt()
    torch.testing.assert_close(distance[same], size[same], rtol=1e-5, atol=0)


def test_no_choice_of_one_part_is_nearer():
    """At the end of the search, by painting each such face anew."""
    wanted = draw_faces(face_parts(3, seeded(7))) + 40 * torch.randn(3, 3, 16, 16, generator=seeded())
    parts, distance = nearest_face(wanted, starts=200, sweeps=20)
    for column, words in enumerate(PARTS.values()):
        for number in range(len(words)):
            other = parts.clone()
            other[:, column] = number
            apart = (draw_faces(other) - wanted).square().flatten(1).mean(dim=1).sqrt()
            assert (apart >= distance - 0.02).all()  # the search paints in float32 and rounds no level


@pytest.mark.parametrize("names", drawable.TOGETHER, ids=" ".join)
def test_a_group_is_searched_as_if_each_face_were_painted(names):
    parts = face_parts(4, seeded(8))
    wanted = draw_faces(face_parts(4, seeded(9))) / 255
    start = torch.full((4,), torch.inf)
    found, best = drawable._best_of(names, parts, start, wanted)
    torch.testing.assert_close(best, drawable._apart(draw_faces(found) / 255, wanted), rtol=0, atol=1e-4)
    others = [column for column, part in enumerate(PARTS) if part not in names]
    if "" in names:
        others.remove(list(PARTS).index("hat"))
        assert not found[:, list(PARTS).index("hat")].any()
    assert torch.equal(found[:, others], parts[:, others])


def test_real_faces_are_drawable_and_mixtures_are_not():
    own = draw_faces(face_parts(2 * FEW, seeded(10)))
    assert drawable_share(own[:FEW]) >= 1 - 1 / FEW
    rounded = (own[:FEW] / 255 * 16).round() / 16 * 255
    assert drawable_share(rounded) >= 1 - 1 / FEW
    assert drawable_share((own[:FEW] + own[FEW:]) / 2) == 0


def test_other_shapes_are_refused():
    with refused("levels has shape (2, 3, 8, 8)", "points are rows, (n, 3, 16, 16)"):
        nearest_face(torch.zeros(2, 3, 8, 8))
