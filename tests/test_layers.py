"""diffusion_lib imports one way: a module knows only modules of the rows above its own."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "diffusion_lib"
ROWS = (
    {"checks"},
    {"data", "gaussians", "schedules"},
    {"forward", "posterior"},
    {"networks", "oracle"},
    {"chain"},
    {"vae", "hvae", "reverse", "diffusion"},
    {"training", "evaluation"},
    {"plots", "widgets"},
)
ROW = {module: number for number, row in enumerate(ROWS) for module in row}


def imported_modules(source, package):
    """The first-level modules of diffusion_lib that `source`, a file of `package`, imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("diffusion_lib.")}


def violations(module, source, package):
    """One line for each import of `module` that does not go to a row above its own."""
    return [
        f"{module} imports {other}"
        for other in sorted(imported_modules(source, package) - {module})
        if ROW.get(other, len(ROWS)) >= ROW[module]
    ]


def library_files():
    """(first-level module, its package, path) of each file but diffusion_lib/__init__.py."""
    files = []
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        if parts != ("__init__",):
            files.append((parts[0], ".".join(("diffusion_lib", *parts[:-1])), path))
    return files


def test_every_module_has_a_row():
    assert {module for module, _, _ in library_files()} <= set(ROW)


def test_imports_go_up():
    for module, package, path in library_files():
        assert violations(module, path.read_text(encoding="utf-8"), package) == []


@pytest.mark.parametrize(
    "source",
    [
        "from diffusion_lib.training import train",
        "import diffusion_lib.training",
        "from diffusion_lib import training",
        "from .training import train",
        "from . import training",
        "def late():\n    from diffusion_lib.training import train",
        "from diffusion_lib.unheard_of import thing",
    ],
)
def test_a_wrong_import_is_found(source):
    assert len(violations("forward", source, "diffusion_lib")) == 1


def test_siblings_in_a_row_may_not_import_each_other():
    source = "from diffusion_lib.networks import MLP"
    assert violations("oracle", source, "diffusion_lib") == ["oracle imports networks"]


@pytest.mark.parametrize(
    "source", ["import torch", "from diffusion_lib.gaussians import kl", "from .data import load"]
)
def test_a_right_import_is_allowed(source):
    assert violations("forward", source, "diffusion_lib") == []


def test_a_package_may_import_its_own_parts():
    source = "from .frames import Frame\nfrom diffusion_lib.widgets import stepper\nfrom ..data import load"
    assert violations("widgets", source, "diffusion_lib.widgets") == []
