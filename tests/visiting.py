"""A visitor of a served page over plain HTTP, as a browser is one: a session, events of its controls, a stream."""

from __future__ import annotations

import functools
import http.client
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlparse

import gradio as gr

WAIT = 120.0  # seconds
# what a visitor does, and the function that does it: its module and its name there
EVENTS = {
    "ask": "compare_tab.answer",
    "open the address": "compare_tab._address.<locals>.open_address",
    "choose a backbone": "toolbox.kept_variants",
    "choose a source": "opening.open_source",
    "choose a question": "opening.open_question",
    "bring a file": "opening.open_file",
    "export the history": "toolbox.exported",
    "bring a batch": "your_data_tab.open_file",
    "begin a batch": "your_data_tab._wire_run.<locals>.begin",
    "run a batch": "your_data_tab._answering.<locals>.answering",
    "cancel a batch": "your_data_tab._stop.<locals>.stop",
    "free a batch's controls": "your_data_tab._settled.<locals>.settled",
    "turn a batch": "your_data_tab.turn",
}


def number(page: gr.Blocks, what: str) -> int:
    """The number of an event: a key of EVENTS, or the name of a public endpoint. The first of several."""
    called = EVENTS.get(what, what)
    for index, event in page.fns.items():
        if event.api_name == called:
            return int(index)
        plain: Any = event.fn
        while hasattr(plain, "__wrapped__") or isinstance(plain, functools.partial):
            plain = plain.__wrapped__ if hasattr(plain, "__wrapped__") else plain.func
        if plain and f"{plain.__module__.rpartition('.')[2]}.{plain.__qualname__}" == called:
            return int(index)
    raise LookupError(called)


class Visitor:
    """One session. `with closing(...)`: leaving cuts all its connections, as a closed tab does."""

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page
        self.session = secrets.token_hex(8)
        self._place = urlparse(page.local_url)
        self._open: list[tuple[http.client.HTTPConnection, http.client.HTTPResponse]] = []

    def close(self) -> None:
        while self._open:
            connection, reply = self._open.pop()
            if connection.sock:
                with suppress(OSError):  # the server was faster
                    connection.sock.shutdown(socket.SHUT_RDWR)
            reply.close()
            connection.close()

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """Status and body."""
        with closing(self._connect()) as connection:
            connection.request(method, path, body, {"Content-Type": kind})
            reply = connection.getresponse()
            return reply.status, reply.read()

    def follow(self, path: str) -> http.client.HTTPResponse:
        """A stream that stays open until this visitor leaves."""
        connection = self._connect()
        connection.request("GET", path)
        reply = connection.getresponse()
        self._open.append((connection, reply))
        return reply

    def stay(self) -> None:
        """What a browser opens first, and keeps open as long as the page."""
        assert b"ALIVE" in self.follow(f"/gradio_api/heartbeat/{self.session}").readline()

    def join(self, what: str, *data: Any, pick: str | None = None) -> str:
        """Ask for an event; `data` are the values of its inputs, None for what the server keeps. Returns its id."""
        body = {
            "data": data,
            "fn_index": number(self.page, what),
            "session_hash": self.session,
            "event_data": None if pick is None else {"pick": pick},
        }
        status, text = self.request("POST", "/gradio_api/queue/join", json.dumps(body).encode())
        assert status == 200, text
        return str(json.loads(text)["event_id"])

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server says of this session's events, until nothing is pending."""
        with closing(self._connect()) as connection:
            connection.request("GET", f"/gradio_api/queue/data?session_hash={self.session}")
            with connection.getresponse() as reply:
                for line in reply:
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])

    def begin(self, what: str, *data: Any) -> list[Any]:
        """The values that an event of several steps gives first."""
        event = self.join(what, *data)
        told = [one for one in self.messages() if one["msg"] == "process_generating" and one["event_id"] == event]
        return list(told[0]["output"]["data"])

    def run(self, what: str, *data: Any, pick: str | None = None) -> list[Any]:
        """The values that an event gives in the end."""
        event = self.join(what, *data, pick=pick)
        [message] = [one for one in self.messages() if one["msg"] == "process_completed" and one["event_id"] == event]
        assert message["success"], message
        return list(message["output"]["data"])

    def run_now(self, what: str, *data: Any) -> list[Any]:
        """The same for an event that does not wait in the queue."""
        body = {"data": data, "fn_index": number(self.page, what), "session_hash": self.session}
        status, text = self.request("POST", "/gradio_api/run/predict", json.dumps(body).encode())
        assert status == 200, text
        return list(json.loads(text)["data"])

    def upload(self, name: str, content: bytes) -> str:
        """The path that the server gives an uploaded file."""
        edge = secrets.token_hex(8)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        body = head + content + f"\r\n--{edge}--\r\n".encode()
        status, text = self.request("POST", "/gradio_api/upload", body, f"multipart/form-data; boundary={edge}")
        assert status == 200, text
        return str(json.loads(text)[0])

    def fetch(self, path: str | Path) -> tuple[int, bytes]:
        """A file, if the server gives it."""
        return self.request("GET", f"/gradio_api/file={quote(str(path))}")

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(str(self._place.hostname), self._place.port, timeout=WAIT)
