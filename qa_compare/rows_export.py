"""Rows of the analysis for programs: as objects, as JSON, and as CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from qa_compare.analysis import Column, Table
from qa_compare.error_kinds import KINDS
from qa_compare.readers import ANSWER_SEPARATOR
from qa_compare.tables import csv_text


def as_objects(table: Table, rows: Iterable[int]) -> list[dict[str, Any]]:
    """One object a row: the question's texts, and under `variants` each column's answer, score, confidence and kind.

    Scores and confidence are 0 to 1; a confidence that is not known is None, and so are scores without a gold answer.
    """
    return [
        {
            "id": (example := table.examples[row]).id,
            "title": example.title,
            "question": example.question,
            "passage": example.passage,
            "gold": list(dict.fromkeys(gold.text for gold in example.answers)),
            "variants": {column.name: _answer(column, row, bool(example.answers)) for column in table.columns},
        }
        for row in map(int, rows)
    ]


def _answer(column: Column, row: int, marked: bool) -> dict[str, Any]:
    confidence = float(column.confidence[row])
    return {
        "answer": column.answers[row],
        "exact_match": int(column.exact_match[row]) if marked else None,
        "f1": round(float(column.f1[row]), 4) if marked else None,
        "confidence": None if math.isnan(confidence) else round(confidence, 4),
        "kind": KINDS[column.kind[row]],
    }


def as_json(table: Table, rows: Iterable[int]) -> str:
    """A list of `as_objects`' objects, indented by one."""
    return json.dumps(as_objects(table, rows), indent=1, ensure_ascii=False) + "\n"


def as_csv(table: Table, rows: Iterable[int]) -> str:
    """A line a row, gold answers joined by " | ", a variant's columns named like "lora answer"."""
    parts = ("answer", "exact_match", "f1", "confidence", "kind")
    names = [f"{column.name} {part}" for column in table.columns for part in parts]
    lines: list[list[Any]] = [["id", "title", "question", "passage", "gold", *names]]
    for one in as_objects(table, rows):
        cells = [one["id"], one["title"], one["question"], one["passage"], ANSWER_SEPARATOR.join(one["gold"])]
        cells += [answer[part] for answer in one["variants"].values() for part in parts]
        lines.append(cells)
    return csv_text(lines)
