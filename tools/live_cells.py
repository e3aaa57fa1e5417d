"""The book's live cells: what they train, how fast that goes, and how good the samples become."""

import contextlib
import copy
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from book_costs import seconds_of
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from diffusion_lib import data
from diffusion_lib.measure.evaluation import Figure, evaluate
from diffusion_lib.models.conditional import ConditionalDiffusion, TextDiffusion
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.flow import Flow
from diffusion_lib.models.hvae import HVAE
from diffusion_lib.models.ncsn import NCSN
from diffusion_lib.models.networks import HeadPerStep, LabelledMLP, TimeMLP
from diffusion_lib.models.reverse import FirstFormChain, SecondFormChain
from diffusion_lib.models.text import TextMLP
from diffusion_lib.models.vae import VAE
from diffusion_lib.process.schedules import even_log_snr, sigmoid, straight
from diffusion_lib.show.widgets import train_live
from diffusion_lib.training import TrainingRun, train

N_SAMPLES = 10_000
SHORT_T = 25
NOISE = 0.05  # of chapter 8's roll

LIVE_SECONDS = "live cell, seconds with drawing"
DRAWING = "of these drawing, %"
STEP_RATE = "training steps a second"
BARE_LOOP = "steps of a bare loop in the time of one of ours"
MATMUL_SHARE = "matrix products, % of the machine's rate"
SAMPLING = f"{N_SAMPLES:,} samples, seconds"
SHORT_SAMPLING = f"the same with T = {SHORT_T}"
WASSERSTEIN = "sliced Wasserstein, in noise floors"
CLASSIFIER = "classifier accuracy"
DISTANCE = "distance to the curve"

DIGITS = {  # of each figure in the table, in its order
    LIVE_SECONDS: 1,
    DRAWING: 0,
    STEP_RATE: 0,
    BARE_LOOP: 2,
    MATMUL_SHARE: 0,
    SAMPLING: 2,
    SHORT_SAMPLING: 2,
    WASSERSTEIN: 2,
    CLASSIFIER: 3,
    DISTANCE: 4,
}
BARS = {DRAWING: 15.0, BARE_LOOP: 2.0}  # for every live cell

Quality = dict[str, dict[str, Figure]]  # the moment, then the figure's name


@dataclass(frozen=True)
class LiveCell:
    """One live cell. Any model with `loss`, `sample` and `trajectory` will do.

    Attributes:
        name: the head of its column.
        make: a function that makes the model, untrained.
        bars: upper limits on the medians of figures, on top of those for all cells.
        steps, batch_size, learning_rate: of the training.
        moments: after how many % of the steps the samples are judged.
        labelled: whether it is trained with the points' labels.
        worded: whether it is trained with the points' arms as words, a row of one word each.
        noise: on the roll's points, a standard deviation in standard units.
        make_short: the model with T = SHORT_T, whose network can take over the weights.
    """

    name: str
    make: Callable[[], nn.Module]
    bars: dict[str, float]
    steps: int = 2000
    batch_size: int = 1024
    learning_rate: float = 2e-2
    moments: tuple[int, ...] = (100,)
    make_short: Callable[[], nn.Module] | None = None
    labelled: bool = False
    worded: bool = False
    noise: float = 0.0

    def model(self, seed: int) -> nn.Module:
        """The untrained model with the weights of this seed."""
        torch.manual_seed(seed)
        return self.make()

    def settings(self, seed: int, roll: "Roll") -> dict:
        """What `train` and `train_live` get beside model and data."""
        labels = {"labels": roll.arm[:, None] if self.worded else roll.arm}
        labels = labels if self.labelled or self.worded else {}
        return labels | {
            "steps": self.steps,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "generator": Generator().manual_seed(seed),
        }


def on_sigmoid(chain: type[nn.Module], network: type[nn.Module]) -> nn.Module:
    """The chain with this network, on the schedule of chapters 3 and 4."""
    schedule = sigmoid(40)
    return chain(network(schedule), schedule)


def epsilon(T: int) -> Diffusion:
    """The model of chapter 5; weights fit schedules of any number of steps."""
    schedule = even_log_snr(T)
    return Diffusion(TimeMLP(schedule), schedule, predict="eps", reverse_var="beta")


def score() -> NCSN:
    """The model of chapter 6."""
    levels = even_log_snr(50, sigma_min=0.01, sigma_max=8)
    return NCSN(TimeMLP(levels), levels, steps=8, r=0.4)


