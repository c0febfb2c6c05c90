"""The Batch tab: a file of one's own questions, checked, answered by the chosen variants, scored, and taken home.

What the controls do stands first, as plain functions; components and wiring follow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.inference.engine import Cancelled
from qa_compare.page import batch_view, components
from qa_compare.page import stopping as ended
from qa_compare.page.compare import cards
from qa_compare.page.components import CHECKED, PICKED, PRIVATE, html, saved, section
from qa_compare.page.stopping import ANSWERS, Tasks
from qa_compare.runs.overview import duration
from qa_compare.workbench import exports
from qa_compare.workbench.answers import MAX_COLUMNS
from qa_compare.workbench.batch import Batches, Result, check

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
    words = f"Run {batch_view.counted(len(names), 'variant')} on {batch_view.counted(count, 'question')}"
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
        yield components.progress(None), *going
        for now in batches.find(backbone, uploaded, names, cancelled):
            yield components.progress(now), *going
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
        yield components.bar(result.done / result.asked, "Scoring the answers…"), *going
        _ = result.scores  # some seconds for the largest files, and then kept
    yield components.told(cards.text(words)), ran, *idle()


def show(batches: Batches, ran: Ran, page: int, row: str) -> Updates:
    """(scores, answers, question) of a run."""
    result = _result(batches, ran)
    if result is None:
        empty = components.nothing("No question was answered") if ran else batch_view.NO_ANSWERS
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


def saved_export(batches: Batches, pick: str, ran: Ran) -> str:
    """The path of the file that "save:csv", "save:parquet" or "save:json:<variant>" asks for."""
    _, kind, *variant = pick.split(":", 2)
    result = _result(batches, ran)
    try:
        if result is None:
            raise UserError(GONE)
        stem = Path(ran[1]).stem
        if kind == "json":
            return saved(exports.squad_json(result, variant[0]), f"{stem}-{variant[0]}.json")
        write = {"csv": exports.csv_file, "parquet": exports.parquet_file}[kind]
        return saved(write(result), f"{stem}-answers.{kind}")
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _result(batches: Batches, ran: Ran) -> Result | None:
    return batches.result(*ran) if ran else None


_QUICK: dict[str, Any] = {**PRIVATE, "concurrency_id": "batch", "concurrency_limit": 4}
_WAITING = components.bar(0.0, "Waiting for its turn…")


def build(page: gr.Blocks, batches: Batches, backbone: gr.Dropdown) -> gr.CheckboxGroup:
    """Lay it out inside the tab that is open in `page`. Returns the variants to run."""
    with gr.Row(elem_id="batch-ask", equal_height=True):
        upload, check, keep = _file()
        variants, hint, run, cancel, state = _running(batches, backbone)
    scores = html(batch_view.NO_ANSWERS, "batch-scores", components.PICK)
    answers = html("", "batch-answers", components.PICK)
    question = html("", "batch-question", components.REVEAL)
    file = components.hidden("batch-file-saved")
    parts = _Parts(
        batches, [backbone, gr.State(""), variants], keep, [upload, check, hint], [run, cancel, upload, variants, keep],
        state, gr.State([]), [gr.State(0), gr.State("")], [scores, answers, question],
    )  # fmt: skip
    _wire_file(parts)
    _wire_run(page, parts)
    _wire_results(parts, file)
    return variants


@dataclass(frozen=True)
class _Parts:
    """The components that several events read and write."""

    batches: Batches
    asked: list[Any]  # backbone, uploaded, variants
    keep: gr.Checkbox
    brought: list[Any]  # upload button, check, hint
    controls: list[Any]  # as `handlers.busy` and `idle` have them
    state: gr.HTML
    ran: gr.State
    place: list[Any]  # page and row
    shown: list[Any]  # scores, answers, question
    tasks: Tasks = field(default_factory=Tasks)

    @property
    def ready(self) -> dict[str, Any]:
        """The event's arguments that say whether there is something to run."""
        return {
            "fn": partial(ready, self.batches),
            "inputs": [*self.asked, self.keep],
            "outputs": [self.controls[0], self.brought[2]],
            **_QUICK,
            **CHECKED,
        }

    @property
    def show(self) -> dict[str, Any]:
        """The event's arguments that show the run from its first page."""
        return {
            "fn": lambda ran: [*show(self.batches, ran, 0, ""), 0, ""],
            "inputs": self.ran,
            "outputs": [*self.shown, *self.place],
            **_QUICK,
        }


def _wire_file(parts: _Parts) -> None:
    backbone, uploaded, variants = parts.asked
    upload, check, _ = parts.brought
    begun = upload.upload(lambda: batch_view.CHECKING, None, check, **PRIVATE)
    opened = begun.then(open_file, upload, [uploaded, check, parts.keep], **_QUICK).then(**parts.ready)
    opened.then(_nothing, None, [parts.state, parts.ran], **PRIVATE).then(**parts.show)
    variants.input(**parts.ready)
    parts.keep.input(**parts.ready)
    # whoever turns to another backbone does not wait for the answers of this one, and needs no word about them
    turned = backbone.change(_left(parts.tasks), None, parts.controls, queue=False, **PRIVATE)
    anew = turned.then(lambda name: gr.update(**choices(parts.batches, name)), backbone, variants, **PRIVATE)
    anew.then(**parts.ready).then(_nothing, None, [parts.state, parts.ran], **PRIVATE).then(**parts.show)


