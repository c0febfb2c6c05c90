"""Answers -> a column of the analysis: saved ones, the engine's, or another system's `{id: text}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qa_compare import runs
from qa_compare.analysis import Column
from qa_compare.error_kinds import KINDS, error_kind
from qa_compare.errors import UserError
from qa_compare.examples import Example
from qa_compare.files import parse_json
from qa_compare.predictions import Prediction
from qa_compare.scoring import score
from qa_compare.uploads import read_upload
from qa_compare.variants import Variant

Floats = NDArray[np.float64]


def saved(variant: Variant, examples: Sequence[Example], fingerprint: str) -> Column | None:
    """The answers that lie in the variant's folder; None where there are none, or none to these questions.

    `fingerprint` is that of `examples`. Raises UserError for a damaged file.
    """
    table = runs.read_predictions(variant.folder) if variant.folder else None
    if table is None or table.fingerprint != fingerprint:
        return None
    table = runs.in_order(table, examples, fingerprint)
    answers = dict(zip(table.ids, runs.answers(table, examples), strict=True))
    return _column(variant.name, variant.label, examples, answers, table.start.tolist(), table.confidence)


def computed(variant: Variant, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Column:
    """The engine's answers, one a question in the same order."""
    answers = {one.id: found.answer for one, found in zip(examples, predictions, strict=True)}
    starts = [one.candidates[0].start if one.candidates else -1 for one in predictions]
    nulls = [one.no_answer_score - one.candidates[0].score if one.candidates else np.nan for one in predictions]
    column = _column(
        variant.name, variant.label, examples, answers, starts, np.array([one.confidence for one in predictions])
    )
    return replace(column, null=np.array(nulls))


def from_file(path: Path, examples: Sequence[Example]) -> Column:
    """Another system's answers, an object `{question id: text}`, as a column named after the file.

    A question that is not in it counts as not answered. Its confidences are not known.

    Raises:
        UserError: the file is over the limits of an upload, no such object, or for none of these questions.
    """
    answers = parse_json(read_upload(path), path.name)
    if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
        raise UserError(f"{path.name} is not a predictions file: it must be one JSON object, {{question id: answer}}")
    if not any(example.id in answers for example in examples):
        raise UserError(f"{path.name} answers none of these questions: its ids are of another data set")
    # half a surrogate pair, which JSON can escape, could be neither shown nor exported
    texts = {one.id: answers[one.id].encode("utf-8", "replace").decode() for one in examples if one.id in answers}
    unknown = np.full(len(examples), np.nan)
    return _column(f"file:{path.stem}", path.name, examples, texts, [-1] * len(examples), unknown)


def _column(
    name: str,
    label: str,
    examples: Sequence[Example],
    answers: Mapping[str, str],
    starts: Sequence[int],
    confidence: Floats,
) -> Column:
    scores = score(answers, examples)
    texts = [answers.get(example.id, "") for example in examples]
    rows = zip(examples, texts, starts, scores.exact_match, scores.f1, strict=True)
    kinds = [KINDS.index(error_kind(one, text, start, exact > 0, f1)) for one, text, start, exact, f1 in rows]
    return Column(
        name=name,
        label=label,
        answers=tuple(texts),
        start=np.array(starts, dtype=np.int32),
        confidence=confidence,
        exact_match=scores.exact_match,
        f1=scores.f1,
        kind=np.array(kinds, dtype=np.int8),
    )
