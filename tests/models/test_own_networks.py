"""What a reader does with the models: own networks and shapes, modes, saving, other devices, derivatives."""

import io
import math
import subprocess
import sys

import pytest
import torch
from support import EPS, normal, refused, seeded
from torch import nn
from torch.func import functional_call, jacrev, vmap

from diffusion_lib.models import (
    HVAE,
    VAE,
    Diffusion,
    ExactDenoiser,
    FirstFormChain,
    HeadPerStep,
    SecondFormChain,
    TimeMLP,
)
from diffusion_lib.process import schedules
from diffusion_lib.solvers import AtSteps
from diffusion_lib.training import train

SCHEDULE = schedules.even_log_snr(20)
CHAINS = {
    "first form": lambda: FirstFormChain(TimeMLP(SCHEDULE, width=8), SCHEDULE),
    "second form": lambda: SecondFormChain(HeadPerStep(SCHEDULE, width=8), SCHEDULE),
    "diffusion": lambda: Diffusion(TimeMLP(SCHEDULE, width=8), SCHEDULE),
}
MODELS = {
    **CHAINS,
    "VAE": lambda: VAE(width=8),
    "HVAE": lambda: HVAE(3, width=8),
    "frozen HVAE": lambda: HVAE(20, width=8, schedule=SCHEDULE),
}
every_chain = pytest.mark.parametrize("name", CHAINS)
every_model = pytest.mark.parametrize("name", MODELS)


def made(name):
    torch.manual_seed(0)
    return MODELS[name]()


class Own(nn.Module):
    """A network as a reader writes it: an embedding of t, one hidden layer, points of any shape."""

    def __init__(self, shape=(2,), rows=SCHEDULE.T + 1, extra=()):
        super().__init__()
        size = math.prod(shape)
        self.embedding = nn.Embedding(rows, 8)
        self.layers = nn.Sequential(nn.Linear(size + 8, 32), *extra, nn.SiLU(), nn.Linear(32, size))

    def forward(self, x_t, t):
        features = torch.cat([x_t.flatten(1), self.embedding(t)], dim=1)
        return self.layers(features).reshape(x_t.shape)


# --- what a network gets ------------------------------------------------------------------------------------


def told(maker):
    """A chain whose network notes the shape, type and range of each t that it gets."""
    seen = []

    def network(x_t, t):
        seen.append((t.shape == (len(x_t),), t.dtype, int(t.min()), int(t.max())))
        return torch.cat([x_t, x_t], dim=1) if maker is SecondFormChain else x_t

    return maker(network, SCHEDULE), seen


@pytest.mark.parametrize("maker", [FirstFormChain, SecondFormChain, Diffusion])
def test_a_network_always_gets_one_step_a_row(maker):
    model, seen = told(maker)
    x = normal(7, 2).float()
    model.loss(x, seeded())
    model.sample(5, seeded())
    model.trajectory(5, seeded())
    for t in (3, torch.tensor(3), torch.tensor([3]), torch.full((7,), 3), torch.full((7,), 3).int()):
        model.reverse(x, t)
    chain = torch.randn(SCHEDULE.T + 1, 7, 2)
    model.first_form(chain)
    model.second_form(chain)
    if maker is Diffusion:
        model.denoise(x, 3)
        model(x, 0.5)
    assert all(a_row and kind == torch.int64 and 1 <= low <= high <= 20 for a_row, kind, low, high in seen)


def test_a_step_as_a_column_works():
    def network(x_t, t):
        return torch.cat([x_t[:, :1] * t[:, None] / 20, x_t[:, 1:]], dim=1)

    assert Diffusion(network, SCHEDULE).sample(5, seeded()).shape == (5, 2)


@pytest.mark.parametrize("verb", ["loss", "sample"])
def test_a_table_that_is_too_short_is_named_with_what_is_sent(verb):
    model = Diffusion(Own(rows=SCHEDULE.T), SCHEDULE)  # steps 1…20 need 21 rows
    with refused("network fails (index out of range", "t (400,), int64, in 1…20: make it take these"):
        model.loss(normal(400, 2).float(), seeded()) if verb == "loss" else model.sample(400, seeded())


def test_a_network_of_another_size_is_named_with_what_is_sent():
    with refused("network fails", "points (5, 2)", "t (5,), int64"):
        Diffusion(lambda x_t, t: nn.Linear(3, 2)(x_t), SCHEDULE).sample(5)
    with refused("network gives (5, 3)", "points (5, 2)", "Diffusion needs (5, 2)", "2 outputs"):
        Diffusion(lambda x_t, t: nn.Linear(2, 3)(x_t), SCHEDULE).sample(5)
    with refused("network gives NoneType"):
        Diffusion(lambda x_t, t: None, SCHEDULE).sample(5)


