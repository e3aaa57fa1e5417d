"""Mend the built pages where theme and Sphinx fall short of a book without a network, for every reader.

- The font preloads go: from file:// a browser refuses them with an error, and the style sheet loads the same
  fonts.
- Thebe goes, which runs code on a remote server: this book has none, and the theme declares its constants
  twice, which is an error on every page.
- The icons' script goes, half a megabyte compressed: the icons' style sheet, which the theme loads as well,
  draws the same. As the script did, we hide icons from screen readers.
- The head's link to the next page goes: Firefox follows it ahead of the reader, which the policy refuses.
- A page is light or dark from its start: the theme's own script finds out late, and all is drawn again.
- Where storage is refused, the page gets one that forgets, before the theme asks for it (assets/storage.js).
- Without scripts a page is light, where the theme leaves it without any colours.
- Paper is white: a dark page is light while it is printed (assets/print.js).
- An entry of the bibliography becomes an item of the list it stands in; the column with logo and chapters and
  the field for searching become landmarks, as screen readers expect; what opens a part of the contents has a
  name; the arguments of a signature are lines, not a list of definitions.
- A download link saves the file, where the browser would show it, whatever type the server says it has.

Last, each page gets its Content-Security-Policy (page_policy.py). What it will refuse is a warning, which
`make book` makes an error: a browser would leave it out without a word.
"""

import re
from pathlib import Path

from page_policy import blocked, handlers, protect
from sphinx.util import logging

logger = logging.getLogger(__name__)

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
    (re.compile(r"[ \t]*<script>kernelName = [^<]*</script>\n?"), ""),
    (re.compile(r'[ \t]*<script type="text/x-thebe-config">[^<]*</script>\n?'), ""),
    (re.compile(r'[ \t]*<link rel="next" [^>]*>\n?'), ""),
    (re.compile(r'(<html [^>]*data-theme=)"auto"'), r'\1"light"'),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    (re.compile(r'class="bd-sidebar-primary bd-sidebar"'), r'\g<0> role="navigation" aria-label="The book"'),
    (re.compile(r'class="search-button__wrapper"'), r'\g<0> role="search"'),
    (re.compile(r'<a href="[^"]*?([^"/]+)"(?=[^>]*btn-download-source)'), r'\g<0> download="\1"'),
    (re.compile(r"<dl>(?=\s*<dd>)"), '<dl role="presentation">'),
    (re.compile(r'<summary(?=><span class="toctree-toggle")'), r'\g<0> aria-label="The pages below"'),
)

STATIC = re.compile(r'href="(?P<path>[^"]*_static/)styles/theme\.css')
FIRST_SCRIPT = re.compile(r'<script data-cfasync="false">')


def mend(text):
    """The page's text with all mends made."""
    for pattern, replacement in MENDS:
        text = pattern.sub(replacement, text)
    if static := STATIC.search(text):
        storage = f'<script src="{static["path"]}storage.js"></script>\n  '
        text = FIRST_SCRIPT.sub(rf"{storage}\g<0>", text, count=1)
    return text


def mend_pages(app, exception):
    """Rewrite the built pages, and warn of what they ask for in vain."""
    if exception or app.builder.format != "html":
        return
    permitted = app.config.permitted_hosts
    pages = {page: page.read_text(encoding="utf-8") for page in Path(app.outdir).rglob("*.html")}
    # The search page reads the others, handlers and all, to quote from them.
    known = sorted({code for text in pages.values() for code in handlers(text)})
    for page, text in pages.items():
        if "Content-Security-Policy" not in text:
            text = mend(text)
            page.write_text(protect(text, known, permitted), encoding="utf-8")
        warn(page.relative_to(app.outdir).with_suffix("").as_posix(), text, permitted)


def warn(page, text, permitted):
    """Say what the policy will refuse on a page, and how to permit it."""
    for address, directive in blocked(text, permitted):
        logger.warning(
            "the page's Content-Security-Policy (%s) blocks %s: put the file into the book, or permit its "
            "host under permitted_hosts in _config.yml, as CONTRIBUTING.md shows",
            directive,
            address[:200],
            location=page,
            type="page_policy",
        )


def setup(app):
    """Register with Sphinx."""
    app.add_config_value("permitted_hosts", {}, "html", types=[dict])
    app.add_js_file("print.js", loading_method="defer")
    app.connect("build-finished", mend_pages, priority=900)  # when nobody else changes a page any more
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
