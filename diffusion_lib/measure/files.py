"""Files of points, written with a shared denoiser and read back bit for bit: the way down, the form, checks.

Sender and receiver share a denoiser, the falling noise `levels`, their `spread` r and a seed. At each level
the receiver forecasts the next z′, as in `measure.information`, and the file says what is missing. Both
compute in float64, with the same calls in the same order.

The files come from the range coder of the package `constriction`, which is imported when it is needed.
"""

import binascii
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from torch import Generator, Tensor

from diffusion_lib.contracts import Index, Levels, Points, Shape, a, checked
from diffusion_lib.measure.information import Spread, answer, as_many, step_from
from diffusion_lib.process.score import covariance
from diffusion_lib.solvers.steps import Denoiser, last

File = Annotated[bytes, a(bytes, "coder.encode(x_0)")]
Coded = list[tuple[np.ndarray, tuple]]  # symbols and their entropy model, in turn

MAGIC, HEAD = 0xB8, 10  # the first byte of a file, and the bytes before the stream


@dataclass(frozen=True)
class Hop:
    """One step to a lower level, points flattened to (n, D).

    Attributes:
        forecast: the mean of z′ for the receiver, (n, D).
        spread: the standard deviation of a coordinate of target − forecast.
        noise: that of z′ − target.
        root: the lower root of the covariance of z′ for the receiver, (n, D, D), if the coder takes one.
        dice: what both sides draw from.
        target: the mean of z′ given x_0, (n, D), which the sender alone knows.
    """

    forecast: Tensor
    spread: float
    noise: float
    root: Tensor | None
    dice: Generator
    target: Tensor | None


