"""diffusion_lib imports one way: a module knows only modules of the rows above its own."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "diffusion_lib"
ROWS = (
    {"contracts"},
    {"data.planes", "data.faces", "data.units", "process.gaussians", "process.schedules"},
    {"data.images", "data.captions", "process.forward", "process.posterior", "process.score"},
    {"solvers.steps"},
    {"solvers.ode", "solvers.langevin"},
    {"models.networks", "models.oracle", "models.patches"},
    {"models.unet"},
    {"models.picture_mlp", "models.latent"},
    {"models.text"},
    {"models.chain"},
    {"models.vae", "models.hvae", "models.reverse", "models.diffusion"},
    {"models.conditional", "models.ncsn", "models.flow", "models.distilled", "models.palette"},
    {"models.checkpoints"},
    {"conditioning.guidance", "conditioning.tilting"},
    {"conditioning.inpainting"},
    {"conditioning.particles"},
    {"draw"},
    {"training", "measure.evaluation", "measure.drawable", "measure.likelihood", "measure.information"},
    {"measure.pictures", "measure.files", "measure.judge"},
    {"measure.coding"},
    {"many.keyed", "many.kept", "many.costs", "many.recipes"},
    {"many.loop", "many.launch"},
    {"many.__main__"},
    {"experiments.record"},
    {"experiments.score", "experiments.conditions", "experiments.fewer_steps"},
    {"experiments.flows", "experiments.likelihood", "experiments.pictures"},
    {"experiments.text_to_image", "experiments.scaling"},
    {"show.engine"},
    {"show.plots", "show.widgets"},
)
ROW = {module: number for number, row in enumerate(ROWS) for module in row}
DEPTH = {module.split(".")[0]: module.count(".") + 1 for module in ROW}  # parts of the names in a room


def imported_modules(source, package):
    """The modules of diffusion_lib that `source`, a file of `package`, imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return {module_of(name.split(".")[1:]) for name in names if name.startswith("diffusion_lib.")}


def module_of(parts):
    """The name in ROWS of what these parts name: a module, something in it, or a part of a package."""
    return ".".join(parts[: DEPTH.get(parts[0], 1)])


def violations(module, source, package):
    """One line for each import of `module` that does not go to a row above its own."""
    return [
        f"{module} imports {other}"
        for other in sorted(imported_modules(source, package) - {module})
        if ROW.get(other, len(ROWS)) >= ROW[module]
    ]


def library_files():
    """(module, its package, path) of each file but those that only say what a room has."""
    files = []
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        if parts[-1] != "__init__" or module_of(parts) in ROW:
            files.append((module_of(parts), ".".join(("diffusion_lib", *parts[:-1])), path))
    return files


def test_every_module_has_a_row():
    assert {module for module, _, _ in library_files()} == set(ROW)


def test_imports_go_up():
    for module, package, path in library_files():
        assert violations(module, path.read_text(encoding="utf-8"), package) == []


def test_the_entrance_of_a_room_leads_to_this_room():
    for room in (room for room, depth in DEPTH.items() if depth == 2):
        if (entrance := LIBRARY / room / "__init__.py").exists():
            found = imported_modules(entrance.read_text(encoding="utf-8"), f"diffusion_lib.{room}")
            assert all(module.startswith(f"{room}.") for module in found)


@pytest.mark.parametrize(
    "source",
    [
        "from diffusion_lib.training import train",
        "import diffusion_lib.training",
        "from diffusion_lib import training",
        "from ..training import train",
        "from .. import training",
        "from diffusion_lib.models import Diffusion",
        "from diffusion_lib.models.diffusion import Diffusion",
        "from ..models import diffusion",
        "def late():\n    from diffusion_lib.training import train",
        "from diffusion_lib.unheard_of import thing",
        "from diffusion_lib.process import Gaussian",  # within the library, from where it is
    ],
)
def test_a_wrong_import_is_found(source):
    assert len(violations("process.forward", source, "diffusion_lib.process")) == 1


def test_siblings_in_a_row_may_not_import_each_other():
    source = "from diffusion_lib.models.networks import mlp"
    found = violations("models.oracle", source, "diffusion_lib.models")
    assert found == ["models.oracle imports models.networks"]


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from diffusion_lib.process.gaussians import kl",
        "from diffusion_lib.process import schedules",
        "from .gaussians import Gaussian",
    ],
)
def test_a_right_import_is_allowed(source):
    assert violations("process.forward", source, "diffusion_lib.process") == []


def test_a_package_may_import_its_own_parts():
    source = "from .frames import Frame\nfrom ...data import planes\n"
    source += "from diffusion_lib.show.widgets import stepper"
    assert violations("show.widgets", source, "diffusion_lib.show.widgets") == []
