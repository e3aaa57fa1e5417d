"""The script with which a page trains in the reader's own browser."""

import base64
from functools import cache
from pathlib import Path

ROOM = Path(__file__).parent
PARTS = ("engine.js", "session.js", "tables.js", "trainer.js")


@cache
def script() -> str:
    """The engine and what runs it, as one script, which sets `diffusionTrainer` (see `trainer.js`).

    It is a classic script, so that it works in a page opened as a file, and it may stand at the top of a
    module as well. All of it is one function, whose text is also the worker's.
    """
    engine = base64.b64encode((ROOM / "engine.wasm").read_bytes()).decode()
    parts = "\n".join((ROOM / part).read_text(encoding="utf-8") for part in PARTS)
    return (
        f'(function trainerScript(role) {{\n"use strict";\n\nconst ENGINE = "{engine}";\n\n{parts}'
        '})("page");\n'
    )
