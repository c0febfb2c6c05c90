"""One line a request: when, which, how large, how long, how it ended. Never a text of anybody, unless it is asked for.

`watch` puts itself around every event and endpoint of a page, so that a new one is logged and limited as the others.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.inference import scheduler
from qa_compare.inference.engine import Cancelled
from qa_compare.page import stopping
from qa_compare.server.gradio_internals import gone, session

LOG = logging.getLogger("qa_compare.requests")
QUICK = {"errors", "batch"}  # the concurrency groups of what only looks at answers there are
_MINUTE = 60.0  # seconds
_MOST_SESSIONS = 10_000


class Rate:
    """At most `most` costly requests a minute and browser session. Threads may share it."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._clock = clock
        # of those who asked within a minute, and of 10,000 at most; whoever asked last stands last
        self._asked: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, session: str) -> float:
        """Count a request; the seconds until it may be made where it may not be made now, else 0."""
        with self._lock:
            now = self._clock()
            times = self._asked.setdefault(session, deque(maxlen=self.most))
            if len(times) == self.most and now - times[0] < _MINUTE:
                return _MINUTE - (now - times[0])
            times.append(now)
            self._asked.move_to_end(session)
            self._forget(now)
            return 0.0

    def _forget(self, now: float) -> None:
        while len(self._asked) > _MOST_SESSIONS or next(iter(self._asked.values()))[-1] <= now - _MINUTE:
            self._asked.popitem(last=False)


def watch(page: gr.Blocks, *, rate: Rate | None = None, texts: bool = False) -> None:
    """Log every event and endpoint of a page, with their `texts` where that is wanted, and hold costly ones to `rate`.

    Costly is what waits in a group of its own for the models.
    """
    for event in page.fns.values():
        if event.fn is not None:
            costly = not event.concurrency_id.isdigit() and event.concurrency_id not in QUICK
            event.fn = _watched(event.fn, name(event), rate if costly else None, texts)


def name(event: Any) -> str:
    """`/compare` for a public endpoint, such as `compare.answer` for what a control of the page does."""
    if event.api_visibility == "public":
        return f"/{event.api_name}"
    plain = event.fn
    while isinstance(plain, functools.partial):
        plain = plain.func
    return f"{plain.__module__.rpartition('.')[2]}.{plain.__qualname__}"


def _watched(fn: Callable[..., Any], called: str, rate: Rate | None, texts: bool) -> Callable[..., Any]:
    def once(*args: Any, **options: Any) -> Any:
        with _stopping(), _logged(called, [*args, *options.values()], texts) as told:
            _limit(rate)
            with stopping.listening(told), scheduler.asked_by(gone()):
                return fn(*args, **options)

    def many(*args: Any, **options: Any) -> Iterator[Any]:
        with (
            _stopping(),
            _logged(called, [*args, *options.values()], texts) as told,
            closing(fn(*args, **options)) as steps,
        ):
            _limit(rate)
            while True:
                with stopping.listening(told), scheduler.asked_by(gone()):  # each step may run in another thread
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step

    async def later(*args: Any, **options: Any) -> Any:  # `once` would give Gradio what nobody has waited for
        with _stopping(), _logged(called, [*args, *options.values()], texts) as told:
            _limit(rate)
            with stopping.listening(told), scheduler.asked_by(gone()):
                return await fn(*args, **options)

    wrapper = many if inspect.isgeneratorfunction(fn) else later if inspect.iscoroutinefunction(fn) else once
    made = functools.wraps(fn)(wrapper)
    # Gradio looks at a parameter's annotation to see whether it wants the request; a partial has none
    made.__annotations__ = getattr(fn, "__annotations__", {})
    return made


@contextmanager
def _stopping() -> Iterator[None]:
    """To Gradio, work that was ended because nobody wants it is a refusal, which it does not trace to the log."""
    try:
        yield
    except Cancelled as error:
        raise gr.Error("Cancelled: nobody waits for it any more.", print_exception=False) from error


def _limit(rate: Rate | None) -> None:
    name_of_session = session()
    if rate is None or name_of_session is None:
        return
    seconds = rate.wait(name_of_session)
    if seconds:
        message = f"At most {rate.most} questions a minute are answered: try again in {math.ceil(seconds)} s."
        raise gr.Error(message, print_exception=False)


@contextmanager
def _logged(called: str, values: list[Any], texts: bool) -> Iterator[list[str]]:
    begin, told = time.perf_counter(), list[str]()
    try:
        yield told
    except (gr.Error, UserError):
        told.append(stopping.REFUSED)
        raise
    except (Cancelled, GeneratorExit):
        told.append(stopping.CANCELLED)
        raise
    except BaseException as error:
        told.append(f"failed:{type(error).__name__}")
        raise
    finally:
        # the first one counts: whoever is told that the passage is too long and then leaves was refused
        line(called, [size(value) for value in values], begin, told[0] if told else "ok", values if texts else None)


def line(called: str, sizes: list[int], begin: float, how: str, values: list[Any] | None = None) -> None:
    """Write one line; `begin` is a `time.perf_counter()`."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    spent = 1000 * (time.perf_counter() - begin)
    text = f"{at} {called} sizes={','.join(map(str, sizes)) or '-'} ms={spent:.0f} outcome={how}"
    if values is not None:
        text += f" texts={json.dumps([value for value in values if isinstance(value, str)])}"
    LOG.info(text)


def size(value: Any) -> int:
    """Characters of a text, entries of a list, 1 for whatever else there is, 0 for nothing."""
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    return 0 if value is None else 1
