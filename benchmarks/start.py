"""From the start of a process to its first answer: python -m benchmarks.start

The page's own process, up to three variants' answer with the page built, over a bare
`import torch, transformers, gradio` plus loading one model. Writes benchmarks/start.json.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.measure import alternate, options, report, row
from qa_compare.models import backbones

BARE = """
import torch, transformers, gradio
transformers.AutoTokenizer.from_pretrained({folder!r})
transformers.BertForQuestionAnswering.from_pretrained({folder!r})
"""
OURS = """
from qa_compare.models.backbones import BACKBONES
from qa_compare.inference.engine import Engine
from qa_compare.workbench.service import Service
from qa_compare.page.shell import build_page
service = Service({name: Engine(name) for name in BACKBONES}, "minilm-l6-qa")
service.warm_up_beside()
build_page(service)
assert service.compare("The Seine flows through Paris.", "What flows through Paris?").answers[0].answer
"""


def until_done(program: str) -> float:
    """The seconds from starting Python to the end of a program."""
    begin = time.perf_counter()
    # its own end is told by a line: what the interpreter clears away after it is no part of the answer
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", f"{program}\nprint(flush=True)"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        seconds = time.perf_counter() - begin
    if not told:
        raise RuntimeError(f"the program failed:\n{program}")
    return seconds


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "start")
    folder = str(backbones.locate(backbones.get("minilm-l6")).folder)
    sides = {"first answer": partial(until_done, OURS), "bare": partial(until_done, BARE.format(folder=folder))}
    found = alternate(sides, given.rounds)
    what = "process start to the first answer over bare imports and one model"
    rows = [row(what, "first answer", "bare", found, most=1.5)]
    report(given, "start, seconds", rows)


if __name__ == "__main__":
    main()