# --- points of any shape ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 8, 8)])
@pytest.mark.parametrize("weighting", ["simple", "bound"])
def test_rows_of_any_shape_are_trained_and_sampled_by_the_same_code(shape, weighting):
    torch.manual_seed(0)
    model = Diffusion(Own(shape), SCHEDULE, predict="v", weighting=weighting, reverse_var="beta", shape=shape)
    centre = 0.4 * normal(1, *shape, seed=3).float().clamp(-2, 2)
    x_0 = centre + 0.5 * normal(500, *shape).float()
    with torch.no_grad():
        before = float(model.loss(x_0, seeded(5)))
    train(model, x_0, steps=200, batch_size=128, learning_rate=1e-2, generator=seeded())
    with torch.no_grad():
        assert float(model.loss(x_0, seeded(5))) < before
    sample = model.sample(200, seeded())
    assert sample.shape == (200, *shape)
    assert model.trajectory(3, seeded()).shape == (21, 3, *shape)
    assert (sample.mean(dim=0) - centre).square().mean() < 0.2 * centre.square().mean()
    with refused("x_0 has shape (4, 3)", f"(n, {', '.join(map(str, shape))})"):
        model.loss(torch.zeros(4, 3))


@pytest.mark.parametrize("maker", [FirstFormChain, Diffusion])
def test_a_sum_over_an_image_runs_over_all_its_axes(maker):
    """An image is its pixels in a row: every number that a chain gives of them is the same."""

    def network(x_t, t):
        return 0.5 * x_t

    flat, image = maker(network, SCHEDULE, shape=(12,)), maker(network, SCHEDULE, shape=(3, 2, 2))
    chain = normal(SCHEDULE.T + 1, 6, 12)
    folded = chain.reshape(-1, 6, 3, 2, 2)
    for form in ("first_form", "second_form"):
        expected, found = getattr(flat, form)(chain), getattr(image, form)(folded)
        assert found.shape == (21, 6)
        torch.testing.assert_close(found, expected, rtol=100 * EPS, atol=0)
    if maker is Diffusion:
        for verb in ("squared_error", "bound_term"):
            expected = getattr(flat, verb)(chain[0], 7, chain[1])
            found = getattr(image, verb)(folded[0], 7, folded[1])
            torch.testing.assert_close(found, expected, rtol=100 * EPS, atol=0)


@pytest.mark.parametrize("reverse_var", ["posterior", "beta"])
def test_the_bounds_terms_count_every_axis(reverse_var):
    """The closed form w_t ‖x_0 − x̂_0‖² + c_t against the KL of two Gaussians, for an image."""
    model = Diffusion(lambda x_t, t: 0.5 * x_t, SCHEDULE, "x_0", reverse_var=reverse_var, shape=(3, 2, 2))
    x_0, eps = normal(6, 3, 2, 2), normal(6, 3, 2, 2, seed=1)
    t = torch.arange(21)
    chain = SCHEDULE.signal[t].reshape(21, 1, 1, 1, 1) * x_0 + SCHEDULE.noise[t].reshape(21, 1, 1, 1, 1) * eps
    rows = model.second_form(chain)
    for step in range(1, 21):
        found = model.bound_term(x_0, step, eps)
        torch.testing.assert_close(found, rows[step - 1], rtol=1e-6, atol=1e-6)


def test_learned_variances_of_an_image_come_after_its_means():
    """(B, 2 C, H, W): the first C channels are means, the others log-variances."""
    var = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 2, 2)

    def network(x_t, t):
        return torch.cat([0 * x_t, var.expand_as(x_t)], dim=1)

    p = SecondFormChain(network, SCHEDULE, shape=(3, 2, 2)).reverse(normal(4, 3, 2, 2), 5)
    ratio = p.var / p.var[:, :1, :1, :1] * var[0, 0, 0].exp()
    torch.testing.assert_close(ratio, var.exp().expand(4, 3, 2, 2), rtol=100 * EPS, atol=0)


def test_a_vae_and_its_hierarchy_take_points_of_other_dimensions():
    x = normal(50, 5).float()
    for model in (VAE(latent=3, width=8, dim=5), HVAE(3, latent=5, width=8, dim=5)):
        assert model.loss(x, seeded()).isfinite()
        assert model.sample(4, seeded()).shape == (4, 5)
        assert model.trajectory(4, seeded()).shape[1:] == (4, 5)
        with refused("x_0 has shape (50, 2)", "(n, 5)"):
            model.loss(x[:, :2])


