"""Answers to many questions, a step at a time: how far it is, when it will be done, and where the answers are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from qa_compare.engine import Cancelled, Engine
from qa_compare.examples import Example
from qa_compare.predictions import Prediction

STEP = 64  # questions between two reports of progress
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` answers, now those of `label`; `left` estimates the seconds to go, None where it cannot yet."""

    done: int
    total: int
    label: str
    left: float | None


class Pace:
    """How fast the answering goes, from the moment that this is made."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def at(self, done: int, total: int, label: str, *, made: int) -> Progress:
        """`made` of the `done` answers were found at this pace; the others were there before."""
        spent = time.perf_counter() - self._begun
        return Progress(done, total, label, spent / made * (total - done) if made else None)


def advance(
    engine: Engine, examples: Sequence[Example], variant: str, found: list[Prediction], cancelled: Callable[[], bool]
) -> int:
    """Add the variant's answers to the next questions to those that were `found`. Returns how many.

    Raises:
        UserError: the variant cannot be loaded.
        Cancelled: soon after `cancelled()` is true; `found` is then as it was.
    """
    if cancelled():
        raise Cancelled
    some = engine.predict(examples[len(found) : len(found) + STEP], variant, top=1, cancelled=cancelled)
    found += some
    return len(some)


def keep(store: dict[tuple[Any, ...], Value], key: tuple[Any, ...], most: int, make: Callable[[], Value]) -> Value:
    """What is stored under `key`, made where it is not; of more than `most`, the oldest are let go."""
    if key not in store:
        store[key] = make()
        for old in list(store)[:-most]:
            store.pop(old, None)
    return store[key]
