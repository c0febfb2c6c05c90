"""The answers of one pass -> `metrics.json` and `predictions.parquet`: scores with intervals, calibration, slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qa_compare.bertscore import BertScorer
from qa_compare.calibration import expected_calibration_error, reliability_table
from qa_compare.examples import Example, fingerprint
from qa_compare.records import (
    BertScore,
    Calibration,
    CalibrationError,
    Dataset,
    Estimate,
    Metrics,
    PredictionTable,
    Reliability,
)
from qa_compare.resumable import Answered, Pass
from qa_compare.scoring import Scores, gold_texts, score
from qa_compare.slices import slices

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One variant on one data set: its scores, and its answers a row each in the examples' order."""

    metrics: Metrics
    predictions: PredictionTable


def evaluate(
    examples: Sequence[Example],
    result: Pass,
    *,
    name: str,
    temperature: float,
    precision: str,
    scorer: BertScorer | None = None,
    weights: dict[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a pass over `examples`; `name` is the data set's, `temperature` the one that the confidences are at.

    Without a `scorer` there is no BERTScore; `progress` counts what it has scored. `weights` is kept as it is. A
    question without a gold answer scores 0. Intervals are 95 % percentile bootstraps over questions, 10,000 resamples,
    always of the same seed.

    Raises:
        UserError: BERTScore's encoder cannot be loaded.
        ValueError: the pass is over other questions.
    """
    texts = [_text(row, example) for row, example in zip(result.answered, examples, strict=True)]
    scores = score({example.id: text for example, text in zip(examples, texts, strict=True)}, examples)
    meaning, bertscore = None, None
    if scorer:
        meaning = scorer.score(texts, [gold_texts(example) for example in examples], progress)
        mean = Estimate.of(meaning)
        bertscore = BertScore(mean.value, mean.low, mean.high, scorer.hash, scorer.encoder)
    table = _table(examples, result.answered, scores, meaning, scorer)
    metrics = Metrics(
        dataset=Dataset(name, table.fingerprint, len(examples)),
        exact_match=Estimate.of(scores.exact_match),
        f1=Estimate.of(scores.f1),
        calibration=_calibration(result.answered, scores.exact_match, temperature),
        slices=tuple(slices(examples, scores.exact_match, scores.f1)),
        questions_per_second=len(examples) / result.seconds,
        precision=precision,
        bertscore=bertscore,
        weights=weights or None,
    )
    return Evaluation(metrics, table)


def _table(
    examples: Sequence[Example],
    answered: Sequence[Answered],
    scores: Scores,
    meaning: Floats | None,
    scorer: BertScorer | None,
) -> PredictionTable:
    return PredictionTable(
        fingerprint=fingerprint(examples),
        ids=tuple(example.id for example in examples),
        start=np.array([-1 if row.start is None else row.start for row in answered], dtype=np.int32),
        end=np.array([-1 if row.end is None else row.end for row in answered], dtype=np.int32),
        score=np.array([np.nan if row.score is None else row.score for row in answered]),
        confidence=np.array([row.confidence for row in answered]),
        exact_match=scores.exact_match,
        f1=scores.f1,
        windows=np.array([row.windows for row in answered], dtype=np.int32),
        bertscore=meaning,
        bertscore_hash=scorer.hash if scorer else None,
    )


def _text(row: Answered, example: Example) -> str:
    if row.id != example.id:
        raise ValueError(f"the answer to {row.id!r} stands where that to {example.id!r} should")
    return "" if row.start is None else example.passage[row.start : row.end]


def _calibration(answered: Sequence[Answered], correct: Floats, temperature: float) -> Calibration:
    one_window = np.array([row.windows == 1 for row in answered])
    before = np.array([row.uncalibrated for row in answered])
    after = np.array([row.confidence for row in answered])
    return Calibration(temperature, *(_error(confidence, correct, one_window) for confidence in (before, after)))


def _error(confidence: Floats, correct: Floats, one_window: NDArray[np.bool_]) -> CalibrationError:
    def of(chosen: NDArray[np.bool_]) -> float | None:
        return 100 * expected_calibration_error(confidence[chosen], correct[chosen]) if chosen.any() else None

    return CalibrationError(
        overall=100 * expected_calibration_error(confidence, correct),
        one_window=of(one_window),
        many_windows=of(~one_window),
        reliability=tuple(
            Reliability(100 * row.low, 100 * row.high, 100 * row.confidence, 100 * row.accuracy, row.count)
            for row in reliability_table(confidence, correct)
        ),
    )
