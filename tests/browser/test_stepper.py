"""The widget in the built book: it is drawn, can be stepped, says what it shows, and follows the page."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
from conftest import STATE, pixels, replace_start, steppers, until
from PIL import Image
from playwright.sync_api import Locator, expect

from diffusion_lib.show.widgets import (
    Axis,
    Frame,
    Panel,
    Stepper,
    arrows,
    curve,
    ellipses,
    images,
    labels,
    points,
)

# Writes down what is written on canvases: text, font, alignment, opacity, and the place in CSS pixels.
SPY = """const write = CanvasRenderingContext2D.prototype.fillText;
  window.written = [];
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    window.written.push([text, this.font, this.textAlign, this.globalAlpha, x, y]);
    write.call(this, text, x, y);
  };"""


def frame(root: Locator) -> int:
    return int(root.get_attribute("data-frame"))


@pytest.fixture
def hero(open_page, served) -> Locator:
    """The widget of the start page, paused."""
    found = steppers(open_page(served + "book/index.html"))
    assert found, "the start page has no widget"
    found[0].scroll_into_view_if_needed()
    return found[0]


@pytest.fixture
def shown(open_page, served):
    """Shows a stepper in the place of the start page's, as a page without a kernel shows a recorded one."""

    def show(stepper: Stepper, width: int = 1280, **settings) -> Locator:
        def record(match):
            recorded = json.loads(match[0])
            for model in recorded["state"].values():
                if "coordinates" in {buffer["path"][0] for buffer in model.get("buffers", [])}:
                    model["state"]["content"] = stepper.content
                    model["buffers"][0]["data"] = base64.b64encode(stepper.coordinates).decode()
            return json.dumps(recorded).replace("</", "<\\/")

        page = open_page("about:blank", width, **settings)
        page.add_init_script(SPY)
        replace_start(page, lambda text: STATE.sub(record, text))
        page.goto(served + "book/index.html")
        root = page.get_by_role("group", name=stepper.content["label"], exact=True)
        expect(root).to_have_attribute("data-drawn", "true")
        return root

    return show


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_are_written_as_they_are_and_legibly(shown, width):
    corners, words = [[0, 1], [2, 3]], [["0.98", "<b>&amp;"], ["0.17", "<b>&amp;"]]
    strong = labels([[1, 2]], ["t"], "accent", bold=True, anchor="left")
    frames = [Frame("Text.", [labels(corners, w, faint=True), strong]) for w in words]
    box = Panel(x=(0, 4), y=(0, 4), equal=False, aspect=4)
    root = shown(Stepper("Labels", [Axis("t", [0, 1])], frames, [box]), width)
    first = pixels(root)
    root.page.evaluate("window.written = []")
    root.get_by_role("slider").press("ArrowRight")
    assert pixels(root) != first, "other text looks the same"
    canvas = root.locator("canvas").bounding_box()
    plain, other, bold = root.page.evaluate("window.written.filter(([text]) => text)")[-3:]
    assert [plain[0], other[0], bold[0]] == ["0.17", "<b>&amp;", "t"]
    assert [plain[2], other[2], bold[2]] == ["center", "center", "left"]
    # At opacity 0.68, #333 on the light ground has the contrast of 4.5 that text needs.
    assert 0.68 <= plain[3] == other[3] < bold[3] == 1, "faint text cannot be read, or is not faint"
    for (*_, x, y), (at_x, at_y) in zip([plain, other, bold], [(0, 1), (2, 3), (1, 2)], strict=True):
        assert x == pytest.approx(canvas["width"] * at_x / 4, abs=1)
        assert y == pytest.approx(canvas["height"] * (1 - at_y / 4), abs=1)
    sizes = [float(re.search(r"([\d.]+)px", font)[1]) for _, font, *_ in (plain, other, bold)]
    assert 12 <= min(sizes) <= max(sizes) <= 15
    assert [("bold" in font or "700" in font) for _, font, *_ in (plain, other, bold)] == [False, False, True]


def test_a_label_at_nan_is_not_written(shown):
    frames = [Frame("Text.", [labels([[x, 0]], ["t"]), points([[1, 1]])]) for x in (float("nan"), 0)]
    root = shown(Stepper("Labels", [Axis("t", [0, 1])], frames))
    slider = root.get_by_role("slider")
    without = pixels(root)
    slider.press("End")
    assert pixels(root) != without, "the label has left no ink"
    slider.press("Home")
    assert pixels(root) == without


