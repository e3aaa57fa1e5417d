"""The engine that trains in the browser, in Node: against PyTorch, the book's samplers, distributions."""

import math
from itertools import pairwise

import pytest
import torch
from engine_probe import (
    HASHES,
    ROLL,
    RUN,
    assert_equal_training,
    flat,
    in_node,
    make_batches,
    make_model,
    session_settings,
    settings_of,
)
from scipy import stats
from support import K, seeded

from diffusion_lib import data
from diffusion_lib.measure.evaluation import distance_to_curve
from diffusion_lib.models import NCSN, ConditionalDiffusion, Flow, LabelledMLP, TimeMLP
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.schedules import at, cosine, even_log_snr, straight
from diffusion_lib.show.engine import ancestral_table, ddim_table, euler_table, langevin_table
from diffusion_lib.solvers.langevin import annealed_langevin
from diffusion_lib.solvers.steps import ancestral, ddim
from diffusion_lib.training import warm_up_and_cosine

LEAST_P = 1e-4  # of a test of a distribution: the draws are the same in each run, so it fails always or never
F32 = torch.finfo(torch.float32).eps


def points(flat_list):
    return torch.tensor(flat_list, dtype=torch.float32).reshape(-1, 2)


# --- training


@pytest.mark.parametrize(
    ("predict", "width", "T", "rows"),
    [("eps", 64, 100, 1024), ("x_0", 64, 40, 1000), ("v", 32, 1000, 1024), ("v", 128, 25, 77)],
)
def test_it_trains_as_pytorch_does(predict, width, T, rows):
    assert_equal_training(make_model(predict, width, even_log_snr(T)), rows=rows)


def make_flow(T, calls=None):
    torch.manual_seed(0)
    schedule = straight(T)
    return Flow(TimeMLP(schedule), schedule, calls)


def test_a_flow_trains_as_in_pytorch():
    assert_equal_training(make_flow(100), rows=300)


@pytest.mark.parametrize("calls", [1, 5, 50])
def test_a_flows_samples_are_the_books(calls):
    model = make_flow(50, calls)
    x = standard_normal((150, 2), torch.empty(0), seeded(2))
    states = model.trajectory(150, seeded(2))
    found = in_node("chain", settings_of(model, euler_table(model)), x, [x] * calls)["states"]
    for ours, theirs in zip(found, states[1:], strict=True):
        torch.testing.assert_close(points(ours), theirs, rtol=0, atol=200 * F32 * float(states.abs().max()))


@pytest.mark.parametrize(
    "network", [{"hidden": 1}, {"hidden": 3}, {"n_directions": 5, "frequencies": [2.0]}, {"width": 4}]
)
def test_other_networks_train_as_in_pytorch(network):
    assert_equal_training(make_model(**network), rows=300)


@pytest.mark.parametrize("predict", ["eps", "x_0", "v"])
def test_bound_weights_give_the_bound_but_for_its_constants(predict):
    model = make_model(predict, schedule=cosine(30), weighting="bound")
    (batch,) = make_batches(30, 256, 1)
    found = in_node("training", settings_of(model), [batch], {"learning_rate": 1e-3, "of": 10})
    term = model.bound_term(**batch)
    loss = (model.T * (term - model.bound_constant[batch["t"]])).mean()
    loss.backward()
    gradient = flat(p.grad for p in model.parameters())
    # The bound is computed by way of x̂_0, in which rounding is multiplied by noise over signal.
    assert found["losses"] == pytest.approx([loss.item()], rel=1e-5)
    assert (flat(found["gradient"]) - gradient).abs().max() <= 2e-5 * gradient.abs().max()


def test_the_gradient_is_that_of_finite_differences():
    model = make_model(width=32)
    (batch,) = make_batches(100, 200, 1)
    found = in_node("training", settings_of(model), [batch], {"learning_rate": 0, "of": 10})
    gradient = flat(found["gradient"])
    model.double()
    doubles = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    start = flat(model.parameters())

    def loss(along):
        torch.nn.utils.vector_to_parameters(start + along, model.parameters())
        with torch.no_grad():
            return float(model.squared_error(**doubles).mean())

    for k in range(5):
        direction = torch.randn(len(start), generator=seeded(k), dtype=torch.float64)
        h = 1e-4
        slope = (loss(h * direction) - loss(-h * direction)) / (2 * h)
        # Central differences err by h² times a third derivative; float32 sums by some F32 of what they add.
        assert float(gradient @ direction) == pytest.approx(slope, abs=2e-5 * float(gradient.norm()))


