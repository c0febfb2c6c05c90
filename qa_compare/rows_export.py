"""Rows of the analysis for programs: as objects, as JSON, and as CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any

from qa_compare.analysis import Column, Table
from qa_compare.error_kinds import KINDS
from qa_compare.tables import safe


def as_objects(table: Table, rows: Iterable[int]) -> list[dict[str, Any]]:
    """One object a row: the question's texts, and under `variants` each column's answer, score, confidence and kind.

    Scores and confidence are 0 to 1; a confidence that is not known is None.
    """
    return [
        {
            "id": (example := table.examples[row]).id,
            "title": example.title,
            "question": example.question,
            "passage": example.passage,
            "gold": list(dict.fromkeys(gold.text for gold in example.answers)),
            "variants": {column.name: _answer(column, row) for column in table.columns},
        }
        for row in map(int, rows)
    ]


def _answer(column: Column, row: int) -> dict[str, Any]:
    confidence = float(column.confidence[row])
    return {
        "answer": column.answers[row],
        "exact_match": int(column.exact_match[row]),
        "f1": round(float(column.f1[row]), 4),
        "confidence": None if math.isnan(confidence) else round(confidence, 4),
        "kind": KINDS[column.kind[row]],
    }


def as_json(table: Table, rows: Iterable[int]) -> str:
    """A list of `as_objects`' objects, indented by one."""
    return json.dumps(as_objects(table, rows), indent=1, ensure_ascii=False) + "\n"


def as_csv(table: Table, rows: Iterable[int]) -> str:
    """A line a row, gold answers joined by " | ", a variant's columns named like "lora answer".

    A text that a spreadsheet would take for a formula has a ' before it.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    parts = ("answer", "exact_match", "f1", "confidence", "kind")
    names = [f"{column.name} {part}" for column in table.columns for part in parts]
    writer.writerow(map(safe, ["id", "title", "question", "passage", "gold", *names]))
    for one in as_objects(table, rows):
        cells = [one["id"], one["title"], one["question"], one["passage"], " | ".join(one["gold"])]
        cells += [answer[part] for answer in one["variants"].values() for part in parts]
        writer.writerow(map(safe, cells))
    return file.getvalue()
