"""How a request ended, where its handler told the visitor in the page instead of raising: for its line in the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REFUSED, CANCELLED = "refused", "cancelled"
_told: ContextVar[list[str] | None] = ContextVar("told", default=None)


def refused() -> None:
    """The visitor was told what is wrong with what was asked."""
    _tell(REFUSED)


def cancelled() -> None:
    """The visitor, or the visitor's leaving, ended it."""
    _tell(CANCELLED)


def failed(error: BaseException) -> None:
    """Something that nobody foresaw; its text is not kept."""
    _tell(f"failed:{type(error).__name__}")


def _tell(how: str) -> None:
    told = _told.get()
    if told is not None:
        told.append(how)


@contextmanager
def listening(told: list[str]) -> Iterator[None]:
    """What the functions above are called for joins `told`, while the block runs in this thread."""
    before = _told.set(told)
    try:
        yield
    finally:
        _told.reset(before)
