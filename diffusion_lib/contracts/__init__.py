"""Contracts of arguments: said in annotations, held by `checked` where a call enters the library.

door      `checked`, and what each kind of annotation asks for
rules     for counts, numbers, choices, functions
tensors   for points, steps, chains: the names that stand in annotations
arrays    for Gaussians, and for values over t = 0…T
pictures  for pictures, what they are made of, and files
advice    code that makes points of what was passed instead, tried before it is proposed

A rule is a function of a value, its name and all arguments of the call. It raises `ValueError` with the name,
the value and the fix.
"""

from diffusion_lib.contracts.arrays import (
    OverTime,
    Shares,
    Variances,
    broadcasts,
    fits,
    index,
    multiplies,
    one_for_each,
    one_point,
    over_same_time,
    points_like,
    weights_for,
)
from diffusion_lib.contracts.door import checked, hold, outside
from diffusion_lib.contracts.labels import (
    Labels,
    Words,
    a_label_each,
    labels_of_points_to_come,
    noise_each,
)
from diffusion_lib.contracts.pictures import (
    FilePath,
    a_file,
    a_folder,
    of_its_shape,
    whole_numbers_below,
)
from diffusion_lib.contracts.rules import (
    Count,
    Index,
    Levels,
    Network,
    Positive,
    Shape,
    a,
    a_function,
    at_least,
    between,
    descending,
    list_of,
    some,
    values_of,
)
from diffusion_lib.contracts.tensors import (
    Chain,
    NotFiniteError,
    Numbers,
    OneStep,
    PlanePoints,
    Points,
    Sigma,
    Steps,
    a_weight,
    all_states,
    columns,
    latents,
    like,
    rows,
    same_type,
    state,
    trainable,
    verb,
)
