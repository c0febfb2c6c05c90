"""Numbers that differ by rounding alone: another processor, another batch or more threads sum in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def expect_near(found: ArrayLike, expected: ArrayLike, *, share: float = 1e-4) -> None:
    """No value may be further off than that share of the largest one: a value near zero is a difference of large ones,
    and as inexact as they are."""
    ours, theirs = _plain(found), _plain(expected)
    assert ours.shape == theirs.shape
    assert np.isfinite(theirs).all()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * max(1e-9, float(np.abs(theirs).max(initial=0))))


def _plain(values: Any) -> Any:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)
