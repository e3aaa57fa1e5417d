"""Files of points: decoded = sent, sizes against the divergences, damage, and other people's arithmetic."""

import math
import struct
import sys

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from support import normal, refused, seeded

from diffusion_lib import data
from diffusion_lib.measure.coding import IndexCoder, UniversalCoder, _forecasts
from diffusion_lib.measure.files import HEAD, Hop
from diffusion_lib.measure.information import rate_distortion, spreads
from diffusion_lib.models import Diffusion, ExactDenoiser, TimeMLP
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import log_even

NODES, WEIGHTS, _ = data.roll_quadrature(32)
CENTRE = (WEIGHTS[:, None] * NODES).sum(dim=0)
ORACLE = ExactDenoiser((NODES - CENTRE) / 0.68, WEIGHTS)
LEVELS = log_even(4, 0.5, 0.005)
SPREAD = [1.0, 0.414, 0.0953, 0.0188]


def roll(n, seed=0):
    """n points of the roll."""
    return ORACLE.points[torch.multinomial(WEIGHTS, n, replacement=True, generator=seeded(seed))]


def coder(kind=UniversalCoder, **settings):
    return kind(ORACLE, **({"levels": LEVELS, "spread": SPREAD} | settings))


def small(kind):
    """A coder of either kind with little to do."""
    more = {"candidates": 512} if kind is IndexCoder else {}
    return coder(kind, levels=[0.8, 0.4], spread=[1.0, 0.6], **more)


either = pytest.mark.parametrize("kind", [UniversalCoder, IndexCoder])
both = pytest.mark.parametrize("correlated", [False, True])


@both
def test_a_thousand_points_come_back_bit_for_bit_within_a_percent_of_the_ideal(correlated):
    x_0, ours = roll(1000), coder(correlated=correlated)
    file = ours.encode(x_0)
    assert torch.equal(ours.decode(file), ours.sent(x_0))
    ideal = float(ours.bits(x_0).sum())
    assert abs(8 * len(file) / ideal - 1) < 0.01


def test_correlated_forecasts_save_bits_and_change_nothing_else():
    x_0 = roll(400)
    plain, clever = coder(), coder(correlated=True)
    assert len(clever.encode(x_0)) < 0.9 * len(plain.encode(x_0))
    torch.testing.assert_close(plain.sent(x_0), clever.sent(x_0), rtol=0, atol=0.2)


def test_what_arrives_is_the_points_and_uniform_noise_of_the_levels_variance():
    x_0 = roll(3000)
    noise = (coder(levels=[0.3], spread=[1.0]).sent(x_0) - x_0) / 0.3
    half = math.sqrt(3)
    assert noise.abs().max() <= half + 1e-9
    assert kstest(noise.flatten().numpy() / (2 * half) + 0.5, "uniform").pvalue > 1e-3
    after_four = (coder().sent(x_0) - x_0) / LEVELS[-1]
    assert float(after_four.var()) == pytest.approx(1, abs=0.05)
    # Whatever the point: its noise does not depend on it.
    assert abs(float((noise * x_0).mean())) < 5 / math.sqrt(noise.numel())


def test_the_bits_of_one_step_are_the_divergence_by_quadrature():
    x_0, sigma = normal(4, 2), 0.4
    found = coder(levels=[sigma], spread=[1.0]).bits(x_0, 30)[0]
    width = math.sqrt(12) * sigma
    for row, bits in zip(x_0.numpy(), found, strict=True):
        total = 0.0
        for at in row:
            y = at + width * ((np.arange(20_000) + 0.5) / 20_000 - 0.5)
            p = (norm.cdf(y + width / 2) - norm.cdf(y - width / 2)) / width
            total += (np.log2(1 / width) - np.log2(p)).mean()
        assert float(bits) == pytest.approx(total, abs=1e-6)


def test_the_index_coders_draws_have_the_law_of_q():
    x_0 = torch.zeros(1500, 2, dtype=torch.float64) + torch.tensor([0.5, -0.3])
    noise = (small(IndexCoder).sent(x_0) - x_0) / 0.4
    for column in noise.T.numpy():
        assert kstest(column, "norm").pvalue > 1e-3


def test_too_few_candidates_break_the_law_silently():
    """The trap: nothing fails, but the residual's standard deviation is no longer 1."""
    x_0 = roll(600)
    few = coder(IndexCoder, levels=[0.1], spread=[1.0], candidates=20)
    assert float(((few.decode(few.encode(x_0)) - x_0) / 0.1).std()) > 2
    many = coder(IndexCoder, levels=[0.5], spread=[1.0], candidates=4096)
    assert float(((many.sent(x_0) - x_0) / 0.5).std()) == pytest.approx(1, abs=0.08)


