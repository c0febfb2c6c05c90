"""What stands before Gradio: bodies have a limit, and a full queue says when to come again. ASGI, no state."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from qa_compare import request_log
from qa_compare.uploads import MAX_UPLOAD

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
        request_log.line(self.path, [self._taken], self._begin, how or f"refused:{status}")


async def reply(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """Answer with a sentence, which both Gradio's client (`detail`) and its page (`error`) show."""
    body = json.dumps({"detail": text, "error": text}).encode()
    plain = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*plain, *headers]})
    await send({"type": "http.response.body", "body": body})
