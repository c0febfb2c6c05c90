"""The Errors tab: all questions of a source, which variant got which right, filters, and one question in full.

What the controls do stands first, as plain functions; components and wiring follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from qa_compare.errors import UserError
from qa_compare.inference.engine import Cancelled
from qa_compare.page import components, error_list, stopping
from qa_compare.page.compare import cards, compare_tab, opening
from qa_compare.page.components import CHECKED, PICKED, PRIVATE, html, saved_text
from qa_compare.page.stopping import ANSWERS, FEW, Tasks
from qa_compare.workbench.answers import AT_ONCE, Inspector, View, Wanted
from qa_compare.workbench.exports import as_json, rows_as_csv
from qa_compare.workbench.service import SAMPLE, UPLOAD
from qa_compare.workbench.table import Filter, Rows, Table, orders, outcomes, select

NO_QUESTION = components.nothing("Choose a question in the table", "to see every variant's answer in its passage.")
OPENING = components.nothing("Opening the questions…", "They stand here once the variants have answered them.")
FILTERS = 8  # controls, the outcome left out
Updates = list[Any]


def wanted(backbone: str, source: str, uploaded: str, variants: Sequence[str], files: Sequence[str]) -> Wanted:
    """What the controls above the filters ask for."""
    return Wanted(backbone, source, uploaded, tuple(variants), tuple(files))


@dataclass(frozen=True, slots=True)
class Wish:
    """The questions and columns that are shown or on their way; None before the tab was opened.

    A list's `input` event comes twice for one choice, and whenever the list loses the focus. So only another `turn` has
    the page begin again, with its filters `anew` or as they are.
    """

    wanted: Wanted | None = None
    turn: int = 0
    anew: bool = False

    def __hash__(self) -> int:
        """By its turn alone, since Gradio tells a state that changed by its hash."""
        return hash(self.turn)


def open_tab(wish: Wish, *asked: Any) -> Updates:
    """(trouble, wish) when the tab is opened: everything is looked at again, and the filters stay."""
    return ["", Wish(wanted(*asked), wish.turn + 1)]


def choose(inspector: Inspector, wish: Wish, *asked: Any) -> Updates:
    """(trouble, wish) after a choice; nothing where it is the one that is shown."""
    now = wanted(*asked)
    if wish.wanted and _columns(inspector, now) == _columns(inspector, wish.wanted):
        return [gr.skip(), gr.skip()]
    return ["", Wish(now, wish.turn + 1, anew=True)]


def turn_to(wish: Wish, *asked: Any) -> Updates:
    """(trouble, variants, wish) for another backbone; before the tab was opened, nothing is looked for."""
    now = replace(wanted(*asked), variants=())
    return ["", gr.update(value=[]), Wish(now, wish.turn + 1, anew=True) if wish.wanted else gr.skip()]


def _columns(inspector: Inspector, asked: Wanted) -> Wanted:
    """The same with its columns by name."""
    engine = inspector.service.engine(asked.backbone)
    return replace(asked, variants=asked.variants or engine.default_variants)


def asked_filter(outcome: str, values: Sequence[Any]) -> Filter:
    """The filter of the controls, in the page's order; the kind may be capitalised."""
    kind, variant, sure, word, answer, passage, article, text = values
    return Filter(outcome, kind.lower(), variant, sure or None, word, answer, passage, article or "", text)


def open_file(inspector: Inspector, wish: Wish, path: str, *asked: Any) -> Updates:
    """(trouble, source, uploaded, wish): a file that cannot be read leaves the source as it was."""
    now = wanted(*asked)
    try:
        questions = inspector.service.questions(UPLOAD, path)
    except UserError as error:
        stopping.refused()
        return [str(error), gr.skip(), gr.skip(), Wish(now, wish.turn + 1)]
    source = gr.update(choices=[*inspector.service.sources, (questions.label, UPLOAD)], value=UPLOAD)
    return ["", source, path, Wish(replace(now, source=UPLOAD, upload=path), wish.turn + 1, anew=True)]


def add_file(inspector: Inspector, wish: Wish, path: str, *asked: Any) -> Updates:
    """(trouble, files, wish): a predictions file joins the columns unless it cannot be used."""
    now = wanted(*asked)
    files = [one for one in now.files if Path(one).name != Path(path).name] + [path]
    try:
        view = inspector.view(replace(now, files=tuple(files)))
        if mine := [problem for problem in view.problems if problem.startswith(Path(path).name)]:
            raise UserError(mine[0])
    except UserError as error:
        stopping.refused()
        return [str(error), gr.skip(), Wish(now, wish.turn + 1)]
    return ["", files, Wish(replace(now, files=tuple(files)), wish.turn + 1, anew=True)]


