"""A tiny backbone with variants to measure or to inspect, and records as an evaluation leaves them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from qa_compare.data.examples import Example
from qa_compare.files import sha256, write_json
from qa_compare.inference.decoding import Candidate, Prediction
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones, variants
from qa_compare.models.registry import Loaded
from qa_compare.models.variants import HEAD_FILE, Variant
from qa_compare.runs.records import (
    Calibration,
    CalibrationError,
    Dataset,
    Estimate,
    Metrics,
    PredictionTable,
    Reliability,
)
from qa_compare.workbench import answers
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.service import UPLOAD, Service
from tests import tiny

ERROR = CalibrationError(5.0, 4.0, None, (Reliability(10.0, 90.0, 50.0, 45.0, 3),))
PLAIN: dict[str, Any] = {
    "dataset": Dataset("river.json", "f" * 64, 3),
    "exact_match": Estimate(50.0, 40.0, 60.0),
    "f1": Estimate(66.6, 55.5, 77.7),
    "calibration": Calibration(1.5, ERROR, ERROR),
    "slices": ({"kind": "question word", "name": "who", "questions": 3, "exact_match": 50.0, "f1": 66.6},),
    "questions_per_second": 12.5,
    "precision": "fp32",
}


def metrics(**changes: Any) -> Metrics:
    return Metrics(**{**PLAIN, **changes})


def table(**changes: Any) -> PredictionTable:
    """Three questions: right, half right, not answered."""
    columns: dict[str, Any] = {
        "fingerprint": "f" * 64,
        "ids": ("q0", "q1", "q2"),
        "start": np.array([4, 0, -1], dtype=np.int32),
        "end": np.array([9, 3, -1], dtype=np.int32),
        "score": np.array([7.25, -1.5, np.nan]),
        "confidence": np.array([0.9, 0.5, 0.0]),
        "exact_match": np.array([1.0, 0.0, 0.0]),
        "f1": np.array([1.0, 0.5, 0.0]),
        "windows": np.array([1, 3, 1], dtype=np.int32),
    }
    return PredictionTable(**{**columns, **changes})


def backbone(folder: Path) -> backbones.Backbone:
    """The backbone `river-bert`, a random checkpoint in that folder."""
    return backbones.get(str(tiny.checkpoint(folder / "river-bert")))


def variant(adapters: Path, name: str, *, seed: int = 0, temperature: float = 1.0) -> Path:
    """A variant of `river-bert` with a random head of its own; returns its folder."""
    folder = adapters / "river-bert" / name
    folder.mkdir(parents=True)
    head = {key: value.contiguous() for key, value in tiny.model(seed).qa_outputs.state_dict().items()}
    save_file(head, folder / HEAD_FILE)
    label = variants.LABELS.get(name, name)
    hashes = {HEAD_FILE: sha256(folder / HEAD_FILE)}
    described = Variant(name, label, name, "river-bert", folder, temperature=temperature, sha256=hashes)
    write_json(folder / "variant.json", variants.describe(described, merged=False))
    return folder


def long_examples(count: int) -> list[Example]:
    """Every third passage takes several windows."""
    made = tiny.examples(count)
    return [
        Example(one.id, one.title, one.passage + " north and sea" * 300, one.question, one.answers)
        if number % 3 == 2
        else one
        for number, one in enumerate(made)
    ]


def never() -> bool:
    return False


def visible(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def predicted(examples: Sequence[Example], variant: str) -> list[Prediction]:
    """LoRA is always right; the base is on every second question, and prompt tuning never."""
    made = []
    for number, one in enumerate(examples):
        start, text = one.answers[0].start, one.answers[0].text
        if variant == "prompt-tuning" or (variant == "base" and number % 2):
            start, text = 0, one.passage[: max(1, len(one.passage) // 2)]
        made.append(Prediction(one.id, (Candidate(text, start, start + len(text), 1.0, 0.9),), 0.0, 1))
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What the engines were asked, as (variant, questions): they answer as `predicted`, at once."""
    found: list[tuple[str, int]] = []

    def predict(_engine: Engine, examples: Sequence[Example], variant: Loaded, **_options: Any) -> list[Prediction]:
        name = str(variant)
        found.append((name, len(examples)))
        return predicted(examples, name)

    monkeypatch.setattr(Engine, "predict", predict)
    stop_the_clock(monkeypatch)
    return found


def stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of many answers takes no time: each is twice as large as the one before it."""
    monkeypatch.setattr(answers, "time", SimpleNamespace(perf_counter=lambda: 0.0))


@pytest.fixture
def inspector(tmp_path: Path, asked: list[tuple[str, int]]) -> Inspector:
    """A river's backbone with a base, LoRA and prompt tuning, none of which has answered anything."""
    source = backbone(tmp_path)
    for seed, name in enumerate(("base", "lora", "prompt-tuning")):
        variant(tmp_path / "adapters", name, seed=seed)
    engine = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters", precision="fp32")
    assert engine.backbone == source.name
    assert engine.located
    return Inspector(Service({source.name: engine}, source.name))


def wanted(inspector: Inspector, upload: str, **changes: Any) -> Wanted:
    return Wanted(**{"backbone": inspector.service.backbone, "source": UPLOAD, "upload": upload, **changes})


def filled(inspector: Inspector, upload: str) -> None:
    for _ in inspector.compute(wanted(inspector, upload), never):
        pass
