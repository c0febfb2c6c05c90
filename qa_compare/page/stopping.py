"""Long work that a visitor began in the page, and how it ends early: by Cancel, by another choice, by a closed page.

A handler that tells the visitor in the page how a request ended, instead of raising, says so here for its line in the
log.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import gradio as gr

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


# of all visitors' long work, one at a time: two at once would only slow each other down
ANSWERS: dict[str, Any] = {"concurrency_id": "answers", "concurrency_limit": 1}
# what takes seconds does not wait for what takes minutes: the models serve both by turns
REQUESTS: dict[str, Any] = {"concurrency_id": "requests", "concurrency_limit": 1}
LOOKS: dict[str, Any] = {"concurrency_id": "looks", "concurrency_limit": 2}
FEW: dict[str, Any] = {"concurrency_id": "few answers", "concurrency_limit": 2}


@dataclass(eq=False)
class Task:
    """One piece of work: it may wait for its turn before it is `started`. `quiet`: its visitor wants no word of it."""

    started: bool = False
    stopped: bool = False
    quiet: bool = False

    def cancelled(self) -> bool:
        """What the engine asks between two batches."""
        return self.stopped


class Tasks:
    """The latest work of each session."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Task]] = {}
        self._numbers = itertools.count(1)

    def begin(self, request: gr.Request) -> int:
        """New work, which ends what the session did before without a word. Returns its ticket."""
        self.stop(request, quiet=True)
        ticket = next(self._numbers)  # which no two threads are given
        self._known[_session(request)] = (ticket, Task())
        return ticket

    def start(self, request: gr.Request, ticket: int) -> Task:
        """The work of that ticket, whose turn has come; a stopped one where it is no longer the session's latest."""
        known, task = self._known.get(_session(request), (0, Task()))
        if known != ticket:
            return Task(stopped=True, quiet=True)
        task.started = True
        return task

    def stop(self, request: gr.Request, *, quiet: bool = False) -> bool:
        """Whether there was work under way that will notice; work that waits for its turn ends without a word."""
        _, task = self._known.get(_session(request), (0, Task(stopped=True)))
        under_way = task.started and not task.stopped
        task.quiet = task.quiet or quiet or not task.started
        task.stopped = True
        return under_way

    def end(self, request: gr.Request, ticket: int) -> None:
        """The work of that ticket is over, or was stopped before its turn."""
        if self._ticket(request) == ticket:
            self._known.pop(_session(request), None)

    async def settled(self, request: gr.Request, most: float = 10.0) -> bool:
        """Whether nothing goes on for the session, after at most so many seconds that stopped work takes to end."""
        ticket, until = self._ticket(request), time.monotonic() + most
        while ticket and self._ticket(request) == ticket and time.monotonic() < until:  # noqa: ASYNC110 - ends in a thread
            await asyncio.sleep(0.05)
        return not self._ticket(request)

    def left(self, request: gr.Request) -> None:
        """The visitor has closed the page: what `Blocks.unload` calls."""
        self.stop(request, quiet=True)
        ticket, task = self._known.get(_session(request), (0, None))
        if task and not task.started:  # its turn may never come
            self.end(request, ticket)

    def _ticket(self, request: gr.Request) -> int:
        return self._known.get(_session(request), (0, None))[0]


def _session(request: gr.Request) -> str:
    return request.session_hash or ""
