"""The settings with which a page trains: which models the engine can take, and what it is told of them."""

import json
import re

import numpy as np
import pytest
import torch
from support import normal, refused, seeded
from torch import nn

from diffusion_lib import data
from diffusion_lib.models import NCSN, VAE, ConditionalDiffusion, Diffusion, Flow, LabelledMLP
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.schedules import even_log_snr, straight
from diffusion_lib.show.engine import ancestral_table, network_table, process_table
from diffusion_lib.show.engine.page import ROOM
from diffusion_lib.show.engine.settings import LIMITS, MOST_POINTS, fits, training_settings
from diffusion_lib.show.widgets import Stepper, train_live
from diffusion_lib.show.widgets.frames import Panel
from diffusion_lib.show.widgets.live_run import N_POINTS, SEED
from diffusion_lib.show.widgets.stepper import quantise

SCHEDULE = even_log_snr(20)


def make(schedule=SCHEDULE, **options):
    torch.manual_seed(0)
    return Diffusion(TimeMLP(schedule, **options), schedule, reverse_var="beta")


def make_conditional(**options):
    torch.manual_seed(0)
    return ConditionalDiffusion(LabelledMLP(SCHEDULE, 3, **options), SCHEDULE, dropout=0.2)


def make_ncsn(**options):
    torch.manual_seed(0)
    schedule = even_log_snr(4, 0.1, 5.0)
    return NCSN(TimeMLP(schedule, **options), schedule, steps=3, r=0.7)


class Bent(TimeMLP):
    """A network of a reader's own, made from the book's."""

    def forward(self, x_t, t):
        return super().forward(x_t, t).tanh()


class Other(nn.Module):
    def forward(self, x_t, t):
        return x_t


@pytest.mark.parametrize(
    ("model", "batch_size", "answer"),
    [
        (make(), 1024, True),
        (make(width=128, hidden=4), 16384, True),
        (make(), 16385, False),
        (make(width=30), 8, False),
        (make(width=132), 8, False),
        (make(hidden=5), 8, False),
        (make(n_directions=25), 8, False),
        (make(even_log_snr(1001)), 8, False),
        (Diffusion(Bent(SCHEDULE), SCHEDULE), 8, False),
        (Diffusion(Other(), SCHEDULE), 8, False),
        (Diffusion(TimeMLP(SCHEDULE), SCHEDULE, stratified=True), 8, False),
        (VAE(), 8, False),
        (make_conditional(), 1024, True),
        (make_ncsn(), 1024, True),
        (make_conditional(width=6), 8, False),
        (Diffusion(LabelledMLP(SCHEDULE, 3), SCHEDULE), 8, False),
    ],
)
def test_what_the_engine_can_train(model, batch_size, answer):
    assert fits(model, batch_size) is answer


