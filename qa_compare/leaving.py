"""Whether whoever asked still waits for the answer: work for one who has left ends between two forward passes.

A request's thread knows by whom it was asked (`asked_by`), so that whatever uses the models on its behalf can be ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nobody() -> bool:
    return False


_left: ContextVar[Callable[[], bool]] = ContextVar("left", default=_nobody)


@contextmanager
def asked_by(left: Callable[[], bool]) -> Iterator[None]:
    """What this thread does while the block runs is done for one who is there until `left()` is true."""
    before = _left.set(left)
    try:
        yield
    finally:
        _left.reset(before)


def left() -> bool:
    """Whether the one for whom this thread works has left."""
    return _left.get()()
