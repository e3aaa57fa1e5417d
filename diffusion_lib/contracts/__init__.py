"""Contracts of arguments: said in annotations, held by `checked` where a call enters the library.

door      `checked`, and what each kind of annotation asks for
rules     for counts, numbers, choices, functions
tensors   for points, steps, chains: the names that stand in annotations
arrays    for Gaussians, and for values over t = 0…T
advice    code that makes points of what was passed instead, tried before it is proposed

A rule is a function of a value, its name and all arguments of the call. It raises `ValueError` with the name,
the value and the fix.
"""

from diffusion_lib.contracts.arrays import (
    OverTime as OverTime,
    Shares as Shares,
    Variances as Variances,
    broadcasts as broadcasts,
    fits as fits,
    index as index,
    multiplies as multiplies,
    one_point as one_point,
    over_same_time as over_same_time,
    points_like as points_like,
)
from diffusion_lib.contracts.door import checked as checked, hold as hold, outside as outside
from diffusion_lib.contracts.rules import (
    Count as Count,
    Index as Index,
    Network as Network,
    Positive as Positive,
    Shape as Shape,
    a as a,
    a_function as a_function,
    at_least as at_least,
    between as between,
    descending as descending,
    list_of as list_of,
    some as some,
    values_of as values_of,
)
from diffusion_lib.contracts.tensors import (
    Chain as Chain,
    NotFiniteError as NotFiniteError,
    Numbers as Numbers,
    OneStep as OneStep,
    PlanePoints as PlanePoints,
    Points as Points,
    Sigma as Sigma,
    Steps as Steps,
    a_weight as a_weight,
    all_states as all_states,
    columns as columns,
    latents as latents,
    like as like,
    same_type as same_type,
    state as state,
    trainable as trainable,
    verb as verb,
)
