"""Compile the engine that trains in the browser: engine.c to engine.wasm, with a record of what it came from.

    python tools/build_engine.py [FILE]    (FILE: write the compiled engine there, and no record)

The compiler is Zig's, of one version, from PyPI; it gets an environment of its own in _build and stays out of
the readers' one. The same source gives the same bytes on every machine.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOM = ROOT / "diffusion_lib" / "show" / "engine"
SOURCE, ENGINE, RECORD = ROOM / "engine.c", ROOM / "engine.wasm", ROOM / "engine.json"
ZIG = "0.13.0"
COMPILER = ROOT / "_build" / "zig"
OPTIONS = (
    "--target=wasm32-freestanding",
    "-mcpu=generic+simd128",  # relaxed SIMD would give other numbers on other machines
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wl,--no-entry",
    "-Wl,--export-dynamic",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=16384",
)


def compiler() -> Path:
    """The Python that has the compiler, installed where it is not."""
    python = COMPILER / "bin" / "python"
    done = COMPILER / f"zig-{ZIG}"
    if not done.exists():
        venv.create(COMPILER, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"ziglang=={ZIG}"]
        subprocess.run(pip, check=True)
        done.touch()
    return python


def compile_engine(to: Path) -> None:
    """Compile engine.c to a file, from nothing: what the compiler keeps is gone afterwards."""
    command = [str(compiler()), "-m", "ziglang", "cc", *OPTIONS, SOURCE.name, "-o", str(to.resolve())]
    with tempfile.TemporaryDirectory() as folder:
        caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), folder)
        subprocess.run(command, cwd=SOURCE.parent, env=os.environ | caches, check=True)
    to.chmod(0o644)  # it is data, no program


def record() -> dict[str, object]:
    """What the compiled engine came from, and what it is."""
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (SOURCE, ENGINE)}
    return {"compiler": f"ziglang {ZIG}", "options": list(OPTIONS), "sha256": hashes}


def main() -> None:
    """Compile, and note it in the record, or compile to the file named on the command line."""
    if sys.argv[1:]:
        compile_engine(Path(sys.argv[1]))
        return
    compile_engine(ENGINE)
    RECORD.write_text(json.dumps(record(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
