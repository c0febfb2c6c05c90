"""Batch: a file of one's own questions, checked, answered by the chosen variants, scored, and taken home.

Components and wiring; the handlers are in `batch_handlers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr

from qa_compare.batch import Batches
from qa_compare.ui import batch_handlers as handlers
from qa_compare.ui import batch_view, downloads, scripts, states
from qa_compare.ui.parts import CHECKED, PICKED, PRIVATE, html, section
from qa_compare.ui.stopping import ANSWERS, Tasks

_QUICK: dict[str, Any] = {**PRIVATE, "concurrency_id": "batch", "concurrency_limit": 4}
_WAITING = states.bar(0.0, "Waiting for its turn…")


def build(page: gr.Blocks, batches: Batches, backbone: gr.Dropdown) -> gr.CheckboxGroup:
    """Lay it out inside the tab that is open in `page`. Returns the variants to run."""
    with gr.Row(elem_id="batch-ask", equal_height=True):
        upload, check, keep = _file()
        variants, hint, run, cancel, state = _running(batches, backbone)
    scores = html(batch_view.NO_ANSWERS, "batch-scores", scripts.PICK)
    answers = html("", "batch-answers", scripts.PICK)
    question = html("", "batch-question", scripts.REVEAL)
    file = downloads.hidden("batch-file-saved")
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
            "fn": partial(handlers.ready, self.batches),
            "inputs": [*self.asked, self.keep],
            "outputs": [self.controls[0], self.brought[2]],
            **_QUICK,
            **CHECKED,
        }

    @property
    def show(self) -> dict[str, Any]:
        """The event's arguments that show the run from its first page."""
        return {
            "fn": lambda ran: [*handlers.show(self.batches, ran, 0, ""), 0, ""],
            "inputs": self.ran,
            "outputs": [*self.shown, *self.place],
            **_QUICK,
        }


def _wire_file(parts: _Parts) -> None:
    backbone, uploaded, variants = parts.asked
    upload, check, _ = parts.brought
    begun = upload.upload(lambda: batch_view.CHECKING, None, check, **PRIVATE)
    opened = begun.then(handlers.open_file, upload, [uploaded, check, parts.keep], **_QUICK).then(**parts.ready)
    opened.then(_nothing, None, [parts.state, parts.ran], **PRIVATE).then(**parts.show)
    variants.input(**parts.ready)
    parts.keep.input(**parts.ready)
    # whoever turns to another backbone does not wait for the answers of this one, and needs no word about them
    turned = backbone.change(_left(parts.tasks), None, parts.controls, queue=False, **PRIVATE)
    anew = turned.then(lambda name: gr.update(**handlers.choices(parts.batches, name)), backbone, variants, **PRIVATE)
    anew.then(**parts.ready).then(_nothing, None, [parts.state, parts.ran], **PRIVATE).then(**parts.show)


def _wire_run(page: gr.Blocks, parts: _Parts) -> None:
    run, cancel, *_ = parts.controls
    ticket = gr.State(0)

    def begin(request: gr.Request) -> list[Any]:
        return [parts.tasks.begin(request), _WAITING, *handlers.busy()]

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

    def save(event: gr.EventData, ran: handlers.Ran) -> str:
        return handlers.save(parts.batches, str(event._data["pick"]), ran)

    made = scores.click(save, parts.ran, file, **{**_QUICK, **PICKED})
    made.success(None, js=downloads.fetch("batch-file-saved"), **PRIVATE)
    turned = answers.click(_picked, parts.place, parts.place, **PICKED)
    turned.then(partial(handlers.turn, parts.batches), [parts.ran, *parts.place], [answers, question], **_QUICK)


def _picked(event: gr.EventData, page: int, row: str) -> tuple[int, str]:
    return handlers.picked(str(event._data["pick"]), page, row)


def _nothing() -> tuple[str, handlers.Ran]:
    """State and run before the first."""
    return states.told("&nbsp;"), []


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
        variants = gr.CheckboxGroup(**handlers.choices(batches, name), label="Variants")
        button, words = handlers.ready(batches, name, "", variants.value, False)
        hint = html(words, "batch-hint", scripts.SPEAK)
        with gr.Row(elem_id="batch-buttons"):
            run = gr.Button("Run", variant="primary", interactive=button["interactive"])
            cancel = gr.Button("Cancel", interactive=False, scale=0, min_width=128)
        state = html(states.told("&nbsp;"), "batch-state", scripts.SPEAK)
    return variants, hint, run, cancel, state


def _answering(batches: Batches, tasks: Tasks) -> Any:
    def answering(
        ticket: int, backbone: str, uploaded: str, names: list[str], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        task = tasks.start(request, ticket)
        try:
            for update in handlers.run(batches, backbone, uploaded, names, task.cancelled):
                yield (gr.skip(),) * len(update) if task.quiet else update
        finally:
            tasks.end(request, ticket)

    return answering


def _stop(tasks: Tasks) -> Any:
    def stop(request: gr.Request) -> list[Any]:
        if tasks.stop(request):
            return [gr.skip(), *handlers.busy(stopping=True)]
        # it still waited for its turn, or ended with a lost connection: nobody will say so later
        return [states.told("Cancelled. Running it again goes on from what was answered."), *handlers.idle()]

    return stop


def _settled(tasks: Tasks, most: float = 10.0) -> Any:
    async def settled(request: gr.Request) -> Any:
        return handlers.idle() if await tasks.settled(request, most) else [gr.skip()] * len(handlers.idle())

    return settled


def _left(tasks: Tasks) -> Any:
    def left(request: gr.Request) -> list[Any]:
        tasks.left(request)
        return handlers.idle()

    return left
