"""SQuAD v1.1's scores as an `evaluate.Metric` that needs no hub, where `evaluate.load("squad")` fetches its code.

Kept apart from `scoring.py`, because importing `evaluate` takes seconds.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from qa_compare.measure.scoring import exact_match, f1

_DESCRIPTION = "Exact match and F1 of SQuAD v1.1, in percent, as the official evaluation script computes them."
_INPUTS = """
Args:
    predictions: [{"id": question id, "prediction_text": answer}, ...]
    references: [{"id": question id, "answers": {"text": [gold, ...], "answer_start": [characters, ...]}}, ...]
Returns:
    {"exact_match": percent, "f1": percent, "scored": references with a gold answer, "left_out": references without}
    The scores are means over the references that have a gold answer.
"""
_CITATION = """@inproceedings{rajpurkar-etal-2016-squad,
    title = {{SQuAD}: 100,000+ Questions for Machine Comprehension of Text},
    author = {Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
    booktitle = {Proceedings of EMNLP 2016},
    year = {2016}
}"""


class SquadMetric(evaluate.Metric):
    """Takes what `evaluate.load("squad")` does, and returns the same two scores, and how many references they are over.

    It pairs by id, and a missing prediction scores 0. A reference without a gold answer is left out, where the original
    fails on it. Raises ValueError where none has one.
    """

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
        scored = [reference for reference in references if reference["answers"]["text"]]
        if not scored:
            raise ValueError("no reference has a gold answer")
        for reference in scored:
            if reference["id"] in answers:
                golds = reference["answers"]["text"]
                exact += exact_match(answers[reference["id"]], golds)
                best += f1(answers[reference["id"]], golds)
        means = {"exact_match": 100 * exact / len(scored), "f1": 100 * best / len(scored)}
        return {**means, "scored": len(scored), "left_out": len(references) - len(scored)}
