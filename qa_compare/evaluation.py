"""The answers of one pass, or saved ones -> `metrics.json` and `predictions.parquet`.

They hold scores with intervals, calibration and slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from qa_compare.bertscore import BertScorer
from qa_compare.calibration import expected_calibration_error, reliability_table
from qa_compare.errors import UserError
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
from qa_compare.runs import answers, in_order
from qa_compare.scoring import Counts, Squad2, gold_texts, has_gold, score, squad2
from qa_compare.slices import SliceScores, slices
from qa_compare.statistics import numbered

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_SAME = 1e-6  # percent: what adding in another order may change of a mean


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

    Without a `scorer` there is no BERTScore; `progress` counts what it has scored. `weights` is kept as it is. All
    scores, slices and calibration are over the questions that have gold answers, of which there must be one. Intervals
    are 95 % bootstraps of 10,000 resamples, always of the same seed, over articles or passages (`statistics.choose`).

    Raises:
        UserError: BERTScore's encoder cannot be loaded.
        ValueError: the pass is over other questions, or none of them has a gold answer.
    """
    texts = [_text(row, example) for row, example in zip(result.answered, examples, strict=True)]
    meaning = scorer.score(texts, [gold_texts(example) for example in examples], progress) if scorer else None
    table = _table(examples, result.answered, texts, meaning, scorer)
    before = np.array([row.uncalibrated for row in result.answered])
    metrics = Metrics(
        dataset=_dataset(name, table, examples),
        exact_match=_estimate(table, table.exact_match),
        f1=_estimate(table, table.f1),
        calibration=Calibration(temperature, _error(table, before), _error(table, table.confidence)),
        slices=_slices(table, examples),
        questions_per_second=len(examples) / result.seconds,
        precision=precision,
        bertscore=_bertscore(table, scorer.encoder) if scorer else None,
        weights=weights or None,
        squad2=_squad2(table, texts, examples),
    )
    return Evaluation(metrics, table)


def again(examples: Sequence[Example], table: PredictionTable, metrics: Metrics) -> Evaluation:
    """The scores of saved answers to `examples`, computed anew without a model.

    Calibration, speed, precision and weights stay as `metrics`, which was saved with them, has them, and so does each
    question's BERTScore.

    Raises:
        UserError: the answers are to other questions, `metrics` are not theirs, or are of an earlier version that
            counted questions without a gold answer as wrong.
    """
    mark = fingerprint(examples)
    table = in_order(table, examples, mark)
    counts = Counts.of(examples)
    if metrics.dataset.scored is None and counts.scored < counts.questions:
        raise UserError(
            f"{counts.sentences[0]} An earlier version counted them as wrong, in the calibration too: evaluate the "
            "variant itself once more"
        )
    texts = answers(table, examples)
    scores = score(dict(zip(table.ids, texts, strict=True)), examples)
    article, passage = _places(examples)
    table = replace(table, exact_match=scores.exact_match, f1=scores.f1, article=article, passage=passage)
    dataset = _dataset(metrics.dataset.name, table, examples)
    exact, f1 = (_estimate(table, values) for values in (table.exact_match, table.f1))
    if metrics.dataset.fingerprint != mark or abs(f1.value - metrics.f1.value) > _SAME:
        raise UserError("the saved scores are not those of the saved answers: evaluate the variant itself once more")
    bertscore = metrics.bertscore
    if bertscore and table.bertscore is not None:
        bertscore = _bertscore(table, bertscore.encoder)
    slices, squad2 = _slices(table, examples), _squad2(table, texts, examples)
    found = replace(
        metrics, dataset=dataset, exact_match=exact, f1=f1, bertscore=bertscore, slices=slices, squad2=squad2
    )
    return Evaluation(found, table)


def _table(
    examples: Sequence[Example],
    answered: Sequence[Answered],
    texts: Sequence[str],
    meaning: Floats | None,
    scorer: BertScorer | None,
) -> PredictionTable:
    scores = score({example.id: text for example, text in zip(examples, texts, strict=True)}, examples)
    article, passage = _places(examples)
    null = np.array([row.null for row in answered]) if any(example.unanswerable for example in examples) else None
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
        bertscore=None if meaning is None else np.where(has_gold(examples), meaning, np.nan),
        bertscore_hash=scorer.hash if scorer else None,
        article=article,
        passage=passage,
        null=null,
    )


def _places(examples: Sequence[Example]) -> tuple[Ints, Ints]:
    """Which questions share an article, and which a passage."""
    return numbered(example.title for example in examples), numbered(example.passage for example in examples)


def _dataset(name: str, table: PredictionTable, examples: Sequence[Example]) -> Dataset:
    return Dataset(name, table.fingerprint, *astuple(Counts.of(examples)))


def _estimate(table: PredictionTable, values: Floats) -> Estimate:
    return Estimate.of(values[table.scored], table.units)


def _bertscore(table: PredictionTable, encoder: str) -> BertScore:
    assert table.bertscore is not None
    assert table.bertscore_hash is not None
    found = _estimate(table, table.bertscore)
    return BertScore(
        **{one.name: getattr(found, one.name) for one in fields(found)}, hash=table.bertscore_hash, encoder=encoder
    )


def _slices(table: PredictionTable, examples: Sequence[Example]) -> tuple[SliceScores, ...]:
    some = [example for example in examples if example.answers]
    return tuple(slices(some, table.exact_match[table.scored], table.f1[table.scored]))


def _squad2(table: PredictionTable, texts: Sequence[str], examples: Sequence[Example]) -> Squad2 | None:
    return squad2(texts, examples, None if table.null is None else table.null - table.score)


def _text(row: Answered, example: Example) -> str:
    if row.id != example.id:
        raise ValueError(f"the answer to {row.id!r} stands where that to {example.id!r} should")
    return "" if row.start is None else example.passage[row.start : row.end]


def _error(table: PredictionTable, confidence: Floats) -> CalibrationError:
    scored = table.scored
    confidence, correct, one_window = confidence[scored], table.exact_match[scored], table.windows[scored] == 1

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
