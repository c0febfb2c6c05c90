"""What is replaced of Gradio because it has no setting for it: what it keeps of every visitor, and what it prints.

By itself it keeps, for each session and until ten thousand others came, a copy of the whole page's configuration (some
358 KB here) with the last text of each box in it, which only its deep links need; and it makes a table of the last ten
thousand events anew after each event, for a monitoring page that is off here. Its tracebacks print an error's own
words, which hold what a visitor wrote where a call has too few values, or the wrong ones: here they end with the kind
of error.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio import queueing, routes
from gradio.state_holder import SessionState, StateHolder

MOST_SESSIONS = 1_000  # of which states are kept; the one longest unused goes first
_EVENTS = 100


def keep_little(page: gr.Blocks) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """The lifespan of an application that serves `page`: it bounds what is kept of visitors before the first one comes.

    What is done once a page was launched comes too late: it listens then, and somebody may have asked already.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        sessions = Sessions()
        page.state_session_capacity = MOST_SESSIONS
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