# --- a denoiser of z and sigma ------------------------------------------------------------------------------


def test_at_the_levels_of_steps_the_denoiser_is_that_of_the_steps():
    model, x_t = made("diffusion").double(), normal(20, 2)
    t = torch.arange(1, 21)
    z = x_t / SCHEDULE.signal[t][:, None]
    found = model(z, SCHEDULE.sigma[t])
    torch.testing.assert_close(found, model.denoise(x_t, t), rtol=1e-9, atol=1e-9)


def test_between_two_levels_it_lies_between_their_answers():
    model, z = made("diffusion").double(), normal(1, 2)
    low, high = (model(z, float(SCHEDULE.sigma[t])) for t in (7, 8))
    half = float((SCHEDULE.sigma[7] * SCHEDULE.sigma[8]).sqrt())
    torch.testing.assert_close(model(z, half), (low + high) / 2, rtol=1e-9, atol=1e-9)
    for beyond, end in ((1e-4, 1), (1e4, 20)):
        torch.testing.assert_close(
            model(z, beyond), model(z, float(SCHEDULE.sigma[end])), rtol=1e-9, atol=1e-9
        )


def test_a_schedule_of_one_step_has_one_level():
    schedule = schedules.cosine(1)
    model = Diffusion(TimeMLP(schedule, width=8), schedule)
    assert model(torch.zeros(3, 2), 0.5).isfinite().all()


# --- modes --------------------------------------------------------------------------------------------------


def test_sampling_is_in_eval_mode_and_gives_the_mode_back():
    for extra in ((nn.Dropout(0.5),), (nn.BatchNorm1d(32),)):
        torch.manual_seed(0)
        model = Diffusion(Own(extra=extra), SCHEDULE)
        model.loss(normal(50, 2).float(), seeded())  # BatchNorm has seen data
        state = {name: value.clone() for name, value in model.state_dict().items()}
        assert torch.equal(model.sample(50, seeded()), model.sample(50, seeded()))
        alone = model.sample(50, seeded())[:1]
        few = model.trajectory(50, seeded())[-1][:1]
        assert torch.equal(alone, few)
        assert model.training
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_pictures_on_the_way_do_not_change_training():
    def trained(on_step):
        torch.manual_seed(0)
        model = Diffusion(Own(extra=(nn.BatchNorm1d(32), nn.Dropout(0.2))), SCHEDULE)
        train(model, normal(200, 2).float(), 20, 64, 1e-2, seeded(), on_step)
        return model.state_dict()

    def picture(run):
        with torch.random.fork_rng():  # Dropout in training draws from the global generator
            model_of["it"].sample(20, seeded())

    model_of = {}
    plain = trained(None)
    torch.manual_seed(0)
    model_of["it"] = Diffusion(Own(extra=(nn.BatchNorm1d(32), nn.Dropout(0.2))), SCHEDULE)
    train(model_of["it"], normal(200, 2).float(), 20, 64, 1e-2, seeded(), picture)
    with_pictures = model_of["it"].state_dict()
    assert all(torch.equal(plain[name], with_pictures[name]) for name in plain)


# --- memory and files ---------------------------------------------------------------------------------------


@every_model
def test_samples_are_saved_as_what_they_are(name):
    """10,000 points of two float32: 80 kB, and none of the states before them."""
    file = io.BytesIO()
    torch.save(made(name).sample(10_000, seeded()), file)
    assert file.tell() < 82_000


@every_chain
def test_a_saved_model_carries_its_schedule(name):
    model, file = made(name), io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    torch.manual_seed(1)
    again = MODELS[name]()
    again.load_state_dict(saved)
    assert torch.equal(again.sample(5, seeded()), model.sample(5, seeded()))
    assert torch.equal(saved["_extra_state"], SCHEDULE.alpha)
    before = again.sample(5, seeded())
    for other in (schedules.even_log_snr(10), schedules.cosine(20)):
        network = (HeadPerStep if name == "second form" else TimeMLP)(other, width=8)
        loading = type(model)(network, other)
        kept = {key: value.clone() for key, value in loading.network.state_dict().items()}
        theirs, own, advice = (
            "T = 20",
            f"has a schedule of T = {other.T}",
            "Schedule(state_dict['_extra_state'])",
        )
        with refused(theirs, own, advice):
            loading.load_state_dict(saved)
        assert all(torch.equal(value, kept[key]) for key, value in loading.network.state_dict().items())
        loading = type(model)(type(network)(SCHEDULE, width=8), schedules.Schedule(saved["_extra_state"]))
        loading.load_state_dict(saved)  # the advice
        assert torch.equal(loading.sample(5, seeded()), before)


