"""The book's network, learning in the reader's own browser: an engine in WebAssembly, and what runs it.

`engine.wasm` is compiled from `engine.c` by `make engine`. Pages get one script, `script()`.
"""

import base64
from functools import cache
from pathlib import Path

from diffusion_lib.show.engine.tables import (
    ancestral_table,
    ddim_table,
    network_table,
    process_table,
    weights_of,
)

__all__ = ["ancestral_table", "ddim_table", "network_table", "process_table", "script", "weights_of"]

ROOM = Path(__file__).parent
PARTS = ("engine.js", "session.js", "tables.js", "trainer.js")


@cache
def script() -> str:
    """The engine and what runs it, as one script, which sets `diffusionTrainer` (see `trainer.js`).

    It is a classic script, so that it works in a page opened as a file, and it may stand at the top of a module as
    well. All of it is one function whose text is also the worker's.
    """
    engine = base64.b64encode((ROOM / "engine.wasm").read_bytes()).decode()
    parts = "\n".join((ROOM / part).read_text(encoding="utf-8") for part in PARTS)
    return (
        f'(function trainerScript(role) {{\n"use strict";\n\nconst ENGINE = "{engine}";\n\n{parts}'
        '})("page");\n'
    )
