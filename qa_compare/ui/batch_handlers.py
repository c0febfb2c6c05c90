"""What the batch's controls do, as plain functions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from qa_compare import batch_export, ended
from qa_compare.batch import Batches, Result, check
from qa_compare.engine import Cancelled
from qa_compare.errors import UserError
from qa_compare.inspection import MAX_COLUMNS
from qa_compare.metrics_table import duration
from qa_compare.ui import batch_view, cards, states
from qa_compare.ui.downloads import saved

Updates = list[Any]
Ran = list[Any]  # of the run that is shown: backbone, the file's path, the variants' names; empty before the first
GONE = "These answers were let go to make room for others': run the file again"


def choices(batches: Batches, backbone: str) -> dict[str, Any]:
    """Choices and value of the variants to run."""
    can = batches.available(backbone)
    shown = batches.service.engines[backbone].default_variants
    return {"choices": [(one.label, one.name) for one in can], "value": [one.name for one in can if one.name in shown]}


def open_file(path: str) -> Updates:
    """(uploaded, check, keep): a file that cannot be read as a whole is not taken, and says why."""
    try:
        found = check(Path(path))
    except UserError as error:
        ended.refused()
        return ["", batch_view.refused(str(error)), gr.update(visible=False, value=False)]
    some = bool(found.problems and found.examples)
    return [path, batch_view.checked(found), gr.update(visible=some, value=False)]


def ready(batches: Batches, backbone: str, uploaded: str, names: Sequence[str], keep: bool) -> Updates:
    """(run button, hint): whether there is something to run, or what is missing."""
    availability = batches.service.readiness(backbone)
    if not availability.ready:
        return _not(f"Not ready: {availability.detail}")
    if not uploaded:
        return _not("Choose a file first")
    try:
        found = check(Path(uploaded))
    except UserError as error:  # an upload of yesterday is deleted
        return _not(str(error))
    reason = ""
    if not found.examples:
        reason = "No row of the file can be used"
    elif found.problems and not keep:
        reason = "Mend the file, or leave the rows with problems out"
    elif not names:
        reason = "Choose a variant"
    elif len(names) > MAX_COLUMNS:
        reason = f"At most {MAX_COLUMNS} variants are run at once"
    count = len(found.examples)
    words = f"Run {batch_view.count(len(names), 'variant')} on {batch_view.count(count, 'question')}"
    hint = cards.notice(reason or f"{len(names) * count:,} answers in all")
    return [gr.update(value=words, interactive=not reason), hint]


def _not(reason: str) -> Updates:
    return [gr.update(value="Run", interactive=False), cards.notice(reason)]


def busy(*, stopping: bool = False) -> Updates:
    """(run, cancel, upload, variants, keep) while a run goes on or waits for its turn."""
    cancel = gr.update(value="Stopping…" if stopping else "Cancel", interactive=not stopping)
    return [gr.update(interactive=False), cancel, *[gr.update(interactive=False)] * 3]


def idle() -> Updates:
    """The same controls when nothing goes on."""
    cancel = gr.update(value="Cancel", interactive=False)
    return [gr.update(interactive=True), cancel, *[gr.update(interactive=True)] * 3]


def run(
    batches: Batches, backbone: str, uploaded: str, names: Sequence[str], cancelled: Callable[[], bool]
) -> Iterator[tuple[Any, ...]]:
    """Answer the file: (state, ran, run, cancel, upload, variants, keep) as it goes on. What was answered is kept."""
    going = [gr.skip()] * 6
    begun = time.perf_counter()
    try:
        yield states.progress(None), *going
        for now in batches.find(backbone, uploaded, names, cancelled):
            yield states.progress(now), *going
        words = f"Done in {duration(time.perf_counter() - begun)}."
    except Cancelled:
        ended.cancelled()
        words = "Cancelled. What was answered is kept: running it again goes on from there."
    except UserError as error:
        ended.refused()
        words = str(error)
    except Exception as error:  # whatever a model or the memory may raise: the answers so far are not lost
        logging.getLogger(__name__).exception("a batch failed")
        ended.failed(error)
        words = f"It failed ({type(error).__name__}). What was answered is kept: running it again goes on from there."
    ran = [backbone, uploaded, list(names)]
    if result := _result(batches, ran):
        yield states.bar(result.done / result.asked, "Scoring the answers…"), *going
        _ = result.scores  # some seconds for the largest files, and then kept
    yield states.told(cards.text(words)), ran, *idle()


def show(batches: Batches, ran: Ran, page: int, row: str) -> Updates:
    """(scores, answers, question) of a run."""
    result = _result(batches, ran)
    if result is None:
        empty = states.nothing("No question was answered") if ran else batch_view.NO_ANSWERS
        return [empty, "", ""]
    return [batch_view.scores(result), *turn(batches, ran, page, row)]


def turn(batches: Batches, ran: Ran, page: int, row: str) -> Updates:
    """(answers, question) of a run on that page, and with that question in full."""
    result = _result(batches, ran)
    if result is None:
        ended.refused()
        return [cards.notice(GONE, failed=True), ""]
    return [batch_view.answers(result, page, row), batch_view.question(result, row)]


def picked(pick: str, page: int, row: str) -> tuple[int, str]:
    """Page and row after a click on "page:2" or "row:<question id>"."""
    kind, _, value = pick.partition(":")
    return (int(value), "") if kind == "page" else (page, value)


def save(batches: Batches, pick: str, ran: Ran) -> str:
    """The path of the file that "save:csv", "save:parquet" or "save:json:<variant>" asks for."""
    _, kind, *variant = pick.split(":", 2)
    result = _result(batches, ran)
    try:
        if result is None:
            raise UserError(GONE)
        stem = Path(ran[1]).stem
        if kind == "json":
            return saved(batch_export.squad_json(result, variant[0]), f"{stem}-{variant[0]}.json")
        write = {"csv": batch_export.csv_file, "parquet": batch_export.parquet_file}[kind]
        return saved(write(result), f"{stem}-answers.{kind}")
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _result(batches: Batches, ran: Ran) -> Result | None:
    return batches.result(*ran) if ran else None
