"""All that this project touches of Gradio behind its public interface, and why: no other module may.

Tested with Gradio 6.31, whose names these are; `check_version` refuses others with a sentence. What Gradio itself
should offer, so that this file could go:

- a bound on what it keeps of a session. By itself it keeps, for each session and until ten thousand others came, a copy
  of the whole page's configuration (some 358 KB here) with the last text of each box in it, which only its deep links
  need; an empty set for each session that ever was; and a table of the last ten thousand events, made anew after each
  event, for a monitoring page that is off here (`keep_little`);
- tracebacks without the values of a call, which hold what a visitor wrote (`without_texts`);
- a setting that keeps a "file" whose path is an address from being fetched by the server (`only_uploads`);
- how many requests wait, and for how long (`busy`);
- in a handler, whether anybody still waits for its result, and the session's name, without a parameter for the request
  (`gone`, `session`).
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio import queueing, routes
from gradio.context import LocalContext
from gradio.state_holder import SessionState, StateHolder
from gradio_client.utils import is_http_url_like

from qa_compare.errors import UserError

TESTED = "6.31."
MOST_SESSIONS = 1_000  # of which states are kept; the one longest unused goes first
_EVENTS = 100


def check_version() -> None:
    """Refuse a Gradio whose inner names may be others. Raises UserError."""
    if not gr.__version__.startswith(TESTED):
        raise UserError(
            f"this page needs Gradio {TESTED}x, and {gr.__version__} is installed: pip install -r requirements.txt"
        )


def keep_little(page: gr.Blocks) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """The lifespan of an application that serves `page`: it bounds what is kept of visitors before the first one comes.

    What is done once a page was launched comes too late: it listens then, and somebody may have asked already.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        sessions = Sessions()
        sessions.set_blocks(page)
        app.state_holder = sessions
        page._queue.ANALYTICS_MAX_EVENTS = _EVENTS
        page._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
        yield

    return lifespan


class Sessions(StateHolder):
    """The sessions' states (`gr.State`), without the page's configuration in each."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = _OnlyStates(self.blocks)
            self._forget()
        return super().__getitem__(session_id)

    def _forget(self) -> None:
        """Gradio keeps an empty set for each session that ever was."""
        events = self.blocks._queue.pending_event_ids_session
        if len(events) > 2 * self.capacity:
            for name in [name for name, pending in events.items() if not pending and name not in self.session_data]:
                del events[name]


class _OnlyStates(SessionState):
    def __init__(self, blocks: Any) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Of no use without deep links."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """The same."""


def without_texts() -> None:
    """From now on, Gradio's tracebacks on standard error end with the kind of error."""
    for module in (queueing, routes):
        vars(module)["traceback"] = _Places()


class _Places:
    """The module `traceback`, but for one function."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self) -> None:
        """The places of the error that is being handled, and its kind."""
        error = sys.exception()
        places = "".join(traceback.format_tb(error.__traceback__)) if error else ""
        print(f"Traceback (most recent call last):\n{places}{type(error).__name__}", file=sys.stderr)


def only_uploads(page: gr.Blocks) -> None:
    """Let nobody have this server ask another host: Gradio would fetch a "file" whose path is an address.

    It holds for the kinds of components that the page has, since Gradio makes a visitor's own copy of one that changes.
    """
    kind: Any
    for kind in {type(part) for part in page.blocks.values()}:
        if not hasattr(kind.async_move_resource_to_block_cache, "only_uploads"):
            kind.async_move_resource_to_block_cache = _from_disk(kind.async_move_resource_to_block_cache)


def _from_disk(move: Callable[[Any, Any], Awaitable[str | None]]) -> Callable[[Any, Any], Awaitable[str | None]]:
    async def moved(part: Any, path: Any) -> str | None:
        if is_http_url_like(path):
            raise gr.Error("A file is uploaded here, and not fetched from an address.", print_exception=False)
        return await move(part, path)

    moved.only_uploads = True  # type: ignore[attr-defined]
    return moved


def busy(page: gr.Blocks) -> tuple[int, float]:
    """How many requests wait, and about how many seconds their answers will take."""
    queue = page._queue
    times = list(queue.process_time_per_fn.values())
    seconds = sum(one.process_time for one in times) / max(1, sum(one.count for one in times))
    return len(queue), len(queue) * seconds


def gone() -> Callable[[], bool]:
    """Whether nobody waits for the event of this thread any more: Gradio marks it when its connection is cut, and
    forgets it when it is cancelled. The answer may be asked for in another thread."""
    page, number = LocalContext.blocks.get(None), LocalContext.event_id.get(None) or ""
    known = page._queue.event_ids_to_events if page else {}
    event = known.get(number)
    return lambda: event is not None and (not event.alive or known.get(number) is not event)


def session() -> str | None:
    """The name of the browser session that this thread's event is of; None outside of an event."""
    request = LocalContext.request.get(None)
    return None if request is None else request.session_hash or ""
