"""The engine of the reader's own tab beside PyTorch: CPU time and sample quality, in Node.

It runs the script that pages get, without a browser. Times are CPU times, which a busy machine changes least.
"""

import gzip
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from live_cells import CLASSIFIER, N_SAMPLES, WASSERSTEIN, Roll, epsilon, report
from torch import Generator, Tensor

from diffusion_lib import data
from diffusion_lib.measure.evaluation import evaluate
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.show.engine import ancestral_table, network_table, process_table, script
from diffusion_lib.show.widgets.live_run import N_POINTS
from diffusion_lib.training import train

STEPS, ROWS, SETS = 1000, 1024, 4
STEP = "CPU ms a step of {:,} rows"
PICTURE = f"CPU ms a picture, {N_POINTS} samples in 100 steps"
TRAINING = f"CPU seconds, {STEPS:,} steps of {ROWS:,} rows"
SHARE = "the engine's share of PyTorch's time, a step of {:,} rows"
DIGITS = {STEP.format(ROWS): 2, STEP.format(256): 2, PICTURE: 0, TRAINING: 1}
DIGITS |= {SHARE.format(ROWS): 2, SHARE.format(256): 2, WASSERSTEIN: 2, CLASSIFIER: 3}
BARS = {SHARE.format(ROWS): 0.5, SHARE.format(256): 0.5, WASSERSTEIN: 1.3, CLASSIFIER: 0.52}

RUN = """
const settings = JSON.parse(require("fs").readFileSync(0, "utf8"));
const before = process.cpuUsage(), sets = [];
diffusionTrainer.start(settings, {
  onPicture: ({ samples }) => sets.push(Array.from(samples)),
  onEnd({ reason, message, weights }) {
    const { user, system } = process.cpuUsage(before);
    if (reason !== "done") throw new Error(message || reason);
    const arrays = weights.map((array) => Array.from(array));
    process.stdout.write(JSON.stringify({ seconds: (user + system) / 1e6, sets, weights: arrays }));
  },
});
"""


def in_tab(settings: dict) -> dict:
    """CPU seconds of a run, its pictures' samples, and its weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.cjs")
        path.write_text(script() + RUN, encoding="utf-8")
        answer = subprocess.check_output(["node", path], input=json.dumps(settings), text=True)
    return json.loads(answer)


def settings_for(model: Diffusion, roll: Roll, seed: int, rows: int = ROWS, steps: int = STEPS) -> dict:
    """The settings of chapter 5's live cell, without pictures."""
    return {
        "network": network_table(model.network),
        "process": process_table(model),
        "sampler": ancestral_table(model),
        "data": {"roll": {"mean": roll.scale.mean.tolist(), "std": roll.scale.std}},
        "training": {"steps": steps, "batch_size": rows, "learning_rate": 2e-2, "seed": seed},
    }


def cpu_seconds(action: Callable[[], object]) -> float:
    """The CPU time of one call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def times(roll: Roll, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """The CPU times of the engine and of PyTorch, for the same work."""
    report(f"The tab's engine, seed {seed}: speed")
    model, engine, pytorch = epsilon(100), {}, {}
    train(model, roll.x_0, steps=20)  # PyTorch's first steps set it up
    for rows in (ROWS, 256):
        engine[STEP.format(rows)] = in_tab(settings_for(model, roll, seed, rows))["seconds"]  # in s for 1,000
        settings = {"steps": 200, "batch_size": rows, "generator": Generator().manual_seed(seed)}
        pytorch[STEP.format(rows)] = 5 * cpu_seconds(lambda s=settings: train(epsilon(100), roll.x_0, **s))
    engine[TRAINING], pytorch[TRAINING] = engine[STEP.format(ROWS)], pytorch[STEP.format(ROWS)]
    settings = settings_for(model, roll, seed, steps=20)
    bare = in_tab(settings)["seconds"]
    settings["pictures"] = {"at": list(range(1, 21)), "points": N_POINTS}
    engine[PICTURE] = 1000 * (in_tab(settings)["seconds"] - bare) / 20
    pytorch[PICTURE] = 1000 * cpu_seconds(lambda: [model.sample(N_POINTS) for _ in range(5)]) / 5
    for rows in (ROWS, 256):
        engine[SHARE.format(rows)] = engine[STEP.format(rows)] / pytorch[STEP.format(rows)]
    return engine, pytorch


def quality(roll: Roll, seed: int) -> dict[str, tuple[float, float]]:
    """What samples of the engine score, and fresh data, by the library's evaluation."""
    report(f"The tab's engine, seed {seed}: quality")
    model = epsilon(100)
    settings = settings_for(model, roll, seed)
    settings["weights"] = in_tab(settings)["weights"]
    settings["training"]["steps"] = 0
    sets = []
    for k in range(SETS):
        settings["pictures"] = {"at": [0], "points": N_SAMPLES, "seed": SETS * seed + k}
        (samples,) = in_tab(settings)["sets"]
        sets.append(roll.scale.undo(torch.tensor(samples).reshape(-1, 2)))

    def sample(n: int, generator: Generator) -> Tensor:
        return sets.pop()

    figures = evaluate(sample, data.swiss_roll, N_SAMPLES, SETS, Generator().manual_seed(seed))
    names = {WASSERSTEIN: "sliced Wasserstein", CLASSIFIER: "classifier accuracy"}
    return {name: (figures[own].model, figures[own].floor) for name, own in names.items()}


def weight() -> str:
    """What a page loads, in kB."""
    size = len(gzip.compress(script().encode(), 9)) / 1000
    return f"The script with the engine has {len(script()) / 1000:.0f} kB, {size:.0f} kB compressed."
