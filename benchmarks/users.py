"""Sixteen users at once against one who asks sixteen questions back to back: python -m benchmarks.users

Each question is another one and is answered by three variants. Writes benchmarks/users.json.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import alternate, at_once, forgetful, options, report, row, text, timed, waiting
from qa_compare.inference.engine import Engine

USERS = 16


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "users")
    users = range(4 if given.quick else USERS)
    engine, passage = forgetful(Engine()), text(words=150)
    waits: list[list[float]] = []

    def ask(number: int) -> None:
        engine.compare(passage, f"Who was number {number}?")

    def all_at_once() -> float:
        waits.append(at_once(ask, users))
        return max(waits[-1])

    sides = {"one after the other": timed(lambda: list(map(ask, users))), "at once": all_at_once}
    found = alternate(sides, given.rounds)
    what = f"throughput of {len(users)} users at once over one back to back"
    rows = [
        row(what, "one after the other", "at once", found, least=0.9),
        waiting("longest wait over the mean", waits),
    ]
    report(given, f"{len(users)} users, seconds", rows)


if __name__ == "__main__":
    main()
