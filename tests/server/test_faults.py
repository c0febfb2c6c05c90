"""A hub that is away, slow or talks nonsense: the page is up, asks nobody else, and says what cannot be had.

What kills processes is in `test_kills.py`, and what fills disks in `test_disks.py`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from qa_compare.data import sources
from qa_compare.errors import UserError
from qa_compare.workbench import service
from qa_compare.workbench.service import SQUAD, Service
from tests import tiny
from tests.served_app import app, house

pytestmark = pytest.mark.slow

# Every host that the process looks up or connects to, a line each, written before it does: its `sitecustomize.py`
WATCH = """
import json, os, sys
log = open(os.environ["ASKED"], "a", buffering=1)
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        log.write(json.dumps(str(arguments[1])) + "\\n")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        log.write(json.dumps(str(arguments[0])) + "\\n")
sys.addaudithook(watch)
"""


class Hub:
    """A local server's address, and how often it was asked."""

    def __init__(self, address: str) -> None:
        self.address, self.asked = address, 0


def silent(_connection: socket.socket) -> None:
    time.sleep(600)


def nonsense(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n<html>nonse!")
    connection.close()


@contextmanager
def hub(answer: Callable[[socket.socket], None] | None) -> Iterator[Hub]:
    """A local server that answers like that; None: there is none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        found = Hub(f"http://127.0.0.1:{listener.getsockname()[1]}")
        if answer:
            listener.listen(64)

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    found.asked += 1
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
        yield found


@pytest.mark.parametrize("answer", [None, silent, nonsense], ids=["away", "silent", "nonsense"])
def test_without_a_sound_hub_the_page_is_up_answers_and_asks_nobody_else(tmp_path: Path, answer: Any) -> None:
    house(tmp_path)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    asked = tmp_path / "asked"
    watched = {"PYTHONPATH": str(tmp_path / "watch"), "ASKED": str(asked)}
    with (
        hub(answer) as found,
        app(
            tmp_path,
            tmp_path / "log",
            HF_HUB_OFFLINE="",
            HF_ENDPOINT=found.address,
            HF_HOME=str(tmp_path / "hub"),
            **watched,
        ) as page,
    ):
        assert found.asked == 0  # or it would be up when the hub likes
        assert page.health()["backbones"]["river-bert"]["ready"]
        assert page.health()["backbones"]["bert-tiny"]["ready"] is False
        assert [one["problem"] for one in page.compare()["variants"]] == [None, None]
        assert found.asked == 0
        begin = time.monotonic()
        with pytest.raises(AppError, match=r"SQuAD \(validation\) is .* give a SQuAD JSON file instead"):
            Client(page.url, verbose=False).predict(source="squad", api_name="/errors")
        assert time.monotonic() - begin < 60
        assert page.compare()["variants"]
    hosts = [json.loads(line) for line in asked.read_text().splitlines()]
    assert hosts  # it was watched
    assert [one for one in hosts if not ("127.0.0.1" in one or "localhost" in one or one in ("None", ""))] == []


def test_squad_is_there_for_who_asks_again_once_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[Any] = iter([UserError("still on its way"), tiny.examples(2)])

    def validation() -> Any:
        found = next(answers)
        if isinstance(found, UserError):
            raise found
        return found

    monkeypatch.setattr(sources, "squad_validation", validation)
    service._squad.cache_clear()
    page = Service({}, "none")
    with pytest.raises(UserError, match="still on its way"):
        page.questions(SQUAD)
    assert [one.id for one in page.questions(SQUAD).examples] == ["q0", "q1"]
    assert page.questions(SQUAD)  # and is not fetched again
    service._squad.cache_clear()