def test_a_frozen_hierarchy_carries_its_schedule_too():
    saved = made("frozen HVAE").state_dict()
    with refused("a schedule of T = 20", "Schedule(state_dict['_extra_state'])"):
        HVAE(20, width=8, schedule=schedules.cosine(20)).load_state_dict(saved)
    made("frozen HVAE").load_state_dict(saved)


def test_a_hierarchy_without_a_schedule_says_so():
    free = HVAE(20, width=8, latent=2)
    with refused("with no schedule", "has a schedule of T = 20", "with schedule=None"):
        made("frozen HVAE").load_state_dict(free.state_dict(), strict=False)
    with refused("with a schedule of T = 20", "has no schedule", "Schedule(state_dict['_extra_state'])"):
        free.load_state_dict(made("frozen HVAE").state_dict(), strict=False)
    HVAE(20, width=8, latent=2, schedule=None).load_state_dict(free.state_dict())


@pytest.mark.parametrize("kind", [torch.cuda.OutOfMemoryError, KeyboardInterrupt])
def test_what_is_no_fault_of_a_network_goes_through(kind):
    def network(x_t, t):
        raise kind

    with pytest.raises(kind):
        Diffusion(network, SCHEDULE).sample(5)


def test_a_network_that_takes_groups_hears_what_it_got():
    class Grouped(torch.nn.Module):
        def grouped(self, x_t, t):
            return x_t[..., :1]

    chain = torch.randn(21, 3, 2)
    with refused("points (20, 3, 2) and their steps t (20,)", "needs (20, 3, 2)"):
        Diffusion(Grouped(), SCHEDULE).second_form(chain)


