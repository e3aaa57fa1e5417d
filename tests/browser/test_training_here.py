"""A reader trains the model of a live cell in the page: as a file, over HTTP, and where a browser refuses."""

import re

import pytest
from conftest import pixels, until
from playwright.sync_api import Page, expect

CHAPTER = "book/05_epsilon_objective.html"
LEAST = 5  # pictures that grow
GUESS = re.compile(r"At t = 100 the noise is 20 times the signal, and the guesses lie 1\.\d* away on average")
FLOORS = re.compile(r"distance to data ([\d.]+) × the noise floor")
SLOW = 120_000  # milliseconds: a busy machine takes some ten seconds for what a quiet one does in three


def live(page: Page, which: int = 0):
    """One of the page's recorded live views, and its button."""
    root = page.locator("div.stepper").filter(has=page.locator(".stepper-button")).nth(which)
    root.scroll_into_view_if_needed()
    return root, root.locator(".stepper-button").first


def frames(root) -> int:
    return int(root.get_attribute("data-frames"))


def trained(page: Page, which: int = 0) -> None:
    """Press Train, watch pictures come, and wait for the end."""
    root, button = live(page, which)
    recorded = frames(root)
    button.click()
    expect(button).to_have_text("Stop")
    seen = set()

    def done() -> bool:
        seen.add(frames(root))
        return "Trained in your browser" in root.locator(".stepper-said").inner_text()

    assert until(done, page, SLOW / 1000)
    assert len(seen - {0, recorded}) >= LEAST
    expect(button).to_have_text("Train again")


def said_at(root, frame: int) -> str:
    """The sentence of one frame, where the slider goes."""
    move = "(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event('input')); }"
    root.get_by_role("slider").evaluate(move, frame)
    expect(root).to_have_attribute("data-frame", str(frame))
    return root.locator(".stepper-text span").last.inner_text()


def distance(root) -> float:
    """What the view says of its last picture, in noise floors."""
    root.get_by_role("slider").press("End")
    return float(FLOORS.search(root.locator(".stepper-text").inner_text())[1])


@pytest.mark.parametrize("way", ["served", "as_files"])
def test_a_reader_trains_and_the_widgets_below_follow(open_page, request, way):
    page = open_page(request.getfixturevalue(way) + CHAPTER)
    titles = ("Training and the reverse process", "what the network takes the data to be")
    below, guesses = (page.locator("div.stepper").filter(has_text=title) for title in titles)
    for widget in (below, guesses):
        expect(widget).to_have_attribute("data-drawn", "true")
    recording, guessed = pixels(below), pixels(guesses)
    trained(page)
    root, _ = live(page)
    assert distance(root) < 2  # 600 points, one run: chapter 5's own test has the same room
    expect(below).to_contain_text("just trained above")
    assert pixels(below) != recording
    assert until(lambda: pixels(guesses) != guessed, page)
    expect(guesses).to_contain_text("just trained above")
    assert GUESS.search(guesses.locator(".stepper-text > span").last.inner_text())
    guesses.get_by_role("slider").press("End")
    expect(guesses).to_contain_text("At t = 0: the samples.")
    guesses.get_by_role("slider").press("Home")
    root.get_by_role("button", name="Show the recording").click()
    expect(root).to_contain_text("This is a recording.")
    assert until(lambda: pixels(below) == recording and pixels(guesses) == guessed, page)


def test_a_walk_by_the_score_is_trained_too(open_page, served):
    page = open_page(served + "book/06_score.html")
    trained(page)
    root, _ = live(page)
    assert distance(root) < 3


def test_a_told_model_is_trained_and_asked(open_page, as_files):
    page = open_page(as_files + "book/07_conditions.html")
    asked = page.locator("div.stepper").filter(has_text="What the trained model draws")
    expect(asked).to_have_attribute("data-drawn", "true")
    recording = pixels(asked)
    trained(page)
    root, _ = live(page)
    assert distance(root) < 2
    expect(asked).to_contain_text("This is the model that was just trained above", timeout=SLOW)
    assert until(lambda: pixels(asked) != recording, page)
    root.get_by_role("button", name="Show the recording").click()
    assert until(lambda: pixels(asked) == recording, page)


def test_a_noisy_roll_is_trained_and_judged_by_its_distance(open_page, served):
    page = open_page(served + "book/08_likelihood.html")
    root, _ = live(page)
    title = root.locator(".stepper-title").last
    recorded = title.inner_text()
    assert "floors" in recorded
    trained(page)
    expect(title).to_have_text("Sliced Wasserstein distance, in floors")
    assert distance(root) < 3
    root.get_by_role("button", name="Show the recording").click()
    expect(title).to_have_text(recorded)


def test_a_flow_is_trained_and_its_reflow(open_page, served):
    page = open_page(served + "book/09_fewer_steps.html")
    for which, most in ((0, 4), (1, 5)):
        trained(page, which)
        assert distance(live(page, which)[0]) < most


def test_stopping_keeps_the_pictures_and_the_next_run_differs(open_page, served):
    page = open_page(served + CHAPTER)
    root, button = live(page)
    button.click()
    assert until(lambda: 1 < frames(root) < 12, page)
    button.click()
    expect(root).to_contain_text("Stopped.")
    kept = frames(root)
    page.wait_for_timeout(500)
    assert frames(root) == kept
    first = said_at(root, kept - 1)
    button.click()
    expect(button).to_have_text("Stop")
    assert until(lambda: frames(root) >= kept, page, SLOW / 1000)
    assert said_at(root, kept - 1) != first


def test_without_workers_it_trains_in_slices(open_page, served):
    page = open_page("about:blank")
    page.add_init_script("delete globalThis.Worker")
    page.goto(served + CHAPTER)
    root, button = live(page)
    button.click()
    assert until(lambda: frames(root) >= LEAST, page, SLOW / 1000)


def test_without_webassembly_the_recording_stays_with_a_sentence(open_page, served):
    page = open_page("about:blank")
    page.add_init_script("delete globalThis.Worker; delete globalThis.WebAssembly")
    page.goto(served + CHAPTER)
    root, button = live(page)
    recorded = frames(root)
    button.click()
    expect(root).to_contain_text("Your browser doesn't let a page train")
    expect(button).to_be_disabled()
    assert frames(root) == recorded


def test_a_phone_in_the_dark_with_less_motion(open_page, as_files):
    page = open_page(as_files + CHAPTER, 390, color_scheme="dark", reduced_motion="reduce", has_touch=True)
    root, button = live(page)
    assert button.bounding_box()["height"] >= 40
    trained(page)
    assert root.bounding_box()["width"] <= 390


def test_only_pages_with_a_trainer_may_compile(open_page, served):
    for chapter, may in ((CHAPTER, True), ("book/01_vae_elbo.html", False)):
        page = open_page(served + chapter)
        policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
        assert ("'wasm-unsafe-eval'" in policy and "worker-src 'self' blob:" in policy) is may
