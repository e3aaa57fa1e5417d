"""Run the experiments of `diffusion_lib/experiments` and write what they find beside them.

python tools/results.py          # all modules
python tools/results.py score    # one
"""

import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

import torch

from diffusion_lib.experiments import record

DIGITS = 6  # significant ones of what is kept


def modules() -> list[str]:
    """The modules of the room that have experiments."""
    return sorted(p.stem for p in record.RESULTS.parent.glob("*.py") if p.stem not in ("__init__", "record"))


def run(module: str, experiment: int, case: record.Case) -> dict:
    """One case, on one thread: the same numbers on every machine, up to rounding."""
    torch.set_num_threads(1)
    chosen = import_module(f"diffusion_lib.experiments.{module}").EXPERIMENTS[experiment]
    start = time.perf_counter()
    found = {name: float(f"{value:.{DIGITS}g}") for name, value in chosen.run(**case).items()}
    print(f"{module}.{chosen.name} {case}: {found}, {time.perf_counter() - start:.1f} s", flush=True)
    return {"case": case, "found": found}


def run_all(module: str) -> None:
    """All cases of a module, as many at a time as there are cores; one if it says that it must be alone."""
    found = import_module(f"diffusion_lib.experiments.{module}")
    experiments, alone = found.EXPERIMENTS, getattr(found, "ALONE", False)
    jobs = [(module, i, case) for i, experiment in enumerate(experiments) for case in experiment.cases]
    with ProcessPoolExecutor(1 if alone else os.cpu_count()) as pool:
        rows = list(pool.map(run, *zip(*jobs, strict=True)))
    found = {
        "of": record.fingerprint(module),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rows": {e.name: [] for e in experiments},
    }
    for (_, i, _), row in zip(jobs, rows, strict=True):
        found["rows"][experiments[i].name].append(row)
    record.RESULTS.mkdir(exist_ok=True)
    path = record.RESULTS / f"{module}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or modules():
        run_all(name)
