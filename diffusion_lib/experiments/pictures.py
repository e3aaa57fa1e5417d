"""What chapter 10 asks of models of pictures: when do they copy what they were trained on, and who can tell?

Digits are in `PixelScale`'s units, −1…1; samples are rounded to levels before they are judged. A loss is that
of v for each pixel: the squared error of x̂_0 over 1 − ᾱ_t, at steps t spread evenly, one for each picture.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.data.images import Digits, digits
from diffusion_lib.data.planes import roll_quadrature, swiss_roll
from diffusion_lib.data.units import PixelScale, Standardiser
from diffusion_lib.experiments.record import Experiment, grid
from diffusion_lib.measure.pictures import evaluate_pictures, nearest_distances, share_copied
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.models.patches import PatchDenoiser
from diffusion_lib.models.picture_mlp import PictureMLP
from diffusion_lib.models.unet import UNet
from diffusion_lib.process.schedules import cosine, even_log_snr
from diffusion_lib.solvers.ode import dpm_solver_pp_2m, power_even
from diffusion_lib.solvers.steps import Denoiser, last
from diffusion_lib.training import TrainingRun, train

SCHEDULE = cosine(1000)
SCALE = PixelScale(16)
N_SAMPLES = 500
NEAR = 0.02  # of a training point of the roll, in standard units


@cache
def divided() -> Digits:
    """1,437 digits to train on and 360 held out, as levels."""
    return digits()


def unet(shape: tuple[int, ...], widths: tuple[int, ...], seed: int) -> Diffusion:
    """An untrained model of pictures."""
    torch.manual_seed(seed)
    return Diffusion(UNet(SCHEDULE, shape, widths), SCHEDULE, "v", shape=shape, stratified=True)


def draw(
    denoiser: Denoiser, n: int, seed: int, shape: tuple[int, ...] = (1, 8, 8), calls: int = 20
) -> Tensor:
    """n samples by DPM-Solver++ at whole steps, in the data's units."""
    levels = SCHEDULE.nearest(power_even(calls, 80.0, 0.02))
    z = levels[0] * torch.randn(n, *shape, generator=Generator().manual_seed(seed))
    return last(dpm_solver_pp_2m(denoiser, z, levels))


@torch.no_grad()
def loss_of(denoiser: Denoiser, x_0: Tensor, seed: int = 0) -> float:
    """The loss of v of any denoiser on pictures x_0: each has a noise and a step t of its own."""
    generator = Generator().manual_seed(seed)
    t = 1 + torch.arange(len(x_0)) * SCHEDULE.T // len(x_0)
    sigma, var = SCHEDULE.sigma[t].float(), (1 - SCHEDULE.alpha_bar[t]).float()
    eps = torch.randn(x_0.shape, generator=generator)
    error = denoiser(x_0 + sigma.reshape(-1, 1, 1, 1) * eps, sigma) - x_0
    return float((error.square().flatten(1).mean(dim=1) / var).mean())


