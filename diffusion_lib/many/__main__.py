"""Train by name, as one process or many: python -m diffusion_lib.many faces --out run."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from diffusion_lib.many.loop import Plan, train_many
from diffusion_lib.many.recipes import RECIPES


def parser() -> argparse.ArgumentParser:
    """The script's options. What is left out is the recipe's."""
    found = argparse.ArgumentParser("diffusion_lib.many", description=__doc__)
    found.add_argument("recipe", choices=sorted(RECIPES))
    found.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and model")
    found.add_argument("--steps", type=int)
    found.add_argument("--batch-size", type=int, help="of all processes together")
    found.add_argument("--learning-rate", type=float)
    found.add_argument("--ema", type=float)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--precision", choices=("no", "bf16", "fp16"), default="no")
    found.add_argument("--rows-at-once", type=int, help="gradient accumulation: rows a process has in memory")
    found.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    found.add_argument("--until", type=int, help="stop here, with a checkpoint")
    found.add_argument("--cpu", action="store_true", help="leave accelerators alone")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as these options say."""
    chosen = parser().parse_args(arguments)
    recipe = RECIPES[chosen.recipe]
    names = ("steps", "batch_size", "learning_rate", "ema")
    own = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    recipe = replace(recipe, **own)
    settings = {name: getattr(recipe, name) for name in names}
    plan = Plan(**settings, seed=chosen.seed, precision=chosen.precision)
    train_many(recipe, plan, chosen.out, chosen.rows_at_once, chosen.every, chosen.until, chosen.cpu)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
