"""The training loop: it learns, it can be repeated, and it leaves a usable model however it ends."""

import math

import pytest
import torch
from support import normal, refused, seeded
from torch import nn

from diffusion_lib import data, training
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.models.oracle import ExactDenoiser
from diffusion_lib.process.schedules import linear
from diffusion_lib.solvers.steps import AtSteps
from diffusion_lib.training import KEEP_EVERY, train, warm_up_and_cosine


class Centre(nn.Module):
    """The least there is to train: one point, drawn to the data."""

    shape = (2,)

    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.zeros(2))

    def loss(self, x_0, generator):
        return (x_0 - self.point).square().sum(dim=1).mean()


class Failing(Centre):
    """Like `Centre`, but the loss of step `step` goes through `fail`."""

    def __init__(self, step, fail):
        super().__init__()
        self.step, self.fail, self.calls = step, fail, 0

    def loss(self, x_0, generator):
        self.calls += 1
        loss = super().loss(x_0, generator)
        return self.fail(loss, self.point) if self.calls == self.step else loss


def points():
    return (normal(500, 2) * 0.35 + torch.tensor([0.5, -1.0])).float()


def test_it_finds_the_minimum():
    model, x_0 = Centre(), points()
    run = train(model, x_0, steps=400, batch_size=500, learning_rate=5e-2, generator=seeded())
    # The minimum of a batch scatters about the data's mean by 0.35/√500; the last steps average over many.
    # AdamW's decay, 1 % of a rate that falls to 0, pulls less.
    assert (model.point - x_0.mean(dim=0)).abs().max() < 5 * 0.35 / math.sqrt(500)
    assert len(run.losses) == run.kept == 400
    assert run.stopped == ""
    assert run.losses[-1] < run.losses[0] / 4


def test_a_diffusion_model_learns():
    schedule, x_0 = linear(30), data.eight_gaussians(2000, seeded())
    torch.manual_seed(0)
    model = Diffusion(TimeMLP(schedule, width=32), schedule)
    run = train(model, x_0, steps=150, batch_size=256, learning_rate=1e-2, generator=seeded())
    first, last = (torch.tensor(part) for part in (run.losses[:15], run.losses[-50:]))
    standard_error = math.hypot(float(first.std()) / math.sqrt(15), float(last.std()) / math.sqrt(50))
    assert last.mean() < first.mean() - 5 * standard_error


def test_the_seed_is_all_that_decides():
    trained = []
    for start, seed in ((1, 7), (2, 7), (1, 8)):
        torch.manual_seed(start)  # nothing may draw from the global generator
        model = Centre()
        train(model, points(), steps=20, batch_size=8, generator=seeded(seed))
        trained.append(model.point.detach())
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_batches_are_points_of_the_data_of_the_size_asked_for():
    seen, x_0 = [], points()
    model = Failing(1, lambda loss, point: loss)
    model.loss = lambda batch, generator: seen.append(batch) or Centre.loss(model, batch, generator)
    train(model, x_0, steps=40, batch_size=32, generator=seeded())
    assert {batch.shape for batch in seen} == {(32, 2)}
    drawn = {tuple(row.tolist()) for batch in seen for row in batch}
    assert drawn <= {tuple(row.tolist()) for row in x_0}
    # 1280 draws leave out each of 500 points with probability (1 − 1/500)^1280 = 0.077: 461 ± 6 are seen.
    assert abs(len(drawn) - 461) < 5 * 6


def test_the_callback_sees_every_step():
    lengths = []
    train(
        Centre(), points(), steps=5, generator=seeded(), on_step=lambda run: lengths.append(len(run.losses))
    )
    assert lengths == [1, 2, 3, 4, 5]


def test_seconds_are_those_of_the_steps(monkeypatch):
    now = [0.0]

    def clock():
        now[0] += 1.0  # every look at the clock takes a second
        return now[0]

    def look(run):
        now[0] += 1000.0

    monkeypatch.setattr(training.time, "perf_counter", clock)
    run = train(Centre(), points(), steps=5, generator=seeded(), on_step=look)
    assert run.seconds == 5
    assert run.steps_per_second == 1


