"""Measure speed and sample quality; print the tables of README's "How fast, how good".

    python tools/bench.py [--quick]    (--quick: one seed, and no notebooks)

Model, settings and data are those of chapter 5's live cell, on one thread. Times differ from machine to
machine and from run to run: each is a median, with the range behind it, and no test asks for one. Distances
are in the roll's own units. Pages are weighed as they lie in _build/html: run `make book` first.
"""

import argparse
import contextlib
import copy
import io
import os
import platform
import resource
import sys
from collections.abc import Iterable
from functools import partial
from statistics import fmean, median

import notebooks
import torch
from book_costs import execution_seconds, nbval_seconds, page_weight, seconds_of
from torch import Generator, Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from diffusion_lib import data
from diffusion_lib.diffusion import Diffusion
from diffusion_lib.evaluation import Figure, evaluate
from diffusion_lib.networks import TimeMLP
from diffusion_lib.schedules import even_log_snr
from diffusion_lib.training import TrainingRun, train
from diffusion_lib.widgets import train_live

PAGES = notebooks.BOOK.parent / "_build" / "html" / "book"
SEEDS = (1, 2, 3)
STEPS, ROWS, N_SAMPLES = 2000, 1024, 10_000
MOMENTS = {f"{percent} %": STEPS * percent // 100 for percent in (5, 10, 25, 50, 100)}
T, SHORT_T = 100, 25

# What is printed of each speed and of the final quality: digits, and the bar, an upper limit on the median.
BARS = {
    "live cell, seconds with drawing": (1, 3.0),
    "of these drawing, %": (0, 15.0),
    "training steps a second": (0, None),
    "steps of a bare loop in the time of one of ours": (2, 2.0),
    "matrix products, % of the machine's rate": (0, None),
    f"{N_SAMPLES:,} samples, T = {T}, seconds": (2, 2.0),
    f"{N_SAMPLES:,} samples, T = {SHORT_T}, seconds": (2, 0.5),
    "sliced Wasserstein, in noise floors": (2, 1.3),
    "classifier accuracy": (3, 0.52),
    "distance to the curve": (4, 0.005),
}

Quality = dict[str, dict[str, Figure]]  # the moment, then the figure's name


class Roll:
    """The live cell's data: training points x_0 in standard units, (50000, 2), and fresh ones."""

    def __init__(self):
        points = data.swiss_roll(50_000, Generator().manual_seed(5))
        self.scale = data.Standardiser.fit(points)
        self.x_0 = self.scale(points)

    def fresh(self, n: int, generator: Generator | None) -> Tensor:
        """n new points in standard units, (n, 2)."""
        return self.scale(data.swiss_roll(n, generator))

    def judge(self, model: Diffusion, seed: int) -> dict[str, Figure]:
        """The figures of four sets of the model's samples, in the roll's own units."""
        return evaluate(
            lambda n, generator: self.scale.undo(model.sample(n, generator)),
            data.swiss_roll,
            n=N_SAMPLES,
            generator=Generator().manual_seed(seed),
            curve=data.roll_curve(),
        )


def new_model(seed: int, steps: int = T) -> Diffusion:
    """The live cell's model, untrained; weights fit schedules of any number of steps."""
    torch.manual_seed(seed)
    schedule = even_log_snr(steps)
    return Diffusion(TimeMLP(schedule), schedule, predict="eps", reverse_var="beta")


def report(text: str) -> None:
    """Say on the error stream, beside the tables, what is being measured."""
    print(text, file=sys.stderr, flush=True)


# --- yardsticks --------------------------------------------------------------------------------------------


def matmul_rate(n: int = 1024, repeats: int = 10) -> float:
    """Floating-point operations a second in a large float32 matrix product: the best of `repeats`."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / min(seconds_of(lambda: a @ b) for _ in range(repeats))


def flops_per_step(network: nn.Module) -> int:
    """Operations in a training step's matrix products: 2 a weight and row forward, twice that back."""
    weights = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear))
    return 3 * 2 * ROWS * weights


