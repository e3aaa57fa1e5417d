"""The library's pages: every module is on one, with its source's signatures and its docstrings unharmed."""

import pkgutil
import re
from typing import Annotated, get_origin

import library_pages
import pytest
from support import ROOT

import diffusion_lib
from diffusion_lib import contracts
from diffusion_lib.data import Standardiser, images
from diffusion_lib.models import Diffusion
from diffusion_lib.process import Gaussian, Schedule, forward
from diffusion_lib.solvers import AtSteps

PAGES = ROOT / "book" / "library"


def test_every_module_is_on_a_page():
    files = pkgutil.walk_packages(diffusion_lib.__path__, "diffusion_lib.")
    modules = [file.name for file in files if not file.ispkg]
    shown = re.findall(r"automodule:: (\S+)", "".join(page.read_text("utf-8") for page in PAGES.glob("*.md")))
    assert sorted(shown) == sorted(modules)


def test_every_page_is_in_the_contents_and_on_the_map():
    contents, overview = ((ROOT / name).read_text("utf-8") for name in ("_toc.yml", "book/library.md"))
    for page in PAGES.glob("*.md"):
        assert f"book/library/{page.stem}" in contents
        assert f"(library/{page.name})" in overview


def test_every_name_that_stands_in_signatures_is_explained():
    names = {name for name, value in vars(contracts).items() if get_origin(value) is Annotated}
    assert set(re.findall(r"py:type:: (\w+)", (PAGES / "contracts.md").read_text("utf-8"))) == names


def test_public_methods_are_shown_even_without_a_docstring():
    assert library_pages.keep(None, "class", "forward", AtSteps.forward, True, None) is False
    assert library_pages.keep(None, "class", "_ask", Diffusion._ask, True, None) is None


@pytest.mark.parametrize(
    ("thing", "signature"),
    [
        (forward.marginal, ("(x_0: Points, t: Steps, schedule: Schedule)", "Gaussian")),
        (forward.diffuse, ("(x_0: Points, t: Steps, eps: Points, schedule: Schedule)", "Tensor")),
        (Gaussian, ("(mean: Numbers, var: Variances, event_dims: int = 1)", "")),
        (Gaussian.kl, ("(other: Gaussian)", "Tensor")),
        (Schedule, ("(alpha: Shares)", "")),
        (Schedule.from_beta, ("(beta: Shares)", "Schedule")),
        (Standardiser.__call__, ("(x: Tensor)", "Tensor")),
        (Diffusion.loss, ("(x_0: Points, generator: Generator | None=None)", "Tensor")),
    ],
)
def test_a_signature_is_the_sources_without_rules(thing, signature):
    assert library_pages.signature_of(thing) == signature


def test_a_class_that_is_made_by_what_has_no_source_has_no_signature():
    assert library_pages.signature_of(images.Digits) == ("", "")


def test_a_class_has_the_signature_of_its_making():
    parameters, result = library_pages.signature_of(Diffusion)
    start = "(network: Network, schedule: Schedule, predict: Literal['x_0', 'eps', 'v', 'u']"
    assert parameters.startswith(start)
    assert "self" not in parameters
    assert result == ""


def written(docstring, what="function"):
    lines = docstring.splitlines()
    library_pages.write_docstring(None, what, "name", None, None, lines)
    return lines


def test_code_becomes_a_literal_and_nothing_else_has_a_meaning():
    assert written("E[x_0 | x_t] of `x_t`, (n, *shape), |x|, √ᾱ_t") == [
        r"E[x\_0 \| x\_t] of ``x_t``, (n, \*shape), \|x\|, √ᾱ\_t"
    ]


def test_a_formula_is_a_block_and_a_section_is_not():
    text = "One.\n\n    x_s = a | b\n    *c*\n\nMore:\n\n"
    text += "Args:\n    x: the |x|.\n        More of it.\n\nSource: A."
    assert written(text) == [
        "One.", "", "::", "", "    x_s = a | b", "    *c*", "", "More:", "",
        "Args:", r"    x: the \|x\|.", "        More of it.", "", "Source: A.",
    ]  # fmt: skip


def test_a_property_may_have_a_colon():
    """Napoleon would take what stands before it for a type."""
    assert written("√ᾱ_t: a share.", "property") == ["", r"√ᾱ\_t: a share."]
