"""The Compare tab: one passage, one question, every variant's answer. Components and wiring only.

What opens a question is in `opening.py`, what is seldom used in `toolbox.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.page import components, stopping
from qa_compare.page.compare import cards, explained, opening, toolbox, what_if
from qa_compare.page.components import CHECKED, PRIVATE, html
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.chance import ANY, PURPOSES
from qa_compare.workbench.service import SAMPLE, Service
from qa_compare.workbench.session import Session, ask


@dataclass(frozen=True, slots=True)
class Opened:
    """How another tab opens a question here: the components that show it, the last of them the state that asks it."""

    shown: list[Any]
    opened: gr.State


def build(page: gr.Blocks, inspector: Inspector, backbone: gr.Dropdown, busy: dict[str, Any]) -> Opened:
    """Lay it out inside `page`; `busy` holds the options of events that use the models."""
    service = inspector.service
    first = service.questions(SAMPLE).examples[0]
    source, upload, article, number, purpose, chance, status, passage, question, run, tools = _controls(service)
    uploaded, session = gr.State(""), gr.State(Session())
    opened = gr.State(opening.Opened(service.backbone, SAMPLE, "", first.id))
    verdict = html(cards.pending(), "verdict", components.SPEAK)
    view = gr.Radio(explained.VIEWS, value=explained.ANSWER, label="Show in the passages", elem_id="view")
    empty = explained.waiting(toolbox.labels(service, service.backbone))
    columns = html(empty, "answers", components.REVEAL)

    asked = [backbone, tools.variants, source, uploaded, number, passage, question, session]
    ask: dict[str, Any] = {
        "fn": partial(answer, service),
        "inputs": [*asked, view],
        "outputs": [verdict, columns, session, tools.probes, tools.history, tools.panel, tools.link],
        **CHECKED,
        **busy,
        "show_progress": "minimal",
    }
    shown = [source, uploaded, article, number, passage, question, status, opened]
    state = [backbone, tools.variants, *shown]
    openings: list[dict[str, Any]] = [
        event(partial(chosen, service), [opened, source, uploaded, *needed], shown, **CHECKED)
        for event, chosen, needed in (
            (source.input, opening.open_source, []),
            (article.input, opening.open_article, [article]),
            (number.input, opening.open_question, [number]),
        )
    ]
    wanted = [opened, purpose, backbone, tools.variants, source, uploaded, number]
    openings += [
        chance.click(partial(opening.open_any, inspector), wanted, shown, **CHECKED, **busy),
        upload.upload(partial(opening.open_file, service), [opened, upload], shown, **PRIVATE),
        page.load(_address(service), opened, state, **PRIVATE, **toolbox.LOADING),
    ]
    for ready in (run.click, question.submit, opened.change):
        ready(**ask)
    drawn = {**PRIVATE, **busy, "show_progress": "minimal"}
    view.input(partial(draw, service), [session, view], columns, **drawn)
    openings += toolbox.wire(service, tools, asked, state, ask, busy)
    # what is typed is the visitor's last word: nothing that is still on its way takes its place
    status.input(None, cancels=openings)
    return Opened(shown, opened)


def _controls(service: Service) -> list[Any]:
    """Source, upload, article, question list, purpose, Random, status, passage, question, Compare answers, and the
    tools below."""
    sample = service.questions(SAMPLE)
    first = sample.examples[0]
    with gr.Column(elem_id="ask"):
        with gr.Row(elem_id="choose"):
            source = gr.Dropdown(service.sources, value=SAMPLE, label="Questions from", scale=3, filterable=False)
            upload = gr.UploadButton("Open a file…", scale=0, min_width=120)
            article = gr.Dropdown(**opening.articles(sample, first), label="Article", num_choices_shown=None)
            number = gr.Dropdown(**opening.questions_of(sample, first), label="Question", num_choices_shown=None)
            purposes = [("Any question", ANY), *((one.label, key) for key, one in PURPOSES.items())]
            purpose = gr.Dropdown(purposes, value=ANY, label="At random", filterable=False)
            chance = gr.Button("Random", scale=0, min_width=96)
        status = html(cards.notice(opening.describe(sample)), "status", components.TYPED)
        with gr.Row(elem_id="texts"):
            passage = gr.Textbox(
                first.passage, label="Passage", lines=6, max_lines=6, scale=3, autoscroll=False, elem_id="passage"
            )
            with gr.Column(scale=2, min_width=280):
                question = gr.Textbox(first.question, label="Your question", max_lines=2, elem_id="question")
                run = gr.Button("Compare answers", variant="primary", elem_id="run")
        tools = toolbox.build(service)
    return [source, upload, article, number, purpose, chance, status, passage, question, run, tools]


def _address(service: Service) -> Callable[..., Iterator[list[Any]]]:
    built = opening.variants(service, service.backbone)

    # Gradio looks for a parameter of that type
    def open_address(opened: opening.Opened, request: gr.Request) -> Iterator[list[Any]]:
        service.look_again()
        backbone, variants, *others = opening.open_address(service, opened, dict(request.query_params))
        now = opening.variants(service, service.backbone)
        if variants == gr.skip() and now != built:  # folders have come or gone since the page was built
            variants = gr.update(**now)
        yield from opening.once_loaded(service, [backbone, variants, *others])

    return open_address


def answer(
    service: Service,
    backbone: str,
    variants: Sequence[str],
    source: str,
    uploaded: str,
    number: str | None,
    passage: str,
    question: str,
    session: Session,
    view: str = explained.ANSWER,
) -> list[Any]:
    """(verdict, cards, session, probes, history, its panel, link); or the sentence that says why there is no answer."""
    variants = toolbox.fitting(service, backbone, variants)
    asked = toolbox.asked_of(backbone, variants, source, uploaded, number, passage, question)
    try:
        session = ask(service, asked, session)
    except UserError as error:
        stopping.refused()
        empty = explained.waiting(toolbox.labels(service, backbone, variants), view)
        return [cards.failure(str(error)), empty, *[gr.skip()] * 5]
    shown = session.shown
    assert shown is not None
    return [
        cards.verdict(shown.comparison, shown.gold, what_if.note(session)),
        draw(service, session, view),
        session,
        what_if.table(session, toolbox.labels(service, backbone, shown.variants)),
        toolbox.table(session),
        gr.update(label=toolbox.label(session)),
        toolbox.button(service, session),
    ]


def draw(service: Service, session: Session, view: str) -> Any:
    """The cards of the run that is shown, their passages as `view` has it."""
    shown = session.shown
    if shown is None:
        return gr.skip()
    engine = service.engines[shown.backbone]
    return explained.answers(engine, shown.comparison, shown.gold, view, what_if.lines(session))
