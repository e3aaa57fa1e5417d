"""A page runs its own code only, whatever its recordings hold, and says so when one cannot be drawn."""

import json
import re

import pytest
from conftest import PAGES, PERMITTED, SITE, STATE, replace_start, stay_local
from playwright.sync_api import expect
from test_pages import barriers

from diffusion_lib.show.widgets import Stepper

START = "book/index.html"
FOREIGN = "window.ran = true; export default { render() { window.ran = true; } };"


def the_model(state):
    return next(model for model in state["state"].values() if "content" in model["state"])


def altered(change):
    """The recording of a page, changed in its model by a function."""

    def alter(text):
        state = json.loads(text)
        change(the_model(state))
        return json.dumps(state).replace("</", "<\\/")

    return alter


def halve_coordinates(model):
    data = model["buffers"][0]["data"]
    model["buffers"][0]["data"] = data[: len(data) // 8 * 4]


def foreign_widget(model):
    model["state"] |= {"_anywidget_id": "elsewhere.Widget", "_esm": FOREIGN}


def no_widget(model):
    model["state"]["_anywidget_id"] = "constructor"


DAMAGES = {
    "cut short": lambda text: text[: len(text) // 2],
    "coordinates cut short": altered(halve_coordinates),
    "coordinates missing": altered(lambda model: model.pop("buffers")),
    "a frame missing": altered(lambda model: model["state"]["content"]["frames"].pop()),
    "an unknown mark": altered(
        lambda model: model["state"]["content"]["frames"][9]["layers"][0].update(kind="draw")
    ),
    "no content": altered(lambda model: model["state"].update(content={})),
    "another widget": altered(foreign_widget),
    "no widget": altered(no_widget),
}


@pytest.fixture
def damaged(open_page, served):
    """Opens the start page with its recording changed by a function of its text."""

    def show(damage):
        page = open_page("about:blank")
        replace_start(page, lambda text: STATE.sub(lambda found: damage(found[0]), text))
        page.goto(served + START)
        return page

    return show


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_recording_leaves_a_sentence_and_the_strip(damaged, damage):
    page = damaged(DAMAGES[damage])
    expect(page.locator(".widget-failed")).to_contain_text("This widget cannot be shown here")
    expect(page.locator(".widget-strip")).to_be_visible()
    assert page.locator(".stepper[data-frame]").count() == 0
    assert page.evaluate("window.ran") is None, "code from the recording was run"


def test_no_barriers_where_the_strip_stands_for_the_widget(damaged):
    page = damaged(DAMAGES["cut short"])
    expect(page.locator(".widget-strip")).to_be_visible()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        assert barriers(page) == []


def test_pages_run_the_module_of_the_library():
    module = (SITE / "_static" / "stepper.js").read_text(encoding="utf-8")
    assert str(Stepper._esm).replace("export default", "return") in module


def test_code_in_a_good_recording_is_not_run(damaged):
    page = damaged(altered(lambda model: model["state"].update(_esm=FOREIGN, _css="body { display: none }")))
    expect(page.locator(".stepper[data-drawn]")).to_be_visible()
    assert page.evaluate("window.ran") is None


ATTEMPTS = """async (expected) => {
  const blocked = [];
  document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const add = (tag, properties) => document.body.append(make(tag, properties));
  add("script", { textContent: "window.ran = 'a line of code'" });
  add("script", { src: "https://elsewhere.example/script.js" });
  add("script", { src: URL.createObjectURL(new Blob(["window.ran = 'a blob'"])) });
  add("img", { src: "https://elsewhere.example/picture.png" });
  document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.ran = \\"a handler\\"'>");
  add("iframe", { src: "https://elsewhere.example/" });
  await import("data:text/javascript,window.ran = 'a module'").catch(() => {});
  await fetch("https://elsewhere.example/data").catch(() => {});
  const end = performance.now() + 10_000;
  const wait = () => new Promise((done) => setTimeout(done, 200));
  while (blocked.length < expected && performance.now() < end) await wait();
  await wait(); // for one too many
  return { blocked, ran: window.ran };
}"""
SCRIPTS = ["script-src-elem"] * 4 + ["script-src-attr"]
BLOCKED = sorted(["connect-src", "frame-src", "img-src", *SCRIPTS])


def test_no_other_code_and_nothing_from_elsewhere(chromium, served, as_files):
    for address in (served, as_files):
        context = chromium.new_context()
        stay_local(context)
        page = context.new_page()
        page.goto(address + START)
        outcome = page.evaluate(ATTEMPTS, len(BLOCKED))
        assert outcome.get("ran") is None
        assert sorted(outcome["blocked"]) == BLOCKED
        context.close()


def test_the_buttons_of_the_theme_still_work(open_page, served):
    page = open_page(served + "book/references.html")
    page.evaluate("window.print = () => (window.printed = true)")
    page.get_by_role("button", name="Download this page").click()
    page.locator(".btn-download-pdf-button").click()
    assert page.evaluate("window.printed")
    page.get_by_role("button", name="Fullscreen mode").click()
    expect(page.locator(":fullscreen")).to_have_count(1)


@pytest.mark.parametrize("page", [*PAGES, "search.html", "genindex.html"])
def test_every_page_has_a_policy_and_names_no_other_place_for_code(page):
    text = (SITE / page).read_text(encoding="utf-8")
    policy = text.index('<meta http-equiv="Content-Security-Policy"')
    assert policy < min(text.index("<script"), text.index("<link"))
    sources = re.findall(r'<(?:script|link rel="stylesheet"|img|iframe)\b[^>]* (?:src|href)="([^"]+)"', text)
    elsewhere = [source for source in sources if re.match(r"[a-z]+:|//", source)]
    assert [source for source in elsewhere if not source.startswith(PERMITTED)] == []
    assert '"_esm"' not in text
