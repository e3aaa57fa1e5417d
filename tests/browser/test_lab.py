"""A reader trains models in the lab, on points of their own, shares a link, meets browsers that refuse."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import SITE, pixels, until
from playwright.sync_api import Page, expect
from test_pages import AXE

LAB = "book/lab.html"
FLOORS = re.compile(r"distance to data ([\d.]+) × the noise floor")
SLOW = 120_000  # milliseconds: a busy machine
QUICK = "#steps=150&batch=256&width=16&"
SLIPPED = "#steps=600&batch=512&width=32&"  # enough to tell a slip from a network that hasn't learned
# What a sampler makes of a setting: its table, for the slips that one can't see.
SAMPLER = """(fragment) => { const lab = globalThis.labSettings;
  const { settings } = lab.fromFragment(fragment);
  return lab.engineSettings(settings, lab.dataset(lab.SHAPES.roll)).sampler; }"""

# Trains, and says how far a typical sample is from the nearest data point.
FUZZ = """async (fragment) => { const lab = globalThis.labSettings;
  const { settings } = lab.fromFragment(fragment), data = lab.dataset(lab.SHAPES.roll);
  const engine = lab.engineSettings(settings, data);
  const { samples } = await new Promise((end) => {
    let last;
    globalThis.diffusionTrainer.start(engine, { onPicture: (one) => (last = one), onEnd: () => end(last) });
  });
  const away = [];
  for (let i = 0; i < samples.length; i += 2) {
    let least = Infinity;
    for (let j = 0; j < data.x_0.length; j += 2)
      least = Math.min(least, Math.hypot(samples[i] - data.x_0[j], samples[i + 1] - data.x_0[j + 1]));
    away.push(least);
  }
  return away.sort((a, b) => a - b)[away.length / 2]; }"""


def lab(open_page, address: str, fragment: str = "", **settings) -> Page:
    page = open_page(address + LAB + fragment, **settings)
    expect(page.locator(".lab-stage .stepper")).to_have_attribute("data-drawn", "true")
    return page


def said(page: Page):
    return page.locator(".lab-said")


def stepper(page: Page):
    return page.locator(".lab-stage .stepper")


def open_groups(page: Page) -> None:
    page.evaluate("for (const group of document.querySelectorAll('.lab-group')) group.open = true")


def train(page: Page) -> None:
    """Press Train, and wait for the end."""
    page.locator("#lab").get_by_role("button", name="Train", exact=True).click()
    expect(said(page)).to_contain_text("Trained in your browser", timeout=SLOW)


def distance(page: Page) -> float:
    """What the picture says of its last samples, in noise floors."""
    slider = stepper(page).get_by_role("slider").first
    slider.press("End")
    return float(FLOORS.search(stepper(page).locator(".stepper-text > span").last.inner_text())[1])


def sample_again(page: Page) -> float:
    before = stepper(page).get_attribute("data-frames")
    page.get_by_role("button", name="Sample again").click()
    expect(said(page)).to_contain_text("Sampled again", timeout=SLOW)
    assert stepper(page).get_attribute("data-frames") != before
    return distance(page)


@pytest.mark.parametrize("way", ["served", "as_files"])
def test_a_reader_trains_and_all_three_pictures_follow(open_page, request, way):
    page = lab(open_page, request.getfixturevalue(way))
    field = stepper(page).locator("canvas").nth(2)
    blank = field.evaluate("canvas => canvas.toDataURL()")
    train(page)
    assert distance(page) < 2
    drawings = [field.evaluate("canvas => canvas.toDataURL()")]
    for key in ("Home", "End"):
        stepper(page).get_by_role("slider").last.press(key)
        drawings.append(field.evaluate("canvas => canvas.toDataURL()"))
    assert len({blank, *drawings}) == 4, "the score differs from one t to another"


@pytest.mark.parametrize("data", ["moons", "circles", "gaussians", "heart", "ring"])
def test_it_learns_each_set_of_points(open_page, served, data):
    page = lab(open_page, served, f"{QUICK}data={data}")
    train(page)
    assert distance(page) < 5


def test_a_reader_draws_with_the_mouse(open_page, served):
    page = lab(open_page, served, QUICK)
    page.get_by_label("Learn from").select_option("drawing")
    expect(said(page)).to_contain_text("The sheet is empty")
    paper = page.locator(".lab-paper")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    for at in range(50, 200, 10):
        page.mouse.move(box["x"] + at, box["y"] + at)
    page.mouse.up()
    train(page)
    assert distance(page) < 5
    page.get_by_role("button", name="Clear").click()
    expect(said(page)).to_contain_text("The sheet is empty")


def tab_to(page: Page, target) -> None:
    """Go on with the tab key until the element has the focus."""
    for _ in range(80):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the tab key doesn't lead there")


def test_the_keyboard_is_enough(open_page, served):
    page = lab(open_page, served, QUICK)
    root = page.locator("#lab")
    tab_to(page, root.get_by_label("Learn from"))
    page.keyboard.type("draw")
    tab_to(page, root.get_by_label("Letters"))
    page.keyboard.type("A")
    page.keyboard.press("Tab")
    expect(page).to_have_url(re.compile("letters=A"))
    tab_to(page, root.locator("summary").first)
    page.keyboard.press("Enter")
    for control in root.locator("details[open] .lab-control").locator("input, select").all():
        tab_to(page, control)
    tab_to(page, root.get_by_role("button", name="Train", exact=True))
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text("Trained in your browser", timeout=SLOW)
    tab_to(page, stepper(page).get_by_role("slider").first)


def test_the_address_holds_the_settings(open_page, as_files):
    page = lab(open_page, as_files)
    open_groups(page)
    page.get_by_label("σ at t = T").fill("50")
    page.keyboard.press("Tab")
    page.get_by_label("The network guesses").select_option("v")
    page.get_by_label("noise at the last step").check()
    page.get_by_label("the network is told").check()
    expect(page).to_have_url(re.compile("#sigma_max=50&target=v&slips=last,off$"))
    other = open_page(page.url)
    expect(other.locator("#lab summary").first).to_contain_text("σ at t = T = 50, the mixture v")
    assert other.url == page.url
    other.get_by_role("button", name="Reset").click()
    expect(other).to_have_url(re.compile("lab.html#$"))


IMPOSSIBLE = ["T=0", "T=2.5", "width=30", "target=w", "constructor=1", "slips=all", "rate="]


@pytest.mark.parametrize("part", IMPOSSIBLE)
def test_what_an_address_can_not_ask_for_is_left_out(open_page, served, part):
    page = lab(open_page, served, f"#{part}&sigma_max=30")
    expect(said(page)).to_contain_text(f"The address asks for {part}. That can't be")
    expect(page).to_have_url(re.compile("#sigma_max=30$"))


def test_an_impossible_number_is_refused_with_what_is_possible(open_page, served):
    page = lab(open_page, served)
    page.locator("#lab summary").nth(1).click()
    width = page.get_by_label("width")
    width.fill("30")
    width.press("Tab")
    expect(said(page)).to_have_text("width = 30 can't be: take a multiple of 4 from 4 to 128.")
    expect(width).to_have_value("64")


def test_slips_in_sampling_show_and_heal_without_training(open_page, served):
    page = lab(open_page, served, SLIPPED)
    train(page)
    right = distance(page)
    page.locator("#lab summary").last.click()
    found = {}
    for slip in ("index", "variance", "uniform"):
        box = page.locator(f"#lab input[value={slip}]")
        box.check()
        found[slip] = sample_again(page)
        box.uncheck()
    assert right < 3
    assert found["index"] > 100, "the samples fly away"
    assert found["variance"] > 4, "thin lines and clumps"
    assert found["uniform"] > 10, "off to one side"
    assert sample_again(page) < 3


def test_two_slips_make_the_roll_thicker(open_page, served):
    page = lab(open_page, served)
    right, root = (page.evaluate(FUZZ, f"{SLIPPED}slips={slips}") for slips in ("", "root"))
    assert root > 2 * right
    coarse, last = (page.evaluate(FUZZ, f"{SLIPPED}sigma_min=0.1&slips={slips}") for slips in ("", "last"))
    assert last > 2 * coarse


def test_quiet_slips_are_in_the_sampler(open_page, served):
    page = lab(open_page, served)
    slips = ("", "off", "last", "short", "uniform")
    right, off, last, short, uniform = (page.evaluate(SAMPLER, f"#slips={slip}") for slip in slips)
    assert uniform == {**right, "uniform": True}
    assert right["t"] == list(range(100, 0, -1))
    assert off["t"] == [*range(99, 0, -1), 1]
    assert right["noise_scale"][-1] == 0 < last["noise_scale"][-1]
    assert right["noise_scale"][:-1] == last["noise_scale"][:-1]
    assert short["t"] == right["t"][100 - short["t"][0] :]
    assert 40 < short["t"][0] < 70


def test_a_loss_that_diverges_says_so(open_page, served):
    page = lab(open_page, served, "#rate=100&batch=64")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(said(page)).to_contain_text("The training diverged: the loss became", timeout=SLOW)
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()


def test_an_experiment_sets_the_lab_up(open_page, served):
    page = lab(open_page, served)
    experiments = {"five steps": "sampler=posterior&jumps=5", "x₀": "target=x_0"}
    experiments["the slip"] = "slips=variance"
    for name, fragment in experiments.items():
        page.get_by_role("button", name=f"Set up {name}").click()
        expect(page).to_have_url(re.compile(re.escape(f"#{fragment}") + "$"))
        expect(page.get_by_role("button", name="Train", exact=True)).to_be_focused()
        expect(said(page)).to_contain_text("Make your guess")
        assert page.locator("#lab details[open]").count() == 1


def test_stopping_keeps_the_pictures(open_page, served):
    page = lab(open_page, served, "#steps=10000")
    page.get_by_role("button", name="Train", exact=True).click()
    assert until(lambda: int(stepper(page).get_attribute("data-frames")) >= 30, page, SLOW / 1000)
    page.get_by_role("button", name="Stop").click()
    expect(said(page)).to_contain_text("Stopped.")
    assert int(stepper(page).get_attribute("data-frames")) >= 30


def test_without_workers_it_trains_in_slices(open_page, served):
    page = open_page("about:blank")
    page.add_init_script("delete globalThis.Worker")
    page.goto(served + LAB + QUICK)
    train(page)


def test_without_webassembly_there_is_a_sentence(open_page, served):
    page = open_page("about:blank")
    page.add_init_script("delete globalThis.Worker; delete globalThis.WebAssembly")
    page.goto(served + LAB)
    page.get_by_role("button", name="Train", exact=True).click()
    expect(said(page)).to_contain_text("Your browser doesn't let a page train")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()


def test_without_scripts_a_sentence_and_a_picture_stay(chromium, served):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(served + LAB)
    expect(page.locator("#lab")).to_contain_text("it needs JavaScript")
    expect(page.locator("#lab img")).to_be_visible()
    expect(page.locator(".lab-try").first).to_be_hidden()
    page.close()


def test_a_phone_in_the_dark_with_less_motion(open_page, as_files):
    settings = {"width": 390, "color_scheme": "dark", "reduced_motion": "reduce", "has_touch": True}
    page = lab(open_page, as_files, f"{QUICK}data=drawing&letters=B", **settings)
    open_groups(page)
    train(page)
    for control in page.locator("#lab").locator("button, select, summary, input:not([type=checkbox])").all():
        box = control.bounding_box()
        assert min(box["height"], box["width"]) >= 40, control.evaluate("node => node.outerHTML")
    assert stepper(page).bounding_box()["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_an_open_lab(open_page, served, scheme):
    page = lab(open_page, served, f"{QUICK}data=drawing&letters=B&slips=off", color_scheme=scheme)
    open_groups(page)
    train(page)
    found = Axe().run(page, context="article", options=AXE).response["violations"]
    assert [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]] == []


def test_the_page_may_compile_but_not_evaluate(open_page, served):
    page = lab(open_page, served)
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "'wasm-unsafe-eval'" in policy
    assert "'unsafe-eval'" not in policy
    assert (SITE / "_static" / "lab.js").is_file()


def test_sampling_again_without_a_change_starts_from_other_noise(open_page, served):
    page = lab(open_page, served, "#" + QUICK)
    train(page)
    distance(page)  # the newest picture is shown
    first = pixels(stepper(page))
    sample_again(page)
    assert pixels(stepper(page)) != first
    assert "from other noise" in stepper(page).inner_text()


def test_a_training_that_misses_the_data_says_so(open_page, served):
    page = lab(open_page, served, "#steps=10&batch=64&width=4")
    train(page)
    assert distance(page) > 10
    expect(said(page)).to_contain_text("the samples are far from the data")


def test_a_letter_shows_as_it_is_typed_and_an_empty_sheet_shows_nothing(open_page, served):
    page = lab(open_page, served)
    page.get_by_label("Learn from").select_option("drawing")
    expect(stepper(page)).to_have_count(0)
    page.get_by_label("Letters").press("A")
    expect(stepper(page)).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(stepper(page)).to_have_count(0)


def test_a_link_opens_the_groups_that_it_changes(open_page, served):
    page = lab(open_page, served, "#T=50&slips=variance,root")
    opened = page.locator("#lab details[open] summary > span:first-child")
    expect(opened).to_have_text(["Noise and target", "Slips from the bug museum"])


BEFORE = """root => { const canvas = [...root.querySelectorAll('canvas')].at(-1);
  return getComputedStyle(canvas).visibility === 'visible' && canvas.toDataURL(); }"""


def test_the_samples_before_stay_beside_the_new_ones(open_page, served):
    page = lab(open_page, served, QUICK)
    train(page)
    assert stepper(page).evaluate(BEFORE) is False
    distance(page)
    page.get_by_role("button", name="Set up the slip").click()
    train(page)
    distance(page)
    first = stepper(page).evaluate(BEFORE)
    assert first
    sample_again(page)
    assert stepper(page).evaluate(BEFORE) not in (first, False)
    page.get_by_label("Learn from").select_option("moons")
    assert stepper(page).evaluate(BEFORE) is False


# The topmost row of a canvas that has ink of the model's, as a share of its height.
TOP = """canvas => { const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const orange = (i) => data[i] > 180 && data[i + 1] < 130 && data[i + 2] < 90;
  for (let i = 0; i < data.length; i += 4) if (orange(i)) return Math.floor(i / 4 / width) / height; }"""


def test_a_distance_beyond_the_axis_lies_on_its_edge(open_page, served):
    page = lab(open_page, served, f"{QUICK}slips=index", color_scheme="light")
    train(page)
    assert distance(page) > 1000
    assert 0 < stepper(page).locator("canvas").nth(1).evaluate(TOP) < 0.1


def test_the_picture_stays_while_the_settings_go_by(open_page, served):
    page = lab(open_page, served, QUICK)
    open_groups(page)
    samples, last = stepper(page).locator("canvas").first, page.locator("#lab .lab-control").last
    last.evaluate("node => node.scrollIntoView({ block: 'end' })")
    expect(last).to_be_in_viewport()
    expect(samples).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_in_viewport(ratio=1)
    for slider in stepper(page).get_by_role("slider").all():
        expect(slider).to_be_in_viewport()


def test_on_a_phone_the_picture_comes_first_and_the_buttons_stay(open_page, served):
    page = lab(open_page, served, width=390)
    places = [page.locator(name).bounding_box()["y"] for name in (".lab-stage", ".lab-settings")]
    assert places == sorted(places)
    page.locator(".lab-stage").scroll_into_view_if_needed()
    buttons = page.locator(".lab-buttons button").all()
    for button in buttons:
        expect(button).to_be_in_viewport(ratio=1)
    rows = [button.bounding_box()["y"] for button in buttons]
    assert rows[0::2] == rows[1::2], "none has a row of its own"


ANEW = "This needs a new training"
CHANGES = {"sampling steps": "Press Sample again", "T": ANEW, "training steps": ANEW}


def test_a_change_says_whether_it_needs_a_new_training(open_page, served):
    page = lab(open_page, served, "#T=20&width=8&batch=64&steps=20")
    train(page)
    open_groups(page)
    for label, words in CHANGES.items():
        control = page.get_by_label(label, exact=True)
        control.fill("15")
        control.press("Tab")
        expect(said(page)).to_contain_text(words)
