"""Many visitors for some minutes: `python -m benchmarks.soak [--quick]`, which `make soak` runs. Loopback only.

They ask over the real endpoints of a page with the shipped adapters: compare, a batch of 50 questions, the error table,
the scores, and opening the page. Every passage carries a word of its own that only its answer can have. What comes back
is an answer, or "busy, try again in N s", which a visitor heeds; anything else is wrong. The figures go to
benchmarks/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import httpx
import numpy as np
from gradio_client import Client
from gradio_client.exceptions import AppError

from benchmarks.measure import HERE
from qa_compare.files import write_json
from tests.conftest import HOST, free_port

MOST_GROWTH = 5.0  # percent of the memory after the first minute
BUSY = re.compile(r"Busy: [^.]+\. Try again in (\d+) s\.")
KINDS = ("compare", "compare", "compare", "batch", "errors", "metrics", "open")
BATCH = 50  # questions
QUESTION = "Which river rises in the hills?"
PATIENCE = 120.0  # seconds until a silent server counts as one that does not answer
PAUSE = (0.5, 4.0)  # seconds between two requests of a visitor
LONGEST_WAIT = 30.0  # seconds that a visitor heeds


class Wrong(Exception):
    """What came back is no answer to what was asked."""


@dataclass
class Tally:
    """What all visitors have seen; `seconds` by kind of request, of those that were answered."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, spent: float, outcome: str) -> None:
        """Count one request; `outcome` is answered, busy, or what went wrong."""
        with self.lock:
            self.outcomes[outcome if outcome in ("answered", "busy") else "failed"] += 1
            if outcome == "answered":
                self.seconds[kind].append(spent)
            elif outcome != "busy":
                self.wrong.append(f"{kind}: {outcome}")

    def by_kind(self, share: float) -> dict[str, float]:
        """A percentile of the seconds of each kind of request."""
        return {kind: round(float(np.percentile(some, share)), 3) for kind, some in sorted(self.seconds.items())}


class Visitor:
    """One who opens the page and asks, with pauses as people make them."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._url, self._tally = url, tally
        self._client: Client | None = None

    def stay(self, until: float) -> None:
        """Ask until `time.monotonic()` is at `until`; each visitor opens the page first."""
        wait = random.uniform(0, 4)
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(wait, left))
            if time.monotonic() < until:
                wait = self._once(random.choice(KINDS) if self._client else "open")
        self._leave()

    def _once(self, kind: str) -> float:
        """One request; the seconds until the next one."""
        begin, asked_to = time.monotonic(), 0.0
        try:
            getattr(self, f"_{kind}")()
            outcome = "answered"
        except httpx.HTTPStatusError as error:
            outcome, asked_to = refusal(error.response)
        except AppError as error:
            found = BUSY.fullmatch(str(error))
            outcome, asked_to = ("busy", float(found[1])) if found else (f"refused: {error}", 0)
        except Exception as error:  # whatever it is, it is counted and told at the end
            outcome = f"{type(error).__name__}: {error}"
        self._tally.add(kind, time.monotonic() - begin, outcome)
        return max(random.uniform(*PAUSE), min(asked_to, LONGEST_WAIT))

    def _leave(self) -> None:
        with suppress(Exception):
            if self._client:
                self._client.close()
        self._client = None

    def _open(self) -> None:
        """The page as a browser gets it, and a new session."""
        self._leave()
        with urlopen(self._url, timeout=PATIENCE) as reply:  # noqa: S310 - our own address
            if b"gradio" not in reply.read():
                raise Wrong("no page")
        # there is no certificate to verify, and reading those there are takes long
        quick: dict[str, Any] = {"ssl_verify": False, "httpx_kwargs": {"timeout": PATIENCE}}
        self._client = Client(self._url, verbose=False, analytics_enabled=False, **quick)

    def _ask(self, endpoint: str, **asked: Any) -> dict[str, Any]:
        assert self._client
        found: dict[str, Any] = self._client.predict(**asked, api_name=endpoint)
        return found

    def _compare(self) -> None:
        nonce, passage = written()
        found = self._ask("/compare", passage=passage, question=QUESTION)
        if any(column["problem"] for column in found["variants"]):
            raise Wrong(f"a variant that cannot answer: {found['variants']}")
        check(nonce, passage, found["variants"])

    def _batch(self) -> None:
        texts = dict(written() for _ in range(BATCH))
        questions = [{"id": nonce, "passage": text, "question": QUESTION} for nonce, text in texts.items()]
        found = self._ask("/predict_batch", questions=questions)
        if found["problems"] or [one["id"] for one in found["predictions"]] != [*texts]:
            raise Wrong(f"not the questions that were asked: {found['problems']}")
        for one in found["predictions"]:
            check(one["id"], texts[one["id"]], list(one["variants"].values()))

    def _errors(self) -> None:
        found = self._ask("/errors", source="sample", text="the", limit=20)
        if not found["columns"] or found["missing"] or not 0 < len(found["rows"]) <= 20:
            raise Wrong("no rows")

    def _metrics(self) -> None:
        if not self._ask("/metrics", backbone="minilm-l6-qa")["variants"]:
            raise Wrong("no scores")


def written() -> tuple[str, str]:
    """A word that nobody else has, and a passage with it in all places where an answer can be."""
    nonce = f"Zq{secrets.token_hex(6)}"
    return nonce, f"The river {nonce} rises in the {nonce} hills and flows past {nonce} town to the {nonce} sea."


def check(nonce: str, passage: str, answers: list[dict[str, Any]]) -> None:
    """Raise `Wrong` unless each answer is of this passage, and one at least has the word that only this one has."""
    for one in answers:
        if not one["answer"] or passage[one["start"] : one["end"]] != one["answer"]:
            raise Wrong(f"an answer that is not of its passage: {one['answer']!r}")
    if not any(nonce in one["answer"] for one in answers):
        raise Wrong("no answer has the word that only this passage has")


def refusal(response: httpx.Response) -> tuple[str, float]:
    """("busy", the seconds to wait), or what else it was."""
    try:
        told = str(json.loads(response.read()).get("detail", ""))
    except (ValueError, AttributeError, httpx.HTTPError):
        told = ""
    found = BUSY.fullmatch(told)
    return ("busy", float(found[1])) if found and response.status_code == 429 else (f"{response.status_code} {told}", 0)


@contextmanager
def served(log: IO[str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of the page, and its process, which writes into `log`. Exits with a line if it does not start."""
    url = f"http://{HOST}:{(port := free_port())}/"
    command = [sys.executable, "app.py", "--port", str(port), "--host", HOST]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, cwd=HERE.parent, env=environment, stdout=log, stderr=log) as process:  # noqa: S603
        try:
            deadline = time.monotonic() + 180
            while True:
                with suppress(OSError):
                    urlopen(f"{url}healthz", timeout=10).close()  # noqa: S310
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("soak: the page did not start")
                time.sleep(0.2)
            yield url, process
        finally:
            process.terminate()
            process.wait(30)