def test_features_are_those_of_the_network():
    model = make_model(width=4)
    for x in ([0.3, -1.2], [9.0, -14.0], [0.0, 1e-3]):
        batch = {"x_0": torch.tensor([x]), "t": torch.tensor([37]), "eps": torch.zeros(1, 2)}
        settings = settings_of(model)
        settings["process"]["signal"] = [1.0] * 101
        found = in_node("training", settings, [batch], {"learning_rate": 0, "of": 10})
        weights, biases = map(torch.tensor, found["gradient"][:2])
        row = biases.abs().argmax()
        # Of one point, the gradient by a weight is that by the bias, times the feature.
        features = weights.reshape(4, -1)[row] / biases[row]
        true = torch.cat([model.network.waves(batch["x_0"]), model.network.level[[37]]], dim=1)[0]
        # The phase of a wave is rounded: to its size.
        torch.testing.assert_close(features, true, rtol=4 * F32, atol=100 * F32)


def test_zeros_that_fill_up_stay_zero():
    model = make_model()
    batches = make_batches(100, 64, 5)
    found = in_node("training", settings_of(model), batches, {"learning_rate": 0.01, "of": 10})
    all_layers = torch.tensor(found["padded"])
    assert (all_layers != 0).sum() == sum(len(array) for array in found["weights"])
    assert len(all_layers) == 64 * 60 + 64 + 64 * 64 + 64 + 4 * 64 + 4


def test_points_gone_astray_leave_no_trace():
    (batch,) = make_batches(100, 5, 1)
    before, after = in_node("after_infinity", settings_of(make_model(width=8)), batch)
    assert before == after


def test_saturated_units_and_large_points_stay_finite():
    model = make_model()
    settings = settings_of(model)
    settings["weights"] = [[100 * w for w in weights] for weights in settings["weights"]]
    x = torch.tensor([[1e3, -1e3], [0.0, 0.0], [-50.0, 20.0]])
    answer = points(in_node("answer", settings, x, 5))
    for parameter in model.parameters():
        parameter.data *= 100
    true = model.network(x, torch.tensor(5)).detach()
    torch.testing.assert_close(answer, true, rtol=1e-3, atol=float(1e-5 * true.abs().max()))


def test_learning_rates_are_those_of_the_book():
    for steps in (1, 7, 20, 1000):
        true = [warm_up_and_cosine(i, steps) for i in range(steps)]
        assert in_node("rates", steps) == pytest.approx(true, abs=1e-15)


# --- sampling


def with_noise(sampler, n, seed=2):
    """The states of one of the book's samplers, and the start and the noise that it took."""
    generator = seeded(seed)
    x_T = standard_normal((n, 2), torch.empty(0), generator)
    states = list(sampler(x_T, generator))
    generator = seeded(seed)
    noise = [standard_normal((n, 2), x_T, generator) for _ in states]
    return states, noise[0], noise[1:]


def assert_same_chain(model, sampler, table, n=150):
    states, x_T, noise = with_noise(sampler, n)
    found = in_node("chain", settings_of(model, table), x_T, noise)["states"]
    size = max(float(x.abs().max()) for x in states)
    for ours, theirs in zip(found, states[1:], strict=True):
        # Both round at each step, to the size of the states; no step makes an error grow much.
        torch.testing.assert_close(points(ours), theirs, rtol=0, atol=200 * F32 * size)


@pytest.mark.parametrize("predict", ["eps", "x_0", "v"])
@pytest.mark.parametrize("reverse_var", ["beta", "posterior"])
def test_ancestral_sampling_is_the_books(predict, reverse_var):
    model = make_model(predict, 32, even_log_snr(50, 0.01, 5.0), reverse_var=reverse_var)
    assert_same_chain(model, lambda x, g: ancestral(model.reverse, x, model.T, g), ancestral_table(model))