def bare_rate(network: nn.Module, steps: int = 400) -> float:
    """Steps a second of the least that training needs: forward, backward, optimiser, on one fixed batch."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    x_t, target, t = torch.randn(ROWS, 2), torch.randn(ROWS, 2), torch.randint(1, T + 1, (ROWS,))

    def loop() -> None:
        for _ in range(steps):
            loss = (network(x_t, t) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return steps / seconds_of(loop)


# --- the live cell -----------------------------------------------------------------------------------------


def measure_speed(roll: Roll, seed: int) -> dict[str, float]:
    """The speeds named in BARS. What is compared is measured in turn, so that both meet the same machine."""
    report(f"Seed {seed}: speed")
    peak, bare, model = matmul_rate(), bare_rate(new_model(seed).network), new_model(seed)
    runs = []

    def live_cell() -> None:
        generator = Generator().manual_seed(seed)
        runs.append(train_live(model, roll.x_0, roll.fresh, STEPS, generator=generator, batch_size=ROWS))

    with contextlib.redirect_stderr(io.StringIO()):  # the progress bar
        seconds = seconds_of(live_cell)
    live, rate = runs[0], runs[0].run.steps_per_second
    full, short = (seconds_of(partial(new_model(seed, n).sample, N_SAMPLES)) for n in (T, SHORT_T))
    share = 100 * flops_per_step(model.network) * rate / peak
    values = (seconds, 100 * live.drawing_seconds / seconds, rate, bare / rate, share, full, short)
    return dict(zip(BARS, values, strict=False))


def measure_quality(roll: Roll, seed: int) -> Quality:
    """Train as the live cell does, keep the weights at MOMENTS, and judge them; the last with T = 25 too."""
    model, kept = new_model(seed), []

    def keep(run: TrainingRun) -> None:
        if len(run.losses) in MOMENTS.values():
            kept.append(copy.deepcopy(model.state_dict()))

    train(model, roll.x_0, STEPS, ROWS, generator=Generator().manual_seed(seed), on_step=keep)
    quality = {}
    for moment, weights in zip(MOMENTS, kept, strict=True):
        report(f"Seed {seed}: quality after {moment} of the steps")
        model.load_state_dict(weights)
        quality[moment] = roll.judge(model, seed)
    short = new_model(seed, SHORT_T)
    short.load_state_dict(model.state_dict())
    return quality | {f"100 %, T = {SHORT_T}": roll.judge(short, seed)}


def floors(found: list[Quality]) -> dict[str, float]:
    """The noise floor of each figure, its mean over all that was judged."""
    every = [figures for quality in found for figures in quality.values()]
    return {name: fmean(figures[name].floor for figures in every) for name in every[0]}


def bar_table(speeds: list[dict[str, float]], found: list[Quality]) -> str:
    """Every speed, and the final quality, beside its bar."""
    floor = floors(found)["sliced Wasserstein"]
    rows = []
    for speed, quality in zip(speeds, found, strict=True):
        last = {name: figure.model for name, figure in quality["100 %"].items()}
        judged = (last["sliced Wasserstein"] / floor, last["classifier accuracy"], last["distance to curve"])
        rows.append((*speed.values(), *judged))
    lines = []
    for (name, (digits, bar)), values in zip(BARS.items(), zip(*rows, strict=True), strict=True):
        verdict = ("", "") if bar is None else (f"≤ {bar:g}", "yes" if median(values) <= bar else "**no**")
        lines.append((name, spread(values, digits), *verdict))
    return markdown(("", "measured", "bar", "met"), lines)


def quality_table(found: list[Quality]) -> str:
    """The figures along the training, above their noise floors."""
    floor = floors(found)
    rows = [
        (moment, *(spread([quality[moment][name].model for quality in found], 4) for name in floor))
        for moment in found[0]
    ]
    rows.append(("noise floor", *(f"{value:.4f}" for value in floor.values())))
    return markdown((f"of {STEPS} steps", *floor), rows)


# --- growth with the batch ---------------------------------------------------------------------------------


def growth_table(roll: Roll) -> str:
    """Time and memory of a training step for 1, 4 and 16 times the rows."""
    lines = []
    for rows in (ROWS, 4 * ROWS, 16 * ROWS):
        report(f"Growth: {rows} rows a step")
        runs = [train(new_model(1), roll.x_0, steps=40, batch_size=rows) for _ in range(5)]
        times = [1000 / run.steps_per_second for run in runs]
        kept = (f"{size / 1e6:.1f}" for size in kept_for_backward(new_model(1), roll.x_0[:rows]))
        lines.append((f"{rows:,}", spread(times, 2), f"{1000 * median(times) / rows:.2f}", *kept))
    return markdown(("rows a step", "ms a step", "µs a row", "hidden layers, MB", "all else, MB"), lines)


def kept_for_backward(model: Diffusion, batch: Tensor) -> tuple[int, int]:
    """Bytes that the forward pass keeps for the backward pass, weights aside: hidden layers, all else."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    width = model.network.body[0].out_features
    kept = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), x.shape[-1:] == (width,))
        return x

    with saved_tensors_hooks(pack, lambda x: x):
        graph = model.loss(batch)  # holds what was kept, so that no memory is used twice while we count
    del graph
    hidden = sum(size for size, is_hidden in kept.values() if is_hidden)
    return hidden, sum(size for size, _ in kept.values()) - hidden


