"""`python app.py` as a process of its own, on a tiny backbone, with whatever its environment lacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests import measured
from tests.conftest import HOST, free_port
from tests.patience import LONG
from tests.places import ROOT

PASSAGE, QUESTION = "The river rises in the north and flows to the sea.", "Where flows the river to?"


def house(folder: Path) -> Path:
    """A tiny checkpoint `river-bert` and two variants under `adapters/`; returns `folder`."""
    measured.backbone(folder)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(folder / "adapters", name, seed=seed)
    return folder


class App:
    """A running page. `seconds` is what it took until it answered."""

    def __init__(self, process: subprocess.Popen[str], url: str, seconds: float) -> None:
        self.process, self.url, self.seconds = process, url, seconds
        self.killed = False

    def kill(self) -> None:
        """As a machine does that is switched off."""
        self.process.kill()
        self.process.wait()
        self.killed = True

    def health(self) -> dict[str, Any]:
        with urlopen(f"{self.url}healthz", timeout=60) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def compare(self) -> dict[str, Any]:
        from gradio_client import Client

        client = Client(self.url, verbose=False)
        found: dict[str, Any] = client.predict(passage=PASSAGE, question=QUESTION, api_name="/compare")
        return found


@contextmanager
def app(folder: Path, log: Path, *arguments: str, begin_with: Sequence[str] = (), **environment: str) -> Iterator[App]:
    """The page over `house(folder)`; its standard error goes to `log`. An empty value takes a variable away.

    `begin_with` is a command that runs the rest of its line, as those of `tests/disks.py` do.
    """
    port = free_port()
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **environment}
    variables = {name: value for name, value in variables.items() if value}
    command = [*begin_with, sys.executable, "app.py", "--port", str(port), "--host", HOST]
    command += ["--backbone", str(folder / "river-bert"), "--adapters", str(folder / "adapters"), *arguments]
    begin = time.monotonic()
    with (
        log.open("w") as errors,
        subprocess.Popen(command, cwd=ROOT, env=variables, stdout=errors, stderr=errors, text=True) as process,
    ):
        try:
            url = f"http://{HOST}:{port}/"
            while True:
                try:
                    urlopen(url, timeout=LONG).close()
                    break
                except (URLError, OSError):
                    assert process.poll() is None, log.read_text()[-3000:]
                    assert time.monotonic() - begin < 2 * LONG, log.read_text()[-3000:]
                    time.sleep(0.1)
            yield (found := App(process, url, time.monotonic() - begin))
            assert found.killed or process.poll() is None, log.read_text()[-3000:]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
