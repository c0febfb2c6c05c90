"""What stands before Gradio, around an application that fails as Gradio does."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient

from qa_compare.server.middleware import Limits


def client(error: Exception) -> TestClient:
    async def fail(_request: Any) -> Any:
        raise error

    paths = ("/gradio_api/upload", "/gradio_api/call/compare")
    routes = [Route(path, fail, methods=["POST"]) for path in paths]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Limits, busy=lambda: (0, 0.0))]))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_an_upload_without_room_on_the_disk_says_so(code: int) -> None:
    reply = client(OSError(code, "no")).post("/gradio_api/upload", content=b"x")
    assert reply.status_code == 507
    assert set(reply.json().values()) == {"Uploads are off on this server: it has no room for files."}


@pytest.mark.parametrize(
    ("path", "error"), [("/gradio_api/upload", ValueError("x")), ("/gradio_api/call/compare", OSError(5, "x"))]
)
def test_any_other_failure_is_left_as_it_is(path: str, error: Exception) -> None:
    with pytest.raises(type(error)):
        client(error).post(path, content=b"x")
