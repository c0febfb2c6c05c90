"""Bytes made by atheris against every reader of a visitor's file: `python -m benchmarks.fuzz --seconds 180`.

Any outcome but questions, answers or a UserError ends it with the bytes that did it. Needs `pip install atheris`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from qa_compare.errors import UserError
from qa_compare.files import write_json

OUTPUT = Path(__file__).parent / "fuzz.json"
NAMES = ("f.json", "f.jsonl", "f.csv")


def once(data: bytes) -> None:
    """One case: its first byte chooses the reader."""
    from qa_compare.files import parse_json
    from qa_compare.readers import check

    if not data:
        return
    which, rest = data[0] % 4, data[1:]
    try:
        if which == 3:
            json.dumps(parse_json(rest, "f"))
        else:
            found = check(rest, NAMES[which], most=1_000)
            for example in found.examples:
                assert all(example.passage[a.start : a.start + len(a.text)] == a.text for a in example.answers)
                example.passage.encode()
    except UserError as error:
        str(error).encode()


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=180)
    options = parser.parse_args(argv)
    try:
        import atheris
    except ImportError:
        print("fuzz: atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    tried = [0]
    begin = time.monotonic()

    def counted(data: bytes) -> Any:
        tried[0] += 1
        once(data)
        if time.monotonic() - begin > options.seconds:  # atheris itself ends the process, without a word to Python
            write_json(OUTPUT, {"seconds": options.seconds, "cases": tried[0], "crashes": 0})
            print(f"fuzz: {tried[0]:,} cases, none of which crashed")
            sys.stdout.flush()
            import os

            os._exit(0)

    with atheris.instrument_imports(include=["qa_compare.readers", "qa_compare.files"]):
        import qa_compare.readers
    assert qa_compare.readers
    atheris.Setup([sys.argv[0], "-max_len=4096", "-rss_limit_mb=4096"], counted)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
