"""The engine that trains in the reader's tab, in Chromium: equal to PyTorch, and well behaved on a page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import stay_local, until
from engine_probe import HASHES, RUN, as_json, assert_equal_training, make_model, parts, session_settings
from playwright.sync_api import Browser, Page

from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.show.engine import script

OWN = "script-src 'self' file: 'wasm-unsafe-eval'"
POLICIES = {  # of a page, and the mode in which a run on it trains
    "as on the book's pages": (f"default-src 'none'; {OWN}; worker-src 'self' blob:", "worker"),
    "without workers": (f"default-src 'none'; {OWN}; worker-src 'none'", "slices"),
    "without WebAssembly": ("default-src 'none'; script-src 'self' file:; worker-src blob:", "unavailable"),
}
# Starts runs, notes what they tell, and counts the frames of the page for which they wait.
NOTES = """
globalThis.runs = [];
globalThis.begin = (settings, ways) => {
  const run = { pictures: [], ends: [] };
  const handle = diffusionTrainer.start(settings, {
    onPicture: (picture) => run.pictures.push({ ...picture, samples: Array.from(picture.samples) }),
    onEnd: ({ weights, ...end }) => run.ends.push({ ...end, arrays: weights?.length }),
  }, ways);
  handle.mode.then((mode) => (run.mode = mode));
  run.stop = handle.stop;
  return runs.push(run) - 1;
};
globalThis.frames = 0;
const paint = requestAnimationFrame;
globalThis.requestAnimationFrame = (go) => ((frames += 1), paint(go));
"""


class Tab(NamedTuple):
    page: Page

    def begin(self, settings: dict, ways: tuple[str, ...] = ("worker", "slices")) -> int:
        return self.page.evaluate("([settings, ways]) => begin(settings, ways)", [settings, list(ways)])

    def of(self, run: int) -> dict:
        return self.page.evaluate("(i) => { const { stop, ...rest } = runs[i]; return rest; }", run)

    def stop(self, run: int) -> None:
        self.page.evaluate("(i) => runs[i].stop()", run)

    def ended(self, run: int, seconds: float = 60) -> dict:
        assert until(lambda: self.of(run)["ends"], self.page, seconds)
        self.page.wait_for_timeout(200)  # for anything that should not follow
        return self.of(run)


@pytest.fixture
def open_tab(chromium: Browser, tmp_path: Path) -> Iterator:
    """A page, opened as a file, with the trainer and a policy."""
    contexts = []

    def open_tab(policy: str = POLICIES["as on the book's pages"][0]) -> Tab:
        (tmp_path / "trainer.js").write_text(script() + NOTES, encoding="utf-8")
        html = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        (tmp_path / "page.html").write_text(f'{html}<script src="trainer.js"></script>', encoding="utf-8")
        contexts.append(chromium.new_context())
        stay_local(contexts[-1])
        page = contexts[-1].new_page()
        page.goto((tmp_path / "page.html").as_uri())
        return Tab(page)

    yield open_tab
    for context in contexts:
        context.close()


@pytest.fixture
def ask(chromium: Browser) -> Iterator:
    """A function that asks a probe in the browser, as `in_node` does in Node."""
    page = chromium.new_page()
    page.add_script_tag(content=parts())

    def ask(name: str, *given: object):
        return json.loads(page.evaluate("async (text) => probe(...JSON.parse(text))", as_json([name, given])))

    yield ask
    page.close()


@pytest.mark.parametrize(
    ("predict", "width", "T", "rows"), [("eps", 64, 100, 1024), ("x_0", 64, 40, 1000), ("v", 32, 1000, 1024)]
)
def test_it_trains_as_pytorch_does(ask, predict, width, T, rows):
    assert_equal_training(make_model(predict, width, even_log_snr(T)), ask, rows)


def test_the_numbers_are_those_of_node(ask):
    assert ask("hashes", session_settings()) == HASHES


@pytest.mark.parametrize("name", POLICIES)
def test_a_run_finds_the_best_way_that_the_page_allows(open_tab, name):
    policy, mode = POLICIES[name]
    tab = open_tab(policy)
    found = tab.ended(tab.begin(session_settings()))
    assert found["mode"] == mode
    (end,) = found["ends"]
    if mode == "unavailable":
        assert (end["reason"], found["pictures"]) == ("unavailable", [])
        assert end["message"]
        return
    assert (end["reason"], end["step"], end["arrays"]) == ("done", 24, 6)
    assert [picture["step"] for picture in found["pictures"]] == [0, 6, 24]
    assert all(len(picture["samples"]) == 600 for picture in found["pictures"])


@pytest.mark.parametrize(
    "worker",
    ["class { postMessage() {} terminate() {} }", "class { constructor() { throw Error('no'); } }"],
)
def test_a_worker_that_keeps_silent_or_throws_is_done_without(open_tab, worker):
    tab = open_tab()
    tab.page.evaluate(f"() => {{ globalThis.Worker = {worker}; }}")
    found = tab.ended(tab.begin(session_settings()))
    assert found["mode"] == "slices"
    assert [end["reason"] for end in found["ends"]] == ["done"]


def test_both_ways_give_the_same_numbers(open_tab):
    tab = open_tab()
    runs = [tab.ended(tab.begin(session_settings(), (way,))) for way in ("worker", "slices")]
    samples = [[picture["samples"] for picture in run["pictures"]] for run in runs]
    assert samples[0] == samples[1]


LONG = {**RUN, "steps": 100_000}


@pytest.mark.parametrize("way", ["worker", "slices"])
def test_a_stopped_run_ends_once_and_keeps_what_was_learnt(open_tab, way):
    tab = open_tab()
    run = tab.begin(session_settings(training=LONG), (way,))
    assert until(lambda: tab.of(run)["pictures"], tab.page)
    tab.stop(run)
    tab.stop(run)
    (end,) = tab.ended(run)["ends"]
    assert end["reason"] == "stopped"
    assert end["step"] < 100_000
    assert end["arrays"] == 6
    again = tab.ended(tab.begin(session_settings(), (way,)))
    assert [end["reason"] for end in again["ends"]] == ["done"]


def test_a_run_stopped_before_it_began_does_nothing(open_tab):
    tab = open_tab()
    tab.page.evaluate("(settings) => runs[begin(settings, ['worker', 'slices'])].stop()", session_settings())
    found = tab.ended(0)
    assert [end["reason"] for end in found["ends"]] == ["stopped"]
    assert found["pictures"] == []


@pytest.mark.parametrize("way", ["worker", "slices"])
def test_runs_do_not_disturb_each_other(open_tab, way):
    tab = open_tab()
    alone = tab.ended(tab.begin(session_settings(), (way,)))
    runs = [tab.begin(session_settings(training={**RUN, "seed": seed}), (way,)) for seed in (RUN["seed"], 9)]
    together = [tab.ended(run) for run in runs]
    first, other = ([picture["samples"] for picture in run["pictures"]] for run in together)
    assert first == [picture["samples"] for picture in alone["pictures"]]
    assert first != other


@pytest.mark.parametrize("way", ["worker", "slices"])
def test_what_cannot_be_is_said(open_tab, way):
    tab = open_tab()
    diverged = tab.begin(session_settings(training={**RUN, "learning_rate": 1e12}), (way,))
    failed = tab.begin(session_settings(data={"x_0": []}), (way,))
    assert tab.ended(diverged)["ends"][0]["message"].startswith("the loss became ")
    (end,) = tab.ended(failed)["ends"]
    assert (end["reason"], end["message"]) == ("failed", "data has 0 points; pass 1 to 65536")


def test_a_page_with_no_worker_stays_responsive(open_tab):
    tab = open_tab()
    wide = session_settings(training={**RUN, "batch_size": 16_384})
    wide["pictures"] = {"at": [3, 6], "points": 16_384}
    (end,) = tab.ended(tab.begin(wide, ("slices",)), 120)["ends"]
    assert end["reason"] == "done"
    # A slice is 6 ms and one turn more; the mean has room for a busy machine, which stops some for longer.
    assert end["seconds"] / tab.page.evaluate("frames") < 0.02


def test_a_page_out_of_sight_rests_without_a_worker(open_tab):
    tab = open_tab()
    # As on a hidden page, there is no next frame.
    tab.page.evaluate("globalThis.requestAnimationFrame = (go) => (globalThis.later = go)")
    run = tab.begin(session_settings(), ("slices",))
    tab.page.wait_for_timeout(500)
    assert tab.of(run)["pictures"] == []
    tab.page.evaluate("globalThis.requestAnimationFrame = (go) => setTimeout(go)")
    tab.page.evaluate("later()")
    assert tab.ended(run)["ends"][0]["reason"] == "done"


def test_it_may_stand_at_the_top_of_a_module(chromium):
    page = chromium.new_page()
    begin = """async ([text, settings]) => {
      const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      const trainer = (await import(url)).default;
      return new Promise((resolve) => {
        const onEnd = async ({ reason }) => resolve([await run.mode, reason]);
        const run = trainer.start(settings, { onEnd });
      });
    }"""
    module = script() + "export default diffusionTrainer;\n"
    assert page.evaluate(begin, [module, session_settings()]) == ["worker", "done"]
    page.close()
