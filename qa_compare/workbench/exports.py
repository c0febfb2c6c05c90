"""What a person takes home: rows of the analysis and a batch's answers, as objects, JSON, CSV or parquet.

Also the template of a file to bring.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable
from typing import Any

from qa_compare.data.readers import ANSWER_SEPARATOR, Problem
from qa_compare.measure.error_kinds import KINDS
from qa_compare.measure.scoring import gold_texts
from qa_compare.runs.tables import csv_text
from qa_compare.workbench.batch import Result
from qa_compare.workbench.table import Column, Table


def rows_as_objects(table: Table, rows: Iterable[int]) -> list[dict[str, Any]]:
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
            "variants": {column.name: _row_answer(column, row, bool(example.answers)) for column in table.columns},
        }
        for row in map(int, rows)
    ]


def _row_answer(column: Column, row: int, marked: bool) -> dict[str, Any]:
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
    return json.dumps(rows_as_objects(table, rows), indent=1, ensure_ascii=False) + "\n"


def rows_as_csv(table: Table, rows: Iterable[int]) -> str:
    """A line a row, gold answers joined by " | ", a variant's columns named like "lora answer"."""
    parts = ("answer", "exact_match", "f1", "confidence", "kind")
    names = [f"{column.name} {part}" for column in table.columns for part in parts]
    lines: list[list[Any]] = [["id", "title", "question", "passage", "gold", *names]]
    for one in rows_as_objects(table, rows):
        cells = [one["id"], one["title"], one["question"], one["passage"], ANSWER_SEPARATOR.join(one["gold"])]
        cells += [answer[part] for answer in one["variants"].values() for part in parts]
        lines.append(cells)
    return csv_text(lines)


_TEXTS = ("id", "title", "question")
_PARTS = ("answer", "start", "end", "confidence", "exact_match", "f1")  # of each variant: columns like "lora answer"
_TEMPLATE = (
    ("id", "title", "passage", "question", "answers"),
    (
        "seine-1",
        "Seine",
        "The Seine rises in Burgundy and flows through Paris and Rouen to the English Channel.",
        "Where does the Seine rise?",
        f"Burgundy{ANSWER_SEPARATOR}in Burgundy",
    ),
    (
        "seine-2",
        "Seine",
        "The Seine rises in Burgundy and flows through Paris and Rouen to the English Channel.",
        "Which sea does the Seine flow to?",
        "",
    ),
)


def template() -> str:
    """A CSV file of two questions: one with two gold answers, one without."""
    return csv_text(_TEMPLATE)


def problems_csv(problems: Iterable[Problem]) -> str:
    """A line for each row of a file that cannot be used, or whose gold answers have lost something."""
    return csv_text([("row", "problem"), *((one.row, one.message) for one in problems)])


def as_objects(result: Result) -> list[dict[str, Any]]:
    """One object a question: its texts, and each variant's answer in `variants`.

    `start` and `end` are characters of the passage and None where there is no answer, `confidence` is 0 to 1. The
    scores, 0 to 1, are None where the question has no gold answer. `question_cut` says that only the question's first
    64 tokens were read. The passage itself is not repeated.
    """
    return [
        {
            "id": example.id,
            "title": example.title,
            "question": example.question,
            "gold": gold_texts(example),
            "question_cut": row in result.overlong.cut,
            "variants": {column.name: _answer(column, row, bool(example.answers)) for column in result.table.columns},
        }
        for row, example in enumerate(result.table.examples)
    ]


def _answer(column: Column, row: int, marked: bool) -> dict[str, Any]:
    start = int(column.start[row])
    return {
        "answer": column.answers[row],
        "start": start if start >= 0 else None,
        "end": start + len(column.answers[row]) if start >= 0 else None,
        "confidence": float(column.confidence[row]),
        "exact_match": int(column.exact_match[row]) if marked else None,
        "f1": float(column.f1[row]) if marked else None,
    }


def squad_json(result: Result, variant: str) -> bytes:
    """SQuAD's predictions file, `{id: answer}`. Raises UserError where there is no such variant."""
    answers = result.table.column(variant).answers
    pairs = {example.id: answer for example, answer in zip(result.table.examples, answers, strict=True)}
    return (json.dumps(pairs, indent=1, ensure_ascii=False) + "\n").encode()


def csv_file(result: Result) -> bytes:
    """A line a question, gold answers joined by " | ".

    It begins with a byte order mark: without it, spreadsheets read the letters of other languages wrongly.
    """
    rows: list[list[Any]] = [[*_TEXTS, "gold", "question_cut", *_names(result)]]
    for one in as_objects(result):
        answers = [answer[part] for answer in one["variants"].values() for part in _PARTS]
        golds = ANSWER_SEPARATOR.join(one["gold"])
        rows.append([*(one[name] for name in _TEXTS), golds, int(one["question_cut"]), *answers])
    return csv_text(rows).encode("utf-8-sig")


def parquet_file(result: Result) -> bytes:
    """The same columns with their types: gold answers are lists, and what is not known is null."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = as_objects(result)
    kinds = (pa.string(), pa.int32(), pa.int32(), pa.float64(), pa.int8(), pa.float64())
    columns = {name: pa.array([one[name] for one in rows], pa.string()) for name in _TEXTS}
    columns["gold"] = pa.array([one["gold"] for one in rows], pa.list_(pa.string()))
    columns["question_cut"] = pa.array([one["question_cut"] for one in rows], pa.bool_())
    for column in result.table.columns:
        for part, kind in zip(_PARTS, kinds, strict=True):
            values = [one["variants"][column.name][part] for one in rows]
            columns[f"{column.name} {part}"] = pa.array(values, kind)
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def _names(result: Result) -> list[str]:
    return [f"{column.name} {part}" for column in result.table.columns for part in _PARTS]
