"""The advice in a refusal, followed to the letter, gives the right points."""

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import make_swiss_roll
from support import normal
from torch import nn

from diffusion_lib.contracts import PlanePoints, Points, hold
from diffusion_lib.models import Diffusion, TimeMLP
from diffusion_lib.process import forward, schedules

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{words}")
    for words in ("The given NumPy array is not writable", "Creating a tensor from a list")
]
SCHEDULE = schedules.cosine(5)
X = normal(40, 2).float()
ARRAY = X.numpy()
ROLL = make_swiss_roll(30, random_state=0)[0] / 10


class Frame:
    """What pandas' DataFrame has that matters here, as pandas is none of the book's packages."""

    def __init__(self, values):
        self.values = values

    def to_numpy(self, dtype=None):
        return np.array(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)


def followed(call, x_0):
    """The points that `call`'s advice makes of x_0: what stands behind "pass " in the message is run."""
    with pytest.raises(ValueError, match="pass ") as caught:
        call(x_0)
    code = re.search(r"pass (.*)$", str(caught.value))[1]
    assert "reshape" not in code or x_0.ndim == 2  # of an image's row of pixels
    points = eval(code, {"torch": torch, "x_0": x_0})
    call(points)
    return points


def plane(x_0):
    hold(PlanePoints, x_0, "x_0")


def any_shape(x_0):
    hold(Points, x_0, "x_0")


def a_model(x_0):
    Diffusion(TimeMLP(SCHEDULE, width=4), SCHEDULE).loss(x_0)


WRONG = {
    "a list": X.tolist(),
    "a tuple of rows": tuple(map(tuple, X.tolist())),
    "an array": ARRAY,
    "an array of float64": ARRAY.astype(float),
    "an array that runs backwards": ARRAY[::-1].copy()[::-1],
    "an array of objects": ARRAY.astype(object),
    "an array in the other byte order": ARRAY.astype(">f4"),
    "a read-only array": np.broadcast_to(ARRAY, ARRAY.shape),
    "a DataFrame": Frame(ARRAY.tolist()),
    "a list of tensors": list(X),
    "coordinates first": X.T,
    "coordinates first, an array": ARRAY.T,
    "a group of one": X[None],
}


@pytest.mark.parametrize("call", [plane, a_model])
@pytest.mark.parametrize("name", WRONG)
@pytest.mark.filterwarnings(
    "ignore:The given NumPy array is not writable", "ignore:Creating a tensor from a list"
)
def test_the_advice_gives_the_same_points(name, call):
    found = followed(call, WRONG[name])
    assert found.dtype == torch.float32
    assert torch.equal(found, X)


@pytest.mark.parametrize("name", [name for name in WRONG if "first" not in name and "group" not in name])
@pytest.mark.filterwarnings(
    "ignore:The given NumPy array is not writable", "ignore:Creating a tensor from a list"
)
def test_the_advice_of_functions_that_take_any_shape(name):
    assert torch.equal(followed(lambda x_0: forward.marginal(x_0, 1, SCHEDULE), WRONG[name]), X)


@pytest.mark.parametrize("call", [plane, any_shape, a_model])
def test_whole_numbers_become_floats(call):
    whole = torch.arange(6).reshape(3, 2)
    assert torch.equal(followed(call, whole), whole.float())
    assert torch.equal(followed(call, whole.numpy()), whole.float())
    assert torch.equal(followed(call, whole > 2), (whole > 2).float())


@pytest.mark.parametrize("call", [plane, any_shape, a_model])
def test_points_that_are_not_finite_are_left_out(call):
    x_0 = X.clone()
    x_0[3, 1], x_0[7, 0] = torch.nan, torch.inf
    assert torch.equal(followed(call, x_0), torch.cat([X[:3], X[4:7], X[8:]]))


@pytest.mark.parametrize("roll", [ROLL, torch.from_numpy(ROLL), torch.from_numpy(ROLL).float()])
def test_of_scikit_learns_roll_it_takes_the_plane(roll):
    assert np.allclose(followed(plane, roll), ROLL[:, [0, 2]])
    assert np.allclose(followed(a_model, roll), ROLL[:, [0, 2]])


def test_one_point_is_one_row():
    assert torch.equal(followed(plane, X[0]), X[:1])


def test_a_model_of_float64_gets_float64():
    model = Diffusion(TimeMLP(SCHEDULE, width=4), SCHEDULE).double()
    for x_0 in (X, X.tolist(), ARRAY.T):
        assert torch.equal(followed(model.loss, x_0), X.double())


class Image(nn.Module):
    """A network for images of one colour and 8 × 8 pixels."""

    def forward(self, x_t, t):
        return x_t


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 64)])
def test_images_get_their_axes(shape):
    images = normal(5, 1, 8, 8).float()
    model = Diffusion(Image(), SCHEDULE, shape=(1, 8, 8))
    assert torch.equal(followed(model.loss, images.reshape(shape)), images)


@pytest.mark.parametrize("x_0", [None, "x", 3.5, [["a", "b"]], torch.zeros(0, 2), torch.zeros(3, 7), 1j * X])
def test_where_nothing_helps_the_shape_is_named(x_0):
    with pytest.raises(
        ValueError, match=r"^x_0 .*pass (at least one point|a floating-point tensor of shape \(n, 2\))"
    ):
        plane(x_0)
