"""Each check of an equation can fail: it notices every slip of the pen in what it asserts."""

import pytest
import test_equations  # noqa: F401 - registers the checks
from alterations import alterations
from equations import ALIKE, CHECKS
from evidence import evidence_of


def outcome(check) -> str:
    """How an altered check ends: "green", "red", or with an error."""
    try:
        evidence_of(check)
    except AssertionError:
        return "red"
    except Exception as error:  # noqa: BLE001 - an altered check may raise anything
        return type(error).__name__
    return "green"


@pytest.mark.parametrize("label", CHECKS)
@pytest.mark.filterwarnings("ignore")  # roots of negative numbers and the like
def test_every_alteration_turns_the_check_red(label):
    evidence_of(CHECKS[label])  # the check itself is green
    tried = list(alterations(CHECKS[label]))
    outcomes = {f"{a.kind}: {a.was} → {a.became}": (a.became, outcome(a.run)) for a in tried}
    green = {became for became, ended in outcomes.values() if ended == "green"}
    unnoticed = [what for what, (became, ended) in outcomes.items() if became in green - set(ALIKE[label])]
    assert not unnoticed, "\n".join(unnoticed)
    assert green == set(ALIKE[label]), "listed as alike, but noticed or not there"
    assert "red" in {ended for _, ended in outcomes.values()}, "nothing in this check was altered"
