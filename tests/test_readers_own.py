"""What readers bring, as they bring it: own data, networks, devices and weights, through the public door.

Each refusal is held to the letter, because it's all that a reader sees. What training takes with a warning,
and that the proposals of refusals and warnings work, is held beside the rules (`contracts`, `models`).
"""

import re
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import make_swiss_roll
from support import normal, seeded
from torch import nn

from diffusion_lib import data
from diffusion_lib.measure import evaluation
from diffusion_lib.models import VAE, Diffusion, FirstFormChain
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process import schedules
from diffusion_lib.training import train

SCHEDULE = schedules.even_log_snr(20)
X = normal(200, 2).float()
ROWS = "points are rows, (n, 2)"


class Embedded(nn.Module):
    """A network that knows the step from a table of `entries` rows."""

    def __init__(self, entries):
        super().__init__()
        self.table, self.last = nn.Embedding(entries, 8), nn.Linear(10, 2)

    def forward(self, x_t, t):
        return self.last(torch.cat([x_t, self.table(t)], dim=1))


def a_model(schedule=SCHEDULE):
    torch.manual_seed(0)
    return Diffusion(TimeMLP(schedule), schedule)


def trained_on(x_0):
    train(a_model(), x_0, steps=2, batch_size=16, generator=seeded())


def refused(call, message):
    """The call ends in a ValueError with just this message."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


class Table:
    """A pandas DataFrame, as far as anybody asks it: a shape, and its numbers on demand."""

    shape = (200, 2)

    def __len__(self):
        return 200

    def to_numpy(self, dtype):
        return X.numpy().astype(dtype)


DATA = {
    "coordinates in rows": (X.T, f"x_0 has shape (2, 200); {ROWS}: pass x_0.T"),
    "scikit-learn's roll": (
        make_swiss_roll(200, random_state=0)[0],
        "x_0 is ndarray; pass torch.as_tensor(x_0).float()[:, [0, 2]]",
    ),
    "three columns": (normal(200, 3).float(), f"x_0 has shape (200, 3); {ROWS}: pass x_0[:, [0, 2]]"),
    "five columns": (
        normal(200, 5).float(),
        f"x_0 has shape (200, 5); {ROWS}: pass a floating-point tensor of shape (n, 2)",
    ),
    "whole numbers": ((9 * X).long(), "x_0 is torch.int64; pass x_0.float()"),
    "a list": (X.tolist(), "x_0 is list; pass torch.as_tensor(x_0)"),
    "NumPy's floats": (X.double().numpy(), "x_0 is ndarray; pass torch.as_tensor(x_0).float()"),
    "float64": (
        X.double(),
        "x_0 is torch.float64 and the model torch.float32; pass x_0.to(torch.float32)",
    ),
    "a DataFrame": (Table(), "x_0 is Table; pass torch.as_tensor(x_0.to_numpy(float)).float()"),
    "one point": (X[0], f"x_0 has shape (2,); {ROWS}: pass x_0[None]"),
    "no point": (X[:0], "x_0 is empty, shape (0, 2); pass at least one point"),
    "a hole": (
        torch.cat([X, torch.tensor([[0.0, np.nan]])]),
        "x_0 has 1 points with NaN or infinite coordinates; remove them: "
        "pass x_0[x_0.flatten(1).isfinite().all(dim=1)]",
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_data_of_another_form_is_told_its_remedy(name):
    x_0, message = DATA[name]
    refused(lambda: trained_on(x_0), message)


def test_standard_units_want_points_that_vary():
    refused(
        lambda: data.Standardiser.fit(torch.ones(100, 2)),
        "x is constant (all 100 points equal [1.0, 1.0]); pass data that varies",
    )


STEPS = "t runs from {0} to {0}; pass steps in 1…T, here with T = 20 (t = 0 is the data)"
WHOLE = "t has type torch.float32; steps are whole numbers: pass an int or an int64 tensor, such as t.long()"


@pytest.mark.parametrize(("t", "message"), [(0, STEPS.format(0)), (21, STEPS.format(21)), (3.5, WHOLE)])
def test_a_step_outside_the_chain_is_named(t, message):
    refused(lambda: a_model().denoise(X, t), message)


def test_one_step_for_all_points_is_a_number_or_a_tensor_without_axes():
    model = a_model()
    with torch.no_grad():
        assert torch.equal(model.denoise(X, 3), model.denoise(X, torch.tensor(3)))
        assert torch.equal(model.denoise(X, 3), model.denoise(X, torch.full((200,), 3)))


@pytest.mark.parametrize("maker", [Diffusion, FirstFormChain])
def test_a_table_of_steps_has_a_row_for_each_t_and_one_for_0(maker):
    own = maker(Embedded(21), SCHEDULE)
    train(own, X, steps=2, batch_size=16, generator=seeded())
    assert own.sample(5, seeded()).shape == (5, 2)
    short = maker(Embedded(20), SCHEDULE)
    with pytest.raises(ValueError, match=r"^network fails .* int64, in 1…20: make it take these$"):
        short.sample(5, seeded())


def test_everything_may_be_made_on_the_default_device():
    try:
        torch.set_default_device("meta")
        model = a_model()
        loss = model.loss(torch.randn(10, 2))
    finally:
        torch.set_default_device("cpu")
    assert loss.device.type == "meta"
    assert {weight.device.type for weight in model.parameters()} == {"meta"}


def test_what_is_on_another_device_is_told_where_to_go():
    there = torch.zeros(10, 2, device="meta")
    refused(lambda: a_model().loss(there), "x_0 is on meta and the model on cpu; pass x_0.to('cpu')")
    refused(
        lambda: a_model().to("meta").loss(there, seeded(7)),
        "generator is on cpu and the model on meta; pass torch.Generator('meta').manual_seed(7)",
    )
    refused(
        lambda: a_model().sample(5, 7),
        "generator = 7; pass PyTorch's, such as torch.Generator().manual_seed(7)",
    )


def test_weights_know_their_schedule():
    weights, other = a_model().state_dict(), schedules.even_log_snr(10)
    with pytest.raises(ValueError, match=r"^state_dict is of a model with a schedule of T = 20 ") as refusal:
        a_model(other).load_state_dict(weights)
    code = str(refusal.value).rpartition("build the model with ")[2]
    rebuilt = eval(code, {"Schedule": schedules.Schedule, "state_dict": weights})
    a_model(rebuilt).load_state_dict(weights)


@pytest.mark.parametrize("n", [0, -1, 2.0, "5"])
def test_the_number_of_samples_is_a_number(n):
    refused(lambda: VAE().sample(n), f"n = {n!r}; pass a whole number of at least 1")


def test_samples_are_judged_in_the_plane():
    plane, space = (partial(lambda width, n, generator: normal(n, width), width) for width in (2, 3))
    for sample, fresh, name in ((space, plane, "sample"), (plane, space, "fresh")):
        with pytest.raises(ValueError, match=f"^the result of {name} has shape .*{re.escape(ROWS)}"):
            evaluation.evaluate(sample, fresh, n=200)
    refused(lambda: evaluation.sliced_wasserstein(X, X.T), f"y has shape (2, 200); {ROWS}: pass y.T")
