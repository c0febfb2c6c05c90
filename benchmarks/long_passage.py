"""A passage of 100,000 characters against one of 10,000, in seconds a character: python -m benchmarks.long_passage

And the most memory that a process of its own needs for each, beside what it holds before it is asked: the batch bounds
it, not the passage. Writes benchmarks/long_passage.json.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Sequence
from functools import partial

from benchmarks.measure import Row, alternate, options, report, row, text, timed
from qa_compare.data.examples import Example
from qa_compare.inference.engine import Engine

SHORT, LONG = 10_000, 100_000
QUESTION = "Who was the first?"


def _ask(engine: Engine, characters: int) -> None:
    engine.predict([Example("", "", text(characters=characters), QUESTION)], "base")


def _peak(characters: int) -> float:
    """MiB that answering adds to the most that the process has held; `ru_maxrss` is in KiB on Linux."""
    engine = Engine(precision="fp32")
    _ask(engine, 2_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _ask(engine, characters)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def memory(rounds: int) -> Row:
    """The most memory for the long passage over that for the short one."""
    context = multiprocessing.get_context("spawn")

    def peak(characters: int) -> float:
        with context.Pool(1) as pool:
            return max(1.0, pool.apply(_peak, (characters,)))

    found = alternate({"long": lambda: peak(LONG), "short": lambda: peak(SHORT)}, rounds)
    what = "memory for 100,000 characters over 10,000, MiB"
    return row(what, "long", "short", found, most=1.5, goal="bounded: at most 1.5")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "long_passage")
    engine, often = Engine(), LONG // SHORT
    sides = {
        "long": timed(lambda: _ask(engine, LONG)),
        "short, ten times": timed(lambda: [*map(partial(_ask, engine), [SHORT] * often)]),
    }
    what = "100,000 characters over ten times 10,000"
    rows = [row(what, "long", "short, ten times", alternate(sides, given.rounds), most=1.2)]
    rows.append(memory(1 if given.quick else 3))
    report(given, "long passages, seconds and MiB", rows)


if __name__ == "__main__":
    main()
