"""The engine's parts with the probes of engine_probe.js, in Node or in any browser."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion_lib import data
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.show.engine import ancestral_table, network_table, process_table, weights_of
from diffusion_lib.show.engine.page import PARTS, ROOM
from diffusion_lib.training import adamw, warm_up_and_cosine

PROBES = Path(__file__).with_suffix(".js")


def parts() -> str:
    """A script that has the function `probe`: all of the engine but what starts by itself."""
    engine = base64.b64encode((ROOM / "engine.wasm").read_bytes()).decode()
    texts = [(ROOM / part).read_text(encoding="utf-8") for part in PARTS if part != "trainer.js"]
    return "\n".join([f'const ENGINE = "{engine}";', *texts, PROBES.read_text(encoding="utf-8")])


def node() -> str:
    """Node's path. It is optional on a reader's machine and mandatory in CI."""
    if not (found := shutil.which("node") or shutil.which("nodejs")):
        reason = "no Node found: install it to test the engine that trains in the browser"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    return found


def as_json(given: object) -> str:
    """JSON in which tensors are flat lists."""
    return json.dumps(given, default=lambda x: x.detach().flatten().tolist() if isinstance(x, Tensor) else x)


ANSWER = """
let text = "";
process.stdin.on("data", (part) => (text += part)).on("end", async () => {
  const [name, given] = JSON.parse(text);
  process.stdout.write(await probe(name, given));
});
"""


def in_node(name: str, *given: object):
    """What a probe says, with its arguments and answer as JSON."""
    return json.loads(run_in_node(parts() + ANSWER, as_json([name, given])))


def run_in_node(script: str, given: str = "") -> str:
    """What a script prints."""
    with tempfile.TemporaryDirectory() as folder:  # as an argument it would be too long
        path = Path(folder, "script.cjs")
        path.write_text(script, encoding="utf-8")
        done = subprocess.run([node(), str(path)], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# --- training as PyTorch does it, for the engine to equal, in Node and in a browser

SPAN = 1000  # steps of the run whose learning rates the first steps have


def make_model(predict="eps", width=64, schedule=None, weighting="simple", reverse_var="beta", **network):
    """A model, its weights from a fixed seed."""
    schedule = schedule or even_log_snr(100)
    torch.manual_seed(0)
    return Diffusion(TimeMLP(schedule, width, **network), schedule, predict, weighting, reverse_var)


def settings_of(model: Diffusion, sampler: dict | None = None) -> dict:
    """The engine's settings for a model with its weights."""
    network, weights = network_table(model.network), weights_of(model.network)
    return {
        "network": network,
        "weights": weights,
        "process": process_table(model),
        "sampler": sampler or ancestral_table(model),
    }


def make_batches(T: int, rows: int, n: int) -> list[dict[str, Tensor]]:
    """Batches of the Swiss roll in standard units, with their steps and noise."""
    generator = torch.Generator().manual_seed(3)
    x_0 = data.swiss_roll(n * rows, generator)
    x_0 = data.Standardiser.fit(x_0)(x_0)
    return [
        {
            "x_0": points,
            "t": torch.randint(1, T + 1, (rows,), generator=generator),
            "eps": torch.randn(rows, 2, generator=generator),
        }
        for points in x_0.split(rows)
    ]


def train_in_pytorch(model: Diffusion, batches: list[dict[str, Tensor]], learning_rate: float) -> dict:
    """The losses of steps on given batches, first gradient and last weights, by the book's own code."""
    parameters = list(model.parameters())
    optimiser = adamw(parameters, learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: warm_up_and_cosine(i, SPAN))
    losses, gradient = [], None
    for batch in batches:
        loss = model.squared_error(**batch).mean()
        optimiser.zero_grad()
        loss.backward()
        gradient = gradient or [p.grad.clone() for p in parameters]
        optimiser.step()
        rate.step()
        losses.append(loss.item())
    return {"losses": losses, "gradient": gradient, "weights": [p.detach() for p in parameters]}


def flat(arrays) -> Tensor:
    """One float64 row of all numbers of several arrays."""
    return torch.cat([torch.as_tensor(array, dtype=torch.float64).flatten() for array in arrays])


def assert_equal_training(model: Diffusion, ask=in_node, rows: int = 1024) -> None:
    """Twenty steps in the engine and in PyTorch, from the same weights, on the same batches and noise."""
    batches, learning_rate = make_batches(model.T, rows, 20), 2e-2
    found = ask("training", settings_of(model), batches, {"learning_rate": learning_rate, "of": SPAN})
    true = train_in_pytorch(model, batches, learning_rate)
    assert found["losses"] == pytest.approx(true["losses"], rel=1e-6)
    gradient = flat(true["gradient"])
    assert (flat(found["gradient"]) - gradient).abs().max() <= 2e-6 * gradient.abs().max()
    assert (flat(found["weights"]) - flat(true["weights"])).abs().max() <= 1e-6


# --- a session for all of them

ROLL = {"roll": {"mean": [0.1, -0.2], "std": 0.7}}
RUN = {"steps": 24, "batch_size": 300, "learning_rate": 2e-2, "seed": 3}


def session_settings(**changes):
    """A short run on rolls, with pictures."""
    settings = {**settings_of(make_model(width=16, schedule=even_log_snr(20))), "data": ROLL, "training": RUN}
    del settings["weights"]
    return {**settings, "pictures": {"at": [0, 6, 24], "points": 300, "seed": 4}, **changes}


# What it must come to in Node and in each browser; a change of the engine's arithmetic changes it.
HASHES = {"weights": "ef9670cd", "samples": ["acdf97b3", "86d93553", "242f0f7a"]}
