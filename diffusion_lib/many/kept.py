"""Checkpoints that appear whole or not at all, and are known by their hashes.

A checkpoint is a folder. It is written under another name; a list of its files with their hashes comes last;
everything is flushed to the disk; and only then it gets its name, in one step that a power cut can't halve.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIST = "checkpoint.json"  # of the files and hashes, the step and the settings
NAME, PARTIAL = "step-{:08d}", "partial-{:08d}"


def partial(out: Path, step: int) -> Path:
    """An empty folder for a checkpoint in the making, in place of what a killed run may have left there."""
    folder = out / PARTIAL.format(step)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def publish(folder: Path, step: int, settings: Mapping[str, Any], keep: int = 2) -> Path:
    """Give a checkpoint in the making its name, and delete all but the newest `keep`: its new place."""
    files = {path.name: digest(path) for path in sorted(folder.iterdir())}
    text = json.dumps({"step": step, "settings": dict(settings), "files": files}, indent=1)
    (folder / LIST).write_text(text + "\n", encoding="utf-8")
    for path in (*folder.iterdir(), folder):
        flush(path)
    whole = folder.with_name(NAME.format(step))
    shutil.rmtree(whole, ignore_errors=True)
    os.replace(folder, whole)
    flush(whole.parent)
    for old in checkpoints(whole.parent)[keep:]:
        shutil.rmtree(old)
    return whole


def checkpoints(out: Path) -> list[Path]:
    """The folders with a checkpoint's name, the newest first."""
    return sorted(out.glob("step-*"), reverse=True)


def broken(folder: Path) -> str:
    """What is wrong with a checkpoint; empty if every file is there, and is what was written."""
    try:
        files = contents(folder)["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"{folder.name} has no list of its files ({type(error).__name__})"
    for name, known in files.items():
        if not (folder / name).is_file() or digest(folder / name) != known:
            return f"{folder.name}: {name} is not what was written"
    return ""


def newest_whole(out: Path) -> Path | None:
    """The newest checkpoint that isn't broken, with a warning for each newer one; None if there is none."""
    for folder in checkpoints(Path(out)):
        if not (trouble := broken(folder)):
            return folder
        warnings.warn(f"{trouble}: the checkpoint before it is taken.", stacklevel=2)
    return None


def contents(folder: Path) -> dict[str, Any]:
    """A checkpoint's step, settings, and hashes."""
    return json.loads((folder / LIST).read_text(encoding="utf-8"))


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Have the system write a file or a folder to the disk now, not some time; Windows can't be asked so."""
    if os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
