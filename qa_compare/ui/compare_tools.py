"""What is seldom used on the Compare tab, in a slim row: what if, variants, history, link. Components and wiring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import Dependency

from qa_compare import ended
from qa_compare.asking import Asked, again
from qa_compare.errors import UserError
from qa_compare.history import Session
from qa_compare.service import MAX_VARIANTS, MIN_VARIANTS, Service
from qa_compare.ui import cards, compare_history, compare_open, downloads, link_button, scripts, what_if
from qa_compare.ui.parts import CHECKED, PICKED, PRIVATE, html

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
            probes = html(what_if.table(Session(), labels(service, service.backbone)), "probes", scripts.PICK)
        with gr.Accordion("Variants", open=False, elem_classes="tool"), gr.Column(elem_id="variants"):
            choices = compare_open.variants(service, service.backbone)
            variants = gr.CheckboxGroup(**choices, label="Variants shown side by side")
            note = html(cards.notice(_HOW_MANY), "variants-note", scripts.SPEAK)
        with gr.Accordion(compare_history.label(Session()), open=False, elem_classes="tool") as panel:
            history = html(compare_history.table(Session()), "history", scripts.PICK)
            with gr.Row(elem_id="history-actions"):
                html(cards.notice(compare_history.ABOUT), "history-about")
                exports = {kind: gr.Button(f"Export {kind.upper()}", size="md", scale=0) for kind in ("csv", "json")}
                clear = gr.Button("Remove all", size="md", scale=0)
        file = downloads.hidden("history-file")
        link = html(link_button.button(service, Session()), "link", link_button.COPY)
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
    tools.clear.click(partial(removed, compare_history.EVERY), session, runs, **busy)
    for kind, button in tools.exports.items():
        made = button.click(partial(exported, kind), session, tools.file, **PRIVATE)
        made.success(None, js=downloads.fetch("history-file"), **PRIVATE)
    return [probing, reopening]


# Gradio gives the event to a parameter of that type, and looks for one in functions alone, not in a `partial`
def _probe(service: Service) -> Callable[..., Iterator[list[Any]]]:
    def probe(event: gr.EventData, *values: Any) -> Iterator[list[Any]]:
        *controls, session = values
        backbone, variants, *rest = controls
        asked = asked_of(backbone, fitting(service, backbone, variants), *rest)
        shown = labels(service, asked.backbone, asked.variants)
        yield from what_if.pick(service, str(event._data["pick"]), asked, session, shown)

    return probe


def _reopen(service: Service) -> Callable[..., Iterator[list[Any]]]:
    def reopen(event: gr.EventData, session: Session, opened: compare_open.Opened) -> Iterator[list[Any]]:
        yield from compare_open.once_loaded(service, reopened(service, str(event._data["pick"]), session, opened))

    return reopen


def _remove(event: gr.EventData, session: Session) -> list[Any]:
    return removed(str(event._data["pick"]), session)


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


def kept_variants(service: Service, opened: compare_open.Opened, backbone: str, variants: Sequence[str]) -> list[Any]:
    """(choice, opened) for another backbone: its variants of the same names, if there are two or more.

    Nothing where the backbone's variants are listed already, as a link and the history do themselves.
    """
    if opened.backbone == backbone:
        return [gr.skip(), gr.skip()]
    kept = compare_open.variants(service, backbone, _of_the_same_names(service, backbone, variants))
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
        ended.refused()
        before = session.shown.variants if session.shown and session.shown.backbone == backbone else ()
        kept = compare_open.variants(service, backbone, before)
        few = len(variants) < MIN_VARIANTS
        told = f"At least {MIN_VARIANTS} variants are compared" if few else f"At most {MAX_VARIANTS} fit side by side"
        return [gr.update(**kept), cards.notice(f"{told}: the choice stays as it was", failed=True)]
    service.prepare(backbone, variants)
    return [gr.skip(), cards.notice(_HOW_MANY)]


def reopened(service: Service, number: str, session: Session, opened: compare_open.Opened) -> list[Any]:
    """The controls as they stood in a run."""
    run = session.run(int(number))
    if run is None:
        return compare_open.unchanged(compare_open.CONTROLS)
    return compare_open.open_asked(service, opened, again(run))


def removed(number: str, session: Session) -> list[Any]:
    """(session, history, its panel) without a run, or without any."""
    session = compare_history.remove(session, number)
    return [session, compare_history.table(session), gr.update(label=compare_history.label(session))]


def exported(kind: str, session: Session) -> str:
    """The path of the file."""
    try:
        return compare_history.export(kind, session)
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
