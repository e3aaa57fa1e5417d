"""Sphinx extension: each equation's number says how the equation was checked, and leads to the check.

What it says is read from the file `equation_evidence`, which the run of the checks has written:

    pytest tests/equations/test_equations.py --evidence _build/evidence.json

The number of an equation becomes a button that opens a note; with `assets/equation_checks.js` on hover, too.
For each file of checks there is a page that shows it, check by check. The build fails if an equation has no
evidence, or if what was checked is not what the page shows.
"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NUMBER = re.compile(
    r'<span class="eqno">\((?P<number>[\d.]+)\)(?=<a class="headerlink" href="#equation-(?P<label>[\w-]+)")'
)
CHECK = re.compile(r'^@checks\(\s*"(?P<label>[\w-]+)"', re.MULTILINE)
ADVICE = "`make book` runs the checks before it builds"


def read_evidence(app: Sphinx) -> None:
    """Load what the checks have shown: for each label the TeX, the sentence and the file of its check."""
    path = Path(app.confdir, app.config.equation_evidence)
    if not path.is_file():
        raise ExtensionError(f"the equations were not checked, or a check failed: no {path}; {ADVICE}")
    app.env.equation_evidence = json.loads(path.read_text(encoding="utf-8"))


def compare(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Refuse a page with an equation that was not checked, or not as it is written there."""
    for equation in doctree.findall(nodes.math_block):
        label = equation.get("label") or "an equation without a label"
        found = app.env.equation_evidence.get(label)
        if found is None or bare(found["tex"]) != bare(equation.astext()):
            raise ExtensionError(f"{page}: {label} was not checked as it stands on the page; {ADVICE}")


def bare(tex: str) -> str:
    """TeX without white space: the page and the check may break their lines elsewhere."""
    return "".join(tex.split())


def add_notes(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Make each equation's number a button that opens the note about its check."""
    if doctree is None or "eqno" not in context.get("body", ""):
        return

    def note(match: re.Match[str]) -> str:
        found = app.env.equation_evidence[match["label"]]
        source = app.builder.get_relative_uri(page, page_of(found["file"])) + f"#{match['label']}"
        return NOTE.format(source=source, text=html.escape(found["text"]), **match.groupdict())

    context["body"] = NUMBER.sub(note, context["body"])


NOTE = (
    '<span class="eqno"><button type="button" class="eq-number" popovertarget="check-{label}"'
    ' aria-label="Equation {number}: how it was checked">({number})</button>'
    '<span class="eq-note" id="check-{label}" popover role="note">{text}'
    ' <a href="{source}">Read the check</a></span>'
)


def page_of(file: str) -> str:
    """The page that shows a file of checks: equations_03_forward_process.py on checks/03_forward_process."""
    return "book/checks/" + Path(file).stem.removeprefix("equations_")


def pages_of_checks(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """One page for each file of checks, with the number and the evidence of each equation above its check."""
    math = app.env.get_domain("math")
    files = {found["file"]: math.equations[label][0] for label, found in app.env.equation_evidence.items()}
    for file, chapter in sorted(files.items()):
        source = Path(app.confdir, "tests", "equations", file).read_text(encoding="utf-8")
        title = f"How {app.env.titles[chapter].astext()} is checked"
        body = f"<h1>{title}</h1>\n{INTRODUCTION.format(file=file)}"
        body += "".join(sections(app, source, page_of(file)))
        math.data["has_equations"][page_of(file)] = True  # so that MathJax is loaded there, too
        yield page_of(file), {"title": title, "body": body}, "page.html"


INTRODUCTION = (
    "<p>The file <code>tests/equations/{file}</code> is run before each build. A check states its equation"
    " anew and compares it with something independent: the other side of an identity that SymPy proves, an"
    " integral, a simulation. Another test alters each check in every place, a sign, a factor 2, a root, an"
    " index, and sees that the check notices.</p>"
)


def sections(app: Sphinx, source: str, page: str) -> Iterator[str]:
    """The file in its order: what the checks share as it stands, each check below a heading of its own."""
    starts = [match.start() for match in CHECK.finditer(source)]
    for start, end in zip([0, *starts], [*starts, len(source)], strict=True):
        match, code = CHECK.match(source, start), source[start:end].strip("\n")
        if match:
            yield f'<section id="{match["label"]}">{heading(app, match["label"], page)}'
        yield app.builder.highlighter.highlight_block(code, "python") + ("</section>" if match else "")


def heading(app: Sphinx, label: str, page: str) -> str:
    """An equation's number, which leads back to the text, the equation itself, and its evidence."""
    chapter = app.env.get_domain("math").equations[label][0]
    number = app.env.toc_fignumbers[chapter]["displaymath"][f"equation-{label}"]
    uri = app.builder.get_relative_uri(page, chapter) + f"#equation-{label}"
    found = app.env.equation_evidence[label]
    return (
        f'<h2><a href="{uri}">Equation {".".join(map(str, number))}</a></h2>'
        f'<div class="math notranslate nohighlight">\\[{html.escape(found["tex"])}\\]</div>'
        f"<p>{html.escape(found['text'])}</p>"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("equation_evidence", "_build/evidence.json", "html")
    app.connect("builder-inited", read_evidence)
    app.connect("doctree-resolved", compare)
    app.connect("html-page-context", add_notes)
    app.connect("html-collect-pages", pages_of_checks)
    app.add_css_file("equation_checks.css")
    app.add_js_file("equation_checks.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
