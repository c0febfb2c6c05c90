"""Sixteen users over HTTP, whose comparisons leave the page's queue one by one or some at once.

    python -m benchmarks.over_http

Each question is another one and is answered by three variants; all users ask at the same moment, alone and beside
batches. What several threads ask of the engine may join in one forward pass (`qa_compare/inference/scheduler.py`).
Writes benchmarks/over_http.json.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.measure import alternate, options, report, row, text
from qa_compare.inference.engine import Engine
from qa_compare.page.shell import COMPARISONS
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.service import Service
from tests.conftest import HOST, free_port

USERS = 16
AT_ONCE = (1, 4)
BATCH = 50  # questions, asked again and again beside the users


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "over_http")
    users = 4 if given.quick else USERS
    service = Service({"minilm-l6-qa": Engine()}, "minilm-l6-qa")
    service.warm_up("minilm-l6-qa", service.shown("minilm-l6-qa"))
    page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    url, passage, numbers = str(page.local_url), text(words=150), count()
    waits: dict[str, list[tuple[float, float]]] = {}

    def visit(begin: float, number: int) -> float:
        ask(url, passage, f"Who was number {number}?")
        return time.perf_counter() - begin

    def at_once(limit: int, beside: bool) -> float:
        page._queue.event_queue_per_concurrency_id[COMPARISONS["concurrency_id"]].concurrency_limit = limit
        done = threading.Event()
        other = threading.Thread(target=batches, args=(url, passage, done if beside else None))
        other.start()
        begin = time.perf_counter()
        with ThreadPoolExecutor(users) as pool:
            found = list(pool.map(partial(visit, begin), [next(numbers) for _ in range(users)]))
        done.set()
        other.join()
        waits.setdefault(name(limit, beside), []).append((max(found), statistics.mean(found)))
        return max(found)

    ask(url, passage, "Who?")  # makes the queue
    both = [(limit, beside) for beside in (False, True) for limit in AT_ONCE]
    found = alternate({name(*one): partial(at_once, *one) for one in both}, given.rounds)
    rows = []
    for beside in (False, True):
        one, some = (name(limit, beside) for limit in AT_ONCE)
        rows.append(row(f"all answers, {one} over {some}", "at least 0.95", one, some, found, least=0.95))
    for which in (name(*one) for one in both):
        wait = {"longest": [most for most, _ in waits[which][1:]], "mean": [mean for _, mean in waits[which][1:]]}
        rows.append(row(f"{which}: longest wait over the mean", "at most 2", "longest", "mean", wait, most=2))
    report(given, f"{users} users over HTTP, seconds", rows)
    page.close(verbose=False)


def batches(url: str, passage: str, done: threading.Event | None) -> None:
    """One batch after another until that is done."""
    rows = [{"passage": passage, "question": f"Who was number {number} of them?"} for number in range(BATCH)]
    while done and not done.is_set():
        call(url, "predict_batch", [rows, None, "", None])


def name(limit: int, beside: bool) -> str:
    """Of a side."""
    return f"{limit} at a time{', beside batches' if beside else ''}"


def ask(url: str, passage: str, question: str) -> None:
    """One comparison over plain HTTP."""
    call(url, "compare", [passage, question, None])


def call(url: str, endpoint: str, data: list[Any]) -> None:
    """One call of a public endpoint, until it is answered."""
    kind = {"Content-Type": "application/json"}
    request = Request(f"{url}gradio_api/call/{endpoint}", json.dumps({"data": data}).encode(), kind)  # noqa: S310
    with urlopen(request) as reply:  # noqa: S310
        event = json.load(reply)["event_id"]
    with urlopen(f"{url}gradio_api/call/{endpoint}/{event}") as reply:  # noqa: S310
        if b"event: complete" not in reply.read():
            raise SystemExit(f"over_http: /{endpoint} did not answer")


if __name__ == "__main__":
    main()
