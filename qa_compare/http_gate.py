"""Which of Gradio's addresses are closed, and that every failure is told in a sentence. ASGI, no state."""

from __future__ import annotations

import json
import time
from typing import Any

from qa_compare import request_log
from qa_compare.http_limits import JOINS, App, Message, Receive, Send, reply

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
    request_log.line(path.partition("=")[0], [len(path)], begin, outcome)  # behind it may stand anything


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
