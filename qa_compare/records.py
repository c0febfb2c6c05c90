"""The records that a training run and an evaluation leave, as `runs.py` reads and writes them: frozen, and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa_compare.slices import SliceScores
from qa_compare.statistics import bootstrap

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was measured on. `fingerprint` is `examples.fingerprint`'s."""

    name: str
    fingerprint: str
    questions: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions in percent, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, scores: Floats) -> Estimate:
        """From one score a question, 0 to 1, shape (N,): always the same resamples. Raises ValueError for none."""
        found = bootstrap(scores)
        return Estimate(100 * found.value, 100 * found.low, 100 * found.high)

    def __str__(self) -> str:
        """Such as 61.2 [60.2, 62.1]."""
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True, slots=True)
class BertScore(Estimate):
    """Scores of different `hash` cannot be compared; `encoder` says in words what the hash stands for."""

    hash: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Reliability:
    """Questions of like confidence, `count` of them: from `low` to `high`, mean confidence and accuracy, in percent."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error in percent over equal-mass bins, for all questions and by the passage's windows;
    None where there are no such questions. `reliability` has the bins of all questions."""

    overall: float
    one_window: float | None
    many_windows: float | None
    reliability: tuple[Reliability, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence is from the chance of an exact match, at a temperature of 1 and at the variant's own."""

    temperature: float
    before: CalibrationError
    after: CalibrationError


@dataclass(frozen=True, slots=True)
class Metrics:
    """`metrics.json`: one variant on one data set, in percent. `weights` has the SHA-256 of the files it was measured
    on, by `folder/file`; None in those from before that was recorded."""

    dataset: Dataset
    exact_match: Estimate
    f1: Estimate
    calibration: Calibration
    slices: tuple[SliceScores, ...]
    questions_per_second: float
    precision: str
    bertscore: BertScore | None = None
    weights: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PredictionTable:
    """`predictions.parquet`: columns of N questions, N >= 1. No text of the data set is in it.

    `start` and `end` count characters of the passage and are -1 where there is no answer, whose `score` (logits) is
    NaN. `confidence`, `exact_match`, `f1` and `bertscore` are 0 to 1; `windows` counts the passage's windows.
    """

    fingerprint: str
    ids: tuple[str, ...]
    start: Ints
    end: Ints
    score: Floats
    confidence: Floats
    exact_match: Floats
    f1: Floats
    windows: Ints
    bertscore: Floats | None = None
    bertscore_hash: str | None = None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that a run read, by name and SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run learned from. `train_files` is empty for SQuAD's training questions from the hub; `summary` says in
    words what was left out, and why, or is None in records from before that was counted."""

    train_files: tuple[DataFile, ...]
    train_questions: int
    validation_questions: int
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """`run.json`: one training run. `continued_from` is the same object of the run before, if there was one."""

    method: str
    hyperparameters: dict[str, Any]
    data: RunData
    trainable_parameters: int
    total_parameters: int
    steps: int
    seconds: float
    best_step: int
    stopped: str
    precision: str
    device: str
    continued_from: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A line of `log.jsonl`: a training or an evaluation event; what it has not, or is not finite, is None."""

    step: int
    epoch: float
    seconds: float
    loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    eval_loss: float | None = None
    eval_exact_match: float | None = None
    eval_f1: float | None = None
