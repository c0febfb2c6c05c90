"""`/healthz`: which versions run, which variants there are, and what is wrong with them."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from qa_compare.errors import UserError
from qa_compare.service import Service
from qa_compare.temporary import writable
from qa_compare.versions import versions

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
    reason = writable(Path(get_upload_folder()))
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
