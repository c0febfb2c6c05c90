"""SQuAD v1.1's scores as an `evaluate.Metric` that needs no hub, where `evaluate.load("squad")` fetches its code.

Kept apart from `scoring.py`, because importing `evaluate` takes seconds.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from qa_compare.scoring import exact_match, f1

_DESCRIPTION = "Exact match and F1 of SQuAD v1.1, in percent, as the official evaluation script computes them."
_INPUTS = """
Args:
    predictions: [{"id": question id, "prediction_text": answer}, ...]
    references: [{"id": question id, "answers": {"text": [gold, ...], "answer_start": [characters, ...]}}, ...]
Returns:
    {"exact_match": percent, "f1": percent}
"""
_CITATION = """@inproceedings{rajpurkar-etal-2016-squad,
    title = {{SQuAD}: 100,000+ Questions for Machine Comprehension of Text},
    author = {Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
    booktitle = {Proceedings of EMNLP 2016},
    year = {2016}
}"""


class SquadMetric(evaluate.Metric):
    """Takes and returns what `evaluate.load("squad")` does; pairs by id, and a missing prediction scores 0."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        answers = datasets.Sequence({"text": text, "answer_start": datasets.Value("int32")})
        features = datasets.Features(
            {"predictions": {"id": text, "prediction_text": text}, "references": {"id": text, "answers": answers}}
        )
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=features,
            reference_urls=["https://rajpurkar.github.io/SQuAD-explorer/"],
        )

    def _compute(
        self, *, predictions: list[dict[str, Any]], references: list[dict[str, Any]], **_kwargs: Any
    ) -> dict[str, float]:
        answers = {prediction["id"]: prediction["prediction_text"] for prediction in predictions}
        exact = best = 0.0
        for reference in references:
            if reference["id"] in answers:
                golds = reference["answers"]["text"]
                exact += exact_match(answers[reference["id"]], golds)
                best += f1(answers[reference["id"]], golds)
        return {"exact_match": 100 * exact / len(references), "f1": 100 * best / len(references)}