@pytest.mark.parametrize("predict", ["eps", "x_0", "v"])
@pytest.mark.parametrize(("steps", "eta"), [(None, 1.0), ([50, 31, 8, 1], 0.0), ([40, 20, 3], 0.5)])
def test_ddim_is_the_books(predict, steps, eta):
    model = make_model(predict, 32, even_log_snr(50, 0.01, 5.0))

    def sampler(x_T, generator):
        return ddim(model, x_T, model.schedule, steps, eta, generator)

    assert_same_chain(model, sampler, ddim_table(model, steps, eta))


def test_annealed_langevin_is_the_books():
    """Their states are z, the engine's √ᾱ_t z of the level that comes next."""
    schedule = even_log_snr(5, 0.1, 8.0)
    torch.manual_seed(0)
    model = NCSN(TimeMLP(schedule, width=16), schedule, steps=3, r=0.7)
    x_T, signal = standard_normal((50, 2), torch.empty(0), seeded(1)), schedule.signal.float()
    levels = schedule.sigma[1:].flip(0).tolist()
    states = list(annealed_langevin(model, x_T / signal[5], levels, 3, 0.7, seeded(2)))
    drawn = seeded(2)
    noise = [standard_normal((50, 2), x_T, drawn) for _ in range(15)]
    table = langevin_table(model)
    found = in_node("chain", settings_of(model, table), x_T, [*noise, torch.zeros(50, 2)])["states"]
    now = [*table["t"][1:], 0]  # whose units a state has
    for k, (mine, theirs) in enumerate(zip(found, states[1:], strict=True)):
        torch.testing.assert_close(points(mine), signal[now[k]] * theirs, rtol=0, atol=2e-5)


def test_every_coefficient_of_a_step_counts():
    model, x = make_model(width=8), standard_normal((70, 2), torch.empty(0), seeded(1))
    noise = [standard_normal(x.shape, x, seeded(k)) for k in (2, 3)]
    names = ("t", "input_scale", "x_scale", "output_scale", "previous_scale", "noise_scale")
    rows = [(7, 0.5, 0.9, -0.3, 0.0, 0.2), (7, 0.4, 1.1, 0.7, -0.6, 0.1)]  # a level visited twice
    sampler = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    states = in_node("chain", settings_of(model, sampler), x, noise)["states"]
    before = torch.zeros_like(x)
    for found, eps, row in zip(states, noise, rows, strict=True):
        t, of_input, of_x, of_output, of_previous, of_noise = row
        output = model.network(of_input * x, torch.tensor(t)).detach()
        x = of_x * x + of_output * output + of_previous * before + of_noise * eps
        before = output
        torch.testing.assert_close(points(found), x, rtol=0, atol=1e-5)


# --- labels


def with_classes(model):
    """Settings of a network that sees two more features, by the label; and the network as a function."""
    settings, first = settings_of(model), model.network.body[0].weight.detach()
    extra = torch.randn(len(first), 2, generator=seeded(8))
    classes = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, -2.0]]
    settings["network"]["classes"] = classes
    settings["weights"][0] = torch.cat([first, extra], dim=1).flatten().tolist()

    def network(x, t, labels):
        level = model.network.level[t].expand(len(x), 8)
        features = torch.cat([model.network.waves(x), level], dim=1)
        before = model.network.body[0](features) + torch.tensor(classes)[labels] @ extra.T
        return model.network.body[1:](before).detach()

    return settings, network


def test_labels_are_features():
    model, labels = make_model(width=8), torch.arange(300) % 4
    settings, network = with_classes(model)
    (batch,) = make_batches(100, 300, 1)
    found = in_node("training", settings, [batch | {"labels": labels}], {"learning_rate": 0, "of": 1})
    x_t = at(model.schedule.signal, batch["t"], batch["x_0"]) * batch["x_0"]
    x_t = x_t + at(model.schedule.noise, batch["t"], batch["x_0"]) * batch["eps"]
    true = (network(x_t, batch["t"], labels) - batch["eps"]).square().sum(dim=1).mean()
    assert found["losses"] == pytest.approx([float(true)], rel=1e-6)