def conditional() -> ConditionalDiffusion:
    """The model of chapter 7; it is judged without a label."""
    schedule = even_log_snr(100)
    return ConditionalDiffusion(LabelledMLP(schedule, 3), schedule, predict="eps")


def likelihood() -> Diffusion:
    """The model of chapter 8, which learns the noisy roll."""
    schedule = even_log_snr(100, sigma_min=0.01)
    return Diffusion(TimeMLP(schedule), schedule, predict="eps", reverse_var="beta")


def roll_words() -> TextDiffusion:
    """The model of chapter 11, with the library's network; it is judged without words."""
    schedule = even_log_snr(50)
    network = TextMLP(schedule, (2,), width=128, blocks=2)
    return TextDiffusion(network, schedule, predict="eps", dropout=0.25, shape=(2,))


def flow() -> Flow:
    """The model of chapter 9, which samples by 32 of Euler's steps."""
    times = straight(128)
    return Flow(TimeMLP(times), times, calls=32)


def many_machines() -> Diffusion:
    """The model of chapter 12, as eight processes without a slip train it."""
    schedule = even_log_snr(100)
    return Diffusion(TimeMLP(schedule), schedule)


CELLS = (
    LiveCell("1, VAE", VAE, {LIVE_SECONDS: 10}, steps=3000, batch_size=256, learning_rate=1e-2),
    LiveCell("2, HVAE", partial(HVAE, T=8), {LIVE_SECONDS: 10}, steps=700, batch_size=256),
    LiveCell(
        "3, first form", partial(on_sigmoid, FirstFormChain, TimeMLP), {LIVE_SECONDS: 10}, batch_size=26
    ),
    LiveCell(
        "4, second form",
        partial(on_sigmoid, SecondFormChain, HeadPerStep),
        {LIVE_SECONDS: 8, CLASSIFIER: 0.56, WASSERSTEIN: 1.5},
    ),
    LiveCell(
        "5, ε objective",
        partial(epsilon, 100),
        {LIVE_SECONDS: 3, SAMPLING: 2, SHORT_SAMPLING: 0.5}
        | {WASSERSTEIN: 1.3, CLASSIFIER: 0.52, DISTANCE: 0.005},
        steps=1000,
        moments=(5, 10, 25, 50, 100),
        make_short=partial(epsilon, SHORT_T),
    ),
    LiveCell("6, score", score, {LIVE_SECONDS: 12, WASSERSTEIN: 1.5, CLASSIFIER: 0.52}),
    LiveCell("7, conditions", conditional, {LIVE_SECONDS: 4}, steps=1000, labelled=True),
    LiveCell("8, likelihood", likelihood, {LIVE_SECONDS: 6}, steps=1000, noise=NOISE),
    LiveCell("9, flow", flow, {LIVE_SECONDS: 6}, steps=1500),
    LiveCell("10, images", partial(epsilon, 100), {LIVE_SECONDS: 6}, steps=1500, batch_size=512),
    LiveCell("11, text to image", roll_words, {LIVE_SECONDS: 12}, 1000, 256, learning_rate=5e-3, worded=True),
    LiveCell(
        "12, machines",
        many_machines,
        {LIVE_SECONDS: 6},
        steps=1500,
        batch_size=256,
        learning_rate=1e-2,
    ),
)


class Roll:
    """The live cells' data: training points x_0 in standard units, (50000, 2), their arms, and fresh ones.

    With `noise`, in standard units, all of them have some; the units are those of the roll without it.
    """

    def __init__(self, noise: float = 0.0):
        drawn = Generator().manual_seed(5)
        points, self.arm = data.labelled_swiss_roll(50_000, drawn)
        self.noise, self.scale = noise, data.Standardiser.fit(points)
        self.x_0 = self.scale(self._blurred(points, drawn))

    def _blurred(self, points: Tensor, generator: Generator | None) -> Tensor:
        std = self.noise * self.scale.std
        return points + std * torch.randn(points.shape, generator=generator) if std else points

    def drawn(self, n: int, generator: Generator | None) -> Tensor:
        """n new points in the roll's own units, (n, 2)."""
        return self._blurred(data.swiss_roll(n, generator), generator)

    def fresh(self, n: int, generator: Generator | None) -> Tensor:
        """The same in standard units."""
        return self.scale(self.drawn(n, generator))

    def judge(self, model: nn.Module, seed: int) -> dict[str, Figure]:
        """The figures of four sets of the model's samples, in the roll's own units."""
        return evaluate(
            lambda n, generator: self.scale.undo(model.sample(n, generator)),
            self.drawn,
            n=N_SAMPLES,
            generator=Generator().manual_seed(seed),
            curve=data.roll_curve(),
        )


