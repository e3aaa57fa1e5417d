"""`make mutants`: the list of faults fits library and tests, and no fault is called caught that is not."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import mutants
import pytest

TOOLS = Path(mutants.__file__).parent
SEEN_BY, FAULTS = mutants.load()
SNR = next(fault for fault in FAULTS if fault.name == "SNR inverted")


def test_no_entry_is_stale():
    assert [(fault.name, why) for fault in FAULTS for why in mutants.stale(fault)] == []


def test_every_fault_is_there_once():
    assert [what for what, n in Counter((f.module, f.name) for f in FAULTS).items() if n > 1] == []
    assert [what for what, n in Counter((f.module, f.old, f.new) for f in FAULTS).items() if n > 1] == []


def test_every_module_with_a_formula_has_faults():
    library = mutants.ROOT / "diffusion_lib"
    files = [path.relative_to(library).with_suffix("") for path in library.rglob("*.py")]
    without = {"__init__", "__main__", "contracts", "experiments", "launch"}
    without |= {"page", "plots", "settings", "widgets"}
    modules = {".".join(file.parts) for file in files if not without & set(file.parts)}
    found = {fault.module for fault in FAULTS}
    assert found == set(SEEN_BY)
    assert {module for module in found if not module.startswith("experiments.")} == modules


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"old": "no such text"}, "the old text 0 times"),
        ({"old": "alpha"}, "it must be there once"),
        ({"new": SNR.old}, "the new text is the old one"),
        ({"own": ("test_training.py::test_of_nothing",)}, "there is no test_training.py::test_of_nothing"),
        ({"by": "test_training.py::test_of_nothing[1]"}, "there is no test_training.py::test_of_nothing[1]"),
        ({"by": f"{SNR.own[0]}[cosine]"}, "does not count"),
    ],
)
def test_a_stale_entry_is_found(change, problem):
    (found,) = mutants.stale(replace(SNR, **change))
    assert problem in found


@pytest.mark.slow
def test_a_module_without_faults_is_named(capsys):
    assert mutants.main(["posterior"]) == 1
    assert capsys.readouterr().out == "No fault is planted in posterior.\n"


def test_only_a_failing_test_catches_a_fault(capfd, monkeypatch):
    """The inverted SNR, seen twice and not seen, the formula in other words, and one that is no Python."""
    monkeypatch.syspath_prepend(TOOLS)  # other processes import the script by its name
    contract = "process/test_schedules.py::test_every_schedule_of_every_length_keeps_the_contract"
    other = "process/test_schedules.py::test_linear_takes_other_ends"
    faults = [
        replace(SNR, name="seen"),
        replace(SNR, name="seen by another than is said", by=other),
        replace(SNR, name="own alone", own=(contract,)),
        replace(SNR, name="equal", new="return self.alpha_bar * (1 / (1 - self.alpha_bar))"),
        replace(SNR, name="no Python", new="return self.alpha_bar /"),
    ]
    assert mutants.examine(faults, {"process.schedules": [contract, other]}) == 2
    lines = capfd.readouterr().out.splitlines()
    outcomes = [line.split()[0] for line in lines if "process.schedules  " in line]
    assert outcomes == ["caught", "caught", "survived", "survived", "broken"]
