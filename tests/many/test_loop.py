"""One loop, one process or two: the same gradient, noise and weights; and nothing lost when it's killed."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import rehearsal
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from diffusion_lib.many import loop
from diffusion_lib.many.kept import checkpoints, newest_whole
from diffusion_lib.many.keyed import data_order, draws
from diffusion_lib.many.launch import command, environment, launch
from diffusion_lib.many.loop import Plan, train_many
from diffusion_lib.many.recipes import made
from diffusion_lib.models.checkpoints import load

ROUNDING = 50 * torch.finfo(torch.float32).eps


@pytest.fixture(autouse=True)
def fresh_engine():
    """accelerate keeps its state in the process."""
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes saw, and one that was alone."""
    folder = tmp_path_factory.mktemp("two")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for begin in (start, [sys.executable]):
        line = [*begin, rehearsal.__file__, str(folder / f"by {len(begin)}")]
        Path(line[-1]).mkdir()
        done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    names = ("by 5/2-0", "by 5/2-1", "by 1/1-0")
    return [torch.load(folder / f"{name}.pt") for name in names]


def directly(step=3):
    """The gradient of the whole batch's mean loss, without the engine."""
    plan, objective = rehearsal.PLAN, made(rehearsal.RECIPE, 1)
    (x_0,) = rehearsal.RECIPE.data()
    rows = data_order(plan.seed, step, plan.batch_size, len(x_0))
    u, eps = draws(plan.seed, step, range(plan.batch_size), plan.batch_size, (2,))
    objective(x_0[rows], u, eps).mean().backward()
    return torch.cat([p.grad.flatten() for p in objective.parameters()])


@pytest.mark.parametrize("rows_at_once", [None, 1, 4, 21, 100])
def test_the_gradient_is_that_of_the_whole_batch_however_it_is_cut(rows_at_once):
    found, exact = rehearsal.gradient(rows_at_once), directly()
    assert (found - exact).norm() <= ROUNDING * exact.norm()


def test_two_processes_with_unequal_shards_have_the_gradient_of_one(two):
    exact = directly()
    for seen in two:
        for name in ("gradient", "gradient in parts"):
            assert (seen[name] - exact).norm() <= ROUNDING * exact.norm()


def test_no_two_processes_share_examples_or_noise(two):
    first, second, alone = two
    assert torch.cat([first["examples"], second["examples"]]).equal(alone["examples"])
    assert torch.cat([first["noise"], second["noise"]]).equal(alone["noise"])
    assert len(alone["noise"].unique(dim=0)) == rehearsal.PLAN.batch_size


def test_two_processes_arrive_at_the_weights_of_one(two):
    first, second, alone = two
    assert first["weights"].equal(second["weights"])
    # AdamW divides by the root of a squared gradient: rounding where it's near 0 shows in the weights.
    assert (first["weights"] - alone["weights"]).abs().max() < 1e-4


def test_stops_change_nothing_by_two_processes_but_rounding(two):
    for seen in two:
        assert (seen["weights with stops"] - seen["weights"]).abs().max() < 1e-5
    assert two[2]["weights with stops"].equal(two[2]["weights"])


def test_every_process_draws_its_own_dropout_and_goes_on_with_it_after_a_stop(two):
    first, second, alone = two
    assert not first["masks"].equal(second["masks"])
    for seen in two:
        assert len(seen["masks"].unique(dim=0)) == 4
        assert seen["masks with a stop"].equal(seen["masks"])
    assert [int(seen["random states kept"]) for seen in two] == [2, 2, 1]
    assert alone["masks"].equal(first["masks"])


def test_stops_change_no_bit(tmp_path):
    whole = rehearsal.weights(tmp_path / "whole")
    assert whole.equal(rehearsal.weights(tmp_path / "stops", 4, 9))
    one, other = (tmp_path / name / "model.safetensors" for name in ("whole", "stops"))
    assert one.read_bytes() == other.read_bytes()


def test_the_average_takes_in_the_weights_after_each_step_once(tmp_path):
    seen, before = [], made(rehearsal.RECIPE, rehearsal.PLAN.seed)
    real, average = loop.Average.add, [p.detach().clone() for p in before.parameters()]

    def add(self, step):
        real(self, step)
        for mean, p in zip(average, self.parameters, strict=True):
            mean.lerp_(p, 1 - min(0.9, (1 + step) / (10 + step)))
        seen.append(self.parameters[0].detach().clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Average, "add", add)
        found = train_many(rehearsal.RECIPE, rehearsal.PLAN, tmp_path, rows_at_once=2, cpu=True)
    assert len(seen) == rehearsal.PLAN.steps
    assert not seen[0].equal(next(before.parameters()))  # the first step's weights, not those before it
    for mean, p in zip(average, found.parameters(), strict=True):
        assert mean.equal(p)