def test_the_limits_are_the_engines():
    limits = re.search(r"LIMITS = \{(.*?)\}", (ROOM / "engine.js").read_text(encoding="utf-8"), re.DOTALL)[1]
    theirs = {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", limits)}
    assert LIMITS == {name: theirs[name] for name in LIMITS}
    assert MOST_POINTS <= theirs["data"]


def close(found, expected):
    """The same tree of numbers, up to the digits of float32."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found == pytest.approx(expected, rel=1e-8) if isinstance(expected, float) else found == expected


def test_a_page_is_told_the_models_tables():
    model, x_0 = make(), normal(100, 2).float()
    training, pictures = {"steps": 5, "batch_size": 8, "learning_rate": 0.02}, {"at": [0, 5], "points": 9}
    found = training_settings(model, x_0, training, pictures)
    assert close(found["network"], network_table(model.network))
    assert close(found["process"], process_table(model))
    assert close(found["sampler"], ancestral_table(model))
    assert close(found["data"], {"x_0": x_0.flatten().tolist()})
    assert (found["training"], found["pictures"]) == (training, pictures)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_roll_is_told_by_its_units_and_other_data_by_some_points():
    many = normal(2 * MOST_POINTS, 2).float()
    assert len(training_settings(make(), many, {}, {})["data"]["x_0"]) == 2 * MOST_POINTS
    scale = data.Standardiser.fit(data.swiss_roll(500, seeded()))
    (roll,) = training_settings(make(), many, {}, {}, scale)["data"].values()
    assert close(roll, {"mean": scale.mean.tolist(), "std": scale.std})


def test_labels_travel_with_their_points():
    x_0, labels = normal(MOST_POINTS + 9, 2).float(), torch.arange(MOST_POINTS + 9) % 4
    scale = data.Standardiser.fit(x_0)
    found = training_settings(make_conditional(), x_0, {}, {}, scale, labels)
    assert found["network"]["classes"] == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found["data"]["labels"] == labels[:MOST_POINTS].tolist()
    assert found["data"]["dropout"] == 0.2
    assert len(found["data"]["x_0"]) == 2 * MOST_POINTS


def test_pairs_travel_together():
    x_0, eps = normal(MOST_POINTS + 9, 2).float(), normal(MOST_POINTS + 9, 2, seed=1).float()
    scale = data.Standardiser.fit(x_0)
    found = training_settings(make_flow(), x_0, {}, {}, scale, noise=eps)["data"]
    for name, values in (("x_0", x_0), ("eps", eps)):
        sent = torch.tensor(found[name]).reshape(-1, 2)
        torch.testing.assert_close(sent, values[:MOST_POINTS], rtol=1e-7, atol=0)


def make_flow(calls=2):
    torch.manual_seed(0)
    schedule = straight(8)
    return Flow(TimeMLP(schedule), schedule, calls)


def test_a_flow_and_its_reflow_are_trained_on_the_page():
    flow = live(make_flow())
    assert flow.view.content["trainer"]["settings"]["sampler"]["t"] == [8, 4]
    x_0, eps = flow.model.pairs(300, seeded(2))
    again = live(make_flow(calls=1), x_0=x_0, noise=eps).view.content["trainer"]["settings"]
    assert again["sampler"]["t"] == [8]
    assert len(again["data"]["eps"]) == 2 * 300
    with refused("the trained model, Flow, takes no reverse steps"):
        flow.guesses()


def live(model, **more):
    fresh = data.Standardiser.fit(data.swiss_roll(500, seeded()))
    x_0 = fresh(data.swiss_roll(300, seeded()))
    settings = {"x_0": x_0, "steps": 6, "batch_size": 16, "generator": seeded(), "pictures": 2} | more
    return train_live(model, fresh=lambda n, g: fresh(data.swiss_roll(n, g)), **settings)


def test_a_recorded_view_brings_what_the_page_needs():
    run = live(make())
    trainer = run.view.content["trainer"]
    assert trainer["settings"]["training"] == {"steps": 6, "batch_size": 16, "learning_rate": 0.02}
    assert trainer["settings"]["pictures"]["at"][0] == 0
    assert trainer["settings"]["pictures"]["at"][-1] == 6
    assert trainer["unit"] > 0
    assert trainer["has_floor"]
    assert "trainer" not in live(VAE()).view.content


def test_the_reverse_process_of_a_live_run():
    run = live(make())
    view = run.reverse_process([20, 7, 0], n_points=50)
    assert [axis["values"] for axis in view.content["axes"]] == [list(map(str, run.steps)), ["20", "7", "0"]]
    assert view.content["start"] == [len(run.steps) - 1, 2]
    assert view.content["frames"][-1]["text"] == "The model of training step 6, at t = 0."
    assert view.content["follows"]["t"] == [20, 7, 0]
    state = run.trajectories[1][20 - 7][:50]

    (layer,) = view.content["frames"][3 + 1]["layers"]
    shown = view.coordinates[4 * layer["at"][0] : 4 * (layer["at"][0] + 50)]
    assert shown == quantise(state.double().numpy(), Panel()).tobytes()


FALL = "pass steps that fall, between T = 20 and 0, such as [20, 0]"


@pytest.mark.parametrize(
    ("t", "said"),
    [
        ([21, 0], f"t = [21, 0]; {FALL}"),
        ([0, 20], f"t = [0, 20]; {FALL}"),
        ([20, -1], "t[1] = -1; pass a whole number of at least 0"),
        ([], "t is empty; pass at least one entry"),
    ],
)
def test_a_reverse_process_says_which_steps_there_are(t, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        live(make()).reverse_process(t)


def test_the_guesses_of_a_live_run():
    run = live(make())
    view = run.guesses(n_points=50, n_arrows=10)
    assert view.content["follows"]["texts"][-1] == "At t = 0: the samples."
    assert len(view) == 21
    x_t = run.trajectories[-1][20 - 7][:50]
    away = (run.model.denoise(x_t, 7) - x_t).norm(dim=1).mean()
    text = view.content["frames"][20 - 7]["text"]
    assert text == view.content["follows"]["texts"][20 - 7].format(away=f"{away:.2g}")
    assert [layer["n"] for layer in view.content["frames"][20 - 7]["layers"]] == [50, 10]


def test_only_a_denoiser_has_guesses():
    with pytest.raises(ValueError, match="^the trained model is a VAE; pass a Diffusion"):
        live(VAE()).guesses()


def test_pictures_travel_without_the_pages_settings(monkeypatch):
    sent = []
    monkeypatch.setattr(Stepper, "append", lambda self, frame, value: sent.append("trainer" in self.content))
    assert "trainer" in live(make()).view.content
    assert sent == [False] * 3


def ask(model, labels, w=(0.0, 1.0, 3.0)):
    run = live(model, labels=labels)
    return run, run.asked([1, 3], w, n_points=40)


def test_what_a_told_model_draws():
    model, labels = make_conditional(), torch.arange(300) % 4
    run, view = ask(model, labels)
    assert [axis["values"] for axis in view.content["axes"]] == [["1", "3"], ["0.0", "1.0", "3.0"]]
    assert view.content["start"] == [0, 1]
    assert view.content["follows"]["asked"][4] == {"label": 3, "guidance": 1.0}
    assert view.content["frames"][4]["text"] == "Label 3, w = 1."
    for k, expected in ((0, model), (3, model), (1, model.given(1)), (4, model.given(3))):  # w = 0 and 1
        (layer,) = view.content["frames"][k]["layers"]
        shown = np.frombuffer(view.coordinates, "<i2")[2 * layer["at"][0] :][: 2 * 40]
        samples = quantise(expected.sample(40, seeded(1)).double().numpy(), Panel())
        assert np.abs(shown - samples.flatten()).max() <= 1  # rounding


def test_what_is_asked_of_a_run_is_held():
    with refused("the trained model is a Diffusion", "pass a ConditionalDiffusion"):
        live(make()).asked([1], [1.0])
    run = live(make_conditional(), labels=torch.arange(300) % 4)
    with refused("labels[0] = 0", "at least 1"):
        run.asked([0], [1.0])
    with refused("w is empty"):
        run.asked([1], [])
    with refused("the trained model, NCSN, takes no reverse steps"):
        live(make_ncsn()).guesses()


def test_a_walk_by_the_score_sends_its_samples_alone():
    settings = live(make_ncsn()).view.content["trainer"]["settings"]
    assert settings["pictures"]["states"] is False
    assert len(settings["sampler"]["t"]) == 4 * 3 + 1


def test_the_tab_fills_the_model_with_what_it_has_learnt():
    model, shown = make(), normal(100, 2).float()
    run = train_live(model, shown, lambda n, g: normal(n, 2).float(), steps=3, engine="tab")
    assert run.view.content["trainer"]["settings"]["training"]["steps"] == 3
    assert run.run.losses == []
    weights = [torch.full_like(parameter, k) for k, parameter in enumerate(model.network.parameters())]
    end = {"reason": "done", "message": "", "seconds": 0.5, "losses": [3.0, 2.0, 1.0]}
    run.view.trained = end | {"weights": [weight.flatten().tolist() for weight in weights]}
    assert all(map(torch.equal, model.network.parameters(), weights))
    assert (run.run.losses, run.run.seconds, run.run.kept, run.run.stopped) == ([3.0, 2.0, 1.0], 0.5, 3, "")
    run.view.trained = end | {"reason": "stopped", "weights": run.view.trained["weights"]}
    assert run.run.stopped == "stopped"


def test_the_tab_sends_the_weights_of_each_picture():
    model, x_0 = make(), normal(100, 2).float()
    run = train_live(model, x_0, lambda n, g: normal(n, 2).float(), steps=3, engine="tab")
    for widget in (run.guesses, lambda: run.reverse_process([20, 0])):
        with pytest.raises(ValueError, match="^the live training has no pictures yet; run this cell again"):
            widget()
    first, last = (make(width=w).network for w in (64, 64))
    nn.init.constant_(last.body[-1].bias, 0.5)
    rows = [torch.cat([p.detach().flatten() for p in network.parameters()]) for network in (first, last)]
    run.view.snapshots = torch.stack(rows).numpy().astype("<f4").tobytes()
    weights = [p.detach().flatten().tolist() for p in last.parameters()]
    run.view.trained = {"reason": "done", "message": "", "losses": [1.0], "steps": [0, 3], "weights": weights}
    assert run.steps == [0, 3]
    for network, states in zip((first, last), run.trajectories, strict=True):
        same = Diffusion(network, SCHEDULE, reverse_var="beta")
        assert torch.equal(states, same.trajectory(N_POINTS, seeded(SEED)))
    assert all(map(torch.equal, model.network.parameters(), last.parameters()))
    assert run.reverse_process([20, 0]).content["axes"][0]["values"] == ["0", "3"]


@pytest.mark.parametrize(("reason", "value"), [("diverged", float("nan")), ("unavailable", None)])
def test_a_training_in_the_tab_that_fails_leaves_the_network_as_it_was(reason, value):
    model = make()
    before = [parameter.detach().clone() for parameter in model.network.parameters()]
    run = train_live(model, normal(100, 2).float(), lambda n, g: normal(n, 2).float(), steps=3, engine="tab")
    weights = [] if value is None else [[value] * parameter.numel() for parameter in before]
    run.view.trained = {"reason": reason, "message": "why", "losses": [], "weights": weights}
    assert all(map(torch.equal, model.network.parameters(), before))
    assert (run.run.stopped, run.run.kept) == ("why", 0)


def test_the_tab_says_which_models_it_trains():
    start = r"^engine = .tab. trains a Diffusion, an NCSN or a Flow with a TimeMLP, or a Cond.*"
    message = start + r"pass engine=.torch. for this one$"
    with pytest.raises(ValueError, match=message):
        train_live(VAE(), normal(100, 2).float(), lambda n, g: normal(n, 2).float(), steps=3, engine="tab")
