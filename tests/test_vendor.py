"""The files that others made are the ones listed, unchanged."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "book" / "assets" / "vendor"


def test_vendored_files_match_the_list():
    listed = dict(re.findall(r"\| `([0-9a-f]{64})` \| `(.+)` \|", (VENDOR / "README.md").read_text()))
    files = [path for path in VENDOR.rglob("*") if path.is_file() and path != VENDOR / "README.md"]
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path.relative_to(VENDOR).as_posix() for path in files}
    assert found == listed