def test_a_run_that_has_not_begun_has_no_rate():
    assert training.TrainingRun().steps_per_second == 0


def test_an_interrupt_keeps_what_was_learnt():
    model, seen = Centre(), []

    def stop_after_seven(run):
        seen.append(model.point.detach().clone())
        if len(run.losses) == 7:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="ended early: interrupted. The model is that of step 7"):
        run = train(model, points(), steps=100, generator=seeded(), on_step=stop_after_seven)
    assert run.stopped == "interrupted"
    assert run.kept == len(run.losses) == 7
    assert torch.equal(model.point, seen[-1])
    assert not torch.equal(model.point, seen[0])


def test_an_interrupt_after_a_step_finds_it_counted(monkeypatch):
    model, steps = Centre(), []

    def stop_after_seven(self):
        steps.append(model.point.detach().clone())
        if len(steps) == 8:  # the first is that of the rate's start
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.lr_scheduler.LambdaLR, "step", stop_after_seven)
    with pytest.warns(UserWarning, match="The model is that of step"):
        run = train(model, points(), steps=100, generator=seeded())
    assert run.kept == len(steps) - 1
    assert not torch.equal(steps[-1], steps[-2])


def weights_after(step, steps):
    """The weights that an undisturbed run of `steps` steps has after step number `step`; 0 is the start."""
    model = Centre()
    seen = [model.point.detach().clone()]
    train(
        model,
        points(),
        steps,
        generator=seeded(),
        on_step=lambda run: seen.append(model.point.detach().clone()),
    )
    return seen[step]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(("step", "kept"), [(2, 0), (KEEP_EVERY + 10, KEEP_EVERY)])
def test_a_loss_that_is_not_finite_brings_back_good_weights(value, step, kept):
    model = Failing(step, lambda loss, point: loss * value)
    with pytest.warns(UserWarning, match=f"the loss became {value}"):
        run = train(model, points(), steps=100, generator=seeded())
    assert len(run.losses) == step - 1
    for part in (f"the loss became {value}", "learning rate 0.02 may be too large"):
        assert part in run.stopped
    assert run.kept == kept
    assert torch.equal(model.point, weights_after(kept, 100))


@pytest.mark.parametrize(("step", "kept"), [(3, 0), (KEEP_EVERY + 1, KEEP_EVERY)])
def test_weights_that_are_not_finite_bring_back_good_ones(step, kept):
    # √ has an infinite slope at 0: the loss is what it was, and its gradient is NaN.
    model = Failing(step, lambda loss, point: loss + 0 * (0 * point).sqrt().sum())
    model_loss, calls = model.loss, []

    def finite_loss(x_0, generator):
        calls.append(1)
        return (
            model_loss(x_0, generator) if len(calls) <= step else (0 * model.point.nan_to_num()).sum() + 1.0
        )

    model.loss = finite_loss
    with pytest.warns(UserWarning, match="the weights are not finite"):
        run = train(model, points(), steps=60, generator=seeded())
    assert all(math.isfinite(loss) for loss in run.losses)
    assert "the weights are not finite" in run.stopped
    assert "learning rate 0.02 may be too large" in run.stopped
    assert torch.equal(model.point, weights_after(kept, 60))
    assert run.kept == kept


def test_an_error_is_raised_with_a_note_and_leaves_good_weights():
    def fail(loss, point):
        raise RuntimeError("out of ink")

    model = Failing(KEEP_EVERY + 10, fail)
    with pytest.raises(RuntimeError, match="out of ink") as caught:
        train(model, points(), steps=100, generator=seeded())
    assert caught.value.__notes__ == [f"The model keeps its weights after step {KEEP_EVERY} of 100."]
    assert torch.equal(model.point, weights_after(KEEP_EVERY, 100))


