"""The pipeline of transformers 4.57 beside the engine: its environment, its checkpoints, its process."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.inference.engine import Engine
from qa_compare.models.backbones import ADAPTERS

HERE = Path(__file__).parent
ENVIRONMENT = ADAPTERS.parent / "runs" / "peers"


class Pipeline:
    """A running peer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def answer(self, examples: Sequence[Example], **options: int) -> tuple[float, list[str]]:
        """The seconds it took and the answers: of one question by each model, of many by the first one.

        `options` are the pipeline's own, such as `max_answer_len`.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        tasks = [{"question": one.question, "context": one.passage} for one in examples]
        self._process.stdin.write(json.dumps({"tasks": tasks, "options": options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise UserError("the pipeline's process ended: its traceback stands above")
        seconds, answers = json.loads(line)
        return seconds, answers


@contextmanager
def pipeline(engine: Engine, variants: Sequence[str], threads: int) -> Iterator[Pipeline]:
    """The peer with the weights of `variants`, each an ordinary checkpoint with its adapter merged in."""
    python = environment()
    with TemporaryDirectory() as folder:
        checkpoints = [str(_export(engine, name, Path(folder) / name)) for name in dict.fromkeys(variants)]
        by_name = dict(zip(dict.fromkeys(variants), checkpoints, strict=True))
        command = [str(python), str(HERE / "pipeline_process.py"), str(threads), *(by_name[name] for name in variants)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        try:
            yield Pipeline(process)
        finally:
            process.communicate()


def _export(engine: Engine, name: str, folder: Path) -> Path:
    """What `export-base` writes, of any variant that is merged."""
    engine.model(name).save_pretrained(folder)  # type: ignore[operator]
    engine.tokenizer.save_pretrained(folder)
    return folder


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
