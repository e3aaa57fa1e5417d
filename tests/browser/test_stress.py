"""Widgets under stress: many on a page, a window that changes while they play, and half an hour of play."""

import re

import pytest
from conftest import PLACE, pixels, replace_start, until
from playwright.sync_api import expect

START = "book/index.html"
MANY = 20
TICK = 0.1  # seconds between two frames of the browser, the most that a widget makes of them
SPEED = 4  # the widget's highest
# Time passes by `pass(ticks)` only, as fast as the machine draws.
OWN_TIME = """() => {
  let now = performance.now(), waiting = new Map(), last = 0;
  window.requestAnimationFrame = (callback) => (waiting.set(++last, callback), last);
  window.cancelAnimationFrame = (request) => waiting.delete(request);
  window.pass = async (ticks) => {
    for (let i = 0; i < ticks; i++) {
      const due = waiting;
      waiting = new Map();
      now += 1000 * TICK;
      for (const callback of due.values()) callback(now);
      if (i % 100 === 0) await new Promise((done) => setTimeout(done));
    }
  };
}""".replace("TICK", str(TICK))


def test_twenty_widgets_on_a_page(open_page, served):
    page = open_page("about:blank")
    replace_start(page, lambda text: PLACE.sub(lambda place: place[0] * MANY, text))
    page.goto(served + START)
    roots = page.locator(".stepper[data-drawn]")
    expect(roots).to_have_count(MANY)
    frames = "roots => roots.map((root) => Number(root.dataset.frame))"
    expect(roots.first).to_have_attribute("data-frame", re.compile(r"[4-9]|\d\d"))
    moved = [frame > 0 for frame in roots.evaluate_all(frames)]
    assert moved[0]
    assert not any(moved[3:]), "widgets out of sight play, too"
    last = roots.last
    last.get_by_role("slider").press("End")
    assert int(last.get_attribute("data-frame")) == int(last.get_attribute("data-frames")) - 1


def test_window_changes_while_a_widget_plays(open_page, served):
    page = open_page("about:blank")
    replace_start(page)
    page.goto(served + START)
    root = page.locator(".stepper[data-drawn]")
    for width in (390, 1000, 320, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        now = int(root.get_attribute("data-frame"))
        expect(root).not_to_have_attribute("data-frame", str(now))
        fits = root.locator("canvas").evaluate(
            "canvas => Math.abs(canvas.width - canvas.clientWidth * devicePixelRatio) < 1"
            " && canvas.getBoundingClientRect().right <= innerWidth"
        )
        assert fits, f"the drawing does not follow the window to {width} pixels"
    expect(root).to_have_attribute("data-playing", "true")
    root.get_by_role("button", name="Pause").click()
    before = pixels(root)
    page.set_viewport_size({"width": 900, "height": 700})
    page.set_viewport_size({"width": 1280, "height": 700})
    assert until(lambda: pixels(root) == before, page), "going there and back has changed the drawing"


@pytest.fixture
def costs():
    """A function page → what it holds after a clean-up: bytes of objects, nodes, listeners."""

    def measure(page):
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        session.detach()
        return [metrics[name] for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners")]

    return measure


@pytest.mark.long
def test_half_an_hour_of_play_leaves_nothing_behind(open_page, served, costs):
    page = open_page("about:blank", 390)
    page.add_init_script(f"({OWN_TIME})()")
    replace_start(page)
    page.goto(served + START)
    root = page.locator(".stepper[data-drawn]")
    root.get_by_label("Speed").select_option(f"{SPEED}×")
    expect(root).to_have_attribute("data-playing", "true")
    minute = f"pass({round(60 / TICK / SPEED)})"
    found, seen = [], set()
    for _ in range(30):
        page.evaluate(minute)
        found.append(costs(page))
        seen.add(root.get_attribute("data-frame"))
    assert len(seen) > 10, "it stands still"
    bytes_, nodes, listeners = (after - before for before, after in zip(found[9], found[-1], strict=True))
    # From the tenth minute on: until then the browser still compiles. A small object a frame takes 50 kB.
    assert bytes_ < 20_000, "objects pile up"
    assert nodes < 100, "nodes pile up"  # they come and go
    assert listeners == 0, "listeners pile up"
    root.get_by_role("button", name="Pause").click()
    root.get_by_role("slider").press("Home")
    expect(root).to_have_attribute("data-frame", "0")
