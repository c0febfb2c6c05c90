"""What stands before Gradio: addresses that nobody needs are closed, and no failure goes without a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from qa_compare.server.middleware import CLOSED, FAILED, UNFIT, Gate, closed, in_words


def client(answer: Any) -> TestClient:
    """An application that answers everything like that."""

    async def reply(_request: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    routes = [Route("/{path:path}", reply, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Gate)]), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=http://127.0.0.1:1/"),
        ("HEAD", "/gradio_api/file=https://example.org/evil.html"),
        ("GET", "/gradio_api/proxy=https://example.org/"),
        ("GET", "/gradio_api/deep_link?session_hash=a"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/stream/a"),
        ("POST", "/"),
    ],
)
def test_what_the_page_does_not_need_is_closed(method: str, path: str) -> None:
    reply = client(PlainTextResponse("in")).request(method, path)
    assert reply.status_code == 403
    assert method == "HEAD" or reply.json() == {"detail": CLOSED, "error": CLOSED}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/gradio_api/file=/tmp/gradio/http:/a.csv"),
        ("GET", "/assets/a.js"),
        ("POST", "/login"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/call/compare"),
        ("POST", "/gradio_api/cancel"),
    ],
)
def test_what_it_needs_is_open(method: str, path: str) -> None:
    assert not closed(method, path)
    assert client(PlainTextResponse("in")).request(method, path).text == "in"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (JSONResponse({"error": None}, 500), FAILED),
        (JSONResponse({"error": "The question is empty."}, 500), "The question is empty."),
        (JSONResponse({"detail": "Busy."}, 500), "Busy."),
        (JSONResponse([], 500), FAILED),
        (PlainTextResponse("Internal Server Error", 500), FAILED),
        (RuntimeError("a path that is nobody's business"), FAILED),
    ],
)
def test_a_500_has_a_sentence_and_the_one_of_gradio_stays(answer: Any, said: str) -> None:
    reply = client(answer).post("/gradio_api/run/predict", content=b"{}")
    assert (reply.status_code, reply.json()) == (500, {"detail": said, "error": said})


def test_what_gradio_cannot_make_sense_of_is_the_callers_fault() -> None:
    reply = client(KeyError("fn_index")).post("/gradio_api/queue/join", content=b"{}")
    assert (reply.status_code, reply.json()["detail"]) == (400, UNFIT)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ('event: error\ndata: {"error": null, "title": "Error"}\n\n', {"error": FAILED, "title": "Error"}),
        ('event: error\ndata: {"error": "Busy."}\n\n', {"error": "Busy."}),
        ('event: complete\ndata: ["\\"error\\": null", {"error": null}]\n\n', ['"error": null', {"error": None}]),
        (
            'data: {"msg":"process_completed","output":{"error":null,"title":"x"},"success":false}\n\n',
            {"msg": "process_completed", "output": {"error": FAILED, "title": "x"}, "success": False},
        ),
        ('data: {"msg":"progress","output":{"error":null}}\n\n', {"msg": "progress", "output": {"error": None}}),
    ],
)
def test_an_event_that_says_nothing_of_its_error_says_a_sentence(event: str, told: Any) -> None:
    assert json.loads(in_words(event.encode()).decode().split("data: ")[1]) == told
    stream = client(StreamingResponse(iter([event.encode()]), media_type="text/event-stream"))
    assert json.loads(stream.get("/gradio_api/call/compare/1").text.split("data: ")[1]) == told


def test_a_stream_that_breaks_ends_with_what_was_told() -> None:
    def broken() -> Any:
        yield b'event: error\ndata: "404: Not Found"\n\n'
        raise RuntimeError

    reply = client(StreamingResponse(broken(), media_type="text/event-stream")).get("/gradio_api/call/compare/1")
    assert reply.text == 'event: error\ndata: "404: Not Found"\n\n'
