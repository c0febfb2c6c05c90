"""The session's history: its table, and what reopening, removing and exporting a run does."""

from __future__ import annotations

from collections.abc import Sequence

from qa_compare.comparison import VariantAnswer
from qa_compare.errors import UserError
from qa_compare.history import MAX_RUNS, Run, Session, as_csv, as_json
from qa_compare.scoring import match_kind
from qa_compare.ui import cards, downloads, theme

EVERY = "every"
_SIGNS = {"exact": ("✓", "right"), "partial": ("≈", "partly right"), "wrong": ("✕", "wrong")}


def label(session: Session) -> str:
    """The panel's name with the number of runs in it."""
    return f"History ({len(session.runs)})"


def remove(session: Session, picked: str) -> Session:
    """The session without the run of that number, or without every run."""
    return session.without(None if picked == EVERY else int(picked))


def export(kind: str, session: Session) -> str:
    """The path of a file with all runs: `kind` is csv or json. Raises UserError where there are none."""
    if not session.runs:
        raise UserError("There is nothing in the history to export yet")
    if kind == "json":
        return downloads.saved_text(as_json(session.runs), "qa-compare-history.json")
    return downloads.saved_text(as_csv(session.runs), "qa-compare-history.csv")


def table(session: Session) -> str:
    """The runs, the newest first, in a box of one height; a run's question reopens it."""
    labels = {one.variant: one.label for run in session.runs for one in run.comparison.answers}
    if not session.runs:
        empty = "<p>Nothing is kept here.</p><p>What you ask next will be.</p>"
        return f'<div class="runs-box"><div class="nothing">{empty}</div></div>'
    heads = "".join(
        f'<th scope="col" class="variant" style="{theme.style(name)}">{cards.text(told)}</th>'
        for name, told in labels.items()
    )
    rows = "".join(_row(run, session.shown, list(labels.items())) for run in reversed(session.runs))
    return (
        f'<div class="runs-box" tabindex="0" role="region" aria-label="Runs of this session"><table class="runs">'
        f'<thead><tr><th scope="col">Run</th><th scope="col">Question</th>{heads}<th scope="col">'
        f'<span class="unseen">Remove</span></th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(run: Run, shown: Run | None, variants: Sequence[tuple[str, str]]) -> str:
    given = {one.variant: one for one in run.comparison.answers}
    cells = "".join(
        f'<td data-label="{cards.text(told)}"><span>{_answer(given[name], run) if name in given else "–"}</span></td>'
        for name, told in variants
    )
    current = ' aria-current="true"' if shown and shown.number == run.number else ""
    edited = "Edited: " if run.edited else ""
    question = cards.text(cards.short(run.comparison.question, 160))
    passage = cards.text(edited + cards.short(run.comparison.passage, 90))
    return (
        f'<tr{current}><td class="number">{run.number}</td><th scope="row">'
        f'<button type="button" data-pick="{run.number}" data-event="select" title="Reopen" dir="auto">'
        f'{question}</button><span class="told" dir="auto">{passage}</span></th>'
        f'{cells}<td><button type="button" class="small" data-pick="{run.number}" data-event="delete" '
        f'aria-label="Remove run {run.number}">Remove</button></td></tr>'
    )


def _answer(answer: VariantAnswer, run: Run) -> str:
    prediction = answer.prediction
    if prediction is None or not prediction.candidates:
        return "no answer"
    sign = ""
    if run.gold:
        icon, words = _SIGNS[match_kind(prediction.answer, run.gold_texts)]
        sign = f'<span aria-hidden="true">{icon}</span><span class="unseen">{words}: </span> '
    return (
        f'{sign}<span class="given" dir="auto">{cards.text(cards.short(prediction.answer, 120))}</span> '
        f'<span class="share">{cards.percent(prediction.confidence)}</span>'
    )


ABOUT = f"The last {MAX_RUNS} questions of this visit. They are gone when the page is closed or loaded anew."
