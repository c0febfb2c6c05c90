"""Many visitors for some minutes: `python -m benchmarks.soak [--quick]`, which `make soak` runs. Loopback only.

Each simulated visitor asks over the real endpoints of a page with the shipped adapters: compare, the error table, the
scores, and opening the page. Every passage carries a word of its own that only its answer can have. What comes back is
an answer, or "busy, try again in N s"; anything else fails. The figures go to benchmarks/soak.json.
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
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx
import numpy as np
from gradio_client import Client

from qa_compare.files import write_json
from tests.conftest import HOST, free_port

ROOT = Path(__file__).parent.parent
OUTPUT = Path(__file__).parent / "soak.json"
BUSY = re.compile(r"Busy: \d+ requests are waiting\. Try again in \d+ s\.")
KINDS = ("compare", "compare", "compare", "errors", "metrics", "open")


@dataclass
class Tally:
    """What all visitors have seen; `seconds` by kind of request, of those that were answered."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, spent: float, outcome: str) -> None:
        """Count one request; `outcome` is answered, busy, or what went wrong."""
        with self.lock:
            self.outcomes[outcome if outcome in ("answered", "busy") else "failed"] += 1
            if outcome == "answered":
                self.seconds.setdefault(kind, []).append(spent)
            elif outcome != "busy":
                self.wrong.append(f"{kind}: {outcome}")


def ask(client: Client, url: str, kind: str) -> str:
    """One request; "answered", or what is wrong with what came back."""
    if kind == "open":
        with urlopen(url, timeout=120) as reply:  # noqa: S310 - our own address
            return "answered" if b"gradio" in reply.read() else "no page"
    if kind == "compare":
        nonce = f"Zq{secrets.token_hex(6)}"
        passage = f"The river {nonce} rises in the north and flows through {nonce} to the sea."
        found = client.predict(passage=passage, question="Which river rises in the north?", api_name="/compare")
        for column in found["variants"]:
            if column["problem"] or passage[column["start"] : column["end"]] != column["answer"]:
                return f"an answer that is not of its passage: {column}"
        named = any(nonce in column["answer"] for column in found["variants"])
        return "answered" if named else "no answer has the word that only this passage has"
    if kind == "errors":
        found = client.predict(source="sample", text="the", limit=20, api_name="/errors")
        return "answered" if len(found["rows"]) <= 20 and found["columns"] else "no rows"
    found = client.predict(backbone="minilm-l6-qa", api_name="/metrics")
    return "answered" if found["variants"] else "no scores"


def visit(url: str, tally: Tally, until: float) -> None:
    """One visitor, who opens the page and asks until the time is over, with pauses as people make them."""
    dice = random.Random()
    client = None
    while time.monotonic() < until:
        kind, begin = dice.choice(KINDS), time.monotonic()
        try:
            client = client or Client(url, verbose=False)
            outcome = ask(client, url, kind)
        except httpx.HTTPStatusError as error:
            refusal = json.loads(error.response.read() or b"{}").get("detail", "")
            outcome = "busy" if error.response.status_code == 429 and BUSY.fullmatch(refusal) else str(error)
        except Exception as error:  # whatever it is, it is counted and told at the end
            outcome = f"{type(error).__name__}: {error}"
        tally.add(kind, time.monotonic() - begin, outcome)
        time.sleep(dice.uniform(0.5, 4))


def memory(process: int) -> float:
    """Resident memory in MB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(users: int, minutes: float) -> dict[str, Any]:
    """Serve the page in a process of its own, send the visitors, and gather the figures."""
    url = f"http://{HOST}:{(port := free_port())}/"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "app.py", "--port", str(port), "--host", HOST]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **quiet) as process:  # noqa: S603
        try:
            _wait_for(url, process)
            tally, begin = Tally(), time.monotonic()
            until = begin + 60 * minutes
            visitors = [threading.Thread(target=visit, args=(url, tally, until), daemon=True) for _ in range(users)]
            for visitor in visitors:
                visitor.start()
            time.sleep(min(60.0, 30 * minutes))
            early = memory(process.pid)
            for visitor in visitors:
                visitor.join(60 * minutes + 180)
            stuck = sum(visitor.is_alive() for visitor in visitors)
            late = memory(process.pid)
        finally:
            process.terminate()
            process.wait(30)
    return _figures(tally, users, minutes, stuck, early, late)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            urlopen(f"{url}healthz", timeout=10).close()  # noqa: S310
            return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("soak: the page did not start") from None
            time.sleep(0.2)


def _figures(tally: Tally, users: int, minutes: float, stuck: int, early: float, late: float) -> dict[str, Any]:
    p95 = {kind: round(float(np.percentile(times, 95)), 3) for kind, times in sorted(tally.seconds.items())}
    return {
        "users": users,
        "minutes": minutes,
        "requests": sum(tally.outcomes.values()),
        **{name: tally.outcomes[name] for name in ("answered", "busy", "failed")},
        "stuck": stuck,
        "p95_seconds": p95,
        "memory_mb": {"after the first minute": round(early, 1), "at the end": round(late, 1)},
        "memory_growth_percent": round(100 * (late / early - 1), 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "problems": tally.wrong[:20],
    }


def main(argv: list[str] | None = None) -> int:
    """The command. Exit status 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=6.0, help="at most 15")
    parser.add_argument("--quick", action="store_true", help="10 users for half a minute, and nothing is written")
    options = parser.parse_args(argv)
    users, minutes = (10, 0.5) if options.quick else (options.users, min(options.minutes, 15.0))
    found = soak(users, minutes)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if not options.quick:
        write_json(OUTPUT, found)
    grown = found["memory_growth_percent"] > 5 and not options.quick
    return int(bool(found["failed"] or found["stuck"] or grown))


if __name__ == "__main__":
    sys.exit(main())
