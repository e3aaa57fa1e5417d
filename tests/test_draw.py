"""Faces from a caption: the library's function, and the command."""

import pytest
import torch
from PIL import Image
from support import seeded

from diffusion_lib import draw as command
from diffusion_lib.data.captions import tokens
from diffusion_lib.draw import draw, told
from diffusion_lib.models import PictureVAE, TextDiffusion, TextMLP, save
from diffusion_lib.process.schedules import cosine

SCHEDULE = cosine(50)


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    network = TextMLP(SCHEDULE, (4, 8, 8), 16, 1, 2, 8)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.1 * torch.randn(p.shape, generator=seeded(p.numel()))
    return TextDiffusion(network, SCHEDULE), PictureVAE(width=8)


@pytest.fixture
def folder(models, tmp_path):
    for name, model in zip(("words", "autoencoder"), models, strict=True):
        save(model, tmp_path / f"{name}.safetensors")
    return tmp_path


def test_guidance_goes_from_what_is_unwanted_to_what_is_asked(models):
    model, z = models[0], torch.randn(2, 4, 8, 8, generator=seeded())
    ask, shun = (model.given(tokens([line]))(z, 0.7) for line in ("a sad face", "a cap"))
    lines = ["a sad face"] * 2
    with torch.no_grad():
        torch.testing.assert_close(told(model, lines, 1)(z, 0.7), ask)
        torch.testing.assert_close(told(model, lines, 3)(z, 0.7), model(z, 0.7) + 3 * (ask - model(z, 0.7)))
        torch.testing.assert_close(told(model, lines, 3, "a cap")(z, 0.7), shun + 3 * (ask - shun))


def test_a_face_is_whole_levels_and_the_seed_makes_it(models):
    lines = ["a sad face", "a face with red hair"]
    one, same, other = (draw(*models, lines, 2.0, seeded(k), 3) for k in (1, 1, 2))
    assert one.shape == (2, 3, 32, 32)
    assert torch.equal(one, one.round().clamp(0, 255))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_command_writes_a_sheet(folder, capsys):
    out = folder / "faces.png"
    command.main(["a sad face", "--n", "10", "--steps", "2", "--out", str(out), "--weights", str(folder)])
    with Image.open(out) as picture:
        assert picture.size == (8 * 34 * 4, 2 * 34 * 4)
    assert "10 faces" in capsys.readouterr().out


def test_the_bar_counts_the_steps_that_are_walked(models, capsys):
    draw(*models, ["a sad face"], 1.0, seeded(), 200, progress=True)  # of the schedule's 50
    done, total = capsys.readouterr().err.rsplit("| ", 1)[1].split()[0].split("/")
    assert int(done) == int(total) <= 51


def test_a_sheet_has_each_picture_in_its_place():
    levels = torch.arange(3.0)[:, None, None, None].expand(3, 3, 4, 4) * 50
    sheet = command.sheet(levels, columns=2, zoom=1)
    assert sheet.size == (12, 12)
    assert [sheet.getpixel(place)[0] for place in ((2, 2), (8, 2), (2, 8), (8, 8))] == [0, 50, 100, 255]
    assert sheet.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a blonde face"], "take one of these: blond"),
        (["a sad face", "--steps", "0"], "calls = 0"),
        (["a sad face", "--weights", "/nowhere"], "is no file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--weights", str(folder), "--out", str(folder / "x.png"), *arguments])
    assert said in str(stopped.value)
    assert "\n" not in str(stopped.value)
