"""`diffusion_lib.data.units`: what cannot be compared entry by entry is compared as a whole."""

import math

import pytest
import torch
from support import refused, seeded

from diffusion_lib.data import PixelScale, Standardiser, digits
from diffusion_lib.show.widgets import Frame, points
from diffusion_lib.training import unit_trouble


def test_records_with_arrays_equal_themselves_alone():
    def made():
        layer = points(torch.zeros(3, 2))
        return [Standardiser(torch.zeros(2), 1.0), layer, Frame("Three points.", [layer])]

    for one, other in zip(made(), made(), strict=True):
        assert one == one
        assert one != other
        assert len({one, other}) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("highest", [1, 16, 255, 65535])
def test_levels_come_back_exactly(highest, dtype):
    levels = torch.arange(highest + 1, dtype=dtype).reshape(-1, 1, 1, 1)
    for scale in (
        PixelScale(highest),
        PixelScale.fit(levels, highest),
        PixelScale(highest, 0.3, 0.7 * highest),
    ):
        assert torch.equal(scale.undo(scale(levels)), levels)
        nearly = (
            scale(levels) + 0.49 / scale.std * (torch.rand(levels.shape, generator=seeded()) - 0.5).sign()
        )
        if highest < 1000:  # float32 keeps 1/100 of a level
            assert torch.equal(scale.undo(nearly), levels)


def test_by_itself_a_pixel_scale_takes_levels_to_minus_one_and_one():
    scale = PixelScale(16)
    assert scale(torch.tensor([0.0, 8.0, 16.0])).tolist() == [-1, 0, 1]
    assert scale.undo(torch.tensor([-7.0, -1.01, 0.06, 0.07, 3.0])).tolist() == [0, 0, 8, 9, 16]


def test_a_fitted_pixel_scale_standardises_all_numbers_together():
    levels = torch.randint(17, (50, 3, 4, 4), generator=seeded()).double()
    levels[:, 0] *= 0.5
    x = PixelScale.fit(levels.round(), 16)(levels.round())
    torch.testing.assert_close(x.mean(), torch.zeros(()).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(x.std(correction=0), torch.ones(()).double(), rtol=0, atol=1e-12)


def test_a_level_costs_the_bits_that_a_histogram_costs():
    """A density p of x and levels 1/std apart: −log₂ p(x) + log₂ std bits are those of the level's chance."""
    scale, n = PixelScale(255, 100.0, 40.0), 200_000
    x = torch.randn(n, generator=seeded(), dtype=torch.float64)
    level = (x * scale.std + scale.mean).round()
    chance = torch.bincount(level.long() - int(level.min())).double() / n
    entropy = -(chance * chance.clamp(min=1e-12).log2()).sum()
    bits = 0.5 * math.log2(2 * math.pi * math.e) + math.log2(scale.std)
    assert abs(float(entropy) - bits) < 0.01  # a few hundred levels from 200,000 draws: 0.001 short


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: PixelScale(0), ("highest = 0", "at least 1")),
        (lambda: PixelScale(16, std=0.0), ("std = 0.0", "a positive number")),
        (lambda: PixelScale(16, mean=math.nan), ("mean = nan", "pass a number")),
        (lambda: PixelScale.fit(torch.ones(3, 1, 2, 2), 16), ("x is constant", "pass data that varies")),
        (lambda: PixelScale(16).undo(torch.ones(3).long()), ("x is torch.int64", "pass")),
    ],
)
def test_a_pixel_scale_that_scales_nothing_is_refused(make, parts):
    with refused(*parts):
        make()


def test_digits_are_ready_for_training():
    x = PixelScale(16)(digits().train)
    assert (x.min(), x.max()) == (-1, 1)
    assert unit_trouble(x) == ""
