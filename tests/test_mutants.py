"""`make mutants`: the list of faults fits library and tests, and no fault is called caught that is not."""

import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "mutants.py"
SPEC = importlib.util.spec_from_file_location("mutants", SCRIPT)
mutants = importlib.util.module_from_spec(SPEC)
sys.modules["mutants"] = mutants  # dataclasses, and other processes, look there
SPEC.loader.exec_module(mutants)
SEEN_BY, FAULTS = mutants.load()
SNR = next(fault for fault in FAULTS if fault.name == "SNR inverted")


def test_no_entry_is_stale():
    assert [(fault.name, why) for fault in FAULTS for why in mutants.stale(fault)] == []


def test_every_fault_is_there_once():
    assert [what for what, n in Counter((f.module, f.name) for f in FAULTS).items() if n > 1] == []
    assert [what for what, n in Counter((f.module, f.old, f.new) for f in FAULTS).items() if n > 1] == []


def test_every_module_with_a_formula_has_faults():
    without = {"__init__", "checks", "plots"}
    modules = {path.stem for path in SNR.path.parent.glob("*.py")} - without
    assert {fault.module for fault in FAULTS} == modules == set(SEEN_BY)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"old": "no such text"}, "the old text 0 times"),
        ({"old": "alpha"}, "it must be there once"),
        ({"new": SNR.old}, "the new text is the old one"),
        ({"own": ("test_schedules.py::test_of_nothing",)}, "there is no test_schedules.py::test_of_nothing"),
    ],
)
def test_a_stale_entry_is_found(change, problem):
    (found,) = mutants.stale(replace(SNR, **change))
    assert problem in found


@pytest.mark.slow
def test_only_a_failing_test_catches_a_fault(capfd, monkeypatch):
    """The inverted SNR, seen and not seen, the same formula otherwise written, and one that is no Python."""
    monkeypatch.syspath_prepend(SCRIPT.parent)  # other processes import the script by its name
    contract = "test_schedules.py::test_every_schedule_of_every_length_keeps_the_contract"
    other = "test_schedules.py::test_linear_takes_other_ends"
    faults = [
        replace(SNR, name="seen"),
        replace(SNR, name="own alone", own=(contract,)),
        replace(SNR, name="equal", new="return self.alpha_bar * (1 / (1 - self.alpha_bar))"),
        replace(SNR, name="no Python", new="return self.alpha_bar /"),
    ]
    assert mutants.examine(faults, {"schedules": [contract, other]}) == 1
    outcomes = [line.split()[0] for line in capfd.readouterr().out.splitlines() if "schedules  " in line]
    assert outcomes == ["caught", "survived", "survived", "broken"]
