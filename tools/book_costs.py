"""What the book costs: seconds to execute and test its notebooks, bytes of its built pages."""

import gzip
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import notebooks

SANITIZE = notebooks.BOOK / "sanitize.cfg"

WIDGET_STATE = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-state\+json">(.*?)</script>', re.DOTALL
)
# Addresses with a colon are not files of ours: data: URLs, and links elsewhere.
SCRIPT_OR_STYLE = re.compile(r'<(?:script|link)\b[^>]*?\b(?:src|href)="([^":?]+\.(?:js|css))[?"]')
PICTURE = re.compile(r'<img\b[^>]*?\bsrc="([^":?]+)[?"]')


def seconds_of(action: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def execution_seconds(path: Path) -> float:
    """Seconds to run a notebook in a fresh kernel, as a build does. A failing cell is a `NotebookError`."""
    notebook = notebooks.load(path)
    return seconds_of(lambda: notebooks.execute(notebook, path.parent, path.name))


def nbval_seconds(path: Path) -> float:
    """Seconds to run a notebook and compare its outputs with the stored ones, as `make test` does."""
    options = ["-q", "-W", "default", "--nbval", f"--nbval-sanitize-with={SANITIZE}"]
    command = [sys.executable, "-m", "pytest", *options, str(path)]
    start = time.perf_counter()
    test = subprocess.run(command, cwd=notebooks.BOOK.parent, capture_output=True, text=True)
    if test.returncode:
        raise notebooks.NotebookError(f"{path.name} fails its test:\n{test.stdout}{test.stderr}")
    return time.perf_counter() - start


def page_weight(page: Path) -> tuple[int, int, int, int]:
    """Compressed bytes of a built page: its text, recorded widgets, pictures, and scripts and styles.

    Fonts are left out: a browser loads the few that it needs.
    """
    html = page.read_text(encoding="utf-8")
    text = WIDGET_STATE.sub("", html)
    pictures, code = (
        sum(compressed((page.parent / name).read_bytes()) for name in set(pattern.findall(text)))
        for pattern in (PICTURE, SCRIPT_OR_STYLE)
    )
    widgets = sum(compressed(state.encode()) for state in WIDGET_STATE.findall(html))
    return compressed(text.encode()), widgets, pictures, code


def compressed(content: bytes) -> int:
    """Bytes after gzip, in which servers send a page."""
    return len(gzip.compress(content))
