"""The Content-Security-Policy of a page: which code it may run, and from where it may load anything.

A page runs the book's files, and its own lines of code, known by their hash; nothing comes from elsewhere but
from the hosts of `permitted_hosts` in _config.yml. A browser obeys without a word to the author: so `blocked`
finds in a page what its policy will refuse.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

# A page opened as a file has an address that not all browsers count as 'self'.
OWN_FILES = ["'self'", "file:"]
POLICY = {
    "default-src": ["'none'"],
    "script-src": [*OWN_FILES, "'unsafe-hashes'"],
    "style-src": [*OWN_FILES, "'unsafe-inline'"],
    "img-src": [*OWN_FILES, "data:"],
    "media-src": [*OWN_FILES, "data:"],
    "font-src": OWN_FILES,
    "frame-src": OWN_FILES,
    "connect-src": ["'self'"],
    "form-action": OWN_FILES,
    "base-uri": ["'none'"],
}
# Where a reader can train a model: WebAssembly may be compiled, which is no JavaScript from text, and a
# worker may be made of the page's own script.
TRAINER = re.compile(r'<script [^>]*src="[^"]*_static/trainer\.js')
TRAINS = {"script-src": ["'wasm-unsafe-eval'"], "worker-src": ["'self'", "blob:"]}

INLINE_SCRIPT = re.compile(r"<script(?P<options>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
# Other types are data, which no policy stops.
DATA = re.compile(r'\btype="(?!"|module"|(?:text|application)/(?:java|ecma)script")')
TAG = re.compile(r"<[a-z](?:[^<>\"]|\"[^\"]*\")*>")
HANDLER = re.compile(r"\son[a-z]+=\"(?P<code>[^\"]*)\"")
HEAD = re.compile(r'<meta charset="utf-8" ?/?>')

# The attributes by which an element loads something, and the directive that rules over it.
LOADS = {
    ("audio", "src"): "media-src",
    ("base", "href"): "base-uri",
    ("embed", "src"): "object-src",
    ("form", "action"): "form-action",
    ("iframe", "src"): "frame-src",
    ("img", "src"): "img-src",
    ("input", "src"): "img-src",
    ("object", "data"): "object-src",
    ("script", "src"): "script-src",
    ("source", "src"): "media-src",
    ("track", "src"): "media-src",
    ("video", "poster"): "img-src",
    ("video", "src"): "media-src",
}
LINKS = {
    "stylesheet": "style-src",
    "icon": "img-src",
    "modulepreload": "script-src",
    "manifest": "manifest-src",
}
# In style sheets, and in code as far as text can tell: a file by its name, and what is fetched or imported.
IN_STYLES = re.compile(r"url\(\s*[\"']?(?P<address>(?:https?:)?//[^\"')\s]+)")
IN_CODE = (
    ("connect-src", re.compile(r"\bfetch\(\s*[\"'`](?P<address>https?://[^\"'`]+)")),
    ("script-src", re.compile(r"\b(?:import|from)\b[\s(]*[\"'`](?P<address>https?://[^\"'`]+)")),
    ("script-src", re.compile(r"[\"'`](?P<address>(?:https?:)?//[^\"'`\s]+\.m?js)\b")),
)


class _Loads(HTMLParser):
    """What a page asks for by its elements: pairs of a directive and an address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        is_data = tag == "script" and DATA.search(f'type="{values.get("type", "")}"')
        self.inside = "" if is_data else tag
        self.found += [
            (LOADS[tag, name], values[name]) for name in values if (tag, name) in LOADS and not is_data
        ]
        self.found += [
            ("img-src", part.split()[0]) for part in values.get("srcset", "").split(",") if part.strip()
        ]
        if tag == "link":
            self.found += [
                (LINKS[rel], values["href"]) for rel in values.get("rel", "").split() if rel in LINKS
            ]
        self.found += [("img-src", match["address"]) for match in IN_STYLES.finditer(values.get("style", ""))]
        self.found += _Loads(values["srcdoc"]).found if "srcdoc" in values else []  # it inherits the policy

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, text: str) -> None:
        if self.inside == "script":
            self.found += [(name, m["address"]) for name, pattern in IN_CODE for m in pattern.finditer(text)]
        if self.inside == "style":
            self.found += [("style-src", match["address"]) for match in IN_STYLES.finditer(text)]


def blocked(text: str, permitted: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What the policy will refuse of that which a page asks for: addresses, each with the directive."""
    policy = _policy(text, permitted)
    for directive, address in dict.fromkeys(_Loads(text).found):
        if not _allows(policy.get(directive, policy["default-src"]), address):
            yield address, directive


def _allows(sources: list[str], address: str) -> bool:
    scheme, host, *_ = urlsplit(address)
    if host:
        return f"{scheme or 'https'}://{host}" in sources
    return f"{scheme}:" in sources if scheme else "'self'" in sources


def _policy(text: str, permitted: dict[str, list[str]]) -> dict[str, list[str]]:
    """The sources of each directive, with what a trainer needs, and the hosts that are permitted there."""
    policy = {directive: list(sources) for directive, sources in POLICY.items()}
    for directive, sources in TRAINS.items() if TRAINER.search(text) else ():
        policy.setdefault(directive, []).extend(sources)
    for host, directives in permitted.items():
        for directive in directives:
            policy.setdefault(directive, []).append(host.rstrip("/"))
    return policy


def handlers(text: str) -> list[str]:
    """The code of a page's attributes, such as onclick."""
    return [html.unescape(code) for tag in TAG.findall(text) for code in HANDLER.findall(tag)]


def protect(text: str, known: Iterable[str], permitted: dict[str, list[str]]) -> str:
    """The page's text with a policy that permits its own scripts and the known handlers, no other code."""
    scripts = [match for match in INLINE_SCRIPT.finditer(text) if " src=" not in match["options"]]
    codes = [match["code"] for match in scripts if not DATA.search(match["options"])]
    policy = _policy(text, permitted)
    policy["script-src"] += dict.fromkeys(_hashed(code) for code in [*codes, *known])
    content = "; ".join(" ".join([directive, *sources]) for directive, sources in policy.items())
    meta = f'<meta http-equiv="Content-Security-Policy" content="{content}" />'
    return HEAD.sub(lambda match: f"{match[0]}\n    {meta}", text, count=1)


def _hashed(code: str) -> str:
    """Inline code as a policy names it."""
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