def test_a_labelled_network_is_the_engines():
    schedule = even_log_snr(100)
    torch.manual_seed(0)
    model = ConditionalDiffusion(LabelledMLP(schedule, 3, width=8), schedule)
    settings = settings_of(model)
    (batch,) = make_batches(100, 300, 1)
    labels = torch.arange(300) % 4
    found = in_node("training", settings, [batch | {"labels": labels}], {"learning_rate": 0, "of": 1})
    true = model.given(labels).squared_error(batch["x_0"], batch["t"], batch["eps"]).mean()
    assert found["losses"] == pytest.approx([float(true.detach())], rel=1e-6)


def test_guidance_goes_beyond_the_answer_with_a_label():
    x, labels = standard_normal((200, 2), torch.empty(0), seeded(1)), torch.arange(200) % 4
    settings, network = with_classes(make_model(width=8))
    names = ("t", "x_scale", "output_scale", "noise_scale")
    settings["sampler"] = dict(zip(names, ([9], [1.0], [1.0], [0.0]), strict=True))
    options = {"labels": labels, "guidance": 3}
    (state,) = in_node("chain", settings, x, [torch.zeros(200, 2)], options)["states"]
    guided = 3 * network(x, 9, labels) - 2 * network(x, 9, 0 * labels)
    torch.testing.assert_close(points(state), x + guided, rtol=0, atol=1e-5)


# --- what it draws


def drawn(source, rows=16_000, seed=1, **network):
    settings = settings_of(make_model(width=4, **network))
    found = in_node("batch", {**settings, "data": source}, rows, seed)
    return {name: points(x) if name in ("x_0", "eps") else torch.tensor(x) for name, x in found.items()}


def test_noise_is_standard_normal():
    eps = drawn(ROLL)["eps"]
    for numbers in (eps[:, 0], eps[:, 1], (eps[:, 0] + eps[:, 1]) / math.sqrt(2), *eps.reshape(-1, 8).T):
        assert stats.kstest(numbers.numpy(), "norm").pvalue > LEAST_P
    rows = eps.reshape(-1, 8)
    correlation = torch.corrcoef(torch.cat([rows[:-1], rows[1:]], dim=1).T) - torch.eye(16)
    assert correlation.abs().max() < K / math.sqrt(len(rows) - 1)
    radius = eps.double().square().sum(dim=1)
    assert stats.kstest((radius / 2).numpy(), "expon").pvalue > LEAST_P


def test_steps_are_uniform():
    t = drawn(ROLL)["t"]
    assert t.min() == 1
    assert t.max() == 100
    assert stats.chisquare(torch.bincount(t)[1:].numpy()).pvalue > LEAST_P


def test_rolls_are_scikit_learns():
    x_0 = drawn(ROLL)["x_0"] * 0.7 + torch.tensor([0.1, -0.2])
    angle = 10 * x_0.double().norm(dim=1)
    assert distance_to_curve(x_0, data.roll_curve(20_000)) < 1e-6
    assert stats.kstest(angle.numpy(), stats.uniform(1.5 * math.pi, 3 * math.pi).cdf).pvalue > LEAST_P
    true = 10 * data.swiss_roll(16_000, seeded()).double().norm(dim=1)
    assert stats.ks_2samp(angle.numpy(), true.numpy()).pvalue > LEAST_P


def test_given_points_are_drawn_with_replacement():
    given = torch.arange(200).reshape(-1, 2).float()
    found = drawn({"x_0": given.flatten().tolist()})
    assert set(map(tuple, found["x_0"].tolist())) == set(map(tuple, given.tolist()))
    assert stats.chisquare(torch.bincount((found["x_0"][:, 0] / 2).long()).numpy()).pvalue > LEAST_P
    assert stats.kstest(found["eps"].flatten().numpy(), "norm").pvalue > LEAST_P


def test_pairs_stay_pairs():
    given = torch.arange(200).float()
    found = drawn({"x_0": given.tolist(), "eps": (-3 * given).tolist()})
    torch.testing.assert_close(found["eps"], -3 * found["x_0"], rtol=0, atol=0)


