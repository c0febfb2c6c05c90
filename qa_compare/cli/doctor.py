"""What a bug report needs: versions, processor, weights and their hashes, adapters and their state, a timed answer."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from qa_compare import __version__
from qa_compare.data import sources
from qa_compare.data.sources import sample
from qa_compare.errors import UserError
from qa_compare.files import sha256
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones
from qa_compare.models.registry import versions

PACKAGES = (
    "torch transformers peft gradio accelerate datasets evaluate bert-score tokenizers safetensors plotly".split()
)
# what decides how fast matrices are multiplied, by the names that Linux gives them
_INSTRUCTIONS = "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8 asimd bf16 i8mm sve".split()
_ROUNDS = 5
_HUB = "https://huggingface.co/api/models/sentence-transformers/all-MiniLM-L6-v2"


def examine(adapters: Path, *, ask_hub: bool = False) -> dict[str, Any]:
    """Everything in one object, as JSON can hold it. No host is asked but with `ask_hub`; nothing is written."""
    return {
        "qa_compare": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": versions(*PACKAGES),
        "processor": _processor(),
        "hub": _hub(ask_hub),
        "backbones": [_backbone(Engine(name, adapters=adapters)) for name in backbones.BACKBONES],
    }


def _processor() -> dict[str, Any]:
    return {
        "name": processor_name(),
        "instructions": [name for name in _INSTRUCTIONS if name in _flags()],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch_uses": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpuinfo(*fields: str) -> str:
    """The first value that Linux gives under one of these names; "" elsewhere."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() in fields:
            return value.strip()
    return ""


def processor_name() -> str:
    """As Linux gives it, or as Python does elsewhere."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _flags() -> set[str]:
    return set(_cpuinfo("flags", "Features").split())


def _hub(ask: bool) -> str:
    if sources.switched_off():
        return "switched off by HF_HUB_OFFLINE"
    if not ask:
        return "not asked (--hub asks)"
    from huggingface_hub import get_session

    begin = time.perf_counter()
    try:
        answer = get_session().get(_HUB, timeout=5)
    except Exception as error:  # whatever the network's libraries raise
        return f"not reachable ({type(error).__name__})"
    return f"status {answer.status_code} after {time.perf_counter() - begin:.1f} s"


def _backbone(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = {"name": engine.backbone, "ready": False, "variants": []}
    try:
        located = backbones.locate(engine.source, offline=True)
    except UserError as error:
        return {**found, "detail": str(error)}
    digest = sha256(located.folder / "model.safetensors")
    found |= {"ready": True, "detail": located.source, "sha256": digest, "precision": engine.precision}
    found["variants"] = [_variant(engine, variant.name) for variant in engine.variants]
    return found


def _variant(engine: Engine, name: str) -> dict[str, Any]:
    """Whether it loads and answers, and the median milliseconds that one short question takes."""
    variant = engine.variant(name)
    if not variant.shipped:
        return {"name": name, "state": "only its measurements are shipped"}
    question = sample()[0]
    times = []
    try:
        engine.model(name)
        for _ in range(_ROUNDS + 1):
            begin = time.perf_counter()
            [prediction] = engine.predict([question], name)
            times.append(1000 * (time.perf_counter() - begin))
    except UserError as error:  # of its weights, or of the tokenizer
        return {"name": name, "state": str(error)}
    state = "ok" if prediction.candidates else "it finds no answer"
    return {"name": name, "state": state, "milliseconds": round(statistics.median(times[1:]), 1)}


def table(found: dict[str, Any]) -> str:
    """The same as lines to paste into a report."""
    processor = found["processor"]
    lines = [
        f"qa_compare {found['qa_compare']}, Python {found['python']}, {found['system']}",
        "  ".join(f"{name} {number or 'missing'}" for name, number in found["packages"].items()),
        (
            f"processor: {processor['name']}, {processor['cores']} cores, {processor['threads']} threads, "
            f"{processor['torch_uses']}; {' '.join(processor['instructions']) or 'instructions unknown'}"
        ),
        f"graphics card: {processor['cuda'] or 'none'}",
        f"hub: {found['hub']}",
    ]
    for backbone in found["backbones"]:
        ready = "ready" if backbone["ready"] else "not ready"
        lines.append(f"{backbone['name']}: {ready}, {backbone['detail']}")
        if backbone["ready"]:
            lines.append(f"    sha256 {backbone['sha256'][:12]}…, {backbone['precision']}")
        for variant in backbone["variants"]:
            took = f", {variant['milliseconds']} ms" if "milliseconds" in variant else ""
            lines.append(f"    {variant['name']}: {variant['state']}{took}")
    return "\n".join(lines)
