"""The pages refuse equations that were not checked, or not as they stand."""

import json
from pathlib import Path
from types import SimpleNamespace

import equation_checks
import pytest
from docutils import nodes
from docutils.utils import new_document
from sphinx.errors import ExtensionError

EVIDENCE = {"one": {"tex": "a =\n b", "text": "Checked.", "file": "equations_01_vae_elbo.py"}}


def app(evidence, folder=Path()):
    config = SimpleNamespace(equation_evidence="evidence.json")
    return SimpleNamespace(confdir=folder, config=config, env=SimpleNamespace(equation_evidence=evidence))


def document(tex, **label):
    doctree = new_document("page")
    doctree += nodes.math_block(tex, tex, **label)
    return doctree


def test_a_build_without_evidence_fails(tmp_path):
    with pytest.raises(ExtensionError, match="the equations were not checked"):
        equation_checks.read_evidence(app({}, tmp_path))


def test_evidence_is_read(tmp_path):
    (tmp_path / "evidence.json").write_text(json.dumps(EVIDENCE), encoding="utf-8")
    empty = app({}, tmp_path)
    equation_checks.read_evidence(empty)
    assert empty.env.equation_evidence == EVIDENCE


def test_an_equation_that_was_checked_passes():
    equation_checks.compare(app(EVIDENCE), document("a = b", label="one"), "page")


@pytest.mark.parametrize(
    "doctree", [document("a = c", label="one"), document("a = b", label="two"), document("a = b")]
)
def test_an_equation_that_was_not_checked_stops_the_build(doctree):
    with pytest.raises(ExtensionError, match="was not checked as it stands"):
        equation_checks.compare(app(EVIDENCE), doctree, "page")