def test_labels_go_with_their_points_and_are_left_out_at_random():
    settings, _ = with_classes(make_model(width=4))
    source = {"x_0": torch.arange(8).float().tolist(), "labels": [1, 2, 3, 1], "dropout": 0.2}
    found = in_node("batch", {**settings, "data": source}, 16_000, 1)
    rows, labels = points(found["x_0"])[:, 0] / 2, torch.tensor(found["labels"])
    own, kept = torch.tensor([1, 2, 3, 1])[rows.long()], labels > 0
    assert torch.equal(labels[kept], own[kept])
    assert stats.binomtest(int((~kept).sum()), 16_000, 0.2).pvalue > LEAST_P


def test_initial_weights_are_pytorchs():
    found = in_node("initial_weights", settings_of(make_model(width=128))["network"], 5)
    *sizes, n_out = 58, 128, 128, 2
    arrays = [torch.tensor(array) for array in found["weights"]]
    for i, (n_in, n) in enumerate(pairwise([*sizes, n_out])):
        weights, biases = arrays[2 * i : 2 * i + 2]
        assert (len(weights), len(biases)) == (n_in * n, n)
        uniform = stats.uniform(-1 / math.sqrt(n_in), 2 / math.sqrt(n_in))
        for numbers in (weights, biases):
            assert stats.kstest(numbers.numpy(), uniform.cdf).pvalue > LEAST_P
    assert (torch.tensor(found["padded"]) != 0).sum() == sum(map(len, arrays))


