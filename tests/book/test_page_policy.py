"""What a page asks for and its Content-Security-Policy refuses is said at the build, and can be permitted."""

import re

import mend_pages
import page_policy
import pytest

HEAD = '<html><head><meta charset="utf-8" /></head><body>{}</body></html>'
ELSEWHERE = [
    ('<iframe src="https://www.youtube-nocookie.com/embed/x"></iframe>', "frame-src"),
    ('<img alt="" src="https://elsewhere.example/picture.png">', "img-src"),
    ('<img alt="" src="a.png" srcset="https://elsewhere.example/b.png 2x">', "img-src"),
    ('<p style="background: url(https://elsewhere.example/b.png)">', "img-src"),
    ('<video src="//elsewhere.example/film.mp4"></video>', "media-src"),
    ('<script charset="utf-8" src="https://cdn.plot.ly/plotly-3.0.1.min.js"></script>', "script-src"),
    ('<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>', "script-src"),
    ('<script kind="hypothesis" src="https://hypothes.is/embed.js"></script>', "script-src"),
    ('<script>script.src = "https://utteranc.es/client.js";</script>', "script-src"),
    ('<script type="module">import * as x from "https://elsewhere.example/x"</script>', "script-src"),
    ('<script>fetch("https://elsewhere.example/data")</script>', "connect-src"),
    ('<link rel="stylesheet" href="https://fonts.elsewhere.example/css" />', "style-src"),
    ("<style>@import url('https://elsewhere.example/s.css')</style>", "style-src"),
    ('<form action="https://elsewhere.example/subscribe"></form>', "form-action"),
    (
        '<iframe srcdoc="&lt;script src=&quot;https://elsewhere.example/m.js&quot;&gt;"></iframe>',
        "script-src",
    ),
    ('<object data="drawing.svg"></object>', "object-src"),
]
OWN = """<img src="a.png"><img src="data:image/png;base64,AA=="><video src="film.mp4"></video>
<audio src="data:audio/wav;base64,AA=="></audio><iframe src="plot.html"></iframe><a href="https://x.example">x</a>
<script src="own.js"></script><script>const schema = "https://json-schema.example/x";</script>
<script type="application/json">{"src": "https://x.example/client.js"}</script>
<svg xmlns="http://www.w3.org/2000/svg"></svg><link rel="canonical" href="https://book.example/">"""


@pytest.mark.parametrize(("part", "directive"), ELSEWHERE)
def test_what_comes_from_elsewhere_is_found(part, directive):
    assert [found for _, found in page_policy.blocked(HEAD.format(part), {})] == [directive]


def test_what_is_the_books_own_is_left_alone():
    assert list(page_policy.blocked(HEAD.format(OWN), {})) == []


def test_a_host_is_permitted_for_what_it_is_named_for_alone():
    text = HEAD.format('<img src="https://x.example/a.png"><iframe src="https://x.example/a"></iframe>')
    permitted = {"https://x.example/": ["img-src"]}
    assert list(page_policy.blocked(text, permitted)) == [("https://x.example/a", "frame-src")]
    policy = page_policy.protect(text, [], permitted)
    assert re.findall(r"([a-z-]+) [^;]*https://x\.example", policy.split("</head>")[0]) == ["img-src"]


@pytest.mark.parametrize("options", ["", ' type="text/javascript"', ' type="module"'])
def test_every_line_of_code_in_a_page_may_run(options):
    page = page_policy.protect(HEAD.format(f"<script{options}>go()</script>"), [], {})
    assert page_policy._hashed("go()") in page
    data = page_policy.protect(HEAD.format('<script type="application/json">1</script>'), [], {})
    assert "sha256" not in data


def test_the_warning_names_page_address_and_directive(monkeypatch):
    said = []
    monkeypatch.setattr(
        mend_pages.logger,
        "warning",
        lambda text, *values, location, **_: said.append((location, text % values)),
    )
    mend_pages.warn("book/one", HEAD.format(ELSEWHERE[0][0]), {})
    ((location, text),) = said
    assert location == "book/one"
    assert "frame-src" in text
    assert "https://www.youtube-nocookie.com/embed/x" in text
    assert "permitted_hosts in _config.yml" in text
