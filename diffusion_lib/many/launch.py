"""Starting the script as one process or several on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import diffusion_lib

SCRIPT = "diffusion_lib.many"


def command(processes: int, *arguments: str, script: str = SCRIPT) -> list[str]:
    """The command line: `torchrun` starts the processes, if there are several, and introduces them."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [*start, "-m", script, *map(str, arguments)]


def environment() -> dict[str, str]:
    """One thread a process, and this very library wherever the processes run."""
    own = str(Path(diffusion_lib.__file__).parents[1])
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([own, *([before] if before else [])])
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def launch(processes: int, *arguments: str, script: str = SCRIPT, timeout: float = 600) -> None:
    """Run `python -m` this script with these arguments in so many processes, and wait for the end.

    Raises:
        RuntimeError: if they can't be started, fail, or take longer than `timeout` seconds; with the last
            lines of what they said.
    """
    try:
        done = subprocess.run(
            command(processes, *arguments, script=script),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{processes} processes could not run: {error}") from error
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise RuntimeError(f"{processes} processes ended with code {done.returncode}:\n{said}")
