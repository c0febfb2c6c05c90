"""How fast the variants of a backbone answer: in turns, in one process, so that their speeds can be compared.

An evaluation knows only how fast it was itself, on a machine that may have done other work beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.inference.engine import Engine
from qa_compare.runs.store import METRICS, read_metrics, write_metrics


def measure(
    engine: Engine,
    examples: Sequence[Example],
    names: Sequence[str],
    rounds: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Questions a second by variant: the median of `rounds` passes over `examples`, after one that warms up.

    Raises:
        UserError: a variant cannot be loaded.
    """
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range((rounds + 1) * len(names)):
        name = names[turn % len(names)]
        begin = time.perf_counter()
        engine.predict(examples, name, top=1)
        if turn >= len(names):
            seconds[name].append(time.perf_counter() - begin)
        progress(turn + 1, (rounds + 1) * len(names))
    return {name: len(examples) / statistics.median(times) for name, times in seconds.items()}


def save(folder: Path, speed: float, precision: str) -> bool:
    """Put a variant's questions a second into its metrics.json; False where it has none.

    Raises:
        UserError: its scores are of another precision, or the file is damaged or cannot be written.
    """
    metrics = read_metrics(folder)
    if metrics is None:
        return False
    if metrics.precision != precision:
        raise UserError(f"{folder.name} was evaluated in {metrics.precision}: pass --precision {metrics.precision}")
    write_metrics(folder / METRICS, replace(metrics, questions_per_second=speed))
    return True