def test_after_one_step_the_average_has_moved(tmp_path):
    plan = Plan(**{**vars(rehearsal.PLAN), "steps": 1})
    found = train_many(rehearsal.RECIPE, plan, tmp_path, cpu=True)
    start = made(rehearsal.RECIPE, plan.seed)
    assert not all(p.equal(q) for p, q in zip(found.parameters(), start.parameters(), strict=True))


def test_the_model_is_kept_as_a_file_that_load_reads(tmp_path):
    found = train_many(rehearsal.RECIPE, rehearsal.PLAN, tmp_path, cpu=True)
    again = load(tmp_path / "model.safetensors")
    for p, q in zip(found.model.parameters(), again.parameters(), strict=True):
        assert p.equal(q)


def test_another_plan_does_not_go_on(tmp_path):
    train_many(rehearsal.RECIPE, rehearsal.PLAN, tmp_path, until=2, cpu=True)
    other = Plan(**{**vars(rehearsal.PLAN), "seed": 6, "batch_size": 20})
    with pytest.raises(ValueError, match="another batch_size, seed; pass the same plan, or another folder"):
        train_many(rehearsal.RECIPE, other, tmp_path, cpu=True)


def test_a_torn_checkpoint_costs_the_steps_since_the_one_before_it(tmp_path):
    whole = rehearsal.weights(tmp_path / "whole")
    train_many(rehearsal.RECIPE, rehearsal.PLAN, tmp_path / "torn", every=3, until=9, cpu=True)
    newest, _ = checkpoints(tmp_path / "torn")
    (newest / "optimizer.bin").write_bytes((newest / "optimizer.bin").read_bytes()[:-100])
    with pytest.warns(UserWarning, match="optimizer.bin is not what was written"):
        assert newest_whole(tmp_path / "torn").name == "step-00000006"
    with pytest.warns(UserWarning, match="the checkpoint before it is taken"):
        assert whole.equal(rehearsal.weights(tmp_path / "torn"))


def test_bfloat16_learns_the_same_up_to_its_digits(tmp_path):
    plan = Plan(**{**vars(rehearsal.PLAN), "precision": "bf16"})
    found = train_many(rehearsal.RECIPE, plan, tmp_path, cpu=True)
    AcceleratorState._reset_state(True)  # the engine has one precision in a process
    exact = rehearsal.weights(tmp_path / "float32")
    for p in found.parameters():
        assert p.dtype == torch.float32
    rough = torch.cat([p.detach().flatten() for p in found.parameters()])
    assert not rough.equal(exact)
    assert (rough - exact).norm() < 0.05 * exact.norm()


def test_the_log_has_each_steps_loss(tmp_path):
    train_many(rehearsal.RECIPE, rehearsal.PLAN, tmp_path, cpu=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert all(line["seconds"] > 0 for line in lines)


def killed_after(lines, log, *options):
    """Start the script; kill all its processes, as none can catch, once the log has so many lines."""
    run = subprocess.Popen(command(*options), env=environment(), stderr=subprocess.DEVNULL)
    while not log.exists() or log.read_text().count("\n") < lines:
        assert run.poll() is None
        time.sleep(0.001)
    everyone = [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]
    for process in everyone:
        process.kill()
    assert run.wait() == -signal.SIGKILL
    psutil.wait_procs(everyone, timeout=10)
    return log.read_text().count("\n")


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "seed"), [(1, 0), (1, 1), (2, 2)])
def test_killed_at_a_random_step_it_loses_the_steps_since_the_last_checkpoint(tmp_path, processes, seed):
    options = ["roll", "--steps", "300", "--batch-size", "65", "--every", "7", "--cpu", "--out"]
    launch(processes, *options, tmp_path / "whole")
    out = tmp_path / "killed"
    first = random.Random(seed).randrange(20, 250)
    done = killed_after(first, out / "log.jsonl", processes, *options, out)
    kept = int(newest_whole(out).name.removeprefix("step-"))
    assert done - 8 <= kept <= done + 1  # a checkpoint may be in the making, and a line of the log on its way
    launch(processes, *options, out)
    one, other = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", out))
    for name, value in one.items():
        if processes == 1:
            assert value.equal(other[name])
        else:
            assert (value - other[name]).abs().max() < 1e-4
