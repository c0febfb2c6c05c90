"""What is seldom used on the Compare tab, in a slim row: what if, variants, history, link. Components and wiring.

The history is the session's: its table, and what reopening, removing and exporting a run does. A link holds what the
cards show in its query, so that the server has nothing to remember.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import Dependency

from qa_compare.errors import UserError
from qa_compare.inference.comparison import VariantAnswer
from qa_compare.measure.scoring import match_kind
from qa_compare.page import components, stopping, theme
from qa_compare.page.compare import cards, opening, what_if
from qa_compare.page.components import CHECKED, PICKED, PRIVATE, html
from qa_compare.workbench import session as links
from qa_compare.workbench.service import MAX_VARIANTS, MIN_VARIANTS, Service
from qa_compare.workbench.session import MAX_RUNS, Asked, Run, Session, again, as_csv, as_json, from_link, to_link

# where the clipboard is not to be had (a page without https), the link is there to be copied by hand
COPY = """
const tell = () => document.querySelectorAll('#tools .label-wrap').forEach(
    panel => panel.setAttribute('aria-expanded', panel.classList.contains('open')));
// the panels may come, or be made anew, after this
new MutationObserver(tell).observe(document.body, {subtree: true, childList: true, attributeFilter: ['class']});
tell();
element.addEventListener('click', async event => {
    const button = event.target.closest('button');
    if (!button) return;
    const told = element.querySelector('[role=status]');
    const box = element.querySelector('input');
    if (button.dataset.problem) { told.textContent = button.dataset.problem; return; }
    box.value = `${location.origin}${location.pathname}?${button.dataset.query}`;
    try {
        await navigator.clipboard.writeText(box.value);
        told.textContent = 'Link copied.';
    } catch {
        box.hidden = false;
        box.select();
        told.textContent = 'Copy it from here:';
    }
});
"""


def button(service: Service, session: Session) -> str:
    """The button, with the query of the link to what is shown, or with the sentence why there is none."""
    try:
        if session.shown is None:
            raise UserError("There is no answer to link to yet.")
        holds = f'data-query="{cards.text(links.write(to_link(service, session.shown)))}"'
    except UserError as error:
        holds = f'data-problem="{cards.text(str(error))}"'
    return (
        f'<button type="button" class="small" {holds}>Copy link</button><span role="status"></span>'
        f'<input aria-label="Link" readonly hidden>'
    )


def opened(service: Service, parameters: Mapping[str, str]) -> Asked | None:
    """What the page's address asks, None where it asks nothing of its own. Raises UserError for a broken link."""
    link = links.read(parameters)
    return from_link(service, link) if link else None


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
        return components.saved_text(as_json(session.runs), "qa-compare-history.json")
    return components.saved_text(as_csv(session.runs), "qa-compare-history.csv")


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


# what may load models does so before its turn comes at those that are loaded, which nobody else needs to wait for
LOADING: dict[str, Any] = {"concurrency_id": "loading", "concurrency_limit": 4}
_HOW_MANY = "Two to six can be compared. Each keeps its place among the cards."
Components = list[Any]


@dataclass(frozen=True, slots=True)
class Tools:
    """The row's components that events read or write."""

    probes: gr.HTML
    variants: gr.CheckboxGroup
    note: gr.HTML
    panel: gr.Accordion
    history: gr.HTML
    exports: dict[str, gr.Button]
    clear: gr.Button
    file: gr.DownloadButton
    link: gr.HTML


def build(service: Service) -> Tools:
    """Panels that are closed at first, side by side."""
    with gr.Row(elem_id="tools"):
        with gr.Accordion("What if", open=False, elem_classes="tool"):
            probes = html(what_if.table(Session(), labels(service, service.backbone)), "probes", components.PICK)
        with gr.Accordion("Variants", open=False, elem_classes="tool"), gr.Column(elem_id="variants"):
            choices = opening.variants(service, service.backbone)
            variants = gr.CheckboxGroup(**choices, label="Variants shown side by side")
            note = html(cards.notice(_HOW_MANY), "variants-note", components.SPEAK)
        with gr.Accordion(label(Session()), open=False, elem_classes="tool") as panel:
            history = html(table(Session()), "history", components.PICK)
            with gr.Row(elem_id="history-actions"):
                html(cards.notice(ABOUT), "history-about")
                exports = {kind: gr.Button(f"Export {kind.upper()}", size="md", scale=0) for kind in ("csv", "json")}
                clear = gr.Button("Remove all", size="md", scale=0)
        file = components.hidden("history-file")
        link = html(button(service, Session()), "link", COPY)
    return Tools(probes, variants, note, panel, history, exports, clear, file, link)


