"""What stands before Gradio, as ASGI without state: closed addresses, limits, and a sentence for every failure.

A full queue says when to come again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from qa_compare.data.readers import MAX_UPLOAD
from qa_compare.server import requests

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
MAX_BODY = 8 * 2**20  # bytes; 200,000 characters, each escaped as two halves of 6 bytes, are 2.4 MB
_THROWN_AWAY = 64 * 2**20  # bytes of a body that is too large, before the connection is cut
_FORM = 2**20  # bytes that an upload's form needs beside its file
_UPLOAD = "/gradio_api/upload"
JOINS = ("/gradio_api/queue/join", "/gradio_api/call/")


class Limits:
    """Refuses bodies over the limit with 413 before Gradio reads them, and turns a full queue's 503 into a 429.

    Gradio's clients show a 503 as a fixed sentence, and a 429's own. `busy` gives how many wait and the seconds until
    that is over.
    """

    def __init__(self, app: App, busy: Callable[[], tuple[int, float]]) -> None:
        self.app = app
        self.busy = busy

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One exchange, as ASGI has it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        exchange = _Exchange(path, receive, send, self.busy)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > exchange.limit:
            await exchange.too_large()
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if isinstance(error, OSError) and path.startswith(_UPLOAD):
                await exchange.no_room()
            if not exchange.replaced:  # else Gradio only minds that the rest of the body never came
                raise


class _Exchange:
    """One request and its answer, or the answer that stands for it."""

    def __init__(self, path: str, receive: Receive, send: Send, busy: Callable[[], tuple[int, float]]) -> None:
        self.path = path
        self.limit = MAX_UPLOAD + _FORM if path.startswith(_UPLOAD) else MAX_BODY
        self.replaced = False
        self._receive, self._send, self._busy = receive, send, busy
        self._begin = time.perf_counter()
        self._taken = 0
        self._more = True
        self._answered = False

    async def receive(self) -> Message:
        message = await self._next()
        if self._taken > self.limit and not self._answered:
            await self.too_large()
        return {"type": "http.disconnect"} if self.replaced else message

    async def _next(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        self._more = bool(message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        if self.replaced:
            return
        if message["type"] == "http.response.start":
            self._answered = True
            if message["status"] == 503 and self.path.startswith(JOINS):
                await self.come_again()
                return
            if message["status"] >= 400:
                self._log(message["status"])
        await self._send(message)

    async def too_large(self) -> None:
        # most clients read an answer only after they have sent everything
        while self._more and self._taken < _THROWN_AWAY:
            await self._next()
        await self._replace(413, f"That is too large: at most {self.limit / 2**20:.0f} MB are read at once.")

    async def no_room(self) -> None:
        if not self._answered:
            await self._replace(507, "Uploads are off on this server: it has no room for files.")

    async def come_again(self) -> None:
        waiting, seconds = self._busy()
        wait = max(1, math.ceil(seconds))
        many = f"{waiting} request{'s are' if waiting != 1 else ' is'} waiting"
        text = f"Busy: {many}. Try again in {wait} s."
        await self._replace(429, text, (b"retry-after", str(wait).encode()))

    async def _replace(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        self.replaced = True
        self._log(status, "busy" if status == 429 else "")
        await reply(self._send, status, text, *headers)

    def _log(self, status: int, how: str = "") -> None:
        requests.line(self.path, [self._taken], self._begin, how or f"refused:{status}")


async def reply(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with a sentence, which both Gradio's client (`detail`) and its page (`error`) show."""
    body = json.dumps({"detail": text, "error": text}).encode()
    plain = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *headers]})
    await send({"type": "http.response.body", "body": body})


CLOSED = "This address is closed here."
UNFIT = "That is not as this address takes it."
FAILED = (
    "That could not be answered: it is not as this address takes it, or something failed on the server, "
    "whose log says what."
)
_API = "/gradio_api/"
# all that the page and its endpoints need; Gradio itself would also edit videos, and serve components' own functions
_POSTS = ("/login", *JOINS, *(f"{_API}{one}" for one in ("run/", "api/", "upload", "cancel", "reset")))
# what other hosts have, by way of this one; and a visitor's state on the disk, for whoever has its link
_NO_GETS = (f"{_API}file=http:", f"{_API}file=https:", f"{_API}proxy=", f"{_API}deep_link")
_STREAMS = (f"{_API}call/", f"{_API}queue/data")


class Gate:
    """Refuses what the page does not need with 403, and gives failures that Gradio tells nothing of a sentence."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, path = time.perf_counter(), scope["path"]
        if closed(scope["method"], path):
            _log(path, begin, "refused:403")
            await reply(send, 403, CLOSED)
            return
        told = _Told(send, stream=scope["method"] == "GET" and path.startswith(_STREAMS))
        try:
            await self.app(scope, receive, told.send)
        except Exception as error:
            if not await told.end(unfit=path.startswith(JOINS)):
                raise
            _log(path, begin, f"refused:{type(error).__name__}")


def _log(path: str, begin: float, outcome: str) -> None:
    requests.line(path.partition("=")[0], [len(path)], begin, outcome)  # behind it may stand anything


def closed(method: str, path: str) -> bool:
    """Whether nobody is answered there."""
    if method == "POST":
        return not path.startswith(_POSTS)
    return path.lower().startswith(_NO_GETS)


class _Told:
    """Passes an answer on. A plain one of status 500 is held until it is whole, and replaced where it says nothing."""

    def __init__(self, send: Send, *, stream: bool) -> None:
        self._send, self._stream = send, stream
        self._begun = self._failed = False
        self._held = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self._failed = message["status"] == 500
            if self._failed:
                return
        elif self._failed:
            self._held += message.get("body", b"")
            if not message.get("more_body", False):
                await reply(self._send, 500, _sentence(self._held))
            return
        elif self._stream:
            message = {**message, "body": in_words(message.get("body", b""))}
        await self._send(message)

    async def end(self, *, unfit: bool) -> bool:
        """End an answer that an exception cut. Whether that was foreseen: a request that Gradio cannot make sense of
        before anything has been done (`unfit`), or an event that nobody waits for."""
        if not self._begun:
            await reply(self._send, 400 if unfit else 500, UNFIT if unfit else FAILED)
            return unfit
        if self._stream:  # what was told is told; a cut connection would say no more
            await self._send({"type": "http.response.body", "body": b""})
        return self._stream


def _sentence(body: bytes) -> str:
    """What Gradio said of a failure, or `FAILED`."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return FAILED
    said = (found.get("error") or found.get("detail")) if isinstance(found, dict) else None
    return said if isinstance(said, str) else FAILED


def in_words(event: bytes) -> bytes:
    """An event of a stream; an error that says nothing says `FAILED`.

    Gradio writes an event at once: "event: error" with its data for programs, and a message of its queue for the page.
    A text of a visitor cannot look like either, since its quotation marks are escaped.
    """
    said = json.dumps(FAILED).encode()
    if event.startswith(b"event: error\n"):
        return event.replace(b'"error": null', b'"error": ' + said, 1)
    if event.startswith(b'data: {"msg":"process_completed"'):
        return event.replace(b'"output":{"error":null', b'"output":{"error":' + said, 1)
    return event
