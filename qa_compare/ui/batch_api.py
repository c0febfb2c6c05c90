"""The `/predict_batch` endpoint: the batch for programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from qa_compare.batch import Answers, Checked, Result, check, variants
from qa_compare.batch_export import as_objects
from qa_compare.errors import UserError, quoted
from qa_compare.readers import check_rows, refuse_problems
from qa_compare.service import Service
from qa_compare.ui.stopping import Tasks

# of one request, whose caller waits for all of it
MOST_QUESTIONS = 1_000
MOST_CHARACTERS = 2_000_000  # of passages, each counted as often as a question is asked about it


def endpoint(page: gr.Blocks, service: Service) -> Callable[..., dict[str, Any]]:
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
    if not isinstance(path, str) or not _within(path, get_upload_folder()):
        raise UserError('file is not an uploaded one: gradio_client sends it with handle_file("questions.csv")')
    return Path(path)


def _within(path: str, folder: str) -> bool:
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (OSError, ValueError):  # a path with a null character
        return False