def wire(
    service: Service, tools: Tools, asked: Components, state: Components, ask: dict[str, Any], busy: dict[str, Any]
) -> list[Dependency]:
    """`asked` are the controls of a question and the session; `state` are those that a run opens again.

    Returns the events that put another text in the place of the one that is there.
    """
    backbone, variants, *_, passage, question, session = asked
    # a visitor's events change the session one after the other
    busy = {**PICKED, **busy}
    probed = [passage, question, session, tools.probes]
    probing = tools.probes.click(_probe(service), asked, probed, **{**CHECKED, **busy})
    probing.success(**ask)
    opened = state[-1]
    # whoever changes the backbone, a link or the history too: it happens once, and `kept_variants` minds who it was
    turned, chosen = [opened, backbone, variants], [backbone, variants, session]
    backbone.change(partial(kept_variants, service), turned, [variants, opened], **CHECKED, **LOADING)
    few = variants.input(partial(few_or_many, service), chosen, [variants, tools.note], **CHECKED, **LOADING)
    few.then(**ask)
    runs = [session, tools.history, tools.panel]
    reopening = tools.history.select(_reopen(service), [session, opened], state, **{**busy, **LOADING})
    tools.history.delete(_remove, session, runs, **busy)
    tools.clear.click(partial(removed, EVERY), session, runs, **busy)
    for kind, button in tools.exports.items():
        made = button.click(partial(exported, kind), session, tools.file, **PRIVATE)
        made.success(None, js=components.fetch("history-file"), **PRIVATE)
    return [probing, reopening]


# Gradio gives the event to a parameter of that type, and looks for one in functions alone, not in a `partial`
def _probe(service: Service) -> Callable[..., Iterator[list[Any]]]:
    def probe(event: gr.EventData, *values: Any) -> Iterator[list[Any]]:
        *controls, session = values
        backbone, variants, *rest = controls
        asked = asked_of(backbone, fitting(service, backbone, variants), *rest)
        shown = labels(service, asked.backbone, asked.variants)
        yield from what_if.pick(service, str(event.pick), asked, session, shown)

    return probe


def _reopen(service: Service) -> Callable[..., Iterator[list[Any]]]:
    def reopen(event: gr.EventData, session: Session, opened: opening.Opened) -> Iterator[list[Any]]:
        yield from opening.once_loaded(service, reopened(service, str(event.pick), session, opened))

    return reopen


def _remove(event: gr.EventData, session: Session) -> list[Any]:
    return removed(str(event.pick), session)


def asked_of(
    backbone: str,
    variants: Sequence[str],
    source: str,
    uploaded: str,
    number: str | None,
    passage: str,
    question: str,
) -> Asked:
    """What the controls ask."""
    return Asked(backbone, tuple(variants), source, uploaded, number or "", passage, question)


def labels(service: Service, backbone: str, variants: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Name and label of each variant that is shown for a backbone."""
    engine = service.engines[backbone]
    known = {one.name: one.label for one in engine.variants}
    return [(name, known[name]) for name in variants or engine.default_variants if name in known]


def kept_variants(service: Service, opened: opening.Opened, backbone: str, variants: Sequence[str]) -> list[Any]:
    """(choice, opened) for another backbone: its variants of the same names, if there are two or more.

    Nothing where the backbone's variants are listed already, as a link and the history do themselves.
    """
    if opened.backbone == backbone:
        return [gr.skip(), gr.skip()]
    kept = opening.variants(service, backbone, _of_the_same_names(service, backbone, variants))
    service.prepare(backbone, kept["value"])
    return [gr.update(**kept), replace(opened, backbone=backbone, turn=opened.turn + 1)]


def fitting(service: Service, backbone: str, variants: Sequence[str]) -> Sequence[str]:
    """The variants, or, where some are another backbone's that has just been left, what `kept_variants` makes of them.

    Raises:
        UserError: an unknown backbone.
    """
    known = {one.name for one in service.choices(backbone)}
    return variants if known.issuperset(variants) else _of_the_same_names(service, backbone, variants)


def _of_the_same_names(service: Service, backbone: str, variants: Sequence[str]) -> Sequence[str]:
    known = {one.name for one in service.choices(backbone)}
    kept = [name for name in variants if name in known]
    return kept if len(kept) >= MIN_VARIANTS else ()


def few_or_many(service: Service, backbone: str, variants: Sequence[str], session: Session) -> list[Any]:
    """(choice, note): a choice of too few or too many is taken back; one from another backbone's list is left to it."""
    if fitting(service, backbone, variants) is not variants:
        return [gr.skip(), gr.skip()]
    try:
        if not variants:
            raise UserError("One variant at least must stay")
        service.shown(backbone, variants)
    except UserError:
        stopping.refused()
        before = session.shown.variants if session.shown and session.shown.backbone == backbone else ()
        kept = opening.variants(service, backbone, before)
        few = len(variants) < MIN_VARIANTS
        told = f"At least {MIN_VARIANTS} variants are compared" if few else f"At most {MAX_VARIANTS} fit side by side"
        return [gr.update(**kept), cards.notice(f"{told}: the choice stays as it was", failed=True)]
    service.prepare(backbone, variants)
    return [gr.skip(), cards.notice(_HOW_MANY)]


def reopened(service: Service, number: str, session: Session, opened: opening.Opened) -> list[Any]:
    """The controls as they stood in a run."""
    run = session.run(int(number))
    if run is None:
        return opening.unchanged(opening.CONTROLS)
    return opening.open_asked(service, opened, again(run))


def removed(number: str, session: Session) -> list[Any]:
    """(session, history, its panel) without a run, or without any."""
    session = remove(session, number)
    return [session, table(session), gr.update(label=label(session))]


def exported(kind: str, session: Session) -> str:
    """The path of the file."""
    try:
        return export(kind, session)
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