# Where each text on the canvas starts and ends, in CSS pixels.
ENDS = """root => {
  const context = root.querySelector("canvas").getContext("2d"), share = { left: 0, center: 0.5, right: 1 };
  return written.filter(([text]) => text).map(([text, font, align, _, x]) => {
    context.font = font;
    const length = context.measureText(text).width, from = x - length * share[align];
    return [text, from, from + length];
  });
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_no_label_of_a_tick_is_cut(shown, width):
    x_ticks, y_ticks = [(0, "0,000,000"), (4, "4,000,000")], [(0, "0"), (2, "0.00001×")]
    right = Panel((0, 4), (0, 2), equal=False, x_ticks=x_ticks, y_ticks=y_ticks)
    left = Panel((0, 4), (0, 2), equal=False, x_ticks=x_ticks)
    for panel in (left, right):
        root = shown(Stepper("Ticks", [Axis("t", [0])], [Frame("None.")], [panel]), width)
        canvas = root.locator("canvas").bounding_box()
        for text, start, end in root.evaluate(ENDS):
            assert 0 <= start < end <= canvas["width"], f"{text} runs from {start} to {end}"


# The colours of the canvas at the middles of some columns of pixels, a quarter of its height down.
ACROSS = """(root, columns) => {
  const canvas = root.querySelector("canvas"), context = canvas.getContext("2d"), { width, height } = canvas;
  const at = (k) => context.getImageData(((k + 0.5) * width) / columns, height / 4, 1, 1).data;
  return Array.from({ length: columns }, (_, k) => Array.from(at(k)).slice(0, 3));
}"""


@pytest.mark.parametrize("width", [1280, 390])
def test_pictures_have_sharp_pixels_and_change_with_the_frame(shown, width):
    """One picture of 3 × 3 pixels, and the gap right of and below it."""
    columns = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)  # red, green, blue
    x = np.broadcast_to(columns[:, None, :], (3, 3, 3))
    frames = [Frame("Red first.", [images(x[None], 1)]), Frame("Blue first.", [images(x[None, ::-1], 1)])]
    root = shown(Stepper("Pictures", [Axis("t", [0, 1])], frames, [Panel((0, 1), (-1, 0))]), width)
    full = (255 * np.eye(3)).astype(int).tolist()
    for order in (full, full[::-1]):
        assert until(lambda order=order: root.evaluate(ACROSS, 4)[:3] == order, root.page)
        root.get_by_role("slider").press("ArrowRight")


# The ground of the panel, and that of the page.
GROUND = """root => {
  const canvas = root.querySelector("canvas"), [red, green, blue] = canvas.getContext("2d")
    .getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
  return [`rgb(${red}, ${green}, ${blue})`, getComputedStyle(document.body).backgroundColor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_forced_colours_marks_are_told_apart_on_the_readers_ground(shown, scheme):
    x, y = [[0, 1]], [[1, 2]]
    layers = [
        points(x, "data", name="dots"),
        points(x, "model", name="other dots"),
        arrows(x, y, name="arrows"),
        ellipses(x, 0.3, name="rings"),
        curve([*x, *y], name="line"),
        curve([*x, *y], dashed=True, name="dashes"),
    ]
    opposite = {"light": "dark", "dark": "light"}[scheme]
    stepper = Stepper("Marks", [Axis("t", [0])], [Frame("All.", layers)])
    root = shown(stepper, forced_colors="active", color_scheme=scheme)
    root.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", opposite)
    pictures = [mark.screenshot() for mark in root.locator(".stepper-mark").all()]
    assert len(set(pictures)) == len(layers)
    assert all(len(Image.open(BytesIO(picture)).convert("RGB").getcolors()) > 1 for picture in pictures)
    expect(root).to_have_attribute("data-theme", scheme)  # the system's ground is around it, not the page's
    of_panel, of_page = root.evaluate(GROUND)
    assert of_panel == of_page


@pytest.mark.parametrize("width", [1280, 390])
def test_a_wide_panel_has_a_row_of_its_own(shown, width):
    panels = [Panel(), Panel(equal=False, aspect=1.6), Panel(equal=False, aspect=4, wide=True)]
    layers = [points([[0, 0]], panel=p) for p in range(3)]
    root = shown(Stepper("Three panels", [Axis("t", [0])], [Frame("Dots.", layers)], panels), width)
    cloud, curves, table = [canvas.bounding_box() for canvas in root.locator("canvas").all()]
    stage = root.locator(".stepper-stage").bounding_box()
    assert table["width"] == pytest.approx(stage["width"], abs=1)
    assert table["y"] > max(cloud["y"] + cloud["height"], curves["y"] + curves["height"])
    if width == 390:
        assert curves["y"] > cloud["y"] + cloud["height"], "the panels are not stacked"
    else:
        assert (curves["y"], curves["height"]) == pytest.approx((cloud["y"], cloud["height"]), abs=1)
        assert curves["x"] > cloud["x"] + cloud["width"]


def test_slider_keys_step_one_frame(hero):
    slider = hero.get_by_role("slider").last
    slider.press("Home")
    before = pixels(hero)
    for expected in (1, 2):
        slider.press("ArrowRight")
        assert frame(hero) == expected
    slider.press("ArrowLeft")
    assert frame(hero) == 1
    assert pixels(hero) != before


def test_slider_can_be_dragged(hero):
    slider = hero.get_by_role("slider").last
    slider.press("Home")
    before = pixels(hero)
    box, mouse = slider.bounding_box(), hero.page.mouse
    middle = box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] / 4, middle)
    mouse.down()
    first = frame(hero)
    mouse.move(box["x"] + box["width"] / 2, middle, steps=4)
    mouse.up()
    assert 0 < first < frame(hero) < int(hero.get_attribute("data-frames")) - 1
    assert pixels(hero) != before