@pytest.mark.parametrize("steps", [1, 2, 10, 20, 100, 1500])
def test_the_rate_rises_in_a_line_and_falls_along_a_cosine(steps):
    factors = [warm_up_and_cosine(i, steps) for i in range(steps)]
    warm_up = max(1, steps // 20)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors == factors[:warm_up] + sorted(factors[warm_up:], reverse=True)
    assert factors[: warm_up - 1] == sorted(factors[: warm_up - 1])
    for i, factor in enumerate(factors):
        rise = min(1.0, (i + 1) / warm_up)
        assert factor == pytest.approx(
            rise * math.cos(math.pi * i / (2 * steps)) ** 2, rel=1e-12
        )  # half angle
    assert warm_up_and_cosine(steps, steps) == pytest.approx(0, abs=1e-15)


def test_the_first_step_is_a_step():
    assert not torch.equal(weights_after(1, 100), weights_after(0, 100))


@pytest.mark.parametrize(
    ("x_0", "settings", "parts"),
    [
        (torch.zeros(0, 2), {}, ("x_0 is empty", "at least one")),
        (torch.zeros(5, 3), {}, ("x_0 has shape (5, 3)", "(n, 2)")),
        (torch.full((5, 2), math.nan), {}, ("x_0 has 5 points with NaN", "remove")),
        (torch.zeros(5, 2).long(), {}, ("x_0 is torch.int64", "x_0.float()")),
        (torch.zeros(5, 2).double(), {}, ("x_0 is torch.float64", "model torch.float32", "pass x_0.to")),
        (torch.zeros(5, 2), {"steps": 0}, ("steps = 0", "at least 1")),
        (torch.zeros(5, 2), {"batch_size": 2.5}, ("batch_size = 2.5", "whole number")),
        (torch.zeros(5, 2), {"learning_rate": 0.0}, ("learning_rate = 0.0", "positive")),
        (torch.zeros(5, 2), {"learning_rate": math.nan}, ("learning_rate = nan", "positive")),
    ],
)
def test_bad_input_is_refused(x_0, settings, parts):
    with refused(*parts):
        train(Centre(), x_0, **settings)


def test_a_model_without_parameters_is_refused():
    schedule = linear(30)
    oracle = Diffusion(AtSteps(ExactDenoiser(torch.zeros(1, 2)), schedule), schedule, "x_0")
    with refused("model, a Diffusion", "no parameters", "pass a model with a network"):
        train(oracle, points())


# --- labels


class Telling(Centre):
    """Like `Centre`, and notes what its batches are."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def loss(self, x_0, generator, labels=0):
        self.batches.append((x_0, labels))
        return super().loss(x_0, generator)


def test_labels_go_with_their_points():
    x_0 = points()
    model, labels = Telling(), torch.arange(len(x_0))
    train(model, x_0, steps=5, batch_size=30, generator=seeded(), labels=labels)
    assert len(model.batches) == 6  # the last weights prove themselves, too
    for batch, told in model.batches:
        assert torch.equal(batch, x_0[told])


def test_labels_draw_no_other_batches():
    with_labels, without = Telling(), Centre()
    train(with_labels, points(), steps=5, generator=seeded(), labels=torch.zeros(500).long())
    train(without, points(), steps=5, generator=seeded())
    assert torch.equal(with_labels.point, without.point)


@pytest.mark.parametrize(
    ("model", "labels", "message"),
    [
        (Telling(), torch.ones(3).long(), "labels has shape (3,)"),
        (Telling(), torch.ones(1).long(), "labels has shape (1,); pass one for each point, shape (500,)"),
        (Telling(), torch.ones(500), "labels are whole numbers: pass an int or an int64 tensor"),
        (Telling(), -torch.ones(500).long(), "pass labels at least 0, 0 being no label"),
        (Telling(), [1] * 500, "pass a Tensor"),
        (Centre(), torch.ones(500).long(), "the loss of a Centre takes none; pass a ConditionalDiffusion"),
    ],
)
def test_labels_that_do_not_fit_are_refused(model, labels, message):
    with refused("labels", message):
        train(model, points(), labels=labels)


# --- noise


class Paired(Centre):
    """Like `Centre`, and notes what its batches are."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def loss(self, x_0, generator, noise=None):
        self.batches.append((x_0, noise))
        return super().loss(x_0, generator)


def test_noise_goes_with_its_points():
    x_0, model = points(), Paired()
    train(model, x_0, steps=5, batch_size=30, generator=seeded(), noise=x_0 + 1)
    assert len(model.batches) == 6
    for batch, noise in model.batches:
        assert torch.equal(noise, batch + 1)


@pytest.mark.parametrize(
    ("model", "noise", "message"),
    [
        (Paired(), points()[:3], "shapes (500, 2) and (3, 2); pass both in one shape"),
        (Paired(), points() / 0, "points with NaN or infinite coordinates"),
        (Paired(), [1] * 500, "pass"),
        (Centre(), points(), "the loss of a Centre takes none; pass a Flow"),
    ],
)
def test_noise_that_does_not_fit_is_refused(model, noise, message):
    with refused("noise", message):
        train(model, points(), noise=noise)


# --- the average of the weights


def averaged(points_seen, decay):
    """The exponential moving average by its definition, of weights w_0 (the start), w_1, …"""
    mean = points_seen[0]
    for i, point in enumerate(points_seen[1:]):
        d = min(decay, (1 + i) / (10 + i))
        mean = d * mean + (1 - d) * point
    return mean


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_with_ema_the_model_gets_the_average_of_its_weights(decay):
    model = Centre()
    seen = [model.point.detach().clone()]
    look = lambda run: seen.append(model.point.detach().clone())  # noqa: E731
    train(model, points(), steps=60, generator=seeded(), on_step=look, ema=decay)
    assert torch.equal(torch.stack(seen), torch.stack([weights_after(k, 60) for k in range(61)]))
    torch.testing.assert_close(model.point.detach(), averaged(seen, decay), rtol=1e-5, atol=1e-7)
    assert torch.equal(model.point, seen[-1]) == (decay == 0)


def test_an_interrupt_leaves_the_average_too():
    model, seen = Centre(), [torch.zeros(2)]

    def stop_after_seven(run):
        seen.append(model.point.detach().clone())
        if len(run.losses) == 7:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        train(model, points(), steps=100, generator=seeded(), on_step=stop_after_seven, ema=0.9)
    torch.testing.assert_close(model.point.detach(), averaged(seen, 0.9), rtol=1e-5, atol=1e-7)


def test_a_run_that_diverges_brings_back_weights_and_no_average():
    model = Failing(KEEP_EVERY + 10, lambda loss, point: loss * math.nan)
    with pytest.warns(UserWarning, match="the loss became nan"):
        train(model, points(), steps=100, generator=seeded(), ema=0.9)
    assert torch.equal(model.point, weights_after(KEEP_EVERY, 100))


def test_the_average_of_weights_scatters_less_than_the_last_ones():
    """At a high rate the weights jump about the minimum; the average of the last 20 or so hardly does."""
    last, mean = [], []
    for seed in range(12):
        for ema, found in ((None, last), (0.95, mean)):
            model = Centre()
            train(model, points(), 100, 4, 0.5, seeded(seed), ema=ema)
            found.append((model.point - points().mean(dim=0)).square().sum().item())
    assert sum(mean) < sum(last)


@pytest.mark.parametrize("ema", [1.0, -0.1, "0.9", math.nan, True])
def test_a_decay_that_averages_nothing_is_refused(ema):
    with refused(f"ema = {ema!r}", "pass a number from 0 to below 1, such as 0.995"):
        train(Centre(), points(), ema=ema)
