"""Students against the paths that they learn: DDIM's steps, papers' formulas, data whose map is known."""

import copy

import pytest
import torch
from support import EPS, Function, normal, refused, seeded
from torch import nn

from diffusion_lib.models import (
    ConsistencyStudent,
    Diffusion,
    ExactDenoiser,
    PairStudent,
    ProgressiveStudent,
    TimeMLP,
)
from diffusion_lib.models.distilled import aim, straight_on
from diffusion_lib.process.posterior import from_x_0
from diffusion_lib.process.schedules import even_log_snr
from diffusion_lib.solvers import AtSteps, ddim
from diffusion_lib.training import train

LEVELS = even_log_snr(8, sigma_min=0.05, sigma_max=6)
SIGNAL, NOISE, SIGMA = LEVELS.signal, LEVELS.noise, LEVELS.sigma
STEPS = list(range(8, 0, -1))
POINT = torch.tensor([[0.7, -0.3]], dtype=torch.float64)
ORACLE = AtSteps(ExactDenoiser(normal(6, 2)), LEVELS)


def of_v(x_0_hat):
    """A network whose v means this answer, a function of x_t and t."""
    return Function(lambda x_t, t: from_x_0(x_0_hat(x_t, t), x_t, t, LEVELS, "v"))


def network(seed=0):
    torch.manual_seed(seed)
    return TimeMLP(LEVELS, width=8, n_directions=2).double()


