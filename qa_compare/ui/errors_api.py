"""The `/errors` endpoint: the error inspection for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from qa_compare.analysis import Filter, outcomes, select
from qa_compare.errors import UserError, quoted
from qa_compare.inspection import AT_ONCE, Inspector, Wanted
from qa_compare.rows_export import as_objects
from qa_compare.service import SAMPLE, SQUAD

MOST_ROWS = 1000


def endpoint(inspector: Inspector) -> Callable[..., dict[str, Any]]:
    """The function behind `/errors`."""

    def errors(
        source: str = SAMPLE,
        outcome: str = "",
        kind: str = "",
        variant: str = "",
        sure: float = 0.0,
        question_word: str = "",
        answer_length: str = "",
        passage_length: str = "",
        article: str = "",
        text: str = "",
        order: str = "",
        offset: int = 0,
        limit: int = 100,
    ) -> dict[str, Any]:
        """The questions that meet all of the filters, with the answers of the default backbone's variants.

        Parameters:
            source: "sample" (built in) or "squad" (SQuAD v1.1's validation questions, or those of --squad)
            outcome: a 1 (right) or 0 (wrong) for each column, such as "010": what only the second got right
            kind: right, too long, too short, overlap, right sentence, wrong sentence, no answer or no gold
            variant: whose kind and confidence are meant, such as "lora"; of any one if empty
            sure: wrong answers of at least this confidence, above 0 to 1; 0 asks for nothing
            question_word: who, what, when, where, which, how many, how, why or other
            answer_length: words of the gold answer: 1, 2, 3-4 or 5+
            passage_length: words: under 100, 100-149, 150-199 or 200+
            article: its title as the data has it
            text: looked for in question, passage and answers, in any case
            order: "worst lora", "best lora", "lora, base" (LoRA better first), "difference"; empty: as in the data
            offset: the first row to give
            limit: how many rows to give, 1 to 1,000
        Returns:
            source, questions (all), gold (those with gold answers, which alone are in the outcomes' counts), notes
            (sentences on the others), matching (those that meet the filters), columns, missing (variants without saved
            answers), warnings (sentences), outcomes (key, right, wrong and count, whatever outcome was asked for), and
            rows: each with id, title, question, passage, gold, and variants: answer, kind, confidence (0 to 1), and
            exact_match and f1 (0 to 1; null without a gold answer)
        """
        met = Filter(outcome, kind, variant, sure or None, question_word, answer_length, passage_length, article, text)
        try:
            texts = [outcome, kind, variant, question_word, answer_length, passage_length, article, text, order]
            _check(source, offset, limit, sure, texts)
            return _found(inspector, source, met, order, slice(offset, offset + limit))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return errors


def _check(source: Any, offset: Any, limit: Any, sure: Any, texts: list[Any]) -> None:
    """Refuse what JSON can bring and no filter takes."""
    if source not in (SAMPLE, SQUAD):
        raise UserError(f"unknown source {quoted(source)}: there are {SAMPLE} and {SQUAD}")
    if not all(isinstance(one, str) for one in texts):
        raise UserError("everything but sure, offset and limit is a text")
    if isinstance(sure, bool) or not isinstance(sure, int | float) or not 0 <= sure <= 1:
        raise UserError("sure is a number from 0 to 1")
    for name, value, least, most in (("offset", offset, 0, None), ("limit", limit, 1, MOST_ROWS)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least or (most and value > most):
            raise UserError(f"{name} is a whole number from {least}" + (f" to {most:,}" if most else ""))


def _found(inspector: Inspector, source: str, met: Filter, order: str, part: slice) -> dict[str, Any]:
    asked = Wanted(inspector.service.backbone, source)
    view = inspector.view(asked)
    if view.missing and len(view.questions.examples) <= AT_ONCE:
        if inspector.begins and source == SAMPLE:  # many who wait would fill the queue
            raise UserError("Busy: the variants are still answering these questions. Try again in 10 s.")
        for _progress in inspector.compute(asked, lambda: False):
            pass
        view = inspector.view(asked)
    if view.table is None:
        raise UserError(
            "no variant has answered these questions yet: run python -m qa_compare evaluate, or use the page"
        )
    rows = select(view.table, met, order)
    counts = view.table.counts
    return {
        "source": view.questions.label,
        "questions": len(view.questions.examples),
        "gold": counts.scored,
        "notes": list(counts.sentences),
        "matching": len(rows),
        "columns": [column.name for column in view.table.columns],
        "missing": [variant.name for variant in view.missing],
        "warnings": list(view.warnings),
        "outcomes": [
            {"key": one.key, "right": list(one.right), "wrong": list(one.wrong), "count": one.count}
            for one in outcomes(view.table, met)
        ],
        "rows": as_objects(view.table, rows[part]),
    }