def soak(users: int, minutes: float) -> dict[str, Any]:
    """Serve the page in a process of its own, send the visitors, and gather the figures."""
    tally = Tally()
    sizes: list[float] = []  # MB of the page's process, every 15 seconds and after the last answer
    with tempfile.TemporaryFile("w+") as log:
        with served(log) as (url, process):
            until = time.monotonic() + 60 * minutes
            stay = [Visitor(url, tally).stay for _ in range(users)]
            visitors = [threading.Thread(target=one, args=(until,), daemon=True) for one in stay]
            for visitor in visitors:
                visitor.start()
            while time.monotonic() < until and process.poll() is None:
                time.sleep(max(0.0, min(15.0, until - time.monotonic())))
                sizes.append(memory(process.pid))
            for visitor in visitors:
                visitor.join(max(0.0, until + PATIENCE + 60 - time.monotonic()) if process.poll() is None else 0)
            if process.poll() is not None:
                log.seek(0)
                raise SystemExit(f"soak: the page ended with status {process.returncode}: {log.read()[-3000:]}")
            stuck = sum(visitor.is_alive() for visitor in visitors)
            sizes.append(memory(process.pid))
        log.seek(0)
        failures = [line.strip() for line in log if line.startswith("Traceback") or "outcome=failed" in line]
    return {"users": users, "minutes": minutes, **figures(tally, stuck, sizes), "server_failures": failures[:20]}


def figures(tally: Tally, stuck: int, sizes: Sequence[float]) -> dict[str, Any]:
    """What was found, but for the lines of the server's log that tell of a failure."""
    early, late = sizes[min(3, len(sizes) - 2)], sizes[-1]
    return {
        "requests": sum(tally.outcomes.values()),
        **{name: tally.outcomes[name] for name in ("answered", "busy", "failed")},
        "stuck": stuck,
        "answered_by_kind": {kind: len(some) for kind, some in sorted(tally.seconds.items())},
        "median_seconds": tally.by_kind(50),
        "p95_seconds": tally.by_kind(95),
        "memory_mb": {"after the first minute": round(early, 1), "at the end": round(late, 1)},
        "memory_every_15_s": [round(size) for size in sizes],
        "memory_growth_percent": round(100 * (late / early - 1), 2),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors",
        "problems": tally.wrong[:20],
    }


def memory(process: int) -> float:
    """Resident memory in MB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(argv: list[str] | None = None) -> int:
    """The command. Exit status 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=6.0, help="at most 15")
    parser.add_argument("--quick", action="store_true", help="10 users for half a minute")
    parser.add_argument("--output", type=Path, help="where the figures go; a shorter soak than the usual is not kept")
    options = parser.parse_args(argv)
    users, minutes = (10, 0.5) if options.quick else (options.users, min(options.minutes, 15.0))
    found = soak(users, minutes)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    whole = users >= 200 and minutes >= 5
    if output := options.output or (HERE / "soak.json" if whole else None):
        write_json(output, found)
    grown = found["memory_growth_percent"] > MOST_GROWTH and minutes > 2
    return int(bool(found["failed"] or found["stuck"] or found["server_failures"] or grown))


if __name__ == "__main__":
    sys.exit(main())
