"""Pictures: digits, patches and folders against their sources."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from support import refused, seeded

from diffusion_lib.data import digits, draw_faces, face_parts, folder, images, photo_patches, pixel_faces


def test_the_digits_are_scikit_learns_each_once():
    found, (theirs, labels) = digits(), load_digits(return_X_y=True)
    x = torch.cat([found.held_out, found.train]).flatten(1).numpy()
    y = torch.cat([found.held_out_digits, found.train_digits]).numpy()
    assert found.train.shape == (1437, 1, 8, 8)
    assert found.held_out.shape == (360, 1, 8, 8)
    ours, expected = np.column_stack([x, y]), np.column_stack([theirs, labels])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], expected[np.lexsort(expected.T)])


def test_a_digit_stands_upright():
    found, theirs = digits(), load_digits().images
    assert (theirs == found.train[0, 0].numpy()).all(axis=(1, 2)).sum() == 1


def test_the_seed_divides_the_digits():
    one, same, other = digits(1), digits(1), digits(2)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.train, other.train)
    for y in (one.held_out_digits, other.held_out_digits):
        assert (torch.bincount(y) > 15).all()  # 36 ± 5 of each


def test_pixel_faces_are_random_faces_drawn():
    assert torch.equal(pixel_faces(7, seeded(3)), draw_faces(face_parts(7, seeded(3))))


# --- photographs


@pytest.mark.parametrize("size", [16, 5])
def test_patches_are_cut_from_the_photographs(size):
    patches = photo_patches(12, seeded(1), size=size, reduce=1)
    assert patches.shape == (12, 3, size, size)
    photos, found = load_sample_images().images, set()
    for patch in patches.permute(0, 2, 3, 1).numpy():
        for k, photo in enumerate(photos):
            spots = np.argwhere((photo[: -size + 1, : -size + 1] == patch[0, 0]).all(axis=-1))
            found |= {(k, i, j) for i, j in spots if (photo[i : i + size, j : j + size] == patch).all()}
    assert len(found) >= 12
    assert {k for k, _, _ in found} == {0, 1}


def test_smaller_photographs_are_means_of_squares():
    """Each patch of 8 × 8 is found among the means of 4 × 4 pixels, to rounding."""
    means = [
        photo[:424].reshape(106, 4, 160, 4, 3).mean(axis=(1, 3)) for photo in load_sample_images().images
    ]
    for patch in photo_patches(5, seeded(2), size=8, reduce=4).permute(0, 2, 3, 1).numpy():
        assert np.array_equal(patch, patch.round())
        views = [np.lib.stride_tricks.sliding_window_view(mean, (8, 8, 3)) for mean in means]
        assert min(np.abs(view - patch).max(axis=(3, 4, 5)).min() for view in views) <= 0.5


def test_patches_that_do_not_fit_are_refused():
    with refused("size = 200 with reduce = 4", "160 × 106", "a size of at most 106"):
        photo_patches(3, size=200)


# --- the reader's own folder


def saved(tmp_path, **pictures):
    for name, picture in pictures.items():
        picture.save(tmp_path / name.replace("_", "."))
    return tmp_path


def halves(mode, left, right, size=32):
    """A picture whose left half has one colour and whose right half another."""
    picture = Image.new(mode, (size, size), left)
    picture.paste(right, (size // 2, 0, size, size))
    return picture


def sides(levels):
    """The colours of the left and the right half."""
    assert (levels == levels[:, :, :1].expand(-1, -1, 16))[:, :, :8].all()
    return levels[:, 0, 0].tolist(), levels[:, 0, -1].tolist()


@pytest.mark.parametrize(
    ("mode", "suffix", "left", "right", "expected"),
    [
        ("RGB", "png", (255, 0, 10), (0, 20, 255), ([255, 0, 10], [0, 20, 255])),
        ("L", "png", 40, 250, ([40] * 3, [250] * 3)),
        ("1", "png", 0, 1, ([0] * 3, [255] * 3)),
        ("RGBA", "png", (255, 0, 0, 255), (0, 0, 0, 0), ([255, 0, 0], [255] * 3)),
        ("RGBA", "png", (0, 0, 0, 51), (0, 0, 0, 255), ([204] * 3, [0] * 3)),
        ("LA", "png", (10, 255), (10, 0), ([10] * 3, [255] * 3)),
        ("I;16", "png", 257 * 40, 65535, ([40] * 3, [255] * 3)),
        ("RGB", "bmp", (1, 2, 3), (4, 5, 6), ([1, 2, 3], [4, 5, 6])),
        ("P", "gif", 0, 0, ([0] * 3, [0] * 3)),
    ],
)
def test_every_kind_of_picture_is_read(tmp_path, mode, suffix, left, right, expected):
    halves(mode, left, right).save(tmp_path / f"a.{suffix}")
    found = folder(tmp_path)
    assert found.shape == (1, 3, 16, 16)
    assert sides(found[0]) == expected


def test_pictures_come_in_the_order_of_names_and_other_files_are_left_aside(tmp_path):
    saved(tmp_path, b_png=Image.new("L", (20, 20), 2), a_PNG=Image.new("L", (20, 20), 1))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "c.png").mkdir()
    assert folder(str(tmp_path))[:, 0, 0, 0].tolist() == [1, 2]


def test_the_square_in_the_middle_is_taken_and_made_smaller(tmp_path):
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, 16:48] = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    saved(tmp_path, a_png=Image.fromarray(picture))
    means = picture[:, 16:48].reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    found = folder(tmp_path)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - means).max() <= 1  # Pillow rounds twice, along each axis


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    upright = halves("RGB", (255, 0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side: to be turned by a quarter, clockwise
    upright.rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    assert sides(folder(tmp_path)[0]) == ([255, 0, 0], [0, 0, 255])


def test_a_folder_without_pictures_is_refused(tmp_path):
    with refused(f"path = {str(tmp_path)!r} has no pictures", "pass a folder with files such as .png"):
        folder(tmp_path)
    with refused("is no folder; pass one that exists"):
        folder(tmp_path / "nowhere")
    with refused("path is an int; pass a string or a Path"):
        folder(3)


def test_an_unreadable_picture_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    saved(tmp_path, a_png=Image.fromarray(noise))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    with refused("b.png cannot be read", "remove it"):
        folder(tmp_path)
    (tmp_path / "b.png").write_text("not a picture at all")
    with refused("b.png cannot be read", "remove it"):
        folder(tmp_path)


def test_a_picture_too_small_is_named(tmp_path):
    saved(tmp_path, small_png=Image.new("L", (20, 9)))
    with refused("small.png has 20 × 9 pixels", "a size of at most 9, not 16"):
        folder(tmp_path)
    assert folder(tmp_path, size=9).shape == (1, 3, 9, 9)


def test_a_picture_too_large_is_named(tmp_path, monkeypatch):
    saved(tmp_path, a_png=Image.new("L", (40, 40)))
    monkeypatch.setattr(images.Image, "MAX_IMAGE_PIXELS", 100)
    with refused("a.png cannot be read", "remove it"):
        folder(tmp_path)