class GaussianDenoiser:
    """E[x_0 | z] if x_0 were Gaussian, with the mean and covariance of the pictures: linear in z."""

    def __init__(self, points: Tensor):
        x = points.flatten(1).double()
        self.mean = x.mean(dim=0)
        self.values, self.vectors = torch.linalg.eigh(torch.cov(x.T))

    def __call__(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """m + C (C + σ² I)⁻¹ (z − m), for pictures z and one σ, or one for each."""
        var = torch.as_tensor(sigma).double().expand(len(z)).square()[:, None]
        apart = (z.flatten(1).double() - self.mean) @ self.vectors
        x_0 = self.mean + (apart * self.values / (self.values + var)) @ self.vectors.T
        return x_0.reshape(z.shape).to(z)


# --- digits -------------------------------------------------------------------------------------------------


def memorising(*, n: int, seed: int, steps: int) -> dict[str, float]:
    """A small U-Net trained on only `n` digits: losses and copies after ⅛, ¼, ½ and all of the steps."""
    few = divided().train[torch.randperm(1437, generator=Generator().manual_seed(seed))[:n]]
    model, own, other = unet((1, 8, 8), (16, 32), seed), SCALE(few), SCALE(divided().held_out)
    moments, found = [steps // 8, steps // 4, steps // 2, steps], {}

    def on_step(run: TrainingRun) -> None:
        if (done := len(run.losses)) in moments:
            samples = SCALE.undo(draw(model, 200, seed))
            found[f"copies at {done}"] = share_copied(samples, few)
            found[f"own loss at {done}"] = loss_of(model, own.repeat(-(-360 // n), 1, 1, 1)[:360])
            found[f"held-out loss at {done}"] = loss_of(model, other)

    train(model, own, steps, 64, 3e-3, Generator().manual_seed(seed), on_step)
    return found


def player(*, name: str, seed: int, steps: int = 600) -> dict[str, float]:
    """A denoiser of all training digits: its samples beside held-out digits, and its two losses.

    With the name "training digits", the samples are 500 of these, drawn with replacement, as any sampler
    draws, and there are no losses: a noise floor. The networks are those of `trained`.
    """
    if name not in PLAYERS + HABITS:
        raise ValueError(f"name = {name!r}; pass one of {', '.join(PLAYERS + HABITS)}")
    pictures, x_0 = divided(), SCALE(divided().train)
    if name == "training digits":
        chosen = torch.randint(len(x_0), (N_SAMPLES,), generator=Generator().manual_seed(seed))
        return _judged(pictures.train[chosen])
    makers: dict[str, Callable[[], Denoiser]] = {
        "exact": lambda: ExactDenoiser(x_0),
        "Gaussian": lambda: GaussianDenoiser(x_0),
        "patches of 3": lambda: PatchDenoiser(x_0, 3),
        "patches of 5": lambda: PatchDenoiser(x_0, 5),
    }
    denoiser = makers[name]() if name in makers else trained(name, seed, steps)
    x = SCALE(pictures.held_out)
    losses = {"own loss": loss_of(denoiser, x_0[:360]), "held-out loss": loss_of(denoiser, x)}
    return _judged(SCALE.undo(draw(denoiser, N_SAMPLES, seed))) | losses


def _judged(samples: Tensor) -> dict[str, float]:
    """What is measured of samples, as levels."""
    found = evaluate_pictures(samples, divided().train, divided().held_out, "digits")
    return {figure: value.model for figure, value in found.items()}


def trained(name: str, seed: int, steps: int) -> Diffusion:
    """The notebook's kind of U-Net trained as there, or with one change.

    - "without attention", "without averaging", "without stratified steps": one of its habits left out.
    - "perceptron": the network of the faces in its place.
    - "perceptron, twice the steps": about as many seconds as the U-Net.
    """
    torch.manual_seed(seed)
    perceptron = name.startswith("perceptron")
    network = PictureMLP(SCHEDULE, (1, 8, 8)) if perceptron else UNet(SCHEDULE, (1, 8, 8), (16, 32))
    if name == "without attention":
        network.bottom[1] = nn.Identity()
    stratified = name != "without stratified steps"
    model = Diffusion(network, SCHEDULE, "v", shape=(1, 8, 8), stratified=stratified)
    steps *= 2 if name == "perceptron, twice the steps" else 1
    ema = None if name == "without averaging" else 0.99
    train(model, SCALE(divided().train), steps, 128, 3e-3, Generator().manual_seed(seed), ema=ema)
    return model.eval()


# --- the roll -----------------------------------------------------------------------------------------------


def few_points(*, n: int, seed: int, steps: int = 2000) -> dict[str, float]:
    """Chapter 5's model trained on only n points of the roll: whose denoiser has it become?

    - "near": the share of samples within 0.02 of a training point; "fresh near": that of fresh points.
    - "to the set", "to the roll": the root mean square difference of its x̂_0 from both exact denoisers', at
      fresh points with noise σ = 0.1.
    """
    scale = Standardiser.fit(swiss_roll(50_000, Generator().manual_seed(5)))
    nodes, weights, _ = roll_quadrature(32)
    x_0, fresh = (
        scale(swiss_roll(k, Generator().manual_seed(s))) for k, s in ((n, seed), (2000, 100 + seed))
    )
    schedule = even_log_snr(100)
    torch.manual_seed(seed)
    model = Diffusion(TimeMLP(schedule), schedule, predict="eps", reverse_var="beta")
    train(model, x_0, steps, 512, generator=Generator().manual_seed(seed))
    samples = model.sample(2000, Generator().manual_seed(seed))
    near = {
        name: float((nearest_distances(x, x_0) < NEAR).double().mean())
        for name, x in (("near", samples), ("fresh near", fresh))
    }
    z = fresh + 0.1 * torch.randn(fresh.shape, generator=Generator().manual_seed(seed))
    with torch.no_grad():
        guess = model(z, 0.1)
    oracles = {
        "to the set": ExactDenoiser(x_0),
        "to the roll": ExactDenoiser(scale(nodes).float(), weights),
    }
    apart = {name: (guess - oracle(z, 0.1)).square().mean() ** 0.5 for name, oracle in oracles.items()}
    return near | {name: float(value) for name, value in apart.items()}


SEEDS = (0, 1, 2)
PLAYERS = (
    *("training digits", "Gaussian", "exact", "patches of 3", "patches of 5", "U-Net"),
    *("perceptron", "perceptron, twice the steps"),
)
HABITS = ("without attention", "without averaging", "without stratified steps")
EXPERIMENTS = (
    Experiment(few_points, grid(n=(10, 100, 1000), seed=SEEDS)),
    Experiment(player, grid(name=PLAYERS + HABITS, seed=SEEDS)),
    Experiment(
        memorising, grid(n=(16,), steps=(600,), seed=SEEDS) + grid(n=(128,), steps=(2400,), seed=SEEDS)
    ),
)
