"""Experiments too long for a notebook: what is run, for which cases, and what was found.

A module of this room has a function for each experiment, and their cases in EXPERIMENTS. `make results` runs
all of them and writes what they found into `results/`, which is committed. A chapter shows these numbers, and
runs one case again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")

Case = dict[str, Any]  # the keyword arguments of one run


@dataclass(frozen=True)
class Experiment:
    """A function of keyword arguments, numbers and words, which gives numbers by name; and its cases."""

    run: Callable[..., dict[str, float]]
    cases: Sequence[Case]

    @property
    def name(self) -> str:
        """That of its function."""
        return self.run.__name__


def grid(**choices: Sequence[Any]) -> list[Case]:
    """All combinations of these choices, the last one changing fastest."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def results(module: str) -> dict[str, list[Case]]:
    """What the experiments of a module, such as "score", found: for each a list of case and numbers."""
    found = json.loads((RESULTS / f"{module}.json").read_text(encoding="utf-8"))
    return {name: [{**row["case"], **row["found"]} for row in rows] for name, rows in found["rows"].items()}


def by(rows: Sequence[Case], *settings: str, value: str) -> dict[Any, list[float]]:
    """The numbers called `value` of the rows that agree in these settings: those of all seeds, usually.

    A key is the setting's value, or with several settings the tuple of theirs, in the order of the rows.
    """
    groups: dict[Any, list[float]] = {}
    for row in rows:
        key = tuple(row[name] for name in settings)
        groups.setdefault(key[0] if len(key) == 1 else key, []).append(row[value])
    return groups


def fingerprint(module: str) -> str:
    """The hash of a module's text."""
    text = RESULTS.with_name(f"{module}.py").read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stale(module: str) -> str:
    """What is wrong with the kept results: they may be those of an older text. Empty if nothing is."""
    found = json.loads((RESULTS / f"{module}.json").read_text(encoding="utf-8"))
    return "" if found["of"] == fingerprint(module) else f"{module}.py has changed: run make results"
