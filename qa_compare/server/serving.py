"""The page on a port, with what stands around Gradio's own server: password, rate, log, limits, and `/healthz`.

`/healthz` says which versions run, which variants there are, and what is wrong with them.
"""

from __future__ import annotations

import base64
import logging
import os
import platform
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware
from starlette.routing import Route

from qa_compare.data.readers import MAX_UPLOAD
from qa_compare.errors import UserError
from qa_compare.models.registry import versions
from qa_compare.page.components import upload_folder
from qa_compare.page.shell import build_page, launch_options
from qa_compare.server import gradio_internals, requests
from qa_compare.server.gradio_internals import busy, check_version, keep_little, only_uploads, without_texts
from qa_compare.server.middleware import Gate, Limits
from qa_compare.server.requests import Rate, watch
from qa_compare.server.temporary import writable
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.service import Service

# those that decide how a question is answered
_PACKAGES = ("gradio", "torch", "transformers", "peft", "safetensors", "tokenizers")


def health(service: Service) -> dict[str, Any]:
    """State ("ok", or "degraded" where the default backbone lacks a variant or something is off), versions, backbones
    with their variants, and `problems`: what is off.

    A variant's value is its problem in a sentence, None where it has none. Asks no other host, and loads nothing.
    """
    backbones = {name: _backbone(service, name) for name in service.engines}
    main = backbones[service.backbone]
    off = problems()
    sound = main["ready"] and not any(main["variants"].values()) and not off
    state = "ok" if sound else "degraded"
    installed = {"python": platform.python_version(), **versions(*_PACKAGES)}
    return {"state": state, "versions": installed, "backbones": backbones, "problems": off}


def problems() -> list[str]:
    """What of the page is off because of the machine, a sentence each."""
    reason = writable(upload_folder())
    return [f"uploads and exports are off: the folder for them cannot be written ({reason})"] if reason else []


def _backbone(service: Service, name: str) -> dict[str, Any]:
    engine = service.engines[name]
    try:
        ready = service.readiness(name).ready
        found = {one.name: _short(one.problem, str(engine.adapters)) for one in engine.variants}
    except (UserError, OSError) as error:
        return {"ready": False, "variants": {}, "problem": _short(str(error), str(engine.adapters))}
    return {"ready": ready, "variants": found}


def _short(problem: str | None, root: str) -> str | None:
    """Without the server's own path, which is nobody's business."""
    return problem.replace(f"{root}/", "") if problem else None


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
        UserError: a setting that cannot be meant, a missing built-in sample, or another Gradio than was tested.
        OSError: the port is taken.
    """
    check_version()
    chosen = settings() if chosen is None else chosen
    _log_to_stderr()
    for problem in problems():
        requests.LOG.warning(problem)
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
        state_session_capacity=gradio_internals.MOST_SESSIONS,
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
    if not requests.LOG.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        requests.LOG.addHandler(handler)
    requests.LOG.setLevel(logging.INFO)
