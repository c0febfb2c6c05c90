"""A backbone's folder with all that two tabs show: scores, predictions, runs, experiments."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from qa_compare.files import read_json, write_json
from qa_compare.runs.records import (
    BertScore,
    Calibration,
    CalibrationError,
    Dataset,
    Estimate,
    Metrics,
    PredictionTable,
    Reliability,
)
from qa_compare.runs.store import write_metrics, write_predictions
from tests import measured
from tests.runs.test_runs import RUN

QUESTIONS = 200
TEMPERATURE = 1.6
DATA = Dataset("river.json", "f" * 64, QUESTIONS)
F1 = {"base": 66.5, "lora": 72.1, "prompt-tuning": 67.4}
TRAINED = {"base": 664_322, "lora": 664_322, "prompt-tuning": 8_450}


def estimate(value: float, width: float = 1.2) -> Estimate:
    return Estimate(value, value - width, value + width)


def metrics(f1: float, **changes: Any) -> Metrics:
    def error(overall: float) -> CalibrationError:
        bins = tuple(
            Reliability(low, low + 20, low + 10, max(0.0, low + 10 - overall), QUESTIONS // 5)
            for low in (0.0, 20.0, 40.0, 60.0, 80.0)
        )
        return CalibrationError(overall, overall, None, bins)

    rows = [("question word", name, f1 + shift) for name, shift in (("who", 1.0), ("why", -30 + f1 / 5), ("when", 9.0))]
    rows += [("article", name, f1) for name in ("Super_Bowl_50", "<b>Markup</b> & a title that is far too long")]
    named = [
        {"kind": kind, "name": name, "questions": 40, "exact_match": value - 9, "f1": value}
        for kind, name, value in rows
    ]
    return measured.metrics(
        **{
            "dataset": DATA,
            "exact_match": estimate(f1 - 12),
            "f1": estimate(f1),
            "bertscore": BertScore(f1 + 5, f1 + 4, f1 + 6, "L6-hash", "MiniLM, layer 6"),
            "calibration": Calibration(TEMPERATURE, error(9.0), error(2.0)),
            "slices": tuple(named),
            **changes,
        }
    )


def predictions(share: float, seed: int) -> PredictionTable:
    """Each question right with that chance."""
    right = (np.random.default_rng(seed).random(QUESTIONS) < share).astype(np.float64)
    return measured.table(
        ids=tuple(f"q{number}" for number in range(QUESTIONS)),
        start=np.zeros(QUESTIONS, dtype=np.int32),
        end=np.full(QUESTIONS, 3, dtype=np.int32),
        score=np.ones(QUESTIONS),
        confidence=np.full(QUESTIONS, 0.5),
        exact_match=right,
        f1=right,
        windows=np.ones(QUESTIONS, dtype=np.int32),
    )


def events(seed: int = 0, steps: int = 480, every: int = 10) -> list[dict[str, Any]]:
    """Evaluations every 80 steps, and a noisy training loss between them."""
    noise = np.random.default_rng(seed).normal(0, 0.12, steps + 1)
    made = []
    for step in range(0, steps + 1, every):
        place = {"step": step, "epoch": round(step / steps, 4), "seconds": 1.9 * step}
        loss = 1.5 + math.exp(-step / 120) + 0.1 * seed
        if step:
            made.append({**place, "loss": loss + float(noise[step]), "learning_rate": 6e-4 * (1 - step / steps)})
        if step % 80 == 0:
            f1 = 70 - 8 * math.exp(-step / 100) - seed
            made.append({**place, "eval_loss": loss + 0.1, "eval_exact_match": 0.8 * f1, "eval_f1": f1})
    return made


def write_log(folder: Path, seed: int = 0, steps: int = 480) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events(seed, steps)))


def write_run(folder: Path, **changes: Any) -> None:
    write_json(folder / "run.json", {**RUN, **changes})


def write_variant(folder: Path, label: str) -> None:
    """A `variant.json` without weights; one that is there gets the temperature that its scores were measured at."""
    described = {"label": label, "method": folder.name, "backbone": folder.parent.name, "weights": "not shipped"}
    folder.mkdir(parents=True, exist_ok=True)
    there = folder / "variant.json"
    found = read_json(there) if there.exists() else {**described, "sha256": {}}
    write_json(there, {**found, "temperature": TEMPERATURE})


def write_all(adapters: Path, backbone: str = "river-bert") -> Path:
    """Three measured variants with their runs, and both experiments; returns the backbone's folder."""
    root = adapters / backbone
    labels = {"base": "Base", "lora": "LoRA", "prompt-tuning": "Prompt tuning"}
    for seed, (name, f1) in enumerate(F1.items()):
        folder = root / name
        write_variant(folder, labels[name])
        write_metrics(folder / "metrics.json", metrics(f1))
        write_predictions(folder / "predictions.parquet", predictions(f1 / 100, seed))
        write_log(folder, seed)
        early = {"stopped": "early: no lower evaluation loss", "steps": 480} if name == "base" else {}
        rank = {"rank": 16 if name == "lora" else None, "learning_rate": 6e-4, "seed": 0}
        write_run(folder, hyperparameters=rank, trainable_parameters=TRAINED[name], **early)
    scored_on = {"name": "dev-v1.1.json", "questions": 1_000, "sha256": "0" * 64}
    score = {name: {"value": 61.0, "low": 58.0, "high": 64.0} for name in ("exact_match", "f1")}
    rows: list[dict[str, Any]] = [{"method": "base", **score}]
    for method in ("lora", "prompt-tuning"):
        for count, steps in ((250, 300), (1_000, 300), (4_000, 300), (4_000, 1_200)):
            asked = {"method": method, "questions_asked": count, "train_questions": count, "steps": steps}
            rows.append({**asked, **score, "f1": {"value": 55 + count / 500, "low": 52.0, "high": 66.0}})
    write_json(root / "sample_efficiency.json", {"scored_on": scored_on, "results": rows})
    steps = ("as written", "segments", "labels", "positions", "joint spans", "all windows")
    rows = [
        {"method": method, "step": step, **score}
        for method in ("base", "lora", "prompt-tuning")
        for step in steps
        if method == "prompt-tuning" or step not in ("labels", "positions")
    ]
    write_json(root / "ablation.json", {"scored_on": scored_on, "results": rows})
    return root