def anew() -> Updates:
    """Outcome, filters, order, page and row as at the beginning."""
    return ["", "", "", 0.0, "", "", "", "", "", "", 0, ""]


def begun(wish: Wish) -> Updates:
    """The same where other questions or columns are wanted."""
    return anew() if wish.anew else [gr.skip()] * len(anew())


def picked(pick: str, outcome: str, page: int, row: str) -> tuple[str, int, str]:
    """Outcome, page and row after a click on "outcome:010" (again: takes it away), "page:2" or "row:<question id>"."""
    kind, _, value = pick.partition(":")
    if kind == "outcome":
        return "" if value == outcome else value, 0, ""
    return (outcome, int(value), row) if kind == "page" else (outcome, page, value)


def answer(
    inspector: Inspector,
    backbone: str,
    source: str,
    uploaded: str,
    variants: Sequence[str],
    files: Sequence[str],
    cancelled: Callable[[], bool],
    *,
    at_once: bool,
) -> Iterator[tuple[Any, ...]]:
    """Find what is missing: (state, answer button, cancel button, trouble) as it goes on.

    With `at_once`, only where the questions are so few that nobody needs to be asked.
    """
    asked = wanted(backbone, source, uploaded, variants, files)
    buttons = (gr.update(visible=False), gr.update(visible=True, value="Cancel", interactive=True))
    try:
        view = inspector.view(asked)
        if not view.missing or (at_once and len(view.questions.examples) > AT_ONCE):
            yield gr.skip(), gr.skip(), gr.skip(), gr.skip()
            return
        yield components.progress(None), *buttons, gr.skip()
        for now in inspector.compute(asked, cancelled):
            yield components.progress(now), *buttons, gr.skip()
    except UserError as error:
        stopping.refused()
        yield gr.skip(), gr.skip(), gr.skip(), str(error)
    except Cancelled:
        stopping.cancelled()
        yield gr.skip(), gr.skip(), gr.skip(), "Cancelled: what was answered is kept, and the rest can go on from there"


def refresh(
    inspector: Inspector,
    backbone: str,
    source: str,
    uploaded: str,
    variants: Sequence[str],
    files: Sequence[str],
    trouble: str,
    order: str,
) -> Updates:
    """(note, columns, variant filter, article filter, order, state, answer button, cancel button) for what is asked."""
    try:
        view = inspector.view(wanted(backbone, source, uploaded, variants, files))
    except UserError as error:
        stopping.refused()
        failed = cards.notice(str(error), failed=True)
        return [failed, *[gr.skip()] * 4, components.told("&nbsp;"), *[gr.update(visible=False)] * 2]
    problems = "; ".join(dict.fromkeys([trouble, *view.problems] if trouble else view.problems))
    note = cards.notice(problems, failed=True) if problems else cards.notice(opening.describe(view.questions))
    columns = view.table.columns if view.table else ()
    known = orders(view.table) if view.table else {}
    articles = [("Any", ""), *((title.replace("_", " "), title) for title in view.questions.by_title if title)]
    engine = inspector.service.engines[backbone]
    can = [(one.label, one.name) for one in inspector.available(backbone)]
    return [
        note,
        gr.update(choices=can, value=list(variants or engine.default_variants), visible=len(can) > 3),
        gr.update(choices=[("Any of them", ""), *((one.label, one.name) for one in columns)]),
        gr.update(choices=articles),
        gr.update(choices=[("As in the data", ""), *((one.label, key) for key, one in known.items())], value=order),
        _state(view),
        gr.update(visible=bool(view.missing)),
        gr.update(visible=False),
    ]


def _state(view: View) -> str:
    count = f"{len(view.questions.examples):,}"
    warnings = "".join(f" {cards.text(warning)}" for warning in view.warnings)
    if view.missing:
        names = cards.text(", ".join(one.label for one in view.missing))
        return components.told(f"No answers to these {count} questions yet: <b>{names}</b>.{warnings}")
    return components.told(f"All columns have their answers to these {count} questions.{warnings}")


