"""The page on a port, with what stands around Gradio's own server: password, rate, log, limits, and `/healthz`."""

from __future__ import annotations

import base64
import logging
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse
from gradio_client.utils import is_http_url_like
from starlette.middleware import Middleware
from starlette.routing import Route

from qa_compare import request_log
from qa_compare.errors import UserError
from qa_compare.health import health, problems
from qa_compare.http_gate import Gate
from qa_compare.http_limits import Limits
from qa_compare.inspection import Inspector
from qa_compare.request_log import Rate, watch
from qa_compare.service import Service
from qa_compare.session_memory import keep_little
from qa_compare.traces import without_texts
from qa_compare.ui.page import build_page, launch_options
from qa_compare.uploads import MAX_UPLOAD

HEALTH = "/healthz"


@dataclass(frozen=True, slots=True)
class Settings:
    """`auth`: who may come in, as (user, password). `rate`: costly requests a minute and browser session; 0: no limit.
    `log_texts`: whether passages and questions stand in the log."""

    auth: tuple[str, str] | None = field(default=None, repr=False)
    rate: int = 0
    log_texts: bool = False


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """From QA_COMPARE_AUTH, QA_COMPARE_RATE and QA_COMPARE_LOG_TEXT. Raises UserError for what they cannot mean."""
    user, colon, password = environment.get("QA_COMPARE_AUTH", "").partition(":")
    if (user or colon) and not (user.strip() and password):
        raise UserError("QA_COMPARE_AUTH must be user:password")
    rate = environment.get("QA_COMPARE_RATE", "") or "0"
    if not (rate.isascii() and rate.isdigit() and len(rate) < 7):
        raise UserError("QA_COMPARE_RATE must be a whole number: questions a minute, 0 for no limit")
    texts = environment.get("QA_COMPARE_LOG_TEXT", "") == "1"
    return Settings((user.strip(), password) if user else None, int(rate), texts)


def serve(
    service: Service,
    inspector: Inspector | None = None,
    *,
    host: str,
    port: int,
    chosen: Settings | None = None,
    wait: bool = True,
) -> gr.Blocks:
    """Build the page and serve it; with `wait`, until it is stopped.

    Raises:
        UserError: a setting that cannot be meant, or a missing built-in sample.
        OSError: the port is taken.
    """
    chosen = settings() if chosen is None else chosen
    _log_to_stderr()
    for problem in problems():
        request_log.LOG.warning(problem)
    if not chosen.log_texts:
        without_texts()
    page = build_page(service, inspector)
    watch(page, rate=Rate(chosen.rate) if chosen.rate else None, texts=chosen.log_texts)
    only_uploads(page)
    page.launch(
        server_name=host,
        server_port=port,
        auth=chosen.auth,
        max_file_size=MAX_UPLOAD,
        app_kwargs={
            "routes": [Route(HEALTH, _healthz(service, chosen.auth))],
            "lifespan": keep_little(page),
            "middleware": [Middleware(Gate), Middleware(Limits, busy=lambda: busy(page))],
        },
        prevent_thread_lock=True,
        quiet=not wait,
        enable_monitoring=False,
        _frontend=False,  # else Gradio gives up where its own page takes over three seconds, as on a busy machine
        **launch_options(),
    )
    if wait:
        page.block_thread()
    return page


def only_uploads(page: gr.Blocks) -> None:
    """Let nobody have this server ask another host: Gradio would fetch a "file" whose path is an address.

    It holds for the kinds of components that the page has, since Gradio makes a visitor's own copy of one that changes.
    """
    kind: Any
    for kind in {type(part) for part in page.blocks.values()}:
        if not hasattr(kind.async_move_resource_to_block_cache, "only_uploads"):
            kind.async_move_resource_to_block_cache = _from_disk(kind.async_move_resource_to_block_cache)


def _from_disk(move: Callable[[Any, Any], Awaitable[str | None]]) -> Callable[[Any, Any], Awaitable[str | None]]:
    async def moved(part: Any, path: Any) -> str | None:
        if is_http_url_like(path):
            raise gr.Error("A file is uploaded here, and not fetched from an address.", print_exception=False)
        return await move(part, path)

    moved.only_uploads = True  # type: ignore[attr-defined]
    return moved


def busy(page: gr.Blocks) -> tuple[int, float]:
    """How many requests wait, and about how many seconds their answers will take."""
    queue = page._queue
    times = list(queue.process_time_per_fn.values())
    seconds = sum(one.process_time for one in times) / max(1, sum(one.count for one in times))
    return len(queue), len(queue) * seconds


def _healthz(service: Service, auth: tuple[str, str] | None) -> Any:
    def healthz(request: Request) -> JSONResponse:
        """All of it, or, where there is a password and none was given, only that the page is up."""
        if auth is None or _knows(request.headers.get("authorization", ""), auth):
            return JSONResponse(health(service))
        return JSONResponse({"state": "up"})

    return healthz


def _knows(header: str, auth: tuple[str, str]) -> bool:
    expected = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    return secrets.compare_digest(header.encode(), expected.encode())


def _log_to_stderr() -> None:
    if not request_log.LOG.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        request_log.LOG.addHandler(handler)
    request_log.LOG.setLevel(logging.INFO)
