"""The files that others made are the ones listed, unchanged."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "book" / "assets" / "vendor"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_vendored_files_match_the_list():
    rows = re.findall(r"\| `([0-9a-f]{64})` \| `(.+)` \|", (VENDOR / "README.md").read_text())
    files = [path for path in VENDOR.rglob("*") if path.is_file() and path != VENDOR / "README.md"]
    found = {path.relative_to(VENDOR).as_posix(): sha256(path) for path in files}
    assert found == {name: digest for digest, name in rows}