def _wire_run(page: gr.Blocks, parts: _Parts) -> None:
    run, cancel, *_ = parts.controls
    ticket = gr.State(0)

    def begin(request: gr.Request) -> list[Any]:
        return [parts.tasks.begin(request), _WAITING, *busy()]

    begun = run.click(begin, None, [ticket, parts.state, *parts.controls], queue=False, **PRIVATE)
    ran = begun.then(
        _answering(parts.batches, parts.tasks),
        [ticket, *parts.asked],
        [parts.state, parts.ran, *parts.controls],
        **CHECKED,
        **ANSWERS,
    )
    ran.then(**parts.show)
    stopped = cancel.click(_stop(parts.tasks), None, [parts.state, *parts.controls], queue=False, **PRIVATE)
    # the run's last word can reach the browser before that it is stopping: the controls are free after both
    stopped.then(_settled(parts.tasks), None, parts.controls, queue=False, **PRIVATE)
    page.unload(parts.tasks.left)


def _wire_results(parts: _Parts, file: gr.DownloadButton) -> None:
    scores, answers, question = parts.shown

    def save(event: gr.EventData, ran: Ran) -> str:
        return saved_export(parts.batches, str(event.pick), ran)

    made = scores.click(save, parts.ran, file, **{**_QUICK, **PICKED})
    made.success(None, js=components.fetch("batch-file-saved"), **PRIVATE)
    turned = answers.click(_picked, parts.place, parts.place, **PICKED)
    turned.then(partial(turn, parts.batches), [parts.ran, *parts.place], [answers, question], **_QUICK)


def _picked(event: gr.EventData, page: int, row: str) -> tuple[int, str]:
    return picked(str(event.pick), page, row)


def _nothing() -> tuple[str, Ran]:
    """State and run before the first."""
    return components.told("&nbsp;"), []


def _file() -> tuple[gr.UploadButton, gr.HTML, gr.Checkbox]:
    with gr.Column(elem_id="batch-file", elem_classes="chart", scale=7):
        section("Questions", "A file of passages, and of questions about them.")
        with gr.Row(elem_id="batch-choose"):
            upload = gr.UploadButton("Choose a file…", scale=0, min_width=160)
            html(batch_view.TEMPLATE, "batch-template")
        html(batch_view.FORMATS, "batch-formats")
        check = html(batch_view.NO_FILE, "batch-check")
        keep = gr.Checkbox(label="Leave these rows out and run the others", visible=False, elem_id="batch-keep")
    return upload, check, keep


def _running(
    batches: Batches, backbone: gr.Dropdown
) -> tuple[gr.CheckboxGroup, gr.HTML, gr.Button, gr.Button, gr.HTML]:
    with gr.Column(elem_id="batch-run", elem_classes="chart", scale=5):
        section("Run", "Each variant answers every question.")
        name = str(backbone.value)
        variants = gr.CheckboxGroup(**choices(batches, name), label="Variants")
        button, words = ready(batches, name, "", variants.value, False)
        hint = html(words, "batch-hint", components.SPEAK)
        with gr.Row(elem_id="batch-buttons"):
            run = gr.Button("Run", variant="primary", interactive=button["interactive"])
            cancel = gr.Button("Cancel", interactive=False, scale=0, min_width=128)
        state = html(components.told("&nbsp;"), "batch-state", components.SPEAK)
    return variants, hint, run, cancel, state


def _answering(batches: Batches, tasks: Tasks) -> Any:
    def answering(
        ticket: int, backbone: str, uploaded: str, names: list[str], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        task = tasks.start(request, ticket)
        try:
            for update in run(batches, backbone, uploaded, names, task.cancelled):
                yield (gr.skip(),) * len(update) if task.quiet else update
        finally:
            tasks.end(request, ticket)

    return answering


def _stop(tasks: Tasks) -> Any:
    def stop(request: gr.Request) -> list[Any]:
        if tasks.stop(request):
            return [gr.skip(), *busy(stopping=True)]
        # it still waited for its turn, or ended with a lost connection: nobody will say so later
        return [components.told("Cancelled. Running it again goes on from what was answered."), *idle()]

    return stop


def _settled(tasks: Tasks, most: float = 10.0) -> Any:
    async def settled(request: gr.Request) -> Any:
        return idle() if await tasks.settled(request, most) else [gr.skip()] * len(idle())

    return settled


def _left(tasks: Tasks) -> Any:
    def left(request: gr.Request) -> list[Any]:
        tasks.left(request)
        return idle()

    return left
