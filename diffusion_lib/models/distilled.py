"""Students that learn a sampler's whole path and need few calls: progressive, of pairs, and consistent.

A student's answer says where to go, not what the mean of the data is. So it is no denoiser: it has no score,
no bound and no likelihood; it has the verbs `loss`, `sample` and `trajectory`.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from diffusion_lib.contracts import Count, Points, Shape, Steps, a_function, checked, descending, like
from diffusion_lib.contracts import between as number_between
from diffusion_lib.models.chain import CarriesSchedule
from diffusion_lib.process.gaussians import standard_normal
from diffusion_lib.process.posterior import to_x_0
from diffusion_lib.process.schedules import Schedule, at
from diffusion_lib.solvers.steps import in_blocks, last

Teacher = Annotated[Callable[[Tensor, Tensor], Tensor], a_function("model.denoise")]  # x̂_0(x_t, t)
Falling = Annotated[Sequence[int], descending]


def straight_on(x_t: Tensor, x_0_hat: Tensor, t: int | Tensor, s: int | Tensor, schedule: Schedule) -> Tensor:
    """DDIM's step from t to s < t, towards x̂_0: z ← x̂_0 + (σ_s/σ_t)(z − x̂_0), in the coordinates of x_t."""
    now, then = (at(schedule.signal, step, x_t) for step in (t, s))
    return then * torch.lerp(x_0_hat, x_t / now, _ratio(x_t, t, s, schedule))


def aim(x_t: Tensor, x_s: Tensor, t: int | Tensor, s: int | Tensor, schedule: Schedule) -> Tensor:
    """The x̂_0 with which one step of DDIM leads from x_t to x_s: (z_s − (σ_s/σ_t) z_t)/(1 − σ_s/σ_t).

    Source: Salimans & Ho 2022, appendix G.
    """
    now, then = (at(schedule.signal, step, x_t) for step in (t, s))
    ratio = _ratio(x_t, t, s, schedule)
    return (x_s / then - ratio * x_t / now) / (1 - ratio)


def _ratio(x: Tensor, t: int | Tensor, s: int | Tensor, schedule: Schedule) -> Tensor:
    """σ_s/σ_t, shaped to multiply x."""
    return at(schedule.sigma, s, x) / at(schedule.sigma, t, x)


