"""Sixteen users over HTTP, whose comparisons leave the page's queue one by one or some at once.

    python -m benchmarks.over_http

Each question is another one and is answered by three variants; all users ask at the same moment. What several threads
ask of the engine may join in one forward pass (`qa_compare/turns.py`). Writes benchmarks/over_http.json.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from urllib.request import Request, urlopen

from benchmarks.measure import alternate, options, report, row, text
from qa_compare.engine import Engine
from qa_compare.service import Service
from qa_compare.serving import Settings, serve
from qa_compare.ui.page import BUSY
from tests.conftest import HOST, free_port

USERS = 16
AT_ONCE = (1, 2, 4)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "over_http")
    users = 4 if given.quick else USERS
    service = Service({"minilm-l6-qa": Engine()}, "minilm-l6-qa")
    service.warm_up("minilm-l6-qa", service.shown("minilm-l6-qa"))
    page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    passage, numbers = text(words=150), count()
    waits: dict[str, list[tuple[float, float]]] = {}

    def visit(begin: float, number: int) -> float:
        ask(page.local_url, passage, f"Who was number {number}?")
        return time.perf_counter() - begin

    def at_once(limit: int) -> float:
        page._queue.event_queue_per_concurrency_id[BUSY["concurrency_id"]].concurrency_limit = limit
        begin = time.perf_counter()
        with ThreadPoolExecutor(users) as pool:
            found = list(pool.map(partial(visit, begin), [next(numbers) for _ in range(users)]))
        waits.setdefault(name(limit), []).append((max(found), statistics.mean(found)))
        return max(found)

    ask(page.local_url, passage, "Who?")  # makes the queue
    sides: dict[str, Callable[[], float]] = {name(limit): partial(at_once, limit) for limit in AT_ONCE}
    found = alternate(sides, given.rounds)
    rows = []
    for limit in AT_ONCE[1:]:
        what = f"{users} users, all answers, {limit} at a time over one at a time"
        rows.append(row(what, "below 0.9 to be kept", name(limit), name(1), found, most=0.9))
    for limit in AT_ONCE:
        both = {
            "longest": [wait for wait, _ in waits[name(limit)][1:]],
            "mean": [one for _, one in waits[name(limit)][1:]],
        }
        rows.append(row(f"{name(limit)}: longest wait over the mean", "at most 2", "longest", "mean", both, most=2))
    report(given, f"{users} users over HTTP, seconds", rows)
    page.close(verbose=False)


def name(limit: int) -> str:
    """Of a side."""
    return f"{limit} at a time"


def ask(url: str, passage: str, question: str) -> None:
    """One comparison over plain HTTP."""
    body = json.dumps({"data": [passage, question, None]}).encode()
    with urlopen(Request(f"{url}gradio_api/call/compare", body, {"Content-Type": "application/json"})) as reply:  # noqa: S310
        event = json.load(reply)["event_id"]
    with urlopen(f"{url}gradio_api/call/compare/{event}") as reply:  # noqa: S310
        if b"event: complete" not in reply.read():
            raise SystemExit("over_http: a question was not answered")


if __name__ == "__main__":
    main()
