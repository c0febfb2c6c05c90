"""What the error inspection's controls do, as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from qa_compare import ended
from qa_compare.analysis import Filter, Rows, Table, orders, outcomes, select
from qa_compare.engine import Cancelled
from qa_compare.errors import UserError
from qa_compare.inspection import AT_ONCE, Inspector, View, Wanted
from qa_compare.rows_export import as_csv, as_json
from qa_compare.service import UPLOAD
from qa_compare.ui import cards, compare_open, errors_view, states
from qa_compare.ui.downloads import saved_text

NO_QUESTION = states.nothing("Choose a question in the table", "to see every variant's answer in its passage.")
OPENING = states.nothing("Opening the questions…", "They stand here once the variants have answered them.")
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
        ended.refused()
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
        ended.refused()
        return [str(error), gr.skip(), Wish(now, wish.turn + 1)]
    return ["", files, Wish(replace(now, files=tuple(files)), wish.turn + 1, anew=True)]


def anew() -> Updates:
    """Outcome, filters, order, page and row as at the beginning."""
    return ["", "", "", 0.0, "", "", "", "", "", "", 0, ""]


def begin(wish: Wish) -> Updates:
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
        yield states.progress(None), *buttons, gr.skip()
        for now in inspector.compute(asked, cancelled):
            yield states.progress(now), *buttons, gr.skip()
    except UserError as error:
        ended.refused()
        yield gr.skip(), gr.skip(), gr.skip(), str(error)
    except Cancelled:
        ended.cancelled()
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
        ended.refused()
        failed = cards.notice(str(error), failed=True)
        return [failed, *[gr.skip()] * 4, states.told("&nbsp;"), *[gr.update(visible=False)] * 2]
    problems = "; ".join(dict.fromkeys([trouble, *view.problems] if trouble else view.problems))
    note = cards.notice(problems, failed=True) if problems else cards.notice(compare_open.describe(view.questions))
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
        return states.told(f"No answers to these {count} questions yet: <b>{names}</b>.{warnings}")
    return states.told(f"All columns have their answers to these {count} questions.{warnings}")


def show(inspector: Inspector, *values: Any) -> Updates:
    """(outcomes, count, table, detail, open button) for the controls, the page and the row."""
    *asked, outcome = values[:6]
    order, page, row = values[6 + FILTERS :]
    nothing = [gr.update(interactive=False)]
    try:
        view = inspector.view(wanted(*asked))
        if view.table is None:
            empty = states.nothing("No variant has answered these questions yet.", "Answer them above.")
            return [errors_view.no_outcomes(), "", empty, NO_QUESTION, *nothing]
        met = asked_filter(outcome, values[6 : 6 + FILTERS])
        found = select(view.table, met, order)
        counted = outcomes(view.table, met)
    except UserError as error:
        ended.refused()
        return [errors_view.no_outcomes(), "", states.nothing(str(error)), NO_QUESTION, *nothing]
    page = min(max(page, 0), max(len(found) - 1, 0) // errors_view.PAGE)
    place = errors_view.row_of(view.table, row) if row else None
    return [
        errors_view.outcomes(counted, view.table.columns, outcome),
        errors_view.matching(len(found), view.table.counts),
        errors_view.rows(view.table, found, page, row),
        NO_QUESTION if place is None else errors_view.detail(view.table, place),
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
        return saved_text((as_csv if kind == "csv" else as_json)(table, found), f"qa-compare-questions.{kind}")
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _selected(inspector: Inspector, values: Sequence[Any]) -> tuple[Table, Rows]:
    table = inspector.view(wanted(*values[:5])).table
    if table is None:
        raise UserError("No variant has answered these questions yet: there is nothing to export")
    return table, select(table, asked_filter(values[5], values[6 : 6 + FILTERS]), values[6 + FILTERS])
