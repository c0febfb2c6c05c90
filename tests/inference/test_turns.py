"""Many threads, one forward pass at a time: each gets its own logits, none waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qa_compare.inference.scheduler import Pair, Turns, by_length
from qa_compare.models.features import Window
from tests.patience import LONG, until


def window(length: int, mark: int = 0) -> Window:
    return Window(np.full(length, mark), 1, length - 2, 0)


def marks(windows: Sequence[Window]) -> list[Pair]:
    """Logits that say which window they belong to."""
    return [(np.float32([one.input_ids[0]]), np.float32([one.input_ids[0]])) for one in windows]


class Held:
    """A forward pass whose first call waits until `release` is set, so that others queue behind it."""

    def __init__(self) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        self.batches: list[tuple[str, list[int]]] = []

    def __call__(self, variant: str, windows: Sequence[Window]) -> list[Pair]:
        self.batches.append((variant, [int(one.input_ids[0]) for one in windows]))
        self.begun.set()
        assert self.release.wait(LONG)
        return marks(windows)


def queued(turns: Turns, held: Held, asked: list[tuple[str, Window]]) -> list[list[Pair]]:
    """What each asker gets, when all but the first come, in this order, while the first is being served."""
    with ThreadPoolExecutor(len(asked)) as pool:
        futures = []
        for place, (variant, one) in enumerate(asked):
            futures.append(pool.submit(turns, variant, [one]))
            assert held.begun.wait(LONG)
            until(lambda behind=place: len(turns._waiting) >= behind, every=0.001)
        held.release.set()
        return [future.result(LONG) for future in futures]


def test_waiting_requests_of_one_variant_join_and_each_gets_its_own() -> None:
    held = Held()
    turns = Turns(held, rows=8, tokens=100)
    asked = [("base", window(10, 1)), ("base", window(10, 2)), ("lora", window(10, 3)), ("base", window(10, 4))]
    found = queued(turns, held, asked)
    assert [int(pair[0][0]) for [pair] in found] == [1, 2, 3, 4]
    assert held.batches == [("base", [1]), ("base", [2, 4]), ("lora", [3])]


@pytest.mark.parametrize(
    ("second", "limits"), [(5, {}), (10, {"rows": 1}), (10, {"tokens": 19})], ids=["length", "rows", "tokens"]
)
def test_a_request_that_would_pad_or_outgrow_the_batch_waits_its_turn(second: int, limits: dict[str, int]) -> None:
    held = Held()
    turns = Turns(held, **{"rows": 8, "tokens": 100} | limits)
    queued(turns, held, [("base", window(10, 1)), ("base", window(10, 2)), ("base", window(second, 3))])
    assert [batch for _, batch in held.batches] == [[1], [2], [3]]


def test_a_pass_that_fails_fails_for_all_in_it_and_the_next_one_runs() -> None:
    failing = True

    def forward(variant: str, windows: Sequence[Window]) -> list[Pair]:
        if failing:
            raise RuntimeError("no memory")
        return marks(windows)

    turns = Turns(forward, rows=8, tokens=100)
    with pytest.raises(RuntimeError, match="no memory"):
        turns("base", [window(10)])
    failing = False
    assert len(turns("base", [window(10), window(10)])) == 2


def test_batches_are_of_like_length_and_bounded_and_hold_every_window_once() -> None:
    windows = [window(length) for length in (30, 5, 200, 30, 29, 5, 31)]
    batches = list(by_length(windows, rows=3, tokens=100))
    assert batches == [[2], [6, 0, 3], [4, 1, 5]]
