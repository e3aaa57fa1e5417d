"""Random numbers by key: what an example gets depends on (seed, step, example), never on who computes it.

A counter-based generator (Philox; Salmon et al. 2011) turns a key and a counter into random bits. Under one
key two counters never meet, because the scrambling can be undone; under two keys a block of 256 bits would
have to agree by chance. So no two examples share their noise, and nothing has to be remembered.
A `torch.Generator` on a CPU isn't for this: it keeps 32 bits of a seed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from diffusion_lib.contracts import Count, Index, Shape, at_least, checked, some

NOISE, OFFSET, ORDER, PROCESS = range(4)  # what random numbers are for; no two purposes share any
Examples = Annotated[Sequence[int], some(at_least(0))]


@checked
def keyed(seed: Index, step: Index, example: Index = 0, purpose: Index = NOISE) -> np.random.Generator:
    """The generator of this key; its first 2^128 blocks of bits belong to it alone."""
    key, counter = (np.array(words, dtype=np.uint64) for words in ([seed, step], [0, 0, purpose, example]))
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


@checked
def draws(
    seed: Index, step: Index, examples: Examples, batch_size: Count, shape: Shape
) -> tuple[Tensor, Tensor]:
    """What the loss of these examples of the batch needs: u (n, 2), uniform, and ε (n, *shape), normal.

    The first column of u says which noise level an example gets. Over the whole batch it's spread evenly,
    from an offset that is random at each step, as in `Diffusion(stratified=True)`. The second is for whatever
    else a model leaves to chance, such as dropping a label.
    """
    offset = keyed(seed, step, 0, OFFSET).random()
    u, eps = [], []
    for example in examples:
        own = keyed(seed, step, example)
        u.append([(offset + example / batch_size) % 1, own.random()])
        eps.append(own.standard_normal(shape, dtype=np.float32))
    return torch.tensor(u), torch.from_numpy(np.stack(eps))


@checked
def data_order(seed: Index, step: Index, batch_size: Count, n: Count) -> Tensor:
    """The rows, of n, that are the batch of this step: (batch_size,), the same for every process.

    All rows come once, in an order of this epoch's own, before any comes again.
    """
    place = step * batch_size + np.arange(batch_size)
    epochs = place // n
    orders = {int(epoch): _order(seed, int(epoch), n) for epoch in np.unique(epochs)}
    rows = [orders[epoch][i] for epoch, i in zip(epochs.tolist(), (place % n).tolist(), strict=True)]
    return torch.tensor(rows)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    return keyed(seed, epoch, 0, ORDER).permutation(n)


@checked
def shard(batch_size: Count, rank: Index, processes: Count) -> range:
    """The examples 0…batch_size − 1 that process `rank` has; the first ones may have one more.

    Raises:
        ValueError: if there are fewer examples than processes, or no such process.
    """
    if batch_size < processes:
        raise ValueError(f"batch_size = {batch_size}; pass at least one example for each of {processes}")
    if rank >= processes:
        raise ValueError(f"rank = {rank}; pass a number below processes = {processes}")
    each, more = divmod(batch_size, processes)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))