def test_seeds_differ():
    one, again, other = (drawn(ROLL, 64, seed)["eps"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.isin(one, other).any()


# --- sessions


def test_a_session_tells_of_its_pictures_and_then_of_its_end():
    *pictures, last = in_node("session", session_settings())
    assert [message["picture"]["step"] for message in pictures] == [0, 6, 24]
    assert all(points(message["picture"]["samples"]).shape == (300, 2) for message in pictures)
    end = last["end"]
    assert (end["reason"], end["step"], end["steps"], len(end["losses"])) == ("done", 24, 24, 24)
    assert end["loss"] == pytest.approx(sum(end["losses"]) / 24)
    assert 0 < pictures[0]["picture"]["seconds"] < pictures[2]["picture"]["seconds"] <= end["seconds"]
    assert pictures[0]["picture"]["loss"] is None  # not a number: there is none yet


def test_slices_do_not_change_the_numbers():
    assert in_node("hashes", session_settings(), 0.01) == in_node("hashes", session_settings(), 10_000)


def test_no_turn_takes_more_than_256_rows():
    assert in_node("turns", session_settings(), 16_384) == [64, 64]
    assert in_node("turns", session_settings(), 257) == [2, 2]


def test_a_session_begins_where_another_ended():
    *pictures, last = in_node("session", session_settings())
    weights, none = last["end"]["weights"], {**RUN, "steps": 0}
    again = session_settings(weights=weights, training=none)
    again["pictures"] = {**again["pictures"], "at": [0]}
    (message, end) = in_node("session", again)
    assert message["picture"]["samples"] == pictures[-1]["picture"]["samples"]
    assert end["end"]["weights"] == weights


def test_a_picture_may_show_the_way_and_the_field():
    grid = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    settings = session_settings()
    settings["pictures"] |= {"states": True, "field": {"points": grid.flatten().tolist(), "t": 7}}
    *_, picture, last = in_node("session", settings)
    picture = picture["picture"]
    assert len(picture["states"]) == 21
    assert picture["states"][-1] == picture["samples"]
    answer = in_node("answer", {**settings, "weights": last["end"]["weights"]}, grid, 7)
    assert picture["field"] == answer
    settings["pictures"]["field"]["t"] = [7, 3]
    *_, picture, _ = in_node("session", settings)
    assert len(picture["picture"]["field"]) == 2
    assert picture["picture"]["field"][0] == answer


def test_outputs_and_weights_come_with_the_states():
    model = make_model("v", width=16, schedule=even_log_snr(20))
    table = ddim_table(model)
    settings = session_settings(sampler=table, training={**RUN, "steps": 0})
    settings["pictures"] = {"at": [0], "points": 50, "seed": 4, "states": True}
    first, last = in_node("session", settings)
    picture, end = first["picture"], last["end"]
    assert picture["weights"] == end["weights"]
    assert len(picture["outputs"]) == len(picture["states"]) - 1 == 20
    for k, output in enumerate(picture["outputs"]):
        x, following, output = map(points, (*picture["states"][k : k + 2], output))
        found = table["x_scale"][k] * x + table["output_scale"][k] * output
        size = abs(table["x_scale"][k]) * x.abs() + abs(table["output_scale"][k]) * output.abs()
        assert ((found - following).abs() <= 4 * F32 * size).all()


def test_a_samplers_noise_may_be_uniform():
    alone = {"t": [1], "x_scale": [0], "output_scale": [0], "noise_scale": [1], "uniform": True}
    pictures = {"at": [0], "points": 10_000, "seed": 4}
    first, *_ = in_node("session", session_settings(sampler=alone, pictures=pictures))
    picture = first["picture"]
    assert stats.kstest(picture["samples"], "uniform").pvalue > LEAST_P
    assert abs(stats.pearsonr(*points(picture["samples"]).T.double()).statistic) < K / 10_000**0.5


def test_a_picture_asks_for_labels():
    """The samples of each wish are those that a session of its own would show."""
    classes = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    base = session_settings()
    network = {**base["network"], "classes": classes}
    shown = {"at": [0], "points": 50, "seed": 4}
    wishes = [{"label": 1, "guidance": 1}, {"label": 2, "guidance": 3}, {"label": 1, "guidance": 0}]
    run = {**RUN, "steps": 0}
    first, *_ = in_node(
        "session", {**base, "network": network, "training": run, "pictures": {**shown, "asked": wishes}}
    )
    for wish, answer in zip(wishes, first["picture"]["asked"], strict=True):
        alone = {**shown, "labels": [wish["label"]] * 50, "guidance": wish["guidance"]}
        own, *_ = in_node("session", {**base, "network": network, "training": run, "pictures": alone})
        assert answer == own["picture"]["samples"]
    assert first["picture"]["asked"][2] == first["picture"]["samples"]  # guidance 0 asks for nothing


def test_a_loss_that_is_not_finite_ends_a_session():
    *_, last = in_node("session", session_settings(training={**RUN, "learning_rate": 1e12}))
    end = last["end"]
    assert end["reason"] == "diverged"
    assert end["message"].startswith("the loss became ")
    assert end["step"] < 24


def test_a_stopped_session_keeps_what_was_learnt():
    *pictures, last = in_node("session", session_settings(), 1000, 2)
    end = last["end"]
    assert (len(pictures), end["reason"], end["step"]) == (2, "stopped", 6)
    assert [len(array) for array in end["weights"]] == [58 * 16, 16, 256, 16, 32, 2]


NETWORK = settings_of(make_model(width=16, schedule=even_log_snr(20)))["network"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {**NETWORK, "width": 10}}, "width = 10; take a multiple of 4 up to 128"),
        ({"network": {**NETWORK, "hidden": 9}}, "hidden = 9; take 1 to 4 hidden layers"),
        ({"network": {**NETWORK, "level": [[0.0]] * 2000}}, "T = 1999; take 1 to 1000"),
        ({"network": {**NETWORK, "level": NETWORK["level"][:-1]}}, "signal has 21 numbers for T = 19"),
        ({"network": {**NETWORK, "waves": [[1.0] * 49] * 2}}, "too many waves or columns of level"),
        ({"weights": [[1.0]]}, "weights has 1 arrays for 3 layers"),
        ({"data": {"x_0": []}}, "data has 0 points; pass 1 to 65536"),
        ({"data": {"x_0": [1.0, None]}}, "data_x_0 has numbers that are not finite"),
        ({"data": {"x_0": [1.0, 2.0], "labels": [1]}}, "labels are whole numbers below 1"),
        ({"data": {"x_0": [1.0, 2.0], "eps": [1.0]}}, "data has parts of unequal length"),
        ({"training": {**RUN, "batch_size": 20_000}}, "batch_size = 20000; take 1 to 16384"),
        ({"pictures": {"at": [0], "points": 20_000}}, "20000 points; take 1 to 16384"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    (last,) = in_node("session", session_settings(**changes))
    assert last["end"]["reason"] == "failed"
    assert last["end"]["message"] == message


def test_the_numbers_are_these_in_every_browser():
    assert in_node("hashes", session_settings()) == HASHES
