"""Plant the faults of `faults.toml` in diffusion_lib, one at a time: each must make a test fail.

The tests written for exactly the formula at fault are left out, so each formula is held by at least two.
mutmut and cosmic-ray change code by its syntax; they can neither plant a fault that has a name nor leave out
the test that was written for it, hence these lines.

    python tools/mutants.py                   # all faults
    python tools/mutants.py measure.pictures  # those of one module
"""

import contextlib
import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 400  # seconds to wait for one fault: only an endless loop needs them
# What tests and library import, loaded once; each fault runs in a process forked from there.
PRELOAD = """
    anywidget diffusers.schedulers.scheduling_ddpm hypothesis ipywidgets ot pytest
    scipy.integrate scipy.special scipy.stats sklearn.datasets sklearn.model_selection sklearn.neighbors
    torch.distributions
""".split()


@dataclass(frozen=True)
class Fault:
    """A slip: `new` in the place of `old`, which `module`, such as "process.forward", has exactly once.

    Attributes:
        name: what went wrong, in the field's words.
        own: the tests written for this formula, as "test_x.py::test_name"; they do not count.
        by: a test that notices the fault. It runs first, alone: mostly the others need not even be loaded.
    """

    module: str
    name: str
    old: str
    new: str
    own: tuple[str, ...]
    by: str = ""

    @property
    def path(self) -> Path:
        """The file of the module."""
        return ROOT / "diffusion_lib" / f"{self.module.replace('.', '/')}.py"


def load(path: Path = ROOT / "tools/faults.toml") -> tuple[dict[str, list[str]], list[Fault]]:
    """For each module the tests that notice a fault in it, in the order in which they run; and the faults."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    faults = [Fault(**{**entry, "own": tuple(entry["own"])}) for entry in table["fault"]]
    return table["seen_by"], faults


def stale(fault: Fault) -> list[str]:
    """What in the entry no longer fits the library or the tests."""
    found = []
    count = fault.path.read_text(encoding="utf-8").count(fault.old)
    if count != 1:
        found.append(f"{fault.path.name} has the old text {count} times; it must be there once")
    if fault.new == fault.old:
        found.append("the new text is the old one")
    for test in (*fault.own, *filter(None, [fault.by])):
        file, _, name = test.partition("[")[0].partition("::")
        if f"def {name}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8"):
            found.append(f"there is no {test}")
    if fault.by.partition("[")[0] in fault.own:
        found.append(f"{fault.by} does not count")
    return found


class Watch:
    """A pytest plugin that leaves out some tests and notes which test fails, and how."""

    def __init__(self, left_out: tuple[str, ...] = ()):
        self.left_out, self.failed = left_out, ""

    def pytest_collection_modifyitems(self, items):
        """Leave out the tests, with all their parameters."""
        items[:] = [item for item in items if item.nodeid.partition("[")[0] not in self.left_out]

    def pytest_runtest_logreport(self, report):
        """Note a test that fails by itself: not in a fixture, and not because it takes for ever."""
        if report.failed and report.when == "call" and "from pytest-timeout" not in report.longreprtext:
            self.failed = report.nodeid


def run(tests: list[str], watch: Watch, log: Path) -> int:
    """pytest's exit code on these tests; what it prints goes into `log`."""
    import pytest
    from hypothesis import Phase, settings

    gc.freeze()  # pytest collects garbage at its end, which takes half a second with all that is loaded
    os.chdir(ROOT)
    found = (Phase.explicit, Phase.generate)  # a counterexample will do, it need not be the smallest
    settings.register_profile("planted", derandomize=True, deadline=None, database=None, phases=found)
    settings.load_profile("planted")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the plugins of notebooks and browsers take a second
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", f"--timeout={LIMIT // 4}"]
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        return int(pytest.main([*options, "-m", "not slow", *tests], plugins=[watch]))


def plant(fault: Fault, tests: list[str]) -> tuple[str, str]:
    """("caught", test), ("survived", ""), or ("broken", why), in a process that lives for this fault only.

    A copy of the library that has the faulty module goes first in the search path.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "diffusion_lib", Path(folder) / "diffusion_lib")
        planted, log = Path(folder) / fault.path.relative_to(ROOT), Path(folder) / "log"
        planted.write_text(fault.path.read_text(encoding="utf-8").replace(fault.old, fault.new), "utf-8")
        sys.path.insert(0, folder)
        watch = Watch(tuple(f"tests/{test}" for test in fault.own))
        for chosen in filter(None, ([fault.by] if fault.by else [], tests)):
            code = run([f"tests/{test}" for test in chosen], watch, log)
            if watch.failed:
                break
        module = sys.modules.get(f"diffusion_lib.{fault.module}")
        if code not in (0, 1) or (code == 1 and not watch.failed):
            return "broken", f"pytest ended with {code}:\n{log.read_text(encoding='utf-8')[-2000:]}"
        if module is None or Path(module.__file__) != planted:
            return "broken", f"the tests did not import the faulty {fault.module}"
        return ("caught", watch.failed) if code else ("survived", "")


def control(tests: list[str]) -> str:
    """Run the tests that failed on a copy with nothing planted: empty if all pass, else what pytest said."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "diffusion_lib", Path(folder) / "diffusion_lib")
        sys.path.insert(0, folder)
        log = Path(folder) / "log"
        return "" if run(tests, Watch(), log) == 0 else log.read_text(encoding="utf-8")[-4000:]


def examine(faults: list[Fault], seen_by: dict[str, list[str]]) -> int:
    """Plant the faults, two at a time, print a line for each, and return how many were caught."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOAD)
    catchers = []
    with processes.Pool(2, maxtasksperchild=1) as pool:
        answers = [pool.apply_async(plant, (fault, seen_by[fault.module])) for fault in faults]
        for fault, answer in zip(faults, answers, strict=True):
            try:
                outcome, what = answer.get(LIMIT)
            except multiprocessing.TimeoutError:
                outcome, what = "broken", f"no answer within {LIMIT} s"
            print(f"{outcome:8} {fault.module:18} {fault.name:55} {what}", flush=True)
            catchers += [what] if outcome == "caught" else []
        problem = pool.apply(control, (sorted(set(catchers)),)) if catchers else ""
    if problem:
        print(f"Nothing is proved: without a fault, these tests do not pass either.\n{problem}")
        return 0
    return len(catchers)


def main(modules: list[str]) -> int:
    """Examine the faults of these modules, or all; 0 if every entry is up to date and every fault caught."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    seen_by, faults = load()
    if unknown := set(modules) - {fault.module for fault in faults}:
        print(f"No fault is planted in {', '.join(sorted(unknown))}.")
        return 1
    faults = [fault for fault in faults if not modules or fault.module in modules]
    old = [f"{fault.module}, {fault.name}: {why}" for fault in faults for why in stale(fault)]
    if old:
        print("\n".join(["Stale entries in tools/faults.toml:", *old]))
        return 1
    caught = examine(faults, seen_by)
    print(f"caught {caught} / planted {len(faults)}")
    return int(caught < len(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
