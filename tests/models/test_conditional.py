"""A model that is told labels: what it learns with them, without them, and how often it must do without."""

import math

import pytest
import torch
from support import EPS, K, normal, refused, seeded
from torch import nn

from diffusion_lib.models import ConditionalDiffusion, Diffusion, LabelledMLP, TimeMLP
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import steps
from diffusion_lib.solvers.steps import ddim
from diffusion_lib.training import train

SCHEDULE = even_log_snr(20)
PREDICTS = pytest.mark.parametrize("predict", ["x_0", "eps", "v", "u"])


def network(n_labels=3):
    torch.manual_seed(0)
    return LabelledMLP(SCHEDULE, n_labels, width=8).double()


def make(predict="eps", **settings):
    return ConditionalDiffusion(network(), SCHEDULE, predict, **settings)


class Echo(nn.Module):
    """Notes the labels that it is told, and guesses that there is no noise."""

    def __init__(self):
        super().__init__()
        self.told, self.weight = [], nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x_t, t, labels=0):
        self.told.append(labels)
        return self.weight * x_t


# --- the network


def test_a_label_is_one_input_more():
    net, x_t, t = network(), normal(6, 2), torch.arange(1, 7)
    plain = TimeMLP(SCHEDULE, width=8).double()
    first, extra = net.body[0].weight.detach()[:, :-3], net.body[0].weight.detach()[:, -3:]
    plain.load_state_dict(net.state_dict() | {"body.0.weight": first})
    torch.testing.assert_close(net(x_t, t), plain(x_t, t), rtol=0, atol=100 * EPS)  # no label is no input
    with torch.no_grad():
        plain.body[0].bias += extra[:, 1]
    torch.testing.assert_close(net(x_t, t, 2), plain(x_t, t), rtol=0, atol=100 * EPS)


def test_each_row_has_its_label():
    net, x_t, labels = network(), normal(4, 2), torch.tensor([3, 0, 1, 2])
    together = net(x_t, 5, labels)
    for row, label in enumerate(labels.tolist()):
        alone = net(x_t[row : row + 1], 5, label)[0]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (4, "labels runs from 4 to 4; pass labels in 0…3, 0 being no label"),
        (-1, "labels runs from -1 to -1; pass labels in 0…3"),
        (1.5, "labels are whole numbers: pass an int or an int64 tensor"),
        (torch.ones(5).long(), "pass one label, or one for each row"),
        ("red", "labels = 'red' is no label; pass an int"),
    ],
)
def test_what_is_no_label_is_refused(labels, message):
    with refused("labels", message):
        network()(normal(4, 2), 5, labels)


# --- the model


@PREDICTS
def test_told_no_label_it_is_the_model_without(predict):
    model, x_t = make(predict), normal(5, 2)
    plain = Diffusion(model.network, SCHEDULE, predict)
    for unconditional in (model, model.given(0)):
        assert torch.equal(unconditional.denoise(x_t, 7), plain.denoise(x_t, 7))
        assert torch.equal(unconditional.sample(5, seeded()), plain.sample(5, seeded()))


@PREDICTS
def test_told_a_label_it_is_the_model_of_that_label(predict):
    model, x_t = make(predict, reverse_var="beta"), normal(5, 2)
    said = model.network(x_t, 7, 2)
    found = model.given(2)
    assert torch.equal(found._ask(x_t, 7), said)
    assert torch.equal(found.reverse(x_t, 7).var, model.reverse(x_t, 7).var)
    assert found(x_t, 0.3).shape == (5, 2)
    assert found.sample(5, seeded()).shape == (5, 2)


def test_labels_stay_with_their_rows_when_many_are_asked_in_blocks(monkeypatch):
    """A network gets some rows at a time; each must still be told its own label."""
    model, labels, n = make(), torch.tensor([1, 2, 3] * 7), 21
    told = model.given(labels)
    whole, guided = told.sample(n, seeded()), list(ddim(told, normal(n, 2), SCHEDULE))
    monkeypatch.setattr(steps, "BLOCK", 10)  # five points of two numbers
    torch.testing.assert_close(told.sample(n, seeded()), whole, rtol=0, atol=1000 * EPS)
    torch.testing.assert_close(list(ddim(told, normal(n, 2), SCHEDULE)), guided, rtol=0, atol=1000 * EPS)
    for label in (1, 2, 3):
        alone = model.given(label).trajectory(n, seeded())[-1]
        found = told.sample(n, seeded())
        torch.testing.assert_close(found[labels == label], alone[labels == label], rtol=0, atol=1000 * EPS)


def test_without_dropout_its_loss_is_that_of_the_told_model():
    model, x_0, labels = make(dropout=0), normal(50, 2), torch.arange(50) % 4
    same = seeded(3)
    torch.rand(50, generator=same)  # which labels to drop
    found = model.loss(x_0, seeded(3), labels)
    assert torch.equal(found, model.given(labels).loss(x_0, same))


def test_labels_are_dropped_as_often_as_asked_for_and_never_changed():
    echo, labels = Echo(), torch.arange(20_000) % 3 + 1
    model = ConditionalDiffusion(echo, SCHEDULE, dropout=0.2)
    model.loss(normal(20_000, 2), seeded(), labels)
    (told,) = echo.told
    dropped = told == 0
    assert torch.equal(told[~dropped], labels[~dropped])
    for label in (1, 2, 3):
        share = float(dropped[labels == label].double().mean())
        assert abs(share - 0.2) < K * math.sqrt(0.2 * 0.8 / (20_000 / 3))


def test_it_learns_each_label_and_all_of_them():
    torch.manual_seed(0)
    x_0 = torch.randn(2000, 2, generator=seeded(1)) * 0.1 + torch.tensor([1.0, 0.0])
    labels = torch.randint(1, 3, (2000,), generator=seeded(2))
    x_0[labels == 2] -= torch.tensor([2.0, 0.0])  # label 1 on the right, label 2 on the left
    model = ConditionalDiffusion(LabelledMLP(SCHEDULE, 2, width=32), SCHEDULE)
    train(model, x_0, steps=400, batch_size=256, generator=seeded(), labels=labels)
    assert (model.given(1).sample(200, seeded())[:, 0] > 0).float().mean() > 0.97
    assert (model.given(2).sample(200, seeded())[:, 0] < 0).float().mean() > 0.97
    assert 0.3 < (model.sample(500, seeded())[:, 0] > 0).float().mean() < 0.7


def test_a_dropout_of_one_leaves_nothing_to_learn():
    with refused("dropout = 1", "a probability below 1"):
        make(dropout=1)
