"""Checkpoints: whole or not there, and known by their hashes."""

import pytest

from diffusion_lib.many import kept


def write(out, step, text="weights", **settings):
    folder = kept.partial(out, step)
    (folder / "a.bin").write_text(text)
    (folder / "b.bin").write_text(text * 2)
    return kept.publish(folder, step, settings)


def test_a_checkpoint_has_what_was_written(tmp_path):
    folder = write(tmp_path, 7, seed=3)
    assert kept.broken(folder) == ""
    assert kept.newest_whole(tmp_path) == folder
    assert kept.contents(folder)["step"] == 7
    assert kept.contents(folder)["settings"] == {"seed": 3}
    assert not list(tmp_path.glob("partial-*"))


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 100, 20):
        write(tmp_path, step)
    assert [f.name for f in kept.checkpoints(tmp_path)] == ["step-00000100", "step-00000020"]


def tear_short(folder):
    (folder / "b.bin").write_text("weight")


def tear_one_byte(folder):
    path = folder / "a.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"z")


def tear_away(folder):
    (folder / "a.bin").unlink()


def tear_the_list(folder):
    path = folder / kept.LIST
    path.write_text(path.read_text()[:40])


def tear_the_list_away(folder):
    (folder / kept.LIST).unlink()


@pytest.mark.parametrize(
    "tear",
    [tear_short, tear_one_byte, tear_away, tear_the_list, tear_the_list_away],
    ids=lambda f: f.__name__,
)
def test_a_torn_checkpoint_is_never_taken_and_the_one_before_it_is(tmp_path, tear):
    before, newest = write(tmp_path, 1), write(tmp_path, 2)
    tear(newest)
    with pytest.warns(UserWarning, match="step-00000002"):
        assert kept.newest_whole(tmp_path) == before


def test_what_was_never_finished_is_not_looked_at(tmp_path):
    folder = kept.partial(tmp_path, 3)
    (folder / "a.bin").write_text("half")
    assert kept.newest_whole(tmp_path) is None
    assert list(kept.partial(tmp_path, 3).iterdir()) == []  # a new run starts it anew


def test_it_gets_its_name_only_after_everything_is_on_the_disk(tmp_path, monkeypatch):
    """A power cut before the last flush finds no folder of that name."""
    flushed = []

    def flush(path):
        flushed.append((path.name, (tmp_path / "step-00000004").exists()))

    monkeypatch.setattr(kept, "flush", flush)
    write(tmp_path, 4)
    *before, (last, named) = flushed
    assert {name for name, _ in before} == {"a.bin", "b.bin", kept.LIST, "partial-00000004"}
    assert not any(named for _, named in before)
    assert (last, named) == (tmp_path.name, True)


def test_a_folder_without_checkpoints_has_none(tmp_path):
    assert kept.newest_whole(tmp_path / "nowhere") is None
