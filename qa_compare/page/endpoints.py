"""The endpoints for programs: `/compare` asks one question, `/predict_batch` many, `/errors` inspects errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from qa_compare.data.readers import check_rows, refuse_problems
from qa_compare.errors import UserError, quoted
from qa_compare.page.components import upload_folder
from qa_compare.page.stopping import Tasks
from qa_compare.workbench.answers import AT_ONCE, Inspector, Wanted
from qa_compare.workbench.batch import Answers, Checked, Result, check, variants
from qa_compare.workbench.exports import as_objects, rows_as_objects
from qa_compare.workbench.service import SAMPLE, SQUAD, Service
from qa_compare.workbench.table import Filter, outcomes, select


def compare_endpoint(service: Service) -> Callable[..., dict[str, Any]]:
    """The function behind `/compare`."""

    def compare(passage: str, question: str, variants: list[str] | None = None) -> dict[str, Any]:
        """Answer one question about one passage with variants of the default backbone.

        Parameters:
            passage: the text to search, up to 200,000 characters
            question: one question about it, up to 2,000 characters, of which 64 tokens are read
            variants: two to six of them by name, such as ["lora", "base"], in that order; those of the page if left out
        Returns:
            question, agreement (one sentence), warnings, and variants: each with variant, label, answer, start, end,
            confidence (0 to 1), latency_ms, candidates (the five best) and problem
        """
        for name, value in (("passage", passage), ("question", question)):
            if not isinstance(value, str):  # whatever JSON brings
                raise gr.Error(f"The {name} is not a text.", print_exception=False)
        if variants is not None and not (isinstance(variants, list) and all(isinstance(one, str) for one in variants)):
            raise gr.Error("The variants are not a list of names.", print_exception=False)
        try:
            return service.compare(passage, question, variants=variants or ()).as_dict()
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return compare


# of one request, whose caller waits for all of it
MOST_QUESTIONS = 1_000
MOST_CHARACTERS = 2_000_000  # of passages, each counted as often as a question is asked about it


def batch_endpoint(page: gr.Blocks, service: Service) -> Callable[..., dict[str, Any]]:
    """The function behind `/predict_batch`."""
    tasks = Tasks()

    def predict_batch(
        request: gr.Request,
        questions: list[dict[str, Any]] | None = None,
        file: dict[str, Any] | None = None,
        backbone: str = "",
        variants: list[str] | None = None,
    ) -> dict[str, Any]:
        """Answer up to 1,000 questions, each about its own passage, with several variants, and score the answers.

        Parameters:
            questions: objects with passage and question; id, title and answers (gold answers, texts) may be left out
            file: instead of questions, an uploaded SQuAD JSON, JSONL or CSV file: handle_file("questions.csv")
            backbone: its name, such as minilm-l6-qa; the page's default if empty
            variants: their names, such as ["base", "lora"], up to six; those shown by default if none is given
        Returns:
            backbone, questions (how many), gold (how many of them have gold answers and are scored), unanswerable (how
            many are marked so), notes (sentences on the answers, the scores and who is left out of them), scores: for
            each variant its variant, label, exact_match and f1 (value, low and high in percent, a 95 % interval over
            what resampled and units say, beside it by_question; null without gold answers), confidence (mean, in
            percent) and squad2 (SQuAD 2's metric; null where no question is marked as unanswerable); predictions: for
            each question id, title, question, gold, question_cut (whether only its beginning was read) and variants:
            answer, start, end (characters of the passage), confidence, exact_match and f1 (0 to 1; null without a gold
            answer); problems: a sentence for each variant that could not answer; warnings: sentences about all of the
            answers; and golds: a sentence for each question whose gold answers could not all be taken as they are
        """
        ticket = tasks.begin(request)
        task = tasks.start(request, ticket)
        try:
            return _answered(service, _brought(questions, file), backbone, variants, task.cancelled)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        finally:
            tasks.end(request, ticket)

    page.unload(tasks.left)
    return predict_batch


def _answered(
    service: Service, brought: Checked, backbone: Any, names: Any, cancelled: Callable[[], bool]
) -> dict[str, Any]:
    if not isinstance(backbone, str) or (backbone and backbone not in service.engines):
        raise UserError(f"unknown backbone {quoted(backbone)}: there are {', '.join(service.engines)}")
    if names is not None and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
        raise UserError("variants are a list of names")
    name = backbone or service.backbone
    ready = service.readiness(name)
    if not ready.ready:
        raise UserError(ready.detail)
    chosen = variants(service.engines[name], names or ())
    answers = Answers(service.engines[name], brought.examples)
    for _progress in answers.find(chosen, cancelled):
        pass
    result = answers.result(chosen)
    assert result, "every question was answered"
    return {"backbone": name, **_as_dict(result), "golds": [f"{one.row}: {one.message}" for one in brought.notes]}


def _as_dict(result: Result) -> dict[str, Any]:
    return {
        "questions": result.done,
        "gold": result.counts.scored,
        "unanswerable": result.counts.unanswerable,
        "notes": [*result.counts.sentences, *result.notes],
        "scores": [asdict(one) for one in result.scores],
        "predictions": as_objects(result),
        "problems": list(result.problems),
        "warnings": list(result.warnings),
    }


def _brought(questions: Any, file: Any) -> Checked:
    """The questions, all of them good. Raises UserError with the first problem, or where there are too many."""
    if (questions is None) == (file is None):
        raise UserError("give either questions or a file")
    if file is not None:
        found, name = check(_uploaded(file)), True
    else:
        if not isinstance(questions, list) or not questions:
            raise UserError("questions is a list of objects, each with passage and question")
        _at_most(MOST_QUESTIONS, len(questions), "questions")
        found, name = Checked.of(check_rows(questions, "questions"), "questions"), False
    refuse_problems(found.problems, found.name if name else "")
    _at_most(MOST_QUESTIONS, len(found.examples), "questions")
    _at_most(MOST_CHARACTERS, sum(len(example.passage) for example in found.examples), "characters of passages")
    return found


def _at_most(limit: int, number: int, what: str) -> None:
    if number > limit:
        raise UserError(f"{number:,} {what} are too many for one request: at most {limit:,}. The Batch tab takes more")


def _uploaded(file: Any) -> Path:
    """The path of an upload. What a caller says of a file may name any other on this machine, which is not read."""
    path = file.get("path") if isinstance(file, dict) else None
    if not isinstance(path, str) or not _within(path, str(upload_folder())):
        raise UserError('file is not an uploaded one: gradio_client sends it with handle_file("questions.csv")')
    return Path(path)


def _within(path: str, folder: str) -> bool:
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (OSError, ValueError):  # a path with a null character
        return False


MOST_ROWS = 1000


def errors_endpoint(inspector: Inspector) -> Callable[..., dict[str, Any]]:
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
        "rows": rows_as_objects(view.table, rows[part]),
    }
