"""Answers to many questions, a step at a time: how far it is, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qa_compare.engine import Cancelled, Engine
from qa_compare.examples import Example
from qa_compare.models import Loaded
from qa_compare.predictions import Prediction

LEAST_STEP, MOST_STEP = 16, 256  # questions between two reports of progress: a slow processor also reports often


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
        self._made = 0
        self.step = LEAST_STEP

    def count(self, made: int, seconds: float) -> None:
        """So many answers were found in that time: the next step is to take between one second and four."""
        self._made += made
        if seconds < 1:
            self.step = min(2 * self.step, MOST_STEP)
        elif seconds > 4:
            self.step = max(self.step // 2, LEAST_STEP)

    def at(self, done: int, total: int, label: str) -> Progress:
        """Of the `done` answers, those that were there before this pace are not counted for the time that is left."""
        spent = time.perf_counter() - self._begun
        return Progress(done, total, label, spent / self._made * (total - done) if self._made else None)


def advance(
    engine: Engine,
    examples: Sequence[Example],
    variant: str | Loaded,
    found: list[Prediction],
    cancelled: Callable[[], bool],
    pace: Pace,
) -> None:
    """Add the variant's answers to the next of the questions, a step of the pace, to those that were `found`.

    Raises:
        UserError: the variant cannot be loaded.
        Cancelled: soon after `cancelled()` is true; `found` is then as it was.
    """
    if cancelled():
        raise Cancelled
    begun = time.perf_counter()
    some = engine.predict(examples[len(found) : len(found) + pace.step], variant, top=1, cancelled=cancelled)
    found += some
    pace.count(len(some), time.perf_counter() - begun)