@pytest.mark.slow
def test_a_million_points_need_little_memory():
    """At most 150 MB on top of the start: the state, its noise and the next state are 8 MB each."""
    code = """
import resource, torch
from diffusion_lib.models import Diffusion, TimeMLP
from diffusion_lib.process import schedules
torch.set_num_threads(1)
schedule = schedules.cosine(3)
model = Diffusion(TimeMLP(schedule), schedule)
model.sample(10)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.sample(1_000_000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    assert float(done.stdout) / unit < 150


# --- derivatives --------------------------------------------------------------------------------------------


def test_denoisers_have_exact_divergences_under_vmap():
    """Part by part against finite differences, for a network and for the exact denoiser."""
    model, oracle = made("diffusion").double(), ExactDenoiser(normal(9, 2))
    z = normal(5, 2, seed=1)
    functions = {
        "denoise": lambda x: model.denoise(x, 7),
        "denoiser": lambda x: model(x, 0.8),
        "oracle": lambda x: oracle(x, 0.8),
        "oracle at steps": lambda x: AtSteps(oracle, SCHEDULE)(x, 7),
        "reverse": lambda x: model.reverse(x, 7).mean,
    }
    for name, function in functions.items():
        slopes = vmap(jacrev(lambda x, function=function: function(x[None])[0]))(z)
        assert slopes.shape == (5, 2, 2), name
        h = 1e-5
        for j, step in enumerate(h * torch.eye(2).double()):
            difference = (function(z + step) - function(z - step)) / (2 * h)
            torch.testing.assert_close(slopes[:, :, j], difference, rtol=1e-5, atol=1e-6)


@every_chain
def test_losses_have_gradients_for_each_point_under_vmap(name):
    """The gradient of a sum over chains is the sum of the gradients of each."""
    model = made(name).double()
    chain = normal(SCHEDULE.T + 1, 6, 2)
    weights = {key: value.detach() for key, value in model.named_parameters()}

    class Bound(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, chain):
            return model.second_form(chain).sum()

    def loss(weights, one):
        named = {f"model.{key}": value for key, value in weights.items()}
        return functional_call(Bound(), named, (one[:, None],))

    each = vmap(torch.func.grad(loss), in_dims=(None, 1))(weights, chain)
    model.second_form(chain).sum().backward()
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(each[key].sum(dim=0), parameter.grad, rtol=1e-8, atol=1e-8)


def test_a_mean_of_losses_can_be_differentiated_through_torch_func():
    model, x_0 = made("diffusion"), normal(50, 2).float()
    weights = {f"model.{key}": value.detach() for key, value in model.named_parameters()}

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x_0):
            return self.model.loss(x_0, seeded())

    found = torch.func.grad(lambda w: functional_call(Loss(), w, (x_0,)))(weights)
    model.loss(x_0, seeded()).backward()
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(found[f"model.{key}"], parameter.grad)


# --- other devices and types --------------------------------------------------------------------------------


@every_model
def test_a_model_computes_where_its_weights_are(name):
    """On the meta device, where nothing has a value: a tensor made elsewhere would be refused by PyTorch."""
    model = made(name).to("meta")
    x = torch.empty(40, 2, device="meta")
    loss = model.loss(x)
    assert loss.is_meta
    loss.backward()
    assert model.sample(4).is_meta
    assert model.trajectory(4).is_meta
    if isinstance(model, Diffusion | FirstFormChain):
        chain = torch.empty(21, 4, 2, device="meta")
        assert model.first_form(chain).is_meta
        assert model.second_form(chain).is_meta
        assert model.reverse(x, torch.ones(40, dtype=torch.long, device="meta")).mean.is_meta


@pytest.mark.parametrize("name", ["VAE", "HVAE", "frozen HVAE", "first form", "diffusion"])
def test_a_model_made_on_the_default_device_stays_there(name):
    torch.set_default_device("meta")
    try:
        schedule = schedules.even_log_snr(20)
        assert not schedule.alpha_bar.is_meta  # schedules stay on the CPU, and go where the points are
        model = MODELS[name]()
        assert all(p.is_meta for p in model.parameters())
        assert model.loss(torch.empty(40, 2)).is_meta
        assert model.sample(4).is_meta
    finally:
        torch.set_default_device(None)


@every_model
def test_a_model_of_float64_draws_float64(name):
    sample = made(name).double().sample(500, seeded())
    assert sample.dtype == torch.float64
    assert not torch.equal(sample, sample.float().double())


def test_the_optimiser_does_without_its_fast_form(monkeypatch):
    """Where a device or an older release has no fused AdamW, the usual one takes the same steps."""

    def trained():
        model = made("diffusion")
        return train(model, normal(100, 2).float(), steps=5, batch_size=16, generator=seeded()).losses

    fast, adamw = trained(), torch.optim.AdamW

    def without(*args, fused=False, **settings):
        if fused:
            raise RuntimeError("`fused=True` requires all the params to be on supported devices")
        return adamw(*args, **settings)

    monkeypatch.setattr(torch.optim, "AdamW", without)
    assert trained() == pytest.approx(fast, rel=1e-5)


# --- data in other units ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x_0", "words"),
    [
        (normal(500, 2) * 12 + 5, "standard deviation 12"),
        (normal(500, 2) + 4, "mean of up to 4"),
        (normal(500, 2) / 50, "standard deviation 0.02"),
        (normal(500, 2) * torch.tensor([1.0, 0.02]), "columns of very different size"),
        ((normal(500, 2) + 1e6).float(), "numbers near 1e+06, where torch.float32"),
        (100 + 50 * normal(50, 1, 8, 8), "mean of up to 1.2e+02 and the standard deviation 49"),
    ],
)
def test_data_in_other_units_is_trained_on_with_a_warning(x_0, words):
    shape = tuple(x_0.shape[1:])
    model = Diffusion(Own(shape), SCHEDULE, shape=shape).to(x_0.dtype)
    with pytest.warns(UserWarning, match="^x_0 has ") as caught:
        run = train(model, x_0, steps=3, batch_size=8, learning_rate=1e-3, generator=seeded())
    assert len(run.losses) == 3
    assert words in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error")
def test_the_remedies_of_the_warning_work():
    from diffusion_lib import data
    from diffusion_lib.training import unit_trouble

    far, uneven = normal(500, 2) * 12 + 5, normal(500, 2) * torch.tensor([1.0, 0.02])
    for x_0, code in (
        (far, "data.Standardiser.fit(x_0)(x_0)"),
        (uneven, "(x_0 - x_0.mean(dim=0)) / x_0.std(dim=0)"),
    ):
        assert code in unit_trouble(x_0)
        assert unit_trouble(eval(code, {"data": data, "x_0": x_0})) == ""
    exact = normal(500, 2) + 1e6  # float64
    assert unit_trouble((exact - exact.mean(dim=0)).float()) == ""
    for name, draw in data.DATASETS.items():
        assert unit_trouble(draw(2000, seeded())) == "", name
    assert unit_trouble(torch.zeros(5, 2)) == ""
