"""Many visitors for some minutes: `python -m benchmarks.soak [--quick]`, which `make soak` runs. Loopback only.

They ask over the real endpoints of a page with the shipped adapters: compare, a batch of 50 questions, the error table,
the scores, and opening the page (`visitors.py`). The figures go to benchmarks/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from benchmarks.visitors import PATIENCE, Tally, Visitor
from qa_compare.files import write_json
from tests.conftest import HOST, free_port

ROOT = Path(__file__).parent.parent
OUTPUT = Path(__file__).parent / "soak.json"
MOST_GROWTH = 5.0  # percent of the memory after the first minute


def memory(process: int) -> float:
    """Resident memory in MB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(users: int, minutes: float) -> dict[str, Any]:
    """Serve the page in a process of its own, send the visitors, and gather the figures."""
    url = f"http://{HOST}:{(port := free_port())}/"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "app.py", "--port", str(port), "--host", HOST]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as process,  # noqa: S603
    ):
        try:
            _wait_for(url, process)
            tally, sizes = Tally(), []
            until = time.monotonic() + 60 * minutes
            visitors = [
                threading.Thread(target=Visitor(url, tally).stay, args=(until,), daemon=True) for _ in range(users)
            ]
            for visitor in visitors:
                visitor.start()
            while time.monotonic() < until:
                time.sleep(min(15.0, until - time.monotonic()))
                if process.poll() is not None:
                    break
                sizes.append(memory(process.pid))
            for visitor in visitors:
                if process.poll() is None:
                    visitor.join(max(0.0, until + PATIENCE + 60 - time.monotonic()))
            stuck = sum(visitor.is_alive() for visitor in visitors)
            if process.poll() is not None:
                log.seek(0)
                raise SystemExit(f"soak: the page ended with status {process.returncode}: {log.read()[-3000:]}")
            sizes.append(memory(process.pid))
        finally:
            process.terminate()
            process.wait(30)
        log.seek(0)
        failures = [line.strip() for line in log if line.startswith("Traceback") or "outcome=failed" in line]
    return _figures(tally, users, minutes, stuck, sizes, failures)


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


def _figures(
    tally: Tally, users: int, minutes: float, stuck: int, sizes: list[float], failures: list[str]
) -> dict[str, Any]:
    """`sizes` are the server's memory every 15 seconds and after the last answer; `failures` are lines of its log."""
    early, late = sizes[min(3, len(sizes) - 2)], sizes[-1]
    spread = {
        f"{name}_seconds": {kind: round(float(np.percentile(times, share)), 3) for kind, times in _sorted(tally)}
        for name, share in (("median", 50), ("p95", 95))
    }
    return {
        "users": users,
        "minutes": minutes,
        "requests": sum(tally.outcomes.values()),
        **{name: tally.outcomes[name] for name in ("answered", "busy", "failed")},
        "stuck": stuck,
        "answered_by_kind": {kind: len(times) for kind, times in _sorted(tally)},
        **spread,
        "memory_mb": {"after the first minute": round(early, 1), "at the end": round(late, 1)},
        "memory_every_15_s": [round(size) for size in sizes],
        "memory_growth_percent": round(100 * (late / early - 1), 2),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors",
        "problems": tally.wrong[:20],
        "server_failures": failures[:20],
    }


def _sorted(tally: Tally) -> list[tuple[str, list[float]]]:
    return sorted(tally.seconds.items())


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
    if output := options.output or (OUTPUT if whole else None):
        write_json(output, found)
    grown = found["memory_growth_percent"] > MOST_GROWTH and minutes > 2
    return int(bool(found["failed"] or found["stuck"] or found["server_failures"] or grown))


if __name__ == "__main__":
    sys.exit(main())
