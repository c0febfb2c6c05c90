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

WAIT = 60.0  # seconds


def number(page: gr.Blocks, called: str) -> int:
    """The number of the event whose function has that name, such as `compare.answer`; the first of several."""
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

    def join(self, called: str, *data: Any, pick: str | None = None) -> str:
        """Ask for an event; `data` are the values of its inputs, None for what the server keeps. Returns its id."""
        body = {
            "data": data,
            "fn_index": number(self.page, called),
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

    def begin(self, called: str, *data: Any) -> list[Any]:
        """The values that an event of several steps gives first."""
        event = self.join(called, *data)
        told = [one for one in self.messages() if one["msg"] == "process_generating" and one["event_id"] == event]
        return list(told[0]["output"]["data"])

    def run(self, called: str, *data: Any, pick: str | None = None) -> list[Any]:
        """The values that an event gives in the end."""
        event = self.join(called, *data, pick=pick)
        [message] = [one for one in self.messages() if one["msg"] == "process_completed" and one["event_id"] == event]
        assert message["success"], message
        return list(message["output"]["data"])

    def run_now(self, called: str, *data: Any) -> list[Any]:
        """The same for an event that does not wait in the queue."""
        body = {"data": data, "fn_index": number(self.page, called), "session_hash": self.session}
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