def memory_note(at_start: int) -> str:
    """What the memory is, and how much does not grow with the batch."""
    parameters = sum(p.numel() for p in new_model(1).parameters())
    return (
        "MB: what the forward pass keeps for the backward pass. It grows with the rows; most of it is the\n"
        f"hidden layers'. {parameters:,} parameters, their gradients and the optimiser's two moments take "
        f"{16 * parameters / 1e6:.1f} MB.\nThe benchmark peaked at {peak_memory() / 1e6:.0f} MB; "
        f"importing PyTorch and the library took {at_start / 1e6:.0f} MB of them."
    )


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --- the report --------------------------------------------------------------------------------------------


def book_tables(with_notebooks: bool) -> Iterable[str]:
    """Seconds of each notebook, and weight of each built page."""
    if with_notebooks:
        lines = []
        for path in sorted(notebooks.BOOK.glob("*.ipynb")):
            report(f"Executing and testing {path.name}")
            lines.append((path.stem, f"{execution_seconds(path):.0f}", f"{nbval_seconds(path):.0f}"))
        yield markdown(("notebook", "executed in s", "tested in s"), lines)
    pages = sorted(PAGES.glob("*.html"))
    lines = [(page.stem, *(f"{size / 1000:.0f}" for size in page_weight(page))) for page in pages]
    header = ("page, kB compressed", "text", "widgets", "pictures", "scripts and styles")
    yield markdown(header, lines) if pages else "Pages were not weighed: run `make book` first."


def spread(values: Iterable[float], digits: int) -> str:
    """The median, and the range where there is one."""
    low, middle, high = (f"{f(values):.{digits}f}" for f in (min, median, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def markdown(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    header = list(header)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description="Measure speed and sample quality; print Markdown tables.")
    parser.add_argument("--quick", action="store_true", help="one seed, and no notebooks")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)  # as the live cell does
    at_start, roll = peak_memory(), Roll()
    seeds = SEEDS[:1] if quick else SEEDS
    speeds = [measure_speed(roll, seed) for seed in seeds]
    found = [measure_quality(roll, seed) for seed in seeds]
    tables = [bar_table(speeds, found), quality_table(found), growth_table(roll), memory_note(at_start)]
    print(
        f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores, of which one was used; Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}; {matmul_rate() / 1e9:.0f} GFLOP/s in a "
        f"large\nmatrix product. Each figure: median and range of {len(seeds)} seeds."
    )
    for table in (*tables, *book_tables(with_notebooks=not quick)):
        print("", table, sep="\n")


if __name__ == "__main__":
    main()