def show(inspector: Inspector, *values: Any) -> Updates:
    """(outcomes, count, table, detail, open button) for the controls, the page and the row."""
    *asked, outcome = values[:6]
    order, page, row = values[6 + FILTERS :]
    nothing = [gr.update(interactive=False)]
    try:
        view = inspector.view(wanted(*asked))
        if view.table is None:
            empty = components.nothing("No variant has answered these questions yet.", "Answer them above.")
            return [error_list.no_outcomes(), "", empty, NO_QUESTION, *nothing]
        met = asked_filter(outcome, values[6 : 6 + FILTERS])
        found = select(view.table, met, order)
        counted = outcomes(view.table, met)
    except UserError as error:
        stopping.refused()
        return [error_list.no_outcomes(), "", components.nothing(str(error)), NO_QUESTION, *nothing]
    page = min(max(page, 0), max(len(found) - 1, 0) // error_list.PAGE)
    place = error_list.row_of(view.table, row) if row else None
    return [
        error_list.outcome_list(counted, view.table.columns, outcome),
        error_list.matching(len(found), view.table.counts),
        error_list.rows(view.table, found, page, row),
        NO_QUESTION if place is None else error_list.detail(view.table, place),
        gr.update(interactive=place is not None),
    ]


def show_anew(inspector: Inspector, *values: Any) -> Updates:
    """The same from the first page and without a row, and those two: what a changed filter shows."""
    return [*show(inspector, *values, 0, ""), 0, ""]


def show_seen(inspector: Inspector, *values: Any) -> Updates:
    """As `show`, and, for `show_other`, what it was shown for."""
    return [*show(inspector, *values), list(values[:-2])]


def show_other(inspector: Inspector, seen: list[Any], *values: Any) -> Updates:
    """As `show_anew`, with what it was shown for; nothing where that is shown already, as when a list loses focus."""
    if list(values) == seen:
        return [gr.skip()] * 8
    *shown, page, row = show_anew(inspector, *values)
    return [*shown, list(values), page, row]


def export(inspector: Inspector, kind: str, *values: Any) -> str:
    """The path of a file with all rows that meet the filter: `kind` is csv or json."""
    try:
        table, found = _selected(inspector, values)
        return saved_text((rows_as_csv if kind == "csv" else as_json)(table, found), f"qa-compare-questions.{kind}")
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _selected(inspector: Inspector, values: Sequence[Any]) -> tuple[Table, Rows]:
    table = inspector.view(wanted(*values[:5])).table
    if table is None:
        raise UserError("No variant has answered these questions yet: there is nothing to export")
    return table, select(table, asked_filter(values[5], values[6 : 6 + FILTERS]), values[6 + FILTERS])


_QUICK: dict[str, Any] = {**CHECKED, "concurrency_id": "errors", "concurrency_limit": 4}
Components = list[Any]


def build(
    page: gr.Blocks,
    inspector: Inspector,
    backbone: gr.Dropdown,
    tab: gr.Tab,
    tabs: gr.Tabs,
    opened: compare_tab.Opened,
) -> None:
    """Lay it out inside `tab` of the page; `opened` is where "Open in Compare" puts a question."""
    source, upload, add, variants, note = _sources(inspector)
    answering = _answers()
    outcomes, filters, clear = error_list.filter_controls()
    count, order, exports = error_list.found_controls()
    file = components.hidden("errors-file")
    table = html(OPENING, "errors-table", components.PICK)
    detail = html(NO_QUESTION, "errors-detail", components.REVEAL)
    put = gr.Button("Open in Compare", interactive=False, elem_id="errors-open")
    uploaded, files, trouble, outcome = gr.State(""), gr.State([]), gr.State(""), gr.State("")
    wish, seen = gr.State(Wish()), gr.State([])
    place = [gr.State(0), gr.State("")]

    asked = [backbone, source, uploaded, variants, files]
    shown = [outcomes, count, table, detail, put, seen]
    parts = _Parts(inspector, asked, outcome, filters, order, place, shown, answering, note, trouble)
    tab.select(open_tab, [wish, *asked], [trouble, wish], **CHECKED)
    for chosen in (source.input, variants.input):
        chosen(partial(choose, inspector), [wish, *asked], [trouble, wish], **CHECKED)
    backbone.change(turn_to, [wish, *asked], [trouble, variants, wish], **CHECKED)
    opening, adding = partial(open_file, inspector), partial(add_file, inspector)
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
        after.then(partial(show_seen, self.inspector), [*self.met, *self.place], self.shown, **_QUICK)

    def begin(self, after: Dependency, *, at_once: bool = True) -> None:
        """Find missing answers, then offer what can be chosen among the columns there are, then show."""
        fill = _answering(self.inspector, self.tasks, at_once)
        turn = FEW if at_once else ANSWERS
        done = after.then(fill, self.asked, [*self.answering, self.trouble], **CHECKED, **turn)
        inputs = [*self.asked, self.trouble, self.order]
        outputs = [self.note, self.asked[3], self.filters[1], self.filters[6], self.order, *self.answering]
        self.show(done.then(partial(refresh, self.inspector), inputs, outputs, **_QUICK))


def _wire_filters(parts: _Parts, clear: gr.Button, exports: dict[str, gr.Button], file: gr.DownloadButton) -> None:
    *choices, text = parts.filters
    show = partial(show_other, parts.inspector)
    # a text that is pasted or filled in is no `input` to Gradio
    for changed in (*(control.input for control in (*choices, parts.order)), text.change):
        given, shown = [parts.shown[-1], *parts.met], [*parts.shown, *parts.place]
        changed(show, given, shown, **_QUICK)
    parts.show(clear.click(anew, None, parts.anew, **PRIVATE))
    for kind, button in exports.items():
        made = button.click(partial(export, parts.inspector, kind), parts.met, file, **CHECKED)
        made.success(None, js=components.fetch("errors-file"), **PRIVATE)


def _wire_question(
    parts: _Parts, put: gr.Button, question: Components, tabs: gr.Tabs, opened: compare_tab.Opened
) -> None:
    outcomes, _, table, *_ = parts.shown
    picked = [parts.outcome, *parts.place]
    for one in (outcomes, table):
        parts.show(one.click(_picked, picked, picked, **PICKED))
    inputs = [opened.opened, *question]
    there = put.click(partial(opening.open_elsewhere, parts.inspector.service), inputs, opened.shown, **PRIVATE)
    there.then(lambda: gr.Tabs(selected="compare"), None, tabs, **PRIVATE)


def _sources(inspector: Inspector) -> Components:
    with gr.Column(elem_id="errors-source"):
        with gr.Row(elem_id="errors-choose"):
            source = gr.Dropdown(inspector.service.sources, value=SAMPLE, label="Questions from", filterable=False)
            upload = gr.UploadButton("Open a file…", scale=0, min_width=120)
            add = gr.UploadButton("Add predictions…", scale=0, min_width=150, file_types=[".json"])
        variants = gr.CheckboxGroup([], label="Columns", visible=False)
        note = html("", "errors-note", components.SPEAK)
    return [source, upload, add, variants, note]


def _answers() -> Components:
    with gr.Row(elem_id="errors-answers"):
        state = html(components.told("&nbsp;"), "errors-state", components.SPEAK)
        answer = gr.Button("Answer them now", scale=0, min_width=160, visible=False)
        cancel = gr.Button("Cancel", scale=0, min_width=96, visible=False)
    return [state, answer, cancel]


def _picked(event: gr.EventData, outcome: str, page: int, row: str) -> tuple[str, int, str]:
    return picked(str(event.pick), outcome, page, row)


def _answering(inspector: Inspector, tasks: Tasks, at_once: bool) -> Callable[..., Iterator[tuple[Any, ...]]]:
    def run(  # Gradio gives the request to a parameter of that type, and values to the others one by one
        backbone: str, source: str, uploaded: str, variants: list[str], files: list[str], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        ticket = tasks.begin(request)
        task = tasks.start(request, ticket)
        asked = (backbone, source, uploaded, variants, files)
        try:
            for update in answer(inspector, *asked, task.cancelled, at_once=at_once):
                yield (gr.skip(),) * len(update) if task.quiet else update
        finally:
            tasks.end(request, ticket)

    return run


def _begin(tasks: Tasks) -> Callable[..., Any]:
    def begin(wish: Wish, request: gr.Request) -> Any:
        # whoever chooses other questions does not wait for the answers to these, and needs no word about them
        tasks.stop(request, quiet=True)
        return begun(wish)

    return begin


def _stop(tasks: Tasks) -> Callable[..., Any]:
    def stop(request: gr.Request) -> Any:
        tasks.stop(request)
        return gr.update(value="Stopping…", interactive=False)

    return stop
