"""Error inspection: all questions of a source, which variant got which right, filters, and one question in full.

Components and wiring; the handlers are in `errors_handlers.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import Dependency

from qa_compare.error_kinds import KINDS
from qa_compare.inspection import Inspector
from qa_compare.service import SAMPLE
from qa_compare.slices import ANSWER_LENGTHS, PASSAGE_LENGTHS, QUESTION_WORDS
from qa_compare.ui import compare, compare_open, downloads, errors_view, scripts, states
from qa_compare.ui import errors_handlers as handlers
from qa_compare.ui.parts import CHECKED, PICKED, PRIVATE, html
from qa_compare.ui.stopping import ANSWERS, FEW, Tasks

_QUICK: dict[str, Any] = {**CHECKED, "concurrency_id": "errors", "concurrency_limit": 4}
_SURE = [("Any", 0.0), *((f"At least {share:.0%} sure", share) for share in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99))]
Components = list[Any]


def build(
    page: gr.Blocks,
    inspector: Inspector,
    backbone: gr.Dropdown,
    tab: gr.Tab,
    tabs: gr.Tabs,
    opened: compare.Opened,
) -> None:
    """Lay it out inside `tab` of the page; `opened` is where "Open in Compare" puts a question."""
    source, upload, add, variants, note = _sources(inspector)
    answering = _answers()
    outcomes, filters, clear = _filters()
    count, order, exports = _found()
    file = downloads.hidden("errors-file")
    table = html(handlers.OPENING, "errors-table", scripts.PICK)
    detail = html(handlers.NO_QUESTION, "errors-detail", scripts.REVEAL)
    put = gr.Button("Open in Compare", interactive=False, elem_id="errors-open")
    uploaded, files, trouble, outcome = gr.State(""), gr.State([]), gr.State(""), gr.State("")
    wish, seen = gr.State(handlers.Wish()), gr.State([])
    place = [gr.State(0), gr.State("")]

    asked = [backbone, source, uploaded, variants, files]
    shown = [outcomes, count, table, detail, put, seen]
    parts = _Parts(inspector, asked, outcome, filters, order, place, shown, answering, note, trouble)
    tab.select(handlers.open_tab, [wish, *asked], [trouble, wish], **CHECKED)
    for chosen in (source.input, variants.input):
        chosen(partial(handlers.choose, inspector), [wish, *asked], [trouble, wish], **CHECKED)
    backbone.change(handlers.turn_to, [wish, *asked], [trouble, variants, wish], **CHECKED)
    opening, adding = partial(handlers.open_file, inspector), partial(handlers.add_file, inspector)
    upload.upload(opening, [wish, upload, *asked], [trouble, source, uploaded, wish], **PRIVATE)
    add.upload(adding, [wish, add, *asked], [trouble, files, wish], **PRIVATE)
    parts.begin(wish.change(_begin(parts.tasks), wish, parts.anew, queue=False, **PRIVATE))
    parts.begin(answering[1].click(lambda: "", None, trouble, **PRIVATE), at_once=False)
    answering[2].click(_stop(parts.tasks), None, answering[2], queue=False, **PRIVATE)
    page.unload(parts.tasks.left)
    _wire_filters(parts, clear, exports, file)
    _wire_question(parts, put, [source, uploaded, place[1]], tabs, opened)


@dataclass(frozen=True)
class _Parts:
    """The components that several events read and write, and what follows such an event."""

    inspector: Inspector
    asked: Components
    outcome: gr.State
    filters: Components
    order: gr.Dropdown
    place: Components
    shown: Components
    answering: Components
    note: gr.HTML
    trouble: gr.State
    tasks: Tasks = field(default_factory=Tasks)

    @property
    def met(self) -> Components:
        return [*self.asked, self.outcome, *self.filters, self.order]

    @property
    def anew(self) -> Components:
        return [self.outcome, *self.filters, self.order, *self.place]

    def show(self, after: Dependency) -> None:
        after.then(partial(handlers.show_seen, self.inspector), [*self.met, *self.place], self.shown, **_QUICK)

    def begin(self, after: Dependency, *, at_once: bool = True) -> None:
        """Find missing answers, then offer what can be chosen among the columns there are, then show."""
        fill = _answering(self.inspector, self.tasks, at_once)
        turn = FEW if at_once else ANSWERS
        done = after.then(fill, self.asked, [*self.answering, self.trouble], **CHECKED, **turn)
        inputs = [*self.asked, self.trouble, self.order]
        outputs = [self.note, self.asked[3], self.filters[1], self.filters[6], self.order, *self.answering]
        self.show(done.then(partial(handlers.refresh, self.inspector), inputs, outputs, **_QUICK))


def _wire_filters(parts: _Parts, clear: gr.Button, exports: dict[str, gr.Button], file: gr.DownloadButton) -> None:
    *choices, text = parts.filters
    show = partial(handlers.show_other, parts.inspector)
    # a text that is pasted or filled in is no `input` to Gradio
    for changed in (*(control.input for control in (*choices, parts.order)), text.change):
        given, shown = [parts.shown[-1], *parts.met], [*parts.shown, *parts.place]
        changed(show, given, shown, **_QUICK)
    parts.show(clear.click(handlers.anew, None, parts.anew, **PRIVATE))
    for kind, button in exports.items():
        made = button.click(partial(handlers.export, parts.inspector, kind), parts.met, file, **CHECKED)
        made.success(None, js=downloads.fetch("errors-file"), **PRIVATE)


def _wire_question(parts: _Parts, put: gr.Button, question: Components, tabs: gr.Tabs, opened: compare.Opened) -> None:
    outcomes, _, table, *_ = parts.shown
    picked = [parts.outcome, *parts.place]
    for one in (outcomes, table):
        parts.show(one.click(_picked, picked, picked, **PICKED))
    inputs = [opened.opened, *question]
    there = put.click(partial(compare_open.open_elsewhere, parts.inspector.service), inputs, opened.shown, **PRIVATE)
    there.then(lambda: gr.Tabs(selected="compare"), None, tabs, **PRIVATE)


def _sources(inspector: Inspector) -> Components:
    with gr.Column(elem_id="errors-source"):
        with gr.Row(elem_id="errors-choose"):
            source = gr.Dropdown(inspector.service.sources, value=SAMPLE, label="Questions from", filterable=False)
            upload = gr.UploadButton("Open a file…", scale=0, min_width=120)
            add = gr.UploadButton("Add predictions…", scale=0, min_width=150, file_types=[".json"])
        variants = gr.CheckboxGroup([], label="Columns", visible=False)
        note = html("", "errors-note", scripts.SPEAK)
    return [source, upload, add, variants, note]


def _answers() -> Components:
    with gr.Row(elem_id="errors-answers"):
        state = html(states.told("&nbsp;"), "errors-state", scripts.SPEAK)
        answer = gr.Button("Answer them now", scale=0, min_width=160, visible=False)
        cancel = gr.Button("Cancel", scale=0, min_width=96, visible=False)
    return [state, answer, cancel]


def _filters() -> tuple[gr.HTML, Components, gr.Button]:
    def choice(label: str, names: tuple[str, ...] = (), first: str = "Any") -> gr.Dropdown:
        return gr.Dropdown([(first, ""), *((name, name) for name in names)], value="", label=label, filterable=False)

    with gr.Row(elem_id="errors-filters"):
        outcomes = html(errors_view.no_outcomes(), "errors-outcomes", scripts.PICK)
        with gr.Column(elem_id="errors-controls"):
            text = gr.Textbox(label="Text in question, passage or answers", placeholder="Any text", max_lines=1)
            filters = [
                choice("Kind of error", tuple(name.capitalize() for name in KINDS)),
                choice("Of variant", first="Any of them"),
                gr.Dropdown(_SURE, value=0.0, label="Sure and wrong", filterable=False),
                choice("Question word", QUESTION_WORDS),
                choice("Answer length (words)", ANSWER_LENGTHS),
                choice("Passage length (words)", PASSAGE_LENGTHS),
                choice("Article"),
            ]
            clear = gr.Button("Clear all filters", size="md", elem_id="errors-clear")
    return outcomes, [*filters, text], clear


def _found() -> tuple[gr.HTML, gr.Dropdown, dict[str, gr.Button]]:
    with gr.Row(elem_id="errors-found"):
        count = html("", "errors-count", scripts.SPEAK)
        order = gr.Dropdown([("As in the data", "")], value="", label="Sort", filterable=False)
        exports = {kind: gr.Button(f"Export {kind.upper()}", scale=0, min_width=120) for kind in ("csv", "json")}
    return count, order, exports


def _picked(event: gr.EventData, outcome: str, page: int, row: str) -> tuple[str, int, str]:
    return handlers.picked(str(event._data["pick"]), outcome, page, row)


def _answering(inspector: Inspector, tasks: Tasks, at_once: bool) -> Callable[..., Iterator[tuple[Any, ...]]]:
    def run(  # Gradio gives the request to a parameter of that type, and values to the others one by one
        backbone: str, source: str, uploaded: str, variants: list[str], files: list[str], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        ticket = tasks.begin(request)
        task = tasks.start(request, ticket)
        asked = (backbone, source, uploaded, variants, files)
        try:
            for update in handlers.answer(inspector, *asked, task.cancelled, at_once=at_once):
                yield (gr.skip(),) * len(update) if task.quiet else update
        finally:
            tasks.end(request, ticket)

    return run


def _begin(tasks: Tasks) -> Callable[..., Any]:
    def begin(wish: handlers.Wish, request: gr.Request) -> Any:
        # whoever chooses other questions does not wait for the answers to these, and needs no word about them
        tasks.stop(request, quiet=True)
        return handlers.begin(wish)

    return begin


def _stop(tasks: Tasks) -> Callable[..., Any]:
    def stop(request: gr.Request) -> Any:
        tasks.stop(request)
        return gr.update(value="Stopping…", interactive=False)

    return stop