@checked
class FileCoder:
    """Points to a file and back: the way down the levels, the form of a file, and its checks.

    A subclass says in `_step` how one z′ is sent: `coding.UniversalCoder`, `coding.IndexCoder`.

    Args:
        denoiser: it gets float64.
        levels: the noise levels, from the largest down.
        spread: r of each step, from `information.spreads`.
        seed: of the random numbers that both sides draw.
        correlated: take Cov[x_0 | z], from the denoiser's slope, for the forecast's covariance in place of
            r² I, with r/10 as the least standard deviation: shorter files, for few dimensions.
        shape: of one point.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        levels: Levels,
        spread: Spread,
        seed: Index = 0,
        correlated: bool = False,
        shape: Shape = (2,),
    ):
        as_many(spread, "spread", levels)
        self.denoiser, self.levels, self.spread = denoiser, list(levels), list(spread)
        self.seed, self.correlated, self.shape = seed, correlated, tuple(shape)

    def encode(self, x_0: Points) -> bytes:
        """The file of points (n, *shape)."""
        encoder, sent = entropy_coder().queue.RangeEncoder(), []
        for _, _, coded in self._way(len(x_0), x_0=x_0):
            for symbols, model in coded:
                encoder.encode(symbols, *model)
                sent.append(symbols)
        stream = encoder.get_compressed().astype("<u4").tobytes()
        checks = self.fingerprint(), crc(stream), crc(*sent)
        return struct.pack(">B3sHHH", MAGIC, len(x_0).to_bytes(3, "big"), *checks) + stream

    def states(self, file: File) -> Iterator[Tensor]:
        """What the receiver holds after each level: z (n, *shape), float64, with ever less noise.

        Raises `ValueError` for a file that was cut or damaged, or written by another coder.
        """
        n, check, decoder = self._open(file)
        got = []
        for _, z, coded in self._way(n, decoder=decoder):
            got += [symbols for symbols, _ in coded]
            yield z
        if crc(*got) != check:
            raise ValueError("file gives other numbers than were sent; read it where it was written")

    def decode(self, file: File) -> Tensor:
        """What the receiver holds in the end: z (n, *shape), float64, with the noise of the last level."""
        return last(self.states(file))

    def sent(self, x_0: Points) -> Tensor:
        """What `decode` gives for the file of x_0, without a file."""
        return last(z for _, z, _ in self._way(len(x_0), x_0=x_0))

    def fingerprint(self) -> int:
        """16 bits of what both sides must share, the denoiser's answers at eight places a level among it."""
        numbers = np.array([*self.levels, *self.spread, self.seed, self.correlated], dtype=np.float64)
        probe = torch.randn(8, *self.shape, generator=Generator().manual_seed(0), dtype=torch.float64)
        answers = [(1000 * answer(self.denoiser, (1 + s) * probe, s)).round().long() for s in self.levels]
        return crc(type(self).__name__.encode(), numbers, torch.stack(answers).detach().numpy())

    def _open(self, file: bytes) -> tuple[int, int, Any]:
        """How many points a file has, the check of its symbols, and a decoder."""
        if len(file) < HEAD or file[0] != MAGIC:
            raise ValueError(f"file, of {len(file)} bytes, is none of a coder's; pass what encode gave")
        _, n, model, stream_check, check = struct.unpack(">B3sHHH", file[:HEAD])
        if crc(file[HEAD:]) != stream_check or len(file[HEAD:]) % 4:
            raise ValueError("file was cut or damaged: its checksum differs; pass all that encode gave")
        if model != self.fingerprint():
            raise ValueError("file is another coder's; take its denoiser, levels, spread and seed")
        words = np.frombuffer(file[HEAD:], "<u4").astype(np.uint32)
        return int.from_bytes(n, "big"), check, entropy_coder().queue.RangeDecoder(words)

    def _way(
        self, n: int, x_0: Tensor | None = None, decoder: Any = None
    ) -> Iterator[tuple[Hop, Tensor, Coded]]:
        """Each step's hop, z′ and what is coded: the sender's way from x_0, or the receiver's."""
        z = torch.zeros(n, *self.shape, dtype=torch.float64)
        for k, (sigma, lower) in enumerate(pairwise([math.inf, *self.levels])):
            kept, forecast = step_from(z, sigma, lower, answer(self.denoiser, z, sigma))
            target = None if x_0 is None else (kept * z + (1 - kept) * x_0.detach().double()).flatten(1)
            dice = Generator().manual_seed(self.seed * len(self.levels) + k)
            noise = lower * math.sqrt(1 - kept)
            root = self._root(z, sigma, 1 - kept, self.spread[k], noise) if self.correlated else None
            hop = Hop(forecast.flatten(1), (1 - kept) * self.spread[k], noise, root, dice, target)
            coded, flat = self._step(hop, decoder)
            z = flat.reshape(z.shape)
            yield hop, z, coded

    def _root(self, z: Tensor, sigma: float, share: float, r: float, noise: float) -> Tensor:
        """The lower root of share² Cov[x_0 | z] + noise² I."""
        D = math.prod(self.shape)
        if math.isinf(sigma):
            return torch.eye(D, dtype=z.dtype).expand(len(z), D, D) * math.hypot(share * r, noise)
        size, axes = torch.linalg.eigh(covariance(self.denoiser, z, sigma).detach())
        var = share**2 * size.clamp(min=(r / 10) ** 2) + noise**2
        return torch.linalg.cholesky(axes * var[:, None] @ axes.mT)

    def _step(self, hop: Hop, decoder: Any) -> tuple[Coded, Tensor]:
        """What one step codes, from the target or from the decoder, and z′ (n, D)."""
        raise NotImplementedError(
            f"{type(self).__name__} must say how a step is sent, in _step(hop, decoder)"
        )


def crc(*parts: Any) -> int:
    """16 bits that any damage to up to two neighbouring bytes changes."""
    check = 0
    for part in parts:
        raw = part if isinstance(part, bytes) else part.astype(part.dtype.newbyteorder("<")).tobytes()
        check = binascii.crc_hqx(raw, check)
    return check


def entropy_coder() -> Any:
    """The streams of `constriction`, or an error that says how to get it."""
    try:  # by its name: whatever the library's files import, every notebook to download asks pip for
        return import_module("constriction").stream
    except ImportError as error:
        advice = "pip install --no-deps constriction, 0.4 MB"
        raise ImportError(f"files need the package constriction: {advice}") from error
