"""What if: one click changes the text a little, and the page tells which variants flip. Its table and its handlers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.inference.comparison import Change, Comparison, summary
from qa_compare.page import theme
from qa_compare.page.compare import cards
from qa_compare.workbench.probes import PROBES, Variation
from qa_compare.workbench.service import Service
from qa_compare.workbench.session import Asked, Session, probe_all, up_to_date

ALL, BACK = "all", "back"
_LABELS = {probe.key: probe.label for probe in PROBES}


def pick(
    service: Service, key: str, asked: Asked, session: Session, variants: Sequence[tuple[str, str]]
) -> Iterator[list[Any]]:
    """(passage, question, session, table) after a click on a probe, on "all" or on "back"; "all" as they come.

    What stands in the boxes is answered first, where it was not yet: that is what the probe starts from.
    """
    text: list[Any] = [gr.skip(), gr.skip()]
    try:
        session = up_to_date(service, asked, session)
        if key == ALL:
            for answered in probe_all(service, session):
                session = answered
                yield [*text, session, table(session, variants)]
    except UserError:  # the answers' place will say so: it asks the same text
        pass
    made = session.variations.get(key)
    if isinstance(made, Variation):
        text = [made.passage, made.question]
    elif key == BACK and session.origin:
        text = [session.origin.comparison.passage, session.origin.comparison.question]
    yield [*text, session, gr.skip()]


def note(session: Session) -> str:
    """What changed since the run before, in a sentence; "" where there was none."""
    if not session.changed or not session.shown:
        return ""
    key = session.probe_of(session.shown)
    made = session.variations.get(key)
    if isinstance(made, Variation):
        return f"{_LABELS[key]}: {summary(session.changed)}"
    return f"Against the run before: {summary(session.changed)}"


def lines(session: Session) -> dict[str, str]:
    """For each variant's card, what became of its answer."""
    return {change.variant: f'<p class="change {change.kind}">{_told(change)}</p>' for change in session.changed}


def _told(change: Change) -> str:
    sure = f"{cards.percent(change.confidence_before)} → {cards.percent(change.confidence_after)}"
    return f"{_kind(change)} · {sure}"


def _kind(change: Change) -> str:
    moved = change.expected != change.before
    before = f"“{cards.text(change.before)}”" if change.before else "no answer"
    if change.kind == "same":
        return f"<b>Moved along</b> from {before}" if moved else "<b>Same answer</b>"
    due = f", where “{cards.text(change.expected)}” was due" if moved else ""
    return f"<b>Flipped</b> from {before}{due}"


def table(session: Session, variants: Sequence[tuple[str, str]]) -> str:
    """The probes x variants, for (name, label) of each variant; the same size with and without outcomes."""
    heads = "".join(
        f'<th scope="col" class="variant" style="{theme.style(name)}">{cards.text(label)}</th>'
        for name, label in variants
    )
    names = [name for name, _ in variants]
    labels = dict(variants)
    now = session.probe_of(session.shown) if session.shown else ""
    rows = "".join(_row(session, probe.key, names, labels, now) for probe in PROBES)
    origin = session.origin.comparison if session.origin else None
    flips = sum(any(one.kind == "flip" for one in session.outcome(probe.key) or ()) for probe in PROBES)
    run = sum(session.outcome(probe.key) is not None for probe in PROBES)
    counted = f"{flips} of {run} probe{'s' * (run != 1)} flip{'s' * (run == 1)} a variant." if run else "No probe yet."
    at_origin = "" if now else " disabled"
    return (
        f'<div class="probes-box"><table class="probes"><caption>Each probe changes one thing that should not change '
        f"the answer; names that are swapped swap it too.</caption>"
        f'<thead><tr><th scope="col">Probe</th>{heads}</tr></thead>'
        f"<tbody>{_asked(origin, names, labels, now)}{rows}</tbody></table></div>"
        f'<div class="actions"><button type="button" class="small" data-pick="{ALL}">Run all five</button>'
        f'<button type="button" class="small" data-pick="{BACK}"{at_origin}>Back to the text as asked</button>'
        f'<p class="notice" role="status">{counted}</p></div>'
    )


def _asked(origin: Comparison | None, names: Sequence[str], labels: dict[str, str], now: str) -> str:
    given = {one.variant: one.prediction for one in origin.answers} if origin else {}
    cells = ""
    for name in names:
        prediction = given.get(name)
        told = (
            f'<span class="given" dir="auto">{cards.text(prediction.answer)}</span> '
            f'<span class="share">{cards.percent(prediction.confidence)}</span>'
            if prediction
            else "–"
        )
        cells += _cell(labels[name], told)
    question = cards.text(origin.question) if origin else "&nbsp;"
    return (
        f'<tr{_current(now == "")}><th scope="row"><div><span>As asked</span><span class="told" dir="auto">{question}'
        f"</span></div></th>{cells}</tr>"
    )


def _current(yes: bool) -> str:
    return ' aria-current="true"' if yes else ""


def _row(session: Session, key: str, names: Sequence[str], labels: dict[str, str], now: str) -> str:
    made = session.variations.get(key, "")
    told, disabled = (made.told, "") if isinstance(made, Variation) else (made, " disabled")
    outcome = {one.variant: one for one in session.outcome(key) or ()}
    cells = "".join(_cell(labels[name], _outcome(outcome[name]) if name in outcome else "–") for name in names)
    pressed = "true" if key == now else "false"
    return (
        f'<tr{_current(key == now)}><th scope="row"><div><button type="button" class="small" '
        f'data-pick="{key}" aria-pressed="{pressed}"{disabled}>{_LABELS[key]}</button>'
        f'<span class="told" dir="auto" title="{cards.text(told)}">{cards.text(told)}</span></div></th>{cells}</tr>'
    )


def _cell(label: str, inner: str) -> str:
    return f'<td data-label="{cards.text(label)}"><span>{inner}</span></td>'


def _outcome(change: Change) -> str:
    words = {"same": ("=", "Keeps"), "flip": ("⇄", "Flips")}
    icon, word = words[change.kind]
    after = cards.text(change.after)
    given = f' <span class="given" dir="auto" title="{after}">{after}</span>' if change.kind == "flip" else ""
    points = f"{change.points:+d}".replace("-", "−") if change.points else "±0"
    return (
        f'<span class="badge {change.kind}"><span aria-hidden="true">{icon}</span> {word}</span> '
        f'<span class="share">{cards.percent(change.confidence_after)} ({points})</span>{given}'
    )
