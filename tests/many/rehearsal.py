"""What test_loop.py computes in one process, and has computed by two: python rehearsal.py FOLDER.

Each process writes what it saw into FOLDER.
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Generator, nn

from diffusion_lib.data.planes import moons
from diffusion_lib.many.keyed import draws, shard
from diffusion_lib.many.loop import Plan, add_gradient, train_many
from diffusion_lib.many.recipes import Objective, Recipe, made
from diffusion_lib.models.diffusion import Diffusion
from diffusion_lib.models.networks import TimeMLP
from diffusion_lib.process.schedules import even_log_snr

PLAN = Plan(steps=12, batch_size=21, learning_rate=1e-2, ema=0.9, seed=5)  # 21 = 11 + 10 rows


def objective():
    schedule = even_log_snr(20)
    return Objective(Diffusion(TimeMLP(schedule, width=8), schedule))


class Dropping(nn.Module):
    """An objective whose network draws for itself."""

    def __init__(self):
        super().__init__()
        self.model, self.seen = nn.Linear(2, 2), []

    def forward(self, x_0, u, eps):
        self.seen.append(nn.functional.dropout(torch.ones(64)))
        return self.model(x_0).square().sum(dim=1)


RECIPE = Recipe(objective, lambda: (moons(50, Generator().manual_seed(0)),), 12, 21, 1e-2)
CHANCE = Recipe(Dropping, RECIPE.data, 4, 20, 1e-2)


def gradient(rows_at_once=None):
    """That of step 3, after the engine has averaged it."""
    engine = Accelerator(cpu=True)
    wrapped = engine.prepare(made(RECIPE, 1))
    add_gradient(engine, wrapped, RECIPE.data(), PLAN, 3, rows_at_once)
    return torch.cat([p.grad.flatten() for p in wrapped.parameters()])


def weights(out, *stops):
    """Those after the whole plan, stopped on the way and begun anew from the checkpoint."""
    for until in (*stops, None):
        objective = train_many(RECIPE, PLAN, out, every=5, until=until, cpu=True)
    return torch.cat([p.detach().flatten() for p in objective.parameters()])


def masks(out, *stops):
    """The dropout masks of four steps; after a stop, those that the new run saw are the last ones."""
    found = []
    for until in (*stops, 4):
        plan = Plan(steps=5, batch_size=20, learning_rate=1e-2, ema=0.9, seed=5)
        found += train_many(CHANCE, plan, out, until=until, cpu=True).seen
    return torch.stack(found)


def main(folder):
    engine = Accelerator(cpu=True)
    rank, processes = engine.process_index, engine.num_processes
    own = shard(PLAN.batch_size, rank, processes)
    found = {
        "gradient": gradient(),
        "gradient in parts": gradient(3),
        "examples": torch.tensor(list(own)),
        "noise": draws(PLAN.seed, 3, own, PLAN.batch_size, (2,))[1],
        "weights": weights(folder / "whole"),
        "weights with stops": weights(folder / "stops", 4, 9),
        "masks": masks(folder / "masks"),
        "masks with a stop": masks(folder / "masks with a stop", 2),
        "random states kept": torch.tensor(
            len(list((folder / "whole/step-00000012").glob("random_states_*")))
        ),
    }
    torch.save(found, folder / f"{processes}-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
