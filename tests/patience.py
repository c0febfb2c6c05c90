"""Waiting for what comes once the machine has time for it: for a condition, and never for a fixed while."""

from __future__ import annotations

import time
from collections.abc import Callable

LONG = 120.0  # seconds; what takes longer hangs, however busy the processor is


def until(so: Callable[[], object], otherwise: str = "it did not come to that", *, every: float = 0.02) -> None:
    """Wait until `so()` is true; fails with that sentence where it does not become so."""
    end = time.monotonic() + LONG
    while not so():
        assert time.monotonic() < end, otherwise
        time.sleep(every)
