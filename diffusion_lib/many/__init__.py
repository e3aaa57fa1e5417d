"""Training by many processes: one script for a laptop, two processes, and a cluster.

keyed    noise and data order by key (seed, step, example), whoever asks; which process has which rows
kept     checkpoints as folders that appear whole or not at all
costs    memory, floating-point operations, bytes on the wire, and a model of a step's time
recipes  what can be trained by name: model, data and settings
loop     the loop, on accelerate
launch   starting the script, as one process or several

The script is `python -m diffusion_lib.many`.
"""

from diffusion_lib.many.costs import RowCosts, StepTime, kept_for_backward, ring_bytes, row_costs
from diffusion_lib.many.kept import broken, checkpoints, newest_whole
from diffusion_lib.many.keyed import data_order, draws, keyed, shard
from diffusion_lib.many.launch import command, environment, launch
from diffusion_lib.many.loop import Plan, train_many
from diffusion_lib.many.recipes import RECIPES, Objective, Recipe
