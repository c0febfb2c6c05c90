"""Sixteen users at once against one who asks sixteen questions back to back: python -m benchmarks.users

Each question is another one and is answered by three variants. Writes benchmarks/users.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.measure import alternate, options, report, row, text
from qa_compare.inference.comparison import VariantAnswer
from qa_compare.inference.engine import AnswerCache, Engine

USERS = 16


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "users")
    users = 4 if given.quick else USERS
    engine, passage = Engine(), text(words=150)
    engine._remembered = AnswerCache[VariantAnswer](0)
    waits: list[tuple[float, float]] = []

    def one(number: int, begin: float) -> float:
        engine.compare(passage, f"Who was number {number}?")
        return time.perf_counter() - begin

    def at_once() -> float:
        begin = time.perf_counter()
        with ThreadPoolExecutor(users) as pool:
            found = list(pool.map(lambda number: one(number, begin), range(users)))
        waits.append((max(found), statistics.mean(found)))
        return max(found)

    def back_to_back() -> float:
        begin = time.perf_counter()
        return [one(number, begin) for number in range(users)][-1]

    found = alternate({"one after the other": back_to_back, "at once": at_once}, given.rounds)
    what = f"throughput of {users} users at once over one back to back"
    longest = {"longest wait": [wait for wait, _ in waits[1:]], "mean wait": [mean for _, mean in waits[1:]]}
    rows = [
        row(what, "at least 0.9", "one after the other", "at once", found, least=0.9),
        row("longest wait over the mean", "at most 2", "longest wait", "mean wait", longest, most=2),
    ]
    report(given, f"{users} users, seconds", rows)


if __name__ == "__main__":
    main()