def test_play_button_plays_and_pauses(hero):
    hero.get_by_role("slider").last.press("Home")
    before = pixels(hero)
    hero.get_by_role("button", name="Play").last.click()
    expect(hero).to_have_attribute("data-frame", re.compile("[3-9]"))
    hero.get_by_role("button", name="Pause").click()
    paused_at, drawing = frame(hero), pixels(hero)
    assert drawing != before
    hero.page.wait_for_timeout(300)
    assert (frame(hero), pixels(hero)) == (paused_at, drawing)


# Stops while it plays, in a frame's own turn, when the next picture is already asked for.
STOP = """async ([root, selector, key]) => {
  const frame = () => new Promise(requestAnimationFrame), canvas = root.querySelector("canvas");
  [...root.querySelectorAll(".stepper-play")].at(-1).click();
  for (let i = 0; i < 5; i++) await frame();
  const control = [...root.querySelectorAll(selector)].at(-1);
  if (key) control.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  else control.click();
  const stopped = canvas.toDataURL();
  await frame();
  await frame();
  return stopped === canvas.toDataURL();
}"""


@pytest.mark.parametrize(("selector", "key"), [(".stepper-play", ""), ("input", " ")])
def test_a_stop_is_the_last_picture(hero, selector, key):
    hero.get_by_role("slider").last.press("Home")
    assert hero.page.evaluate(STOP, [hero.element_handle(), selector, key])


def test_space_plays_once_on_the_slider_and_on_the_button(hero):
    slider, button = hero.get_by_role("slider").last, hero.get_by_role("button").last
    slider.press("Home")
    for control in (slider, button):
        control.press("Space")
        expect(hero).to_have_attribute("data-playing", "true")
        control.press("Space")
        expect(hero).to_have_attribute("data-playing", "false")


def test_arrows_and_space_work_after_a_click_on_the_drawing(hero):
    hero.get_by_role("slider").last.press("Home")
    hero.locator("canvas").first.click()
    hero.page.keyboard.press("ArrowRight")
    assert frame(hero) == 1
    hero.page.keyboard.press("Space")
    expect(hero).to_have_attribute("data-playing", "true")


def test_playing_from_the_last_frame_starts_again(hero):
    slider = hero.get_by_role("slider").last
    slider.press("End")
    last = frame(hero)
    slider.press("Space")
    assert frame(hero) < last / 2


def test_speed_changes_how_fast_it_plays(hero):
    slider = hero.get_by_role("slider").last
    reached = {}
    for speed in ("0.25×", "4×"):
        hero.get_by_label("Speed").select_option(speed)
        slider.press("Home")
        slider.press("Space")
        hero.page.wait_for_timeout(600)
        slider.press("Space")
        reached[speed] = frame(hero)
    assert reached["4×"] > 2 * reached["0.25×"]


