"""The error inspection as HTML, and its controls: counts of outcomes, a page of questions, one question in full.

Every text of a user is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from qa_compare.measure.error_kinds import KINDS, LONG, NO_ANSWER, NO_GOLD, OVERLAP, RIGHT, SAME_SENTENCE, SHORT, find
from qa_compare.measure.scoring import Counts, gold_texts
from qa_compare.measure.slices import ANSWER_LENGTHS, PASSAGE_LENGTHS, QUESTION_WORDS
from qa_compare.page import components, theme
from qa_compare.page.compare import cards
from qa_compare.page.components import html, nothing
from qa_compare.workbench.table import Column, Outcome, Rows, Table

PAGE = 10
CUT = 90  # characters of an answer or a title in the table
# what stands behind a kind's badge: a sign beside the colour, for who cannot tell colours apart
_LOOKS = {
    RIGHT: "exact",
    LONG: "partial",
    SHORT: "partial",
    OVERLAP: "partial",
    SAME_SENTENCE: "partial",
    NO_ANSWER: "wrong",
    NO_GOLD: "unknown",
}
_SIGNS = {"exact": "✓", "partial": "≈", "wrong": "✕", "unknown": "–"}


TITLE = '<h2 id="outcomes-title">Who got it right</h2>'


def no_outcomes() -> str:
    """The place of the counts before there are answers."""
    return f"{TITLE}<p>Counted once there are answers.</p>"


def outcome_list(found: Sequence[Outcome], columns: Sequence[Column], chosen: str) -> str:
    """The counts as a list of toggle buttons, each with a bar and a sign for each variant."""
    most = max([one.count for one in found] + [1])
    total = sum(one.count for one in found)
    made = "".join(_outcome(one, columns, one.key == chosen, most, total) for one in found)
    return f'{TITLE}<ul class="outcomes" aria-labelledby="outcomes-title">{made}</ul>'


def _outcome(one: Outcome, columns: Sequence[Column], chosen: bool, most: int, total: int) -> str:
    looks = {"1": ("yes", "✓"), "0": ("no", "✕")}
    signs = "".join(
        f'<i class="{looks[bit][0]}" style="{theme.style(column.name)}">{looks[bit][1]}</i>'
        for bit, column in zip(one.key, columns, strict=True)
    )
    share = one.count / total if total else 0.0
    return (
        f'<li><button type="button" data-pick="outcome:{one.key}" aria-pressed="{str(chosen).lower()}">'
        f'<span class="signs" aria-hidden="true">{signs}</span><span class="name">{cards.text(one.sentence)}</span>'
        f'<span class="bar" aria-hidden="true"><b style="width:{one.count / most:.1%}"></b></span>'
        f'<span class="count">{one.count:,}</span><span class="share">{cards.percent(share)}</span></button></li>'
    )


def matching(found: int, counts: Counts) -> str:
    """How many questions meet the filters, and which are in no count of right and wrong."""
    notes = "".join(cards.notice(one) for one in counts.sentences)
    return f"<p><b>{found:,}</b> of {counts.questions:,} questions</p>{notes}"


def rows(table: Table, found: Rows, page: int, chosen: str) -> str:
    """One page of the questions in `found`, with buttons to the others; `chosen` is the id of the one shown below."""
    if not len(found):
        return nothing("No question meets all of these filters.", "Take one away, or clear them all.")
    columns = "".join(
        f'<th scope="col" style="{theme.style(one.name)}" class="variant">{cards.text(one.label)}</th>'
        for one in table.columns
    )
    body = "".join(_row(table, int(row), chosen) for row in found[page * PAGE : (page + 1) * PAGE])
    return (
        f'<div class="questions-box"><table class="questions"><thead><tr><th scope="col">Question</th>'
        f'<th scope="col">Gold answer</th>{columns}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{_pager(len(found), page)}"
    )


def _row(table: Table, row: int, chosen: str) -> str:
    example = table.examples[row]
    golds = gold_texts(example)
    more = f' <span class="more">+{len(golds) - 1}</span>' if len(golds) > 1 else ""
    gold = f"{cards.text(cards.short(golds[0], CUT))}{more}" if golds else '<span class="more">none</span>'
    cells = "".join(
        f'<td data-label="{cards.text(one.label)}"><span class="given" dir="auto">'
        f"{cards.text(cards.short(one.answers[row], CUT)) or '–'}</span>{_badge(one, row)}</td>"
        for one in table.columns
    )
    identifier = cards.text(example.id)
    return (
        f'<tr data-pick="row:{identifier}"{" aria-current=true" if example.id == chosen else ""}>'
        f'<th scope="row"><button type="button" dir="auto">{cards.text(cards.short(example.question, 160))}</button>'
        f'<span class="article">{cards.text(cards.short(example.title.replace("_", " "), CUT))}</span></th>'
        f'<td data-label="Gold answer" dir="auto">{gold}</td>{cells}</tr>'
    )


def _pager(total: int, page: int) -> str:
    last = (total - 1) // PAGE
    first = page * PAGE + 1
    place = f"{first:,}–{min(first + PAGE - 1, total):,} of {total:,}"
    return (
        f'<nav class="pager" aria-label="Pages of questions">'
        f"{_turn('First', 0, page > 0)}{_turn('Previous', page - 1, page > 0)}"
        f"<span>{place}</span>"
        f"{_turn('Next', page + 1, page < last)}{_turn('Last', last, page < last)}</nav>"
    )


def _turn(name: str, to: int, possible: bool) -> str:
    return f'<button type="button" data-pick="page:{to}"{"" if possible else " disabled"}>{name}</button>'


def detail(table: Table, row: int) -> str:
    """One question in full: its gold answers, and for each variant its answer and where it lies in the passage."""
    example = table.examples[row]
    marks = ", ".join(f'“<mark class="gold">{cards.text(one)}</mark>”' for one in gold_texts(example))
    told = f"Gold: {marks}" if marks else "No gold answer is known, so nobody is marked right or wrong."
    made = "".join(_card(table, column, row) for column in table.columns)
    return (
        f'<div class="chosen"><h2 dir="auto">{cards.text(example.question)}</h2><p class="note">{told}</p></div>'
        f'<div class="cards" style="--columns:{min(len(table.columns), 3)}">{made}</div>'
    )


def _card(table: Table, column: Column, row: int) -> str:
    example, answer, start = table.examples[row], column.answers[row], int(column.start[row])
    places = [(start, start + len(answer))] if start >= 0 else find(example.passage, answer)[:1]
    marked = cards.highlight(example.passage, places[0] if places else None, cards.places(example.answers))
    sure = float(column.confidence[row])
    size = " longer" if len(answer) > 80 else " long"
    label = cards.text(column.label)
    return (
        f'<article class="card found" style="{theme.style(column.name)}" aria-label="{label}">'
        f'<header><h3>{label}</h3><span class="time">'
        f"{'' if math.isnan(sure) else f'{cards.percent(sure)} sure'}</span></header>"
        f"{cards.said(answer or 'No answer', size if answer else ' long empty', column.label)}"
        f'<p class="match">{_badge(column, row, score=True)}</p>'
        f'<div class="passage" tabindex="0" role="region" dir="auto" aria-label="Passage with the answer of {label}">'
        f"{marked}</div></article>"
    )


def _badge(column: Column, row: int, *, score: bool = False) -> str:
    kind = KINDS[column.kind[row]]
    look = _LOOKS.get(kind, "wrong")
    f1, sure = float(column.f1[row]), float(column.confidence[row])
    if kind == NO_GOLD and not math.isnan(sure):
        return f'<span class="badge unknown">{cards.percent(sure)} sure</span>'
    words = kind.capitalize() + (f", F1 {cards.percent(f1)}" if score and kind not in (RIGHT, NO_GOLD) else "")
    return f'<span class="badge {look}"><span aria-hidden="true">{_SIGNS[look]}</span> {words}</span>'


def row_of(table: Table, identifier: str) -> int | None:
    """The row of the question of that id; None where there is none."""
    places = np.flatnonzero(np.array([example.id == identifier for example in table.examples]))
    return int(places[0]) if len(places) else None


_SURE = [("Any", 0.0), *((f"At least {share:.0%} sure", share) for share in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99))]


def filter_controls() -> tuple[gr.HTML, list[Any], gr.Button]:
    """The outcomes, the filters, of which the text is the last, and the button that clears them."""

    def choice(label: str, names: tuple[str, ...] = (), first: str = "Any") -> gr.Dropdown:
        return gr.Dropdown([(first, ""), *((name, name) for name in names)], value="", label=label, filterable=False)

    with gr.Row(elem_id="errors-filters"):
        outcomes = html(no_outcomes(), "errors-outcomes", components.PICK)
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


def found_controls() -> tuple[gr.HTML, gr.Dropdown, dict[str, gr.Button]]:
    """How many questions were found, their order, and the exports by kind."""
    with gr.Row(elem_id="errors-found"):
        count = html("", "errors-count", components.SPEAK)
        order = gr.Dropdown([("As in the data", "")], value="", label="Sort", filterable=False)
        exports = {kind: gr.Button(f"Export {kind.upper()}", scale=0, min_width=120) for kind in ("csv", "json")}
    return count, order, exports
