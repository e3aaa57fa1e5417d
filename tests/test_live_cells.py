"""`make bench`: every live cell's model goes through the yardsticks."""

import sys
from functools import cache

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import live_cells


@cache
def roll(noise):
    return live_cells.Roll(noise)


@pytest.mark.parametrize("cell", live_cells.CELLS, ids=[cell.name for cell in live_cells.CELLS])
def test_each_live_cell_can_be_measured(cell):
    data = roll(cell.noise)
    model, batch = cell.model(1), data.x_0[:16]
    assert live_cells.flops_per_step(model, batch) > 0
    if hasattr(model, "network"):
        assert live_cells.bare_rate(model, batch, steps=2) > 0
    labels = cell.settings(1, data).get("labels")
    loss = model.loss(batch) if labels is None else model.loss(batch, labels=labels[:16])
    loss.backward()
    if cell.make_short:
        assert live_cells.shortened(cell, model).sample(4).shape == (4, 2)
