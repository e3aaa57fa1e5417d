"""The book's network, learning in the reader's own browser: an engine in WebAssembly, and what runs it.

`engine.wasm` is compiled from `engine.c` by `make engine`. Pages get one script, `script()`.
"""

from diffusion_lib.show.engine.page import script
from diffusion_lib.show.engine.tables import (
    ancestral_table,
    ddim_table,
    euler_table,
    langevin_table,
    network_table,
    process_table,
    weights_of,
)

__all__ = [
    "ancestral_table",
    "ddim_table",
    "euler_table",
    "langevin_table",
    "network_table",
    "process_table",
    "script",
    "weights_of",
]
