"""Nobody waits longer than some seconds, and what comes later is there for who asks again."""

from __future__ import annotations

import threading

import pytest

from qa_compare.data.sources import Awaited
from qa_compare.errors import UserError
from tests.patience import LONG


def test_what_is_late_is_said_and_had_later_from_the_same_fetch() -> None:
    comes, fetched = threading.Event(), []

    def fetch() -> str:
        fetched.append(1)
        comes.wait(LONG)
        return "here"

    awaited = Awaited(fetch, 0.1, "still on its way")
    for _ in range(2):
        with pytest.raises(UserError, match="still on its way"):  # who waited to the end would have got it
            awaited.get()
    comes.set()
    awaited.seconds = LONG
    assert awaited.get() == "here"
    assert len(fetched) == 1


def test_an_error_is_raised_and_the_next_call_tries_again() -> None:
    results = iter([UserError("no hub"), "here"])

    def fetch() -> str:
        found = next(results)
        if isinstance(found, UserError):
            raise found
        return found

    awaited = Awaited(fetch, LONG, "late")
    with pytest.raises(UserError, match="no hub"):
        awaited.get()
    assert awaited.get() == "here"
