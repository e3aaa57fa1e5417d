"""Measure speed and sample quality; print the tables of README's "How fast, how good".

    python tools/bench.py [--quick]    (--quick: one seed, and no notebooks)

Models, settings and data are those of the chapters' live cells, listed in live_cells.py, on one thread. Times
differ from machine to machine and from run to run: each is a median, with the range behind it, and no test
asks for one. Distances are in the roll's own units. Pages are weighed as they lie in _build/html: run
`make book` first.
"""

import argparse
import os
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterable
from statistics import fmean, median

import notebooks
import tab
import torch
from book_costs import execution_seconds, nbval_seconds, page_weight
from live_cells import (
    BARS,
    CELLS,
    CLASSIFIER,
    DIGITS,
    DISTANCE,
    WASSERSTEIN,
    Quality,
    Roll,
    matmul_rate,
    measure_quality,
    measure_speed,
    report,
)
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.training import train

PAGES = notebooks.BOOK.parent / "_build" / "html" / "book"
SEEDS = (1, 2, 3)
EPSILON = next(cell for cell in CELLS if cell.make_short)  # chapter 5's, of which more is told

Speeds = list[dict[str, float]]  # of one cell, by seed


# --- the live cells ----------------------------------------------------------------------------------------


def floors(found: list[list[Quality]]) -> dict[str, float]:
    """The noise floor of each figure, its mean over all that was judged."""
    every = [figures for of_cell in found for quality in of_cell for figures in quality.values()]
    return {name: fmean(figures[name].floor for figures in every) for name in every[0]}


def live_table(speeds: list[Speeds], found: list[list[Quality]]) -> str:
    """Every speed, and the final quality, of each cell beside its bars."""
    floor = floors(found)["sliced Wasserstein"]
    columns = []
    for cell, of_cell, qualities in zip(CELLS, speeds, found, strict=True):
        values = {name: [speed[name] for speed in of_cell] for name in of_cell[0]}
        last = [quality["100 %"] for quality in qualities]
        values[WASSERSTEIN] = [figures["sliced Wasserstein"].model / floor for figures in last]
        values[CLASSIFIER] = [figures["classifier accuracy"].model for figures in last]
        values[DISTANCE] = [figures["distance to curve"].model for figures in last]
        bars = BARS | cell.bars
        columns.append([beside_bar(values.get(name), DIGITS[name], bars.get(name)) for name in DIGITS])
    return markdown(
        ("live cell of chapter", *(cell.name for cell in CELLS)), zip(DIGITS, *columns, strict=True)
    )


def beside_bar(
    values: list[float] | None, digits: int, bar: float | None = None, middle: Callable = median
) -> str:
    """Median, or another middle, and range, then the bar, if there is one; what misses its bar is bold."""
    if values is None:
        return ""
    measured = spread(values, digits, middle)
    if bar is None:
        return measured
    return f"{measured} ≤ {bar:g}" if middle(values) <= bar else f"**{measured} > {bar:g}**"


def quality_table(found: list[Quality], floor: dict[str, float]) -> str:
    """The figures along the training of chapter 5's cell, above their noise floors."""
    rows = [
        (moment, *(spread([quality[moment][name].model for quality in found], 4) for name in floor))
        for moment in found[0]
    ]
    rows.append(("noise floor", *(f"{value:.4f}" for value in floor.values())))
    return markdown((f"chapter 5: of {EPSILON.steps} steps", *floor), rows)


# --- growth with the batch ---------------------------------------------------------------------------------


def growth_table(roll: Roll) -> str:
    """Time and memory of a training step for 1, 4 and 16 times the rows, in chapter 5."""
    lines = []
    for rows in (EPSILON.batch_size * times for times in (1, 4, 16)):
        report(f"Growth: {rows} rows a step")
        runs = [train(EPSILON.model(1), roll.x_0, steps=40, batch_size=rows) for _ in range(5)]
        times = [1000 / run.steps_per_second for run in runs]
        kept = (f"{size / 1e6:.1f}" for size in kept_for_backward(EPSILON.model(1), roll.x_0[:rows]))
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
    parameters = sum(p.numel() for p in EPSILON.model(1).parameters())
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


# --- the same model in the reader's own tab ----------------------------------------------------------------


def tab_table(roll: Roll, seeds: Iterable[int]) -> str:
    """The engine beside PyTorch: times, and the quality of its samples, the mean over the seeds."""
    if not shutil.which("node"):
        return "The engine of the reader's own tab was not measured: there is no Node."
    found = [(*tab.times(roll, seed), tab.quality(roll, seed)) for seed in seeds]
    floor = fmean(quality[WASSERSTEIN][1] for *_, quality in found)
    lines = []
    for name, digits in tab.DIGITS.items():
        engine = [of_engine.get(name) or quality[name][0] for of_engine, _, quality in found]
        pytorch = [of_pytorch[name] for _, of_pytorch, _ in found if name in of_pytorch]
        if name == WASSERSTEIN:
            engine = [score / floor for score in engine]
        middle = fmean if name in (WASSERSTEIN, CLASSIFIER) else median
        bar = tab.BARS.get(name)
        lines.append((name, beside_bar(engine, digits, bar, middle), beside_bar(pytorch or None, digits)))
    header = ("chapter 5's model in the reader's own tab (Node)", "engine", "PyTorch, one thread")
    return markdown(header, lines) + "\n\n" + tab.weight()


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


def spread(values: Iterable[float], digits: int, middle: Callable = median) -> str:
    """The median, or another middle, and the range where there is one."""
    low, mid, high = (f"{f(values):.{digits}f}" for f in (min, middle, max))
    return mid if low == high else f"{mid} ({low}–{high})"


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
    rolls = {noise: Roll(noise) for noise in {cell.noise for cell in CELLS}}
    speeds = [[measure_speed(cell, rolls[cell.noise], seed) for seed in seeds] for cell in CELLS]
    found = [[measure_quality(cell, rolls[cell.noise], seed) for seed in seeds] for cell in CELLS]
    tables = [live_table(speeds, found), quality_table(found[CELLS.index(EPSILON)], floors(found))]
    tables += [growth_table(roll), memory_note(at_start), tab_table(roll, seeds)]
    print(
        f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores, of which one was used; Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}; {matmul_rate() / 1e9:.0f} GFLOP/s in a "
        f"large\nmatrix product. Each figure: median and range of {len(seeds)} seeds, then the bar, if there "
        "is one; what misses it is bold."
    )
    for table in (*tables, *book_tables(with_notebooks=not quick)):
        print("", table, sep="\n")


if __name__ == "__main__":
    main()
