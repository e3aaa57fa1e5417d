"""The patch denoiser against Bayes' rule pixel by pixel, and against the exact denoiser that it tends to."""

import pytest
import torch
from support import normal, refused

from diffusion_lib.models import ExactDenoiser, PatchDenoiser

PICTURES = normal(6, 2, 4, 5)


def by_hand(z, sigma, row, column, reach):
    """The answer for one pixel: the pictures' pixels, weighed by how well the places around it agree."""
    rows, columns = (
        slice(max(row - reach, 0), row + reach + 1),
        slice(max(column - reach, 0), column + reach + 1),
    )
    log_p = -(z[:, rows, columns] - PICTURES[:, :, rows, columns]).square().sum(dim=(1, 2, 3)) / (
        2 * sigma**2
    )
    return (torch.softmax(log_p, dim=0)[:, None] * PICTURES[:, :, row, column]).sum(dim=0)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_each_pixel_is_bayes_rule_for_its_patch(size):
    z = normal(3, 2, 4, 5, seed=1)
    sigma = torch.tensor([0.3, 1.0, 4.0]).double()
    found = PatchDenoiser(PICTURES, size)(z, sigma)
    for k in range(3):
        for row in range(4):
            for column in range(5):
                expected = by_hand(z[k], sigma[k], row, column, size // 2)
                torch.testing.assert_close(found[k, :, row, column], expected, rtol=0, atol=1e-12)


def test_a_patch_that_holds_the_picture_gives_the_exact_denoiser():
    z = normal(4, 2, 4, 5, seed=1)
    exact = ExactDenoiser(PICTURES)
    torch.testing.assert_close(PatchDenoiser(PICTURES, 9)(z, 0.7), exact(z, 0.7), rtol=0, atol=1e-12)


def test_parts_of_an_answer_may_come_from_different_pictures():
    left, right = torch.zeros(1, 1, 3, 8), torch.ones(1, 1, 3, 8)
    z = torch.cat([left[..., :4], right[..., 4:]], dim=3)
    answer = PatchDenoiser(torch.cat([left, right]), 3)(z, 0.1)
    torch.testing.assert_close(answer[..., :3], z[..., :3])
    torch.testing.assert_close(answer[..., 5:], z[..., 5:])


def test_what_does_not_fit_is_refused():
    with refused("points has shape (6, 2)", "(N, C, H, W)"):
        PatchDenoiser(normal(6, 2))
    with refused("size = 4", "odd"):
        PatchDenoiser(PICTURES, 4)
    with refused("z has shape (3, 2, 4, 4)"):
        PatchDenoiser(PICTURES)(normal(3, 2, 4, 4), 1.0)
    with refused("sigma"):
        PatchDenoiser(PICTURES)(PICTURES, 0.0)
