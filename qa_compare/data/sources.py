"""The questions that are there without a file: the built-in sample, and SQuAD from the hub.

The hub is asked only where it may be, once for all who want its questions, and nobody waits for it longer than some
seconds.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from qa_compare.data.examples import Example
from qa_compare.data.readers import check_rows, read_examples, refuse_problems
from qa_compare.errors import UserError


def switched_off() -> bool:
    """What HF_HUB_OFFLINE says now; the library's own constant is what it said at import."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


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


SAMPLE = Path(__file__).parent / "sample.json"
_PROBE_SECONDS = 3


@cache
def sample() -> list[Example]:
    """The built-in questions, written for this project, over ten fields. The list is shared: do not change it."""
    return read_examples(SAMPLE)


def squad_validation() -> list[Example]:
    """SQuAD v1.1's 10,570 validation questions from the hub, waited for some seconds.

    Raises:
        UserError: they cannot be had, or have not come yet: they are fetched on, and a later call may have them.
    """
    return _VALIDATION.get()


def squad_train() -> list[Example]:
    """SQuAD v1.1's training questions from the hub. Raises UserError where they cannot be had."""
    return _squad("train")


def _squad(split: str) -> list[Example]:
    # asked first: offline, the library tries for half a minute before it says no
    offline = switched_off() or not _hub_answers()
    import datasets

    try:
        download = datasets.DownloadConfig(local_files_only=offline)
        with _offline(offline):
            rows = datasets.load_dataset("rajpurkar/squad", split=split, download_config=download)
    except Exception as error:  # the library raises a dozen kinds when a data set cannot be had
        why = (
            "the Hugging Face hub cannot be reached" if offline else f"the hub did not give it ({type(error).__name__})"
        )
        raise UserError(f"SQuAD ({split}) is not on this machine and {why}: give a SQuAD JSON file instead") from error
    found = check_rows(rows, f"rajpurkar/squad {split}")
    refuse_problems(found.problems)
    return found.examples


_VALIDATION = Awaited(
    lambda: _squad("validation"),
    seconds=20,
    late="SQuAD (validation) is still on its way from the Hugging Face hub: choose it again in a while, or give a "
    "SQuAD JSON file instead",
)


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Lets `datasets` look only into its cache, while the block runs."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = wanted or before
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    """Whether the hub accepts a connection, asked for some seconds at most; taken for granted behind a proxy."""
    from huggingface_hub.constants import ENDPOINT

    address = urlsplit(ENDPOINT)
    if address.scheme in getproxies():
        return True
    port = address.port or (443 if address.scheme == "https" else 80)
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError), socket.create_connection((address.hostname or "", port), timeout=_PROBE_SECONDS):
            answered.set()

    # in a thread: a connection's time limit is for each of the hub's dozen addresses, and there is none for its name
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PROBE_SECONDS)
    return answered.is_set()
