"""Sixteen users over HTTP, whose comparisons leave the page's queue one by one or some at once.

    python -m benchmarks.over_http

Each question is another one and is answered by three variants; all users ask at the same moment, alone and beside
batches. What several threads ask of the engine may join in one forward pass (`qa_compare/inference/scheduler.py`).
Writes benchmarks/over_http.json.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.measure import alternate, at_once, options, report, row, text, waiting
from qa_compare.inference.engine import Engine
from qa_compare.page.shell import COMPARISONS
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.service import Service
from tests.conftest import HOST, free_port

USERS = 16
BATCH = 50  # questions, asked again and again beside the users
SIDES = {f"{limit} at a time{suffix}": (limit, bool(suffix)) for suffix in ("", ", beside batches") for limit in (1, 4)}


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "over_http")
    users = 4 if given.quick else USERS
    service = Service({"minilm-l6-qa": Engine()}, "minilm-l6-qa")
    service.warm_up("minilm-l6-qa", service.shown("minilm-l6-qa"))
    page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    url, passage, numbers = str(page.local_url), text(words=150), count()
    waits: dict[str, list[list[float]]] = {name: [] for name in SIDES}

    def ask(number: int) -> None:
        call(url, "compare", [passage, f"Who was number {number}?", None])

    def all_at_once(name: str) -> float:
        limit, beside = SIDES[name]
        page._queue.event_queue_per_concurrency_id[COMPARISONS["concurrency_id"]].concurrency_limit = limit
        done = threading.Event()
        other = threading.Thread(target=batches, args=(url, passage, done))
        if beside:
            other.start()
        waits[name].append(at_once(ask, [next(numbers) for _ in range(users)]))
        done.set()
        if beside:
            other.join()
        return max(waits[name][-1])

    ask(next(numbers))  # makes the queue
    found = alternate({name: partial(all_at_once, name) for name in SIDES}, given.rounds)
    one, four, one_beside, four_beside = SIDES
    rows = [
        row(f"all answers, {left} over {right}", left, right, found, least=0.95)
        for left, right in ((one, four), (one_beside, four_beside))
    ]
    rows += [waiting(f"{name}: longest wait over the mean", waits[name]) for name in SIDES]
    report(given, f"{users} users over HTTP, seconds", rows)
    page.close(verbose=False)


def batches(url: str, passage: str, done: threading.Event) -> None:
    """Ask one batch after another until `done` is set."""
    rows = [{"passage": passage, "question": f"Who was number {number} of them?"} for number in range(BATCH)]
    while not done.is_set():
        call(url, "predict_batch", [rows, None, "", None])


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