@checked
class Student(CarriesSchedule):
    """What students share: a network that sees x_t and t, its answer, and deterministic steps along it.

    Args:
        network: maps points x_t (B, *shape) and steps t (B,) to v (B, *shape), as that of a
            `Diffusion(..., predict="v")`; a copy of the teacher's is a good start.
        schedule: the forward process.
        teacher: x̂_0(x_t, t): a model's `denoise`, `AtSteps(denoiser, schedule)`, or a student's `answer`.
        steps: at which it is called to sample: they fall, and the first is T.
        shape: of one point.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        teacher: Teacher | None,
        steps: Falling,
        shape: Shape = (2,),
    ):
        super().__init__()
        if steps[0] != schedule.T:
            raise ValueError(f"steps begin at {steps[0]}; pass steps that begin at T = {schedule.T}, noise")
        if getattr(getattr(teacher, "__self__", None), "network", None) is network:
            raise ValueError("network is the teacher's own, which must not move; pass copy.deepcopy(network)")
        self.network, self.schedule, self.steps, self.shape = network, schedule, list(steps), tuple(shape)
        self.teacher = teacher

    @property
    def T(self) -> int:
        """The number of the schedule's steps, of which it takes a few."""
        return self.schedule.T

    def answer(self, x_t: Points, t: Steps) -> Tensor:
        """Where the network aims at from points x_t (B, *shape) at steps () or (B,): (B, *shape)."""
        t = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        return to_x_0(self.network(x_t, t), x_t, t, self.schedule, "v")

    def trajectory(self, n: Count, generator: Generator | None = None) -> Tensor:
        """The state before each call, and the samples: (calls + 1, n, *shape)."""
        return torch.stack(list(self._states(self._start(n, generator), generator)))

    def sample(self, n: Count, generator: Generator | None = None) -> Tensor:
        """`n` new points x_0, (n, *shape)."""
        return last(self._states(self._start(n, generator), generator))

    def ends(self, x_T: Points, generator: Generator | None = None) -> Tensor:
        """Where the student leads from the given x_T ~ N(0, I): (n, *shape)."""
        return last(self._states(x_T, generator))

    def _start(self, n: int, generator: Generator | None) -> Tensor:
        return standard_normal((n, *self.shape), next(self.parameters(), torch.empty(0)), generator)

    @torch.no_grad()
    def _states(self, x_T: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        x_t = x_T
        yield x_t
        for t, s in zip(self.steps, [*self.steps[1:], 0], strict=True):
            x_t = straight_on(x_t, self._asked(x_t, t), t, s, self.schedule)
            yield x_t

    def _asked(self, x_t: Tensor, t: int) -> Tensor:
        return in_blocks(lambda rows: self.answer(rows, t), x_t, of=self)


@checked
class ProgressiveStudent(Student):
    """One step where the teacher takes two (Salimans & Ho 2022, Algorithm 2).

    The loss is the squared error of v, which is that of x̂_0 divided by 1 − ᾱ_t (their weight "SNR + 1").

    Args:
        steps: the teacher's, an even number; the student takes every other one.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        teacher: Teacher,
        steps: Falling,
        shape: Shape = (2,),
    ):
        if len(steps) % 2:
            raise ValueError(f"steps has {len(steps)} steps; the student needs pairs: pass steps[:-1]")
        super().__init__(network, schedule, teacher, steps[::2], shape)
        self.halfway = list(steps[1::2])

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """‖v_θ − the v of the teacher's two steps‖², at one random step of the student for each point."""
        which = torch.randint(len(self.steps), (len(x_0),), generator=generator, device=x_0.device)
        t, m, s = (
            torch.tensor(steps, device=x_0.device)[which]
            for steps in (self.steps, self.halfway, [*self.steps[1:], 0])
        )
        eps = standard_normal(x_0.shape, x_0, generator)
        x_t = at(self.schedule.signal, t, x_0) * x_0 + at(self.schedule.noise, t, x_0) * eps
        with torch.no_grad():
            x_m = straight_on(x_t, self.teacher(x_t, t), t, m, self.schedule)
            x_s = straight_on(x_m, self.teacher(x_m, m), m, s, self.schedule)
            target = aim(x_t, x_s, t, s, self.schedule)
        error = (self.answer(x_t, t) - target) / at(self.schedule.noise, t, x_0)
        return error.square().flatten(1).sum(dim=1).mean()


@checked
class PairStudent(Student):
    """From noise to data in one call, learnt from pairs (x_0, ε) that a sampler has joined.

    Source: Luhman & Luhman 2021.
    """

    def __init__(self, network: nn.Module, schedule: Schedule, shape: Shape = (2,)):
        super().__init__(network, schedule, None, [schedule.T], shape)

    def loss(
        self,
        x_0: Points,
        generator: Generator | None = None,
        *,
        noise: Annotated[Points, like("x_0")],
    ) -> Tensor:
        """‖answer(ε, T) − x_0‖² for pairs (n, *shape)."""
        return (self.answer(noise, self.schedule.T) - x_0).square().flatten(1).sum(dim=1).mean()


@checked
class ConsistencyStudent(Student):
    """The same answer from everywhere on a path of the ODE (Song et al. 2023, Algorithm 2).

    With c_skip = 1/(1 + (σ_t − σ_1)²) and c_out = (σ_t − σ_1)/√(1 + σ_t²), the answer is c_skip z − c_out F.
    So at the lowest level σ_1 it is z itself, whatever the network F says: every path ends where it is. (For
    data of variance 1. F has the sign and, but for σ_1, the meaning of a v.)

    Args:
        teacher: one DDIM step of it leads from t to t − 1.
        steps: at which it is called to sample. After the first call, its answer gets the noise of the next.
        decay: of the target, a copy of the network that follows it slowly; moved by each loss in training.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        teacher: Teacher,
        steps: Falling,
        decay: Annotated[float, number_between(-1e-9, 1, "a number from 0 to below 1")] = 0.95,
        shape: Shape = (2,),
    ):
        super().__init__(network, schedule, teacher, steps, shape)
        self.decay = decay
        self.target = copy.deepcopy(network).requires_grad_(False)

    def answer(self, x_t: Points, t: Steps) -> Tensor:
        """Where the path through x_t (B, *shape) at steps () or (B,) ends, as the network has it."""
        return self._ends(self.network, x_t, t)

    def _ends(self, network: nn.Module, x_t: Tensor, t: int | Tensor) -> Tensor:
        sigma, lowest = at(self.schedule.sigma, t, x_t), self.schedule.sigma[1].to(x_t)
        skip, out = 1 / (1 + (sigma - lowest) ** 2), (sigma - lowest) / (1 + sigma**2).sqrt()
        t = torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        return skip * x_t / at(self.schedule.signal, t, x_t) - out * network(x_t, t)

    def loss(self, x_0: Points, generator: Generator | None = None) -> Tensor:
        """‖f(x_t, t) − f⁻(x_{t−1}, t − 1)‖²/(σ_t − σ_{t−1}), one t of 2…T for each point.

        x_{t−1} is where the teacher's step leads, f⁻ the target's answer. Without the weight (Song & Dhariwal
        2024, section 3.4) little noise is forgotten for the sake of much.
        """
        if self.training:
            self.follow()
        t = torch.randint(2, self.schedule.T + 1, (len(x_0),), generator=generator, device=x_0.device)
        eps = standard_normal(x_0.shape, x_0, generator)
        x_t = at(self.schedule.signal, t, x_0) * x_0 + at(self.schedule.noise, t, x_0) * eps
        with torch.no_grad():
            before = straight_on(x_t, self.teacher(x_t, t), t, t - 1, self.schedule)
            goal = self._ends(self.target, before, t - 1)
        weight = 1 / self.schedule.sigma.diff()
        error = (self.answer(x_t, t) - goal).square().flatten(1).sum(dim=1)
        return (at(weight, t - 1, x_0).flatten() * error).mean()

    @torch.no_grad()
    def follow(self) -> None:
        """target ← decay · target + (1 − decay) · network."""
        for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.decay)

    @torch.no_grad()
    def _states(self, x_T: Tensor, generator: Generator | None) -> Iterator[Tensor]:
        x_t, lowest = x_T, self.schedule.sigma[1]
        yield x_t
        for t, s in zip(self.steps, [*self.steps[1:], 0], strict=True):
            x_0_hat = self._asked(x_t, t)
            if s:
                extra = (self.schedule.sigma[s] ** 2 - lowest**2).clamp(min=0).sqrt().to(x_t)
                z = x_0_hat + extra * standard_normal(x_t.shape, x_t, generator)
                x_t = at(self.schedule.signal, s, x_t) * z
            yield x_t if s else x_0_hat
