"""What to do with a value that is not what was asked for: code that was tried on it."""

import math
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

TO_TENSOR = (
    "{0}",
    "torch.as_tensor({0})",
    "torch.as_tensor({0}.to_numpy(float))",  # a DataFrame
    "torch.as_tensor({0}.astype(float))",  # an array of objects, or one that runs backwards
    "torch.stack(list({0}))",
)
TO_ROWS = ("{0}", "{0}.T", "{0}[None]", "{0}[:, None]", "{0}.flatten(0, 1)")
TO_FINITE = ("{0}", "{0}[{0}.flatten(1).isfinite().all(dim=1)]")


def to_points(value: Any, name: str, shape: tuple[int, ...], dtype: torch.dtype | None) -> str:
    """Code that makes points of `value`, which is called `name`: of this shape and type, where they are
    given.

    Stage by stage it is the first of the usual conversions which, when it is run, gives what the stage
    wants. Of a table with three columns it takes 0 and 2: there scikit-learn's roll has its plane.
    """
    dtype = dtype or (
        value.dtype if isinstance(value, Tensor) and value.is_floating_point() else torch.float32
    )
    width = np.shape(value)[1:] if hasattr(value, "__len__") and not isinstance(value, str) else ()
    to_shape = ["{0}[:, [0, 2]]"] if width == (3,) and shape == (2,) else []
    if len(shape) > 1 and width == (math.prod(shape),):  # a table of images
        to_shape = [f"{{0}}.reshape(-1, {', '.join(map(str, shape))})"]
    stages = (
        (lambda x: isinstance(x, Tensor) and not x.is_complex(), TO_TENSOR),
        (lambda x: x.dtype == dtype, ("{0}", "{0}.float()", f"{{0}}.to({dtype})")),
        (lambda x: x.ndim > 1 and (not shape or x.shape[1:] == shape), [*to_shape, *TO_ROWS]),
        (lambda x: len(x) > 0 and bool(x.isfinite().all()), TO_FINITE),
    )
    code = "value"
    for wanted, conversions in stages:
        tried = (conversion.format(code) for conversion in conversions)
        code = next((new for new in tried if _gives(wanted, new, value)), "")
        if not code:
            return f"a floating-point tensor of shape ({', '.join(['n', *map(str, shape or ['…'])])})"
    return code.replace("value", name)


def _gives(wanted, code: str, value: Any) -> bool:
    """Whether the code runs on `value` and gives what is wanted."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        return bool(wanted(eval(code, {"torch": torch, "value": value})))
    return False