def counted(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


# --- steps --------------------------------------------------------------------------------------------------


def test_a_step_straight_on_is_one_of_ddim():
    x_T = normal(9, 2)
    states = list(ddim(ORACLE.denoiser, x_T, LEVELS, [8, 5, 2]))
    for x_t, after, t, s in zip(states, states[1:], [8, 5, 2], [5, 2, 0], strict=False):
        found = straight_on(x_t, ORACLE(x_t, t), t, s, LEVELS)
        torch.testing.assert_close(found, after, rtol=0, atol=50 * EPS)


def test_the_aim_is_the_papers():
    x_t, x_s, t, s = normal(4, 2), normal(4, 2, seed=1), 6, 3
    ratio = NOISE[s] / NOISE[t]  # Salimans & Ho 2022, appendix G: α is our √ᾱ, σ our √(1 − ᾱ)
    printed = (x_s - ratio * x_t) / (SIGNAL[s] - ratio * SIGNAL[t])
    torch.testing.assert_close(aim(x_t, x_s, t, s, LEVELS), printed)


def test_one_step_along_the_aim_leads_there():
    x_t, x_s = normal(5, 2), normal(5, 2, seed=1)
    t, s = torch.tensor([8, 7, 5, 3, 2]), torch.tensor([7, 3, 4, 1, 0])
    found = straight_on(x_t, aim(x_t, x_s, t, s, LEVELS), t, s, LEVELS)
    torch.testing.assert_close(found, x_s, rtol=0, atol=100 * EPS)


# --- progressive --------------------------------------------------------------------------------------------


def test_a_student_that_knows_the_teachers_two_steps_has_no_loss():
    known = of_v(lambda x_t, t: two_steps(x_t, t)[1])
    student = ProgressiveStudent(known, LEVELS, ORACLE, STEPS)
    assert student.loss(normal(200, 2), seeded()) < 1e-20


def two_steps(x_t, t):
    """x_{t−2} by DDIM with the oracle, row by row, and the paper's target."""
    ends, aims = [], []
    for row, step in zip(x_t, torch.as_tensor(t).expand(len(x_t)).tolist(), strict=True):
        _, _, end, *_ = ddim(ORACLE.denoiser, row[None], LEVELS, list(range(step, 0, -1)))
        ratio, s = NOISE[step - 2] / NOISE[step], step - 2
        ends.append(end[0])
        aims.append((end[0] - ratio * row) / (SIGNAL[s] - ratio * SIGNAL[step]))
    return torch.stack(ends), torch.stack(aims)


def test_its_samples_are_the_teachers_at_half_of_the_calls():
    known = of_v(lambda x_t, t: two_steps(x_t, t)[1])
    student = ProgressiveStudent(known, LEVELS, ORACLE, STEPS)
    calls, x_T = counted(known), normal(20, 2)
    teachers = list(ddim(ORACLE.denoiser, x_T, LEVELS))
    torch.testing.assert_close(student.ends(x_T), teachers[-1], rtol=0, atol=1e-12)
    assert student.steps == [8, 6, 4, 2]
    assert len(calls) == 4


def test_the_progressive_loss_is_the_squared_error_of_v():
    model = Diffusion(of_v(lambda x_t, t: 0 * x_t), LEVELS, predict="v")
    student = ProgressiveStudent(model.network, LEVELS, AtSteps(ExactDenoiser(POINT), LEVELS), [8, 4])
    x_t = SIGNAL[8] * POINT + NOISE[8] * torch.randn(1, 2, generator=_second(), dtype=torch.float64)
    error = (from_x_0(POINT, x_t, 8, LEVELS, "v") - from_x_0(0 * x_t, x_t, 8, LEVELS, "v")).square().sum()
    assert float(student.loss(POINT, seeded())) == pytest.approx(float(error), rel=1e-12)


def test_the_progressive_loss_with_the_oracle_by_hand():
    """With ᾱ alone: two steps of DDIM in the coordinates of x_t, and the paper's target."""
    student = ProgressiveStudent(of_v(lambda x_t, t: 0 * x_t), LEVELS, ORACLE, [8, 5])
    x_0 = normal(1, 2, seed=4)
    x_t = SIGNAL[8] * x_0 + NOISE[8] * torch.randn(1, 2, generator=_second(), dtype=torch.float64)
    guess = ORACLE(x_t, 8)
    x_m = SIGNAL[5] * guess + NOISE[5] * (x_t - SIGNAL[8] * guess) / NOISE[8]
    target = ORACLE(x_m, 5)  # the student's step ends at 0, and so does the teacher's second one
    error = (target / NOISE[8]).square().sum()  # of v, for the answer 0
    assert float(student.loss(x_0, seeded())) == pytest.approx(float(error), rel=1e-9)


def _second():
    """A generator that has drawn one step already."""
    generator = seeded()
    torch.randint(1, (1,), generator=generator)
    return generator


def test_students_of_students_halve_the_calls_on_data_of_one_point():
    teacher, steps, net = AtSteps(ExactDenoiser(POINT.float()), LEVELS), STEPS, TimeMLP(LEVELS)
    while len(steps) > 1:
        student = ProgressiveStudent(copy.deepcopy(net), LEVELS, teacher, steps)
        train(student, normal(50, 2).float(), 300, 64, generator=seeded())
        teacher, steps, net = student.answer, student.steps, student.network
    assert steps == [8]
    assert (student.sample(200, seeded()) - POINT).norm(dim=1).mean() < 0.15


def test_the_teacher_is_no_part_of_the_student():
    teacher = Diffusion(network(1), LEVELS, predict="v")
    student = ProgressiveStudent(network(), LEVELS, teacher.denoise, STEPS)
    student.loss(normal(9, 2), seeded()).backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert {id(p) for p in student.parameters()} == {id(p) for p in student.network.parameters()}


# --- pairs --------------------------------------------------------------------------------------------------


def test_the_loss_of_pairs_by_hand():
    student = PairStudent(of_v(lambda x_t, t: 2 * x_t), LEVELS)
    x_0, eps = normal(5, 2), normal(5, 2, seed=1)
    by_hand = (2 * eps - x_0).square().sum(dim=1).mean()
    torch.testing.assert_close(student.loss(x_0, noise=eps), by_hand)


def test_a_pupil_learns_what_joins_the_pairs():
    torch.manual_seed(0)
    student, eps = PairStudent(TimeMLP(LEVELS), LEVELS), normal(500, 2).float()
    train(student, -eps, 300, 128, generator=seeded(), noise=eps)
    assert (student.ends(eps) + eps).norm(dim=1).mean() < 0.2


def test_a_pupil_answers_in_one_call():
    student = PairStudent(of_v(lambda x_t, t: 2 * x_t), LEVELS)
    calls = counted(student.network)
    start, end = student.trajectory(7, seeded())
    torch.testing.assert_close(end, 2 * start, rtol=0, atol=1e-5)
    assert len(calls) == 1


# --- consistency --------------------------------------------------------------------------------------------


class PathsEnd(nn.Module):
    """F for data of one point, where the path through z ends at point + (σ_1/σ_t)(z − point)."""

    def forward(self, x_t, t):
        sigma, low = SIGMA[t][:, None], SIGMA[1]
        z = x_t / SIGNAL[t][:, None]
        end = POINT + low / sigma * (z - POINT)
        skip, out = 1 / (1 + (sigma - low) ** 2), (sigma - low) / (1 + sigma**2).sqrt()
        return torch.where(out > 0, (skip * z - end) / out, 0)


def consistency(net, steps=(8,), **settings):
    return ConsistencyStudent(net, LEVELS, AtSteps(ExactDenoiser(POINT), LEVELS), steps, **settings)


def test_at_the_lowest_level_the_answer_is_the_point_itself():
    z = normal(6, 2)
    torch.testing.assert_close(consistency(network()).answer(SIGNAL[1] * z, 1), z, rtol=0, atol=10 * EPS)


def test_the_true_ends_have_no_loss():
    student = consistency(PathsEnd())
    assert student.loss(POINT.expand(300, 2), seeded()) < 1e-20


def test_other_ends_have_a_loss():
    class Zero(nn.Module):
        def forward(self, x_t, t):
            return 0 * x_t

    assert consistency(Zero()).loss(POINT.expand(300, 2), seeded()) > 1e-3


def test_the_consistency_loss_by_hand():
    class Zero(nn.Module):
        def forward(self, x_t, t):
            return 0 * x_t

    student = consistency(Zero())
    same = seeded()
    t = int(torch.randint(2, 9, (1,), generator=same))
    eps = torch.randn(1, 2, generator=same, dtype=torch.float64)
    now, lower, low = SIGMA[t], SIGMA[t - 1], SIGMA[1]
    f, goal = (
        (POINT + sigma * eps) / (1 + (sigma - low) ** 2)  # the teacher knows the path: it keeps the noise
        for sigma in (now, lower)
    )
    by_hand = (f - goal).square().sum() / (now - lower)
    torch.testing.assert_close(student.loss(POINT, seeded()), by_hand)


def test_the_weight_makes_all_levels_count_alike_where_answers_change_evenly():
    """For f = z the error of a step is that of the noise it takes away: (σ_t − σ_{t−1})² ‖ε‖²."""

    class Still(nn.Module):
        def forward(self, x_t, t):
            sigma, low = SIGMA[t][:, None], SIGMA[1]
            z = x_t / SIGNAL[t][:, None]
            skip, out = 1 / (1 + (sigma - low) ** 2), (sigma - low) / (1 + sigma**2).sqrt()
            return torch.where(out > 0, (skip - 1) * z / out, 0)

    loss = consistency(Still()).loss(POINT.expand(60_000, 2), seeded())
    mean_step = (SIGMA[8] - SIGMA[1]) / 7
    assert float(loss) == pytest.approx(2 * float(mean_step), rel=0.05)


def test_at_one_call_it_leads_where_the_ode_leads():
    x_T = normal(30, 2)
    *_, lowest, _ = ddim(ExactDenoiser(POINT), x_T, LEVELS)
    torch.testing.assert_close(consistency(PathsEnd()).ends(x_T), lowest / SIGNAL[1], rtol=0, atol=1e-12)


def test_between_two_calls_it_gets_the_noise_of_the_next_level():
    student = consistency(PathsEnd(), steps=[8, 3])
    start, between, end = student.double().trajectory(20_000, seeded())
    z = between / SIGNAL[3]
    assert z.std(dim=0).tolist() == pytest.approx([float(SIGMA[3])] * 2, rel=0.03)
    torch.testing.assert_close(end, POINT + SIGMA[1] / SIGMA[3] * (z - POINT), rtol=0, atol=1e-4)


def test_the_target_follows_the_network_slowly():
    student = consistency(network(), decay=0.75)
    before = [p.clone() for p in student.target.parameters()]
    with torch.no_grad():
        for p in student.network.parameters():
            p.add_(1.0)
    student.loss(normal(4, 2), seeded())
    for old, new in zip(before, student.target.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
        assert new.grad is None
    student.eval().loss(normal(4, 2), seeded())
    for old, new in zip(before, student.target.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


def test_a_target_needs_many_steps_to_arrive():
    student = consistency(network())
    gap = [p.clone() for p in student.target.parameters()]
    with torch.no_grad():
        for p in student.network.parameters():
            p.mul_(2)
    for _ in range(20):
        student.loss(normal(4, 2), seeded())
    for start, now in zip(gap, student.target.parameters(), strict=True):
        torch.testing.assert_close(2 * start - now, 0.95**20 * start)


def test_an_answer_has_the_lowest_levels_noise_already():
    start, between, end = consistency(PathsEnd(), steps=[8, 1]).double().trajectory(6, seeded())
    ends = POINT + SIGMA[1] / SIGMA[8] * (start / SIGNAL[8] - POINT)
    torch.testing.assert_close(between / SIGNAL[1], ends.to(between), rtol=0, atol=1e-5)
    torch.testing.assert_close(end, ends.to(end), rtol=0, atol=1e-5)


def test_a_trained_one_reaches_its_point_and_needs_the_target():
    net = network().float()
    student = ConsistencyStudent(net, LEVELS, AtSteps(ExactDenoiser(POINT.float()), LEVELS), [8])
    train(student, POINT.float().expand(50, 2), steps=600, batch_size=64, generator=seeded())
    assert (student.sample(200, seeded()) - POINT).norm(dim=1).mean() < 0.25


# --- refusals -----------------------------------------------------------------------------------------------


def test_an_odd_number_of_steps_has_no_pairs():
    with refused("steps has 3 steps; the student needs pairs: pass steps[:-1]"):
        ProgressiveStudent(network(), LEVELS, ORACLE, [8, 6, 3])


def test_sampling_starts_from_noise():
    with refused("steps begin at 6; pass steps that begin at T = 8, noise"):
        ConsistencyStudent(network(), LEVELS, ORACLE, [6, 3])


def test_a_teacher_must_not_move():
    model = Diffusion(network(), LEVELS, predict="v")
    with refused("network is the teacher's own, which must not move; pass copy.deepcopy(network)"):
        ProgressiveStudent(model.network, LEVELS, model.denoise, STEPS)