def report(text: str) -> None:
    """Say on the error stream, beside the tables, what is being measured."""
    print(text, file=sys.stderr, flush=True)


# --- yardsticks --------------------------------------------------------------------------------------------


def matmul_rate(n: int = 1024, repeats: int = 10) -> float:
    """Floating-point operations a second in a large float32 matrix product: the best of `repeats`."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / min(seconds_of(lambda: a @ b) for _ in range(repeats))


def flops_per_step(model: nn.Module, batch: Tensor) -> int:
    """Operations in a training step's matrix products, forward and back."""
    with FlopCounterMode(display=False) as counter:
        model.loss(batch).backward()
    return counter.get_total_flops()


def bare_rate(model: nn.Module, batch: Tensor, steps: int = 400) -> float:
    """Steps a second of the least that training needs: the network there and back on what the loss once
    asked of it, and the optimiser."""
    network, asked = model.network, []
    name = "grouped" if hasattr(network, "grouped") else "forward"  # as the chain asks it
    ask = getattr(network, name)

    def noted(*inputs: Tensor) -> Tensor:
        asked.append(inputs)
        return ask(*inputs)

    setattr(network, name, noted)
    model.loss(batch)
    delattr(network, name)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)

    def loop() -> None:
        for _ in range(steps):
            loss = sum(ask(*inputs).square().mean() for inputs in asked)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return steps / seconds_of(loop)


# --- one live cell -----------------------------------------------------------------------------------------


def measure_speed(cell: LiveCell, roll: Roll, seed: int) -> dict[str, float]:
    """The speeds named in DIGITS. What is compared is measured in turn, on the same machine."""
    report(f"Chapter {cell.name}, seed {seed}: speed")
    model, batch, runs = cell.model(seed), roll.x_0[: cell.batch_size], []
    peak, has_network = matmul_rate(), hasattr(model, "network")
    bare = bare_rate(cell.model(seed), batch) if has_network else None

    def live_cell() -> None:
        runs.append(train_live(model, roll.x_0, roll.fresh, **cell.settings(seed, roll)))

    with contextlib.redirect_stderr(io.StringIO()):  # the progress bar
        seconds = seconds_of(live_cell)
    rate = runs[0].run.steps_per_second
    speed = {
        LIVE_SECONDS: seconds,
        DRAWING: 100 * runs[0].drawing_seconds / seconds,
        STEP_RATE: rate,
        MATMUL_SHARE: 100 * flops_per_step(model, batch) * rate / peak,
        SAMPLING: seconds_of(partial(model.sample, N_SAMPLES)),
    }
    if has_network:
        speed[BARE_LOOP] = bare / rate
    if cell.make_short:
        speed[SHORT_SAMPLING] = seconds_of(partial(shortened(cell, model).sample, N_SAMPLES))
    return speed


def measure_quality(cell: LiveCell, roll: Roll, seed: int) -> Quality:
    """Train as the live cell does, keep the weights at its moments, and judge them; the last with fewer steps
    too, where there is such a model."""
    model, weights = cell.model(seed), {}
    moments = {cell.steps * percent // 100: f"{percent} %" for percent in cell.moments}

    def keep(run: TrainingRun) -> None:
        if len(run.losses) in moments:
            weights[moments[len(run.losses)]] = copy.deepcopy(model.state_dict())

    train(model, roll.x_0, on_step=keep, **cell.settings(seed, roll))
    quality = {}
    for moment, kept in weights.items():
        report(f"Chapter {cell.name}, seed {seed}: quality after {moment} of the steps")
        model.load_state_dict(kept)
        quality[moment] = roll.judge(model, seed)
    if cell.make_short:
        quality[f"100 %, T = {SHORT_T}"] = roll.judge(shortened(cell, model), seed)
    return quality


def shortened(cell: LiveCell, model: nn.Module) -> nn.Module:
    """The cell's short model with the network's weights of `model`, which know nothing of T."""
    short = cell.make_short()
    short.network.load_state_dict(model.network.state_dict())
    return short
