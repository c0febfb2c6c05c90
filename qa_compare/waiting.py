"""Something slow that is fetched once for all who ask, and that nobody waits for longer than some seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from qa_compare.errors import UserError

Value = TypeVar("Value")


class Awaited(Generic[Value]):
    """`fetch` in the background; `late` is the sentence for who has waited `seconds` for it."""

    def __init__(self, fetch: Callable[[], Value], seconds: float, late: str) -> None:
        self._fetch, self.seconds, self._late = fetch, seconds, late
        self._lock = threading.Lock()
        self._future: Future[Value] | None = None

    def get(self) -> Value:
        """What was fetched, or its error; the next call after that fetches anew.

        Raises:
            UserError: it has not come yet. It goes on, and a later call may have it.
        """
        with self._lock:
            future = self._future
            if future is None:
                future = self._future = Future()
                # a daemon, so that what never comes does not keep the process from ending
                threading.Thread(target=self._run, args=(future,), daemon=True).start()
        try:
            future.exception(self.seconds)  # waits, without raising what the fetch raised
        except TimeoutError:
            raise UserError(self._late) from None
        with self._lock:
            if self._future is future:
                self._future = None
        return future.result()

    def _run(self, future: Future[Value]) -> None:
        try:
            future.set_result(self._fetch())
        except BaseException as error:
            future.set_exception(error)
