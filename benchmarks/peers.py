"""The peer: transformers 4.57's question-answering pipeline, in an environment and a process of its own.

This module is also that process's program, and so imports nothing of the project where it is run as one. Its arguments
are a number of threads and checkpoint folders. Each line of its standard input is a JSON object: `tasks`, a list of
`{"question", "context"}`, and `options` of the pipeline. The answer is a line with the seconds and the answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qa_compare.data.examples import Example
    from qa_compare.inference.engine import Engine

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / "runs" / "peers"
Peer = Callable[..., tuple[float, list[str]]]


@contextmanager
def pipeline(engine: Engine, variants: Sequence[str], threads: int) -> Iterator[Peer]:
    """A running peer with the weights of `variants`, each an ordinary checkpoint with its adapter merged in.

    `peer(examples, **options)` gives the seconds it took and the answers: of one question by each model, of many by the
    first one, in batches of 32. `options` are the pipeline's own, such as `max_answer_len`.
    """
    python = environment()
    with TemporaryDirectory() as folder:
        for name in dict.fromkeys(variants):
            model: Any = engine.model(name)
            model.save_pretrained(Path(folder, name))
            engine.tokenizer.save_pretrained(Path(folder, name))
        command = [str(python), __file__, str(threads), *(str(Path(folder, name)) for name in variants)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            yield partial(_ask, process)


def _ask(process: subprocess.Popen[str], examples: Sequence[Example], **options: int) -> tuple[float, list[str]]:
    assert process.stdin
    assert process.stdout
    tasks = [{"question": one.question, "context": one.passage} for one in examples]
    process.stdin.write(json.dumps({"tasks": tasks, "options": options}) + "\n")
    process.stdin.flush()
    if not (line := process.stdout.readline()):
        sys.exit("error: the pipeline's process ended: its traceback stands above")
    seconds, answers = json.loads(line)
    return seconds, answers


def environment() -> Path:
    """The peer's Python, in runs/peers; made at the first call, which takes some minutes."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".installed").exists():
        print(f"installing the peer's environment into {ENVIRONMENT}", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True)
        required = str(HERE / "requirements-peers.txt")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", required], check=True)  # noqa: S603
        (ENVIRONMENT / ".installed").touch()
    return python


def answer_lines(threads: int, folders: Sequence[str]) -> None:
    """The peer's process: answer until standard input ends."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    build: Any = transformers.pipeline  # of the other release, which has this task still
    pipes = [build("question-answering", model=folder, device="cpu") for folder in folders]
    for line in sys.stdin:
        asked = json.loads(line)
        tasks, options = asked["tasks"], asked["options"]
        begin = time.perf_counter()
        if len(tasks) == 1:
            answers = [pipe(**tasks[0], **options)["answer"] for pipe in pipes]
        else:
            answers = [found["answer"] for found in pipes[0](tasks, batch_size=32, **options)]
        print(json.dumps([time.perf_counter() - begin, answers]), flush=True)


if __name__ == "__main__":
    answer_lines(int(sys.argv[1]), sys.argv[2:])
