"""Mend the built pages where theme and Sphinx fall short of a book without a network, for every reader.

- The font preloads go: from file:// a browser refuses them with an error, and the style sheet loads the same
  fonts.
- Thebe goes, which runs code on a remote server: this book has none, and the theme declares its constants
  twice, which is an error on every page.
- The icons' script goes, half a megabyte compressed: the icons' style sheet, which the theme loads as well,
  draws the same. As the script did, we hide icons from screen readers.
- A page is light or dark from its start: the theme's own script finds out late, and all is drawn again.
- An entry of the bibliography becomes an item of the list it stands in, as screen readers expect.
"""

import re
from pathlib import Path

CHOOSE_THEME = """{
      const mode = localStorage.getItem("mode") || "auto";
      const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
      document.documentElement.dataset.theme = mode !== "auto" ? mode : dark ? "dark" : "light";
    }"""

MENDS = (
    (re.compile(r'[ \t]*<link rel="preload" as="font"[^>]*>\n?'), ""),
    (re.compile(r'[ \t]*<link [^>]*href="[^"]*sphinx-thebe\.css[^"]*"[^>]*>\n?'), ""),
    (re.compile(r'[ \t]*<script [^>]*src="[^"]*sphinx-thebe\.js[^"]*"[^>]*></script>\n?'), ""),
    (re.compile(r"[ \t]*<script>const THEBE_JS_URL[^<]*</script>\n?"), ""),
    (re.compile(r'[ \t]*<script src="[^"]*/fontawesome/[^"]*"></script>\n?'), ""),
    (re.compile(r'<i class="(?=[^"]*\bfa[bs]?[ -])'), '<i aria-hidden="true" class="'),
    (re.compile(r"document\.documentElement\.dataset\.theme = localStorage[^;\n]*;"), CHOOSE_THEME),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
)


def mend(text):
    """The page's text with all mends made."""
    for pattern, replacement in MENDS:
        text = pattern.sub(replacement, text)
    return text


def mend_pages(app, exception):
    """Rewrite the built pages that need a mend; leave the others untouched."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if mend(text) != text:
            page.write_text(mend(text), encoding="utf-8")


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", mend_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