def test_an_index_costs_more_than_its_divergence():
    x_0, levels = roll(300), log_even(8, 2.0, 0.05)
    spread = spreads(ORACLE, x_0, levels, seeded(0))
    by_index = coder(IndexCoder, levels=levels, spread=spread, candidates=1024)
    file = by_index.encode(x_0)
    assert torch.equal(by_index.decode(file), by_index.sent(x_0))
    assert 8 * len(file) / 300 > 15  # the KL divergences are less than 10


@both
def test_the_index_coders_bits_are_the_divergence_of_gaussians(correlated):
    ours, x_0 = coder(IndexCoder, levels=[0.8, 0.4], spread=[1.0, 0.6], correlated=correlated), roll(40)
    found = ours.bits(x_0)
    for (hop, _, _), bits in zip(ours._way(40, x_0=x_0), found, strict=True):
        total = (hop.noise**2 + hop.spread**2) * torch.eye(2).double().expand(40, 2, 2)
        if hop.root is not None:
            total = hop.root @ hop.root.mT
        q = torch.distributions.MultivariateNormal(hop.target, hop.noise**2 * torch.eye(2).double())
        p = torch.distributions.MultivariateNormal(hop.forecast, total)
        exact = torch.distributions.kl_divergence(q, p) / math.log(2)
        torch.testing.assert_close(bits, exact, rtol=0, atol=1e-9)


def test_a_correlated_forecast_has_the_covariance_of_what_is_to_come():
    """For data N(0, S), not round: the forecast's covariance of z′ is that of z′ given z."""
    points = torch.cartesian_prod(*[torch.tensor(np.polynomial.hermite_e.hermegauss(20)[0])] * 2)
    weight = torch.tensor(np.polynomial.hermite_e.hermegauss(20)[1])
    mix = torch.tensor([[0.9, 0.0], [0.5, 0.3]]).double()
    oracle = ExactDenoiser(points @ mix.T, torch.outer(weight, weight).flatten())
    ours = UniversalCoder(oracle, [0.7, 0.4], [1.0, 0.4], correlated=True)
    hop = list(ours._way(3, x_0=normal(3, 2)))[1][0]
    kept = (0.4 / 0.7) ** 2
    given = torch.linalg.inv(torch.linalg.inv(mix @ mix.T) + torch.eye(2) / 0.7**2)
    exact = (1 - kept) ** 2 * given + 0.4**2 * (1 - kept) * torch.eye(2)
    torch.testing.assert_close(hop.root @ hop.root.mT, exact.expand(3, 2, 2), rtol=0, atol=1e-4)


def test_the_correlated_forecast_of_a_coordinate_is_given_those_before():
    """The textbook rule for one of two joint Gaussians, given the other."""
    cov = torch.tensor([[0.5, 0.3], [0.3, 0.4]]).double()
    forecast, z = normal(4, 2), normal(4, 2, seed=1)
    root = torch.linalg.cholesky(cov).expand(4, 2, 2)
    (_, first, spread), (_, second, _) = _forecasts(Hop(forecast, 1.0, 0.1, root, seeded(0), None), z)
    torch.testing.assert_close(first[:, 0], forecast[:, 0])
    torch.testing.assert_close(spread[:, 0], torch.full((4,), math.sqrt(0.5 - 0.01)).double())
    torch.testing.assert_close(second[:, 0], forecast[:, 1] + 0.3 / 0.5 * (z[:, 0] - forecast[:, 0]))


def test_for_gaussian_data_the_correlated_rate_is_the_information():
    """The forecasts are then right, and Σ KL is I(x_0; z) = ½ log det(I + S/σ²), step by step."""
    mix = torch.tensor([[0.9, 0.0], [0.5, 0.3]]).double()
    cov, levels = mix @ mix.T, [0.9, 0.6]

    def denoiser(z, sigma):
        return z @ torch.linalg.inv(cov + torch.as_tensor(sigma) ** 2 * torch.eye(2)) @ cov

    x_0 = normal(500, 2) @ mix.T
    ours = IndexCoder(denoiser, levels, [1.0, 0.5], correlated=True, candidates=512)
    found = ours.bits(x_0)[1]
    first, second = (torch.eye(2).double() + cov / s**2 for s in levels)
    exact = float((second.logdet() - first.logdet()) / (2 * math.log(2)))
    assert abs(float(found.mean()) - exact) < 5 * float(found.std()) / 500**0.5


def test_rates_are_what_indices_would_cost_without_a_code():
    x_0, levels, r = roll(400), [0.8, 0.7], [1.0, 0.6]
    bits, _ = rate_distortion(ORACLE, x_0, levels, r, seeded(1))
    other = IndexCoder(ORACLE, levels, r, candidates=512).bits(x_0).sum(dim=0)
    error = ((bits[-1].var() + other.var()) / 400).sqrt()
    assert abs(float(bits[-1].mean() - other.mean())) < 5 * float(error)


def test_nothing_of_a_damaged_file_is_read():
    ours = coder()
    file = ours.encode(roll(20))
    with refused("file"):
        next(ours.states(file[:-5] + b"!" + file[-4:]))


