"""Nobody waits longer than some seconds, and what comes later is there for who asks again."""

from __future__ import annotations

import threading
import time

import pytest

from qa_compare.errors import UserError
from qa_compare.waiting import Awaited


def test_what_is_late_is_said_and_had_later_from_the_same_fetch() -> None:
    comes, fetched = threading.Event(), []

    def fetch() -> str:
        fetched.append(1)
        comes.wait(30)
        return "here"

    awaited = Awaited(fetch, 0.1, "still on its way")
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(UserError, match="still on its way"):
            awaited.get()
        assert time.monotonic() - begin < 5
    comes.set()
    awaited.seconds = 30
    assert awaited.get() == "here"
    assert len(fetched) == 1


def test_an_error_is_raised_and_the_next_call_tries_again() -> None:
    results = iter([UserError("no hub"), "here"])

    def fetch() -> str:
        found = next(results)
        if isinstance(found, UserError):
            raise found
        return found

    awaited = Awaited(fetch, 30, "late")
    with pytest.raises(UserError, match="no hub"):
        awaited.get()
    assert awaited.get() == "here"
