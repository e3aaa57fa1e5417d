"""Random numbers by key: the same whoever asks, shared by no two examples, and normal."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from diffusion_lib.many.keyed import NOISE, OFFSET, ORDER, PROCESS, data_order, draws, keyed, shard


def test_an_examples_draws_do_not_depend_on_who_is_asked_for_with_it():
    u, eps = draws(7, 3, range(10), 10, (2, 4))
    for examples in ([4], [9, 4, 0], range(4, 5)):
        own_u, own_eps = draws(7, 3, examples, 10, (2, 4))
        assert torch.equal(own_u, u[list(examples)])
        assert torch.equal(own_eps, eps[list(examples)])
    assert len(eps.unique(dim=0)) == 10


def test_no_two_keys_share_a_number():
    keys = [(seed, step, example) for seed in range(3) for step in range(20) for example in range(50)]
    first = {
        keyed(*key, purpose).integers(2**63) for key in keys for purpose in (NOISE, OFFSET, ORDER, PROCESS)
    }
    # 12,000 numbers of 63 bits: two would be alike by chance once in 10^11.
    assert len(first) == 4 * len(keys)


def test_counters_are_two_to_the_128_blocks_apart():
    state = keyed(5, 6, 7, 2).bit_generator.state["state"]
    assert state["key"].tolist() == [5, 6]
    assert state["counter"].tolist() == [0, 0, 2, 7]
    philox = np.random.Philox(key=[5, 6], counter=np.array([2**64 - 1, 0, 2, 7], dtype=np.uint64))
    philox.random_raw(8)  # the lowest counts on into the next
    assert philox.state["state"]["counter"].tolist() == [1, 1, 2, 7]


def test_a_torch_seed_keeps_32_bits():
    """Why the library doesn't hash a key into a seed: 200,000 examples would share noise."""
    one, other = (torch.randn(5, generator=torch.Generator().manual_seed(s)) for s in (1, 1 + 2**32))
    assert torch.equal(one, other)


def test_the_noise_is_normal_and_rows_are_unrelated():
    _, eps = draws(0, 0, range(4000), 4000, (5,))
    assert kstest(eps.flatten().numpy(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(eps[:-1].flatten(), eps[1:].flatten())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(5 * 3999)


def test_levels_are_spread_evenly_over_the_whole_batch():
    u, _ = draws(1, 2, range(8), 8, (1,))
    assert torch.allclose(u[:, 0].sort().values.diff(), torch.full((7,), 1 / 8), atol=1e-6)
    offsets = torch.tensor([float(draws(1, step, [0], 8, (1,))[0][0, 0]) for step in range(2000)])
    assert kstest(offsets.numpy(), "uniform").pvalue > 1e-3


def test_an_epoch_has_every_row_once_and_its_own_order():
    rows = torch.cat([data_order(3, step, 4, 10) for step in range(10)])  # four epochs
    epochs = rows.reshape(4, 10)
    assert (epochs.sort(dim=1).values == torch.arange(10)).all()
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 4


def test_seeds_and_epochs_have_orders_of_their_own():
    orders = [data_order(seed, epoch, 100, 100) for seed in (0, 1) for epoch in range(3)]
    assert len({tuple(order.tolist()) for order in orders}) == 6


def test_a_batch_may_be_larger_than_the_data():
    rows = data_order(0, 1, 25, 10)
    assert rows.bincount().tolist() == [2, 2, 2, 2, 2, 3, 3, 3, 3, 3] or rows.bincount().sum() == 25
    assert rows.bincount().min() >= 2


@pytest.mark.parametrize(("batch_size", "processes"), [(10, 3), (8, 2), (5, 5), (7, 1), (101, 8)])
def test_shards_are_the_batch_in_order(batch_size, processes):
    shards = [shard(batch_size, rank, processes) for rank in range(processes)]
    assert [i for part in shards for i in part] == list(range(batch_size))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(("case", "said"), [((2, 0, 3), "batch_size = 2"), ((4, 2, 2), "rank = 2")])
def test_impossible_shards_are_refused(case, said):
    with pytest.raises(ValueError, match=said):
        shard(*case)