def test_each_frame_is_said(hero):
    slider, live = hero.get_by_role("slider").last, hero.locator("[aria-live]")
    slider.press("Home")
    first = live.inner_text()
    slider.press("ArrowRight")
    assert first != live.inner_text() != ""
    assert live.get_attribute("aria-live") == "polite"
    assert slider.get_attribute("aria-valuetext") in slider.locator("..").inner_text()
    expect(live).to_be_visible()
    for drawing in hero.get_by_role("img").all():
        assert drawing.get_attribute("aria-label")
    slider.press("Space")  # sixty sentences in a row help nobody
    expect(live).to_have_attribute("aria-live", "off")


def test_text_below_does_not_move_while_stepping(hero):
    slider = hero.get_by_role("slider").last
    heights = set()
    for _ in range(3):
        slider.press("ArrowRight")
        heights.add(hero.bounding_box()["height"])
    slider.press("End")
    assert heights == {hero.bounding_box()["height"]}


def test_theme_of_the_page_is_followed_at_once(hero):
    for theme in ("dark", "light"):
        before = pixels(hero)
        hero.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        expect(hero).to_have_attribute("data-theme", theme)
        if theme == "dark":
            assert pixels(hero) != before


@pytest.mark.parametrize(
    ("mark", "theme"),
    [
        ("document.body.dataset.jpThemeLight = 'false'", "dark"),  # JupyterLab
        ("document.body.dataset.jpThemeLight = 'true'", "light"),
        ("document.body.classList.add('vscode-dark')", "dark"),
        ("document.body.classList.add('vscode-light')", "light"),
        ("document.documentElement.setAttribute('theme', 'dark')", "dark"),  # Colab
        ("document.body.dataset.none = ''", "dark"),  # none of them: the system's
    ],
)
def test_theme_of_other_hosts_is_followed(open_page, served, mark, theme):
    page = open_page(served + "book/index.html", color_scheme="dark")
    root = steppers(page)[0]
    page.evaluate("delete document.documentElement.dataset.theme")
    page.evaluate(mark)
    expect(root).to_have_attribute("data-theme", theme)


def test_nothing_moves_by_itself_when_the_reader_wants_less_motion(open_page, served):
    page = open_page(served + "book/index.html", reduced_motion="reduce")
    page.wait_for_selector(".stepper[data-drawn]")
    page.wait_for_timeout(300)
    assert page.locator('.stepper[data-playing="true"]').count() == 0


def test_playing_rests_while_out_of_sight(hero):
    page = hero.page
    hero.get_by_role("slider").last.press("Home")
    page.keyboard.press("Space")
    page.evaluate("document.body.style.paddingTop = '5000px'")

    def rests():
        now = frame(hero)
        page.wait_for_timeout(400)
        return frame(hero) == now

    assert until(rests, page)
    resting = frame(hero)
    page.evaluate("document.body.style.paddingTop = 0")
    expect(hero).not_to_have_attribute("data-frame", str(resting))


def test_a_removed_widget_stops_and_leaves_nothing(open_page, served):
    page = open_page(served + "book/index.html")
    outcome = page.evaluate(
        """async () => {
          const state = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
          const traits = Object.values(JSON.parse(state.textContent).state).find((m) => m.state.content);
          const widget = window.bookWidgets[traits.state._anywidget_id], el = document.createElement("div");
          document.querySelector("article").prepend(el);
          document.querySelectorAll(".widget-place").forEach((place) => place.remove());
          const bytes = Uint8Array.from(atob(traits.buffers[0].data), (c) => c.charCodeAt(0));
          const values = { ...traits.state, coordinates: new DataView(bytes.buffer) };
          const listeners = new Set();
          const model = {
            get: (name) => values[name],
            on: (_, callback) => listeners.add(callback),
            off: (_, callback) => listeners.delete(callback),
          };
          const remove = widget.render({ model, el });
          const pause = (ms) => new Promise((done) => setTimeout(done, ms));
          await pause(200);
          const listened = listeners.size;
          el.querySelector(".stepper-play").click();
          await pause(200);
          remove();
          let frames = 0;
          const request = window.requestAnimationFrame;
          window.requestAnimationFrame = (callback) => (frames++, request(callback));
          await pause(200);
          return { listened, left: listeners.size, children: el.childElementCount, frames };
        }"""
    )
    assert outcome == {"listened": 1, "left": 0, "children": 0, "frames": 0}