@either
def test_states_are_one_for_each_level_and_the_last_is_decoded(kind):
    ours, x_0 = small(kind), roll(30)
    file = ours.encode(x_0)
    states = list(ours.states(file))
    assert [tuple(z.shape) for z in states] == [(30, 2)] * 2
    assert torch.equal(states[-1], ours.decode(file))
    assert states[0].dtype == torch.float64


@either
def test_cut_damaged_and_foreign_files_are_refused(kind):
    ours, x_0 = small(kind), roll(30)
    file = ours.encode(x_0)
    for length in (HEAD, len(file) - 1, len(file) - 4):
        with refused("file was cut or damaged", "pass all that encode gave"):
            ours.decode(file[:length])
    for length in (0, HEAD - 1):
        with refused("file, of", "pass what encode gave"):
            ours.decode(file[:length])
    with refused("none of a coder's"):
        ours.decode(b"\x89PNG" + file[4:])
    for place in range(HEAD, len(file)):
        broken = bytearray(file)
        broken[place] ^= 0x40
        with refused("file was cut or damaged"):
            ours.decode(bytes(broken))
    with refused("file is a str; pass a bytes"):
        ours.decode("x")


@either
def test_another_coder_is_told_from_the_one_that_wrote(kind):
    file = small(kind).encode(roll(20))
    others = [
        small(IndexCoder if kind is UniversalCoder else UniversalCoder),
        coder(kind, levels=[0.8, 0.41], spread=[1.0, 0.6]),
        coder(kind, levels=[0.8, 0.4], spread=[1.0, 0.61]),
        coder(kind, levels=[0.8, 0.4], spread=[1.0, 0.6], seed=1),
        kind(ExactDenoiser(ORACLE.points * 1.1), [0.8, 0.4], [1.0, 0.6]),
    ]
    for other in others:
        with refused("file is another coder's; take its denoiser, levels, spread and seed"):
            other.decode(file)


def test_other_arithmetic_is_noticed():
    """A denoiser that answers as before at the probes, and differently where the points are."""
    file = coder().encode(roll(50))

    def otherwise(z, sigma):
        return ORACLE(z, sigma) + (0.3 if len(z) == 50 else 0.0)

    with refused("file gives other numbers than were sent"):
        UniversalCoder(otherwise, LEVELS, SPREAD).decode(file)


def test_the_last_digits_of_the_denoiser_decide_nothing():
    """Rounded forecasts: a receiver whose answers differ by 1e-13 reads the same."""
    x_0, ours = roll(500), coder()
    file = ours.encode(x_0)
    theirs = UniversalCoder(lambda z, sigma: ORACLE(z, sigma) + 1e-13, LEVELS, SPREAD)
    assert torch.equal(theirs.decode(file), ours.sent(x_0))


def test_blocks_of_other_sizes_read_the_same():
    x_0, ours = roll(300), coder()
    other = UniversalCoder(ExactDenoiser(ORACLE.points, WEIGHTS, chunk=7), LEVELS, SPREAD)
    assert torch.equal(other.decode(ours.encode(x_0)), ours.sent(x_0))


def test_a_network_of_images_is_a_coder_too():
    torch.manual_seed(0)
    schedule = even_log_snr(10)
    network = Diffusion(TimeMLP(schedule, width=8), schedule).double()
    ours = UniversalCoder(network, [0.7, 0.2], [1.0, 0.5], correlated=True)
    assert torch.equal(ours.decode(ours.encode(normal(40, 2))), ours.sent(normal(40, 2)))
    images = UniversalCoder(lambda z, sigma: z / 2, [0.7, 0.2], [1.0, 0.5], shape=(1, 3, 3))
    x_0 = normal(5, 1, 3, 3)
    file = images.encode(x_0)
    assert torch.equal(images.decode(file), images.sent(x_0))
    assert images.decode(file).shape == (5, 1, 3, 3)


def test_the_seed_is_the_dice():
    x_0 = roll(20)
    assert torch.equal(coder(seed=3).sent(x_0), coder(seed=3).sent(x_0))
    assert not torch.equal(coder(seed=3).sent(x_0), coder(seed=4).sent(x_0))


def test_the_head_says_how_many_points_there_are():
    file = coder().encode(roll(300))
    assert struct.unpack(">B3s", file[:4]) == (0xB8, (300).to_bytes(3, "big"))


def test_what_is_refused():
    with refused("spread has 1 numbers; pass one for each of the 4 levels"):
        coder(spread=[1.0])
    with refused("x_0 has points 4096 cells from their forecast"):
        coder().encode(1e6 * normal(3, 2))
    with refused("zipf = 1; pass a number above 1"):
        coder(IndexCoder, zipf=1)
    with refused("x_0 has shape (3, 3); points are rows, (n, 2)"):
        coder().encode(normal(3, 3))


def test_without_constriction_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match="pip install --no-deps constriction"):
        coder().encode(roll(3))
