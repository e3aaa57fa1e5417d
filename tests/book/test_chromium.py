"""The browser that `make pdf` and the browser tests use: the reader's own, wherever it is."""

from types import SimpleNamespace

import chromium
import pytest


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without any browser, and a function that installs one there."""
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(chromium, "PLACES", (str(tmp_path / "Applications" / "Google Chrome"),))

    def install(place):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o755)
        return str(path)

    return install


def found(tmp_path):
    own = SimpleNamespace(executable_path=str(tmp_path / "cache" / "chrome"))
    return chromium.find_chromium(SimpleNamespace(chromium=own))


@pytest.mark.parametrize(
    "place", ["cache/chrome", "bin/chromium", "bin/google-chrome", "Applications/Google Chrome"]
)
def test_a_browser_is_found_where_it_usually_is(machine, tmp_path, place):
    path = machine(place)
    assert found(tmp_path) == path


def test_the_one_that_is_named_goes_first(machine, tmp_path, monkeypatch):
    machine("bin/chromium")
    monkeypatch.setenv("CHROMIUM", machine("my own"))
    assert found(tmp_path) == str(tmp_path / "my own")


def test_a_name_that_leads_nowhere_is_said(machine, tmp_path, monkeypatch):
    machine("bin/chromium")
    monkeypatch.setenv("CHROMIUM", "/no/such/browser")
    with pytest.raises(chromium.NoChromiumError, match=r"CHROMIUM is '/no/such/browser'"):
        found(tmp_path)


def test_without_any_both_ways_to_get_one_are_said(machine, tmp_path):
    with pytest.raises(
        chromium.NoChromiumError, match=r"(?s)Install Chromium.*playwright install chromium.*CHROMIUM"
    ):
        found(tmp_path)
