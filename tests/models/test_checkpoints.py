"""Models as files: they come back as they were, or the file is refused with the reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import normal, refused, seeded
from torch import nn

from diffusion_lib.models import NCSN, ConditionalDiffusion, Diffusion, LabelledMLP, TimeMLP, UNet, load, save
from diffusion_lib.process.schedules import cosine, even_log_snr

SCHEDULE = cosine(20)


def unet_model():
    torch.manual_seed(0)
    network = UNet(SCHEDULE, (1, 4, 4), (8, 16), n_labels=2)
    return Diffusion(network, SCHEDULE, "v", "bound", "beta", (1, 4, 4), stratified=True)


def perceptron():
    torch.manual_seed(0)
    return Diffusion(TimeMLP(SCHEDULE, 8, 1, 3, (2.0,)), SCHEDULE)


def conditional():
    torch.manual_seed(0)
    return ConditionalDiffusion(LabelledMLP(SCHEDULE, 3, width=8).double(), SCHEDULE, "x_0", 0.3, "beta")


class Own(nn.Module):
    """A reader's own network."""

    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(2, width)

    def forward(self, x_t, t):
        return self.layer(x_t)


MAKERS = {f.__name__: f for f in (unet_model, perceptron, conditional)}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def stir(model):
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=seeded(p.numel()), dtype=p.dtype)
    return model


@every
def test_a_model_comes_back_as_it_was(make, path):
    model = stir(make())
    save(model, path)
    found = load(str(path))
    assert type(found) is type(model)
    assert type(found.network) is type(model.network)
    x = normal(3, *model.shape).to(next(model.parameters()))
    for t in (1, 9, 20):
        assert torch.equal(found.denoise(x, t), model.denoise(x, t))
        assert torch.equal(found.reverse(x, t).var, model.reverse(x, t).var)
    assert torch.equal(found.schedule.alpha, model.schedule.alpha)
    assert torch.equal(found.loss(x, seeded(1)), model.loss(x, seeded(1)))
    assert torch.equal(found.sample(2, seeded(2)), model.sample(2, seeded(2)))


@every
def test_it_can_be_put_into_a_model(make, path):
    model, other = stir(make()), make()
    save(model, path)
    assert load(path, other) is other
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), model.parameters(), strict=True))


def test_a_file_has_numbers_and_words_only(path):
    save(stir(perceptron()), path)
    head = path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")]
    assert set(json.loads(head)) == set(perceptron().state_dict()) | {"__metadata__"}
    assert path.stat().st_size < 4 * sum(p.numel() for p in perceptron().parameters()) + 21 * 8 + 2000


def test_a_readers_own_network_needs_a_model_to_be_put_into(path):
    model, other = (Diffusion(Own(2), SCHEDULE) for _ in range(2))
    save(model, path)
    with refused(
        "model.safetensors has weights of a Own, which is not the library's", "pass a model with such"
    ):
        load(path)
    assert torch.equal(load(path, other).network.layer.weight, model.network.layer.weight)


def test_a_readers_own_copy_of_a_network_takes_the_librarys_weights(path):
    class Mine(TimeMLP):
        pass

    save(stir(perceptron()), path)
    mine = Diffusion(Mine(SCHEDULE, 8, 1, 3, (2.0,)), SCHEDULE)
    x = normal(3, 2).float()
    assert torch.equal(load(path, mine).denoise(x, 4), load(path).denoise(x, 4))


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (lambda: Diffusion(TimeMLP(SCHEDULE, 8, 1, 3, (2.0,)), SCHEDULE, "v"),
         ("model has predict = 'v' and the file 'eps'", "or leave it out: load(path)")),
        (lambda: Diffusion(TimeMLP(SCHEDULE, 9, 1, 3, (2.0,)), SCHEDULE),
         ("model has network.width = 9 and the file 8", "build the model")),
        (lambda: Diffusion(TimeMLP(cosine(21), 8, 1, 3, (2.0,)), cosine(21)),
         ("state_dict is of a model with a schedule of T = 20", "this Diffusion has a schedule of T = 21")),
        (lambda: Diffusion(TimeMLP(even_log_snr(20), 8, 1, 3, (2.0,)), even_log_snr(20)),
         ("state_dict is of a model with a schedule of T = 20 steps that ends at", "build the model with")),
        (lambda: Diffusion(Own(2), SCHEDULE), ("the file has network.body.0.bias and the model has not",)),
        (lambda: conditional(), ("model has predict = 'x_0' and the file 'eps'",)),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_and_change_nothing(other, parts, path):
    save(stir(perceptron()), path)
    model = other()
    before = [p.detach().clone() for p in model.parameters()]
    with refused(*parts):
        load(path, model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_weights_of_another_size_are_refused(path):
    save(Diffusion(Own(2), SCHEDULE), path)
    weights = load_file(path)
    own = {"predict": "eps", "reverse_var": "posterior", "shape": [2], "weighting": "simple"}
    settings = {"model": ["Diffusion", own | {"stratified": False}], "network": ["Own", None]}
    weights["network.layer.weight"] = torch.zeros(3, 2)
    save_file(weights, path, {"diffusion_lib": json.dumps(settings)})
    with refused("network.layer.weight has shape (3, 2) in model.safetensors and (2, 2) in the model"):
        load(path, Diffusion(Own(2), SCHEDULE))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_checkpoint_is_refused(content, path):
    path.write_bytes(content)
    with refused("model.safetensors is no checkpoint of this library", "pass a file that save wrote"):
        load(path)


def test_a_cut_off_file_is_refused(path):
    save(perceptron(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with refused("model.safetensors is no checkpoint of this library"):
        load(path)


def test_a_model_of_the_future_is_refused(path):
    save(perceptron(), path)
    weights = load_file(path)
    save_file(
        weights, path, {"diffusion_lib": json.dumps({"model": ["Hyper", {}], "network": ["TimeMLP", {}]})}
    )
    with refused("model.safetensors is of no model known here ('Hyper')", "take a newer library"):
        load(path)


def test_a_pickle_is_refused(path):
    torch.save(perceptron().state_dict(), path)
    with refused("is no checkpoint of this library"):
        load(path)


def test_only_models_that_can_be_built_again_are_saved(path):
    with refused("model is a NCSN; pass a Diffusion or a ConditionalDiffusion"):
        save(NCSN(TimeMLP(SCHEDULE), SCHEDULE), path)
    with refused("model is a TimeMLP", "pass a Diffusion or"):
        save(TimeMLP(SCHEDULE), path)
    with refused("path is an int; pass a string or a Path"):
        save(perceptron(), 3)
    with refused("is no file; pass one that exists"):
        load(path)
