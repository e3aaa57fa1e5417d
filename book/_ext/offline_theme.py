"""Take out of the built pages what works only online, and what fails when a page is opened as a file.

- The font preloads: from file:// a browser refuses them with an error, while the style sheet loads the same
  fonts.
- Thebe, which runs code on a remote server: this book has none, and the theme declares its constants twice,
  which is an error on every page.
"""

import re
from pathlib import Path

ONLINE_ONLY = re.compile(
    r'[ \t]*<link rel="preload" as="font"[^>]*>\n?'
    r'|[ \t]*<link [^>]*href="[^"]*sphinx-thebe\.css[^"]*"[^>]*>\n?'
    r'|[ \t]*<script [^>]*src="[^"]*sphinx-thebe\.js[^"]*"[^>]*></script>\n?'
    r"|[ \t]*<script>const THEBE_JS_URL[^<]*</script>\n?"
)


def clean_pages(app, exception):
    """Rewrite the built pages that still hold an online-only element; leave the others untouched."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        cleaned = ONLINE_ONLY.sub("", text)
        if cleaned != text:
            page.write_text(cleaned, encoding="utf-8")


def setup(app):
    app.connect("build-finished", clean_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
