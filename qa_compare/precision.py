"""Which precision this processor multiplies fastest: measured, since an instruction for bfloat16 can be the slower one.

One kind of server processor multiplies bfloat16 at twice the rate of fp32, another with the same instruction set more
slowly than fp32. Answers and figures must not depend on which: everything is computed in fp32 unless somebody asks for
another precision, and then the answers say so.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]
DEFAULT: Precision = "fp32"
IN_BF16 = (
    "Answers are computed in bfloat16, as was asked for: they can differ from saved answers, which were computed in "
    "fp32, by some points of confidence and now and then in the answer."
)

_ROWS, _INNER, _COLUMNS = 512, 384, 1536  # a feed-forward layer of a small encoder over some three passages
_REPEATS = 5
_WORTH = 1.15  # autocast converts on the way in and out: a smaller gain in the products is lost again


@cache
def fastest_precision(device: str = "cpu") -> Precision:
    """ "bf16" where this processor's matrix products are clearly faster in it, else "fp32". Milliseconds, once."""
    if device != "cpu" or not torch.cpu._is_avx512_bf16_supported():
        return "fp32"
    return "bf16" if _seconds(torch.float32) > _WORTH * _seconds(torch.bfloat16) else "fp32"


def _seconds(dtype: torch.dtype) -> float:
    """The fastest of some products, so that a moment's load on the machine does not decide."""
    left, right = torch.ones(_ROWS, _INNER, dtype=dtype), torch.ones(_INNER, _COLUMNS, dtype=dtype)
    times = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - begin)
    return min(times)
