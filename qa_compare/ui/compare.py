"""The comparison: one passage, one question, every variant's answer. Components and wiring only."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.examples import Example
from qa_compare.service import SAMPLE, UPLOAD, Questions, Service
from qa_compare.ui import cards, explained

# once new cards stand in the page, each passage scrolls, within its own box, to the answer
_REVEAL = """
const reveal = () => element.querySelectorAll('.passage').forEach(box => {
    const mark = box.querySelector('mark.predicted');
    if (mark) box.scrollTop = mark.offsetTop - (box.clientHeight - mark.offsetHeight) / 2;
});
watch('value', reveal);
reveal();
"""
# the sentence above the cards is read out when it changes
_SPEAK = "element.setAttribute('role', 'status');"
_PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True, slots=True)
class Opened:
    """How another tab opens a question here: the components that show it, and the event's arguments that ask it."""

    shown: list[Any]
    ask: dict[str, Any]


def build(page: gr.Blocks, service: Service, backbone: gr.Dropdown, busy: dict[str, Any]) -> Opened:
    """Lay it out inside `page`; `busy` holds the options of events that use the models."""
    opening = service.questions(SAMPLE)
    first = opening.examples[0]
    with gr.Column(elem_id="ask"):
        with gr.Row(elem_id="choose"):
            source = gr.Dropdown(service.sources, value=SAMPLE, label="Questions from", scale=3, filterable=False)
            upload = gr.UploadButton("Open a file…", scale=0, min_width=120)
            article = gr.Dropdown(**articles(opening, first), label="Article", scale=3, num_choices_shown=None)
            number = gr.Dropdown(**questions_of(opening, first), label="Question", scale=5, num_choices_shown=None)
            chance = gr.Button("Random", scale=0, min_width=96)
        status = gr.HTML(cards.notice(describe(opening)), elem_id="status", apply_default_css=False)
        with gr.Row(elem_id="texts"):
            passage = gr.Textbox(
                first.passage, label="Passage", lines=6, max_lines=6, scale=3, autoscroll=False, elem_id="passage"
            )
            with gr.Column(scale=2, min_width=280):
                question = gr.Textbox(first.question, label="Your question", max_lines=2, elem_id="question")
                run = gr.Button("Compare answers", variant="primary", elem_id="run")
    uploaded = gr.State("")
    verdict = gr.HTML(cards.pending(), elem_id="verdict", js_on_load=_SPEAK, apply_default_css=False)
    view = gr.Radio(explained.VIEWS, value=explained.ANSWER, label="Show in the passages", elem_id="view")
    empty = explained.waiting(labels(service, service.backbone))
    columns = gr.HTML(empty, elem_id="answers", js_on_load=_REVEAL, apply_default_css=False)

    ask: dict[str, Any] = {
        "fn": partial(answer, service),
        "inputs": [backbone, source, uploaded, number, passage, question, view],
        "outputs": [verdict, columns],
        **_PRIVATE,
        **busy,
        "show_progress": "minimal",
    }
    shown = [source, uploaded, article, number, passage, question, status]
    for event, chosen in (
        (source.input, partial(open_source, service)),
        (article.input, partial(open_article, service)),
        (number.input, partial(open_question, service)),
        (chance.click, partial(open_any, service)),
    ):
        event(chosen, [source, uploaded, article, number], shown, **_PRIVATE).then(**ask)
    upload.upload(partial(open_file, service), upload, shown, **_PRIVATE).then(**ask)
    for ready in (page.load, run.click, question.submit, backbone.input, view.input):
        ready(**ask)
    return Opened(shown, ask)


Updates = list[Any]


def answer(
    service: Service,
    backbone: str,
    source: str,
    uploaded: str,
    number: str | None,
    passage: str,
    question: str,
    view: str = explained.ANSWER,
) -> tuple[str, str]:
    """The verdict and the cards, their passages as `view` has it, or the sentence that says why there are none."""
    try:
        comparison = service.compare(passage, question, backbone)
        # a question taken from a source brings its gold answers
        gold = service.questions(source, uploaded).gold(number, passage, question) if number else ()
    except UserError as error:
        return cards.failure(str(error)), explained.waiting(labels(service, backbone), view)
    return cards.verdict(comparison, gold), explained.answers(service.engines[backbone], comparison, gold, view)


def open_source(service: Service, source: str, uploaded: str, _article: str | None, _number: str | None) -> Updates:
    """The source's first question."""
    return _open(service, source, uploaded, lambda questions: questions.examples[0])


def open_article(service: Service, source: str, uploaded: str, article: str | None, _number: str | None) -> Updates:
    """The article's first question."""
    return _open(service, source, uploaded, lambda questions: questions.by_title[article or ""][0])


def open_question(service: Service, source: str, uploaded: str, _article: str | None, number: str | None) -> Updates:
    """The chosen question."""
    return _open(service, source, uploaded, lambda questions: questions.by_id[number or ""])


def open_any(service: Service, source: str, uploaded: str, _article: str | None, _number: str | None) -> Updates:
    """Any question of the source."""
    return _open(service, source, uploaded, lambda questions: random.choice(questions.examples))


def open_file(service: Service, path: str) -> Updates:
    """The first question of a file that was just uploaded; a file that cannot be read leaves the page as it was."""
    try:
        questions = service.questions(UPLOAD, path)
    except UserError as error:
        return [*[gr.skip()] * 6, cards.notice(str(error), failed=True)]
    source = gr.update(choices=[*service.sources, (questions.label, UPLOAD)], value=UPLOAD)
    return [source, path, *_show(questions, questions.examples[0])]


def open_elsewhere(service: Service, source: str, uploaded: str, number: str) -> Updates:
    """A question that was chosen in another tab, from its source."""
    questions = service.questions(source, uploaded)
    sources = [*service.sources, *([(questions.label, UPLOAD)] if source == UPLOAD else [])]
    chosen = gr.update(choices=sources, value=source)
    return [chosen, uploaded, *_show(questions, questions.by_id[number])]


def _open(service: Service, source: str, uploaded: str, choose: Callable[[Questions], Example]) -> Updates:
    try:
        questions = service.questions(source, uploaded)
    except UserError as error:
        nothing = gr.update(choices=[], value=None)
        failed = cards.notice(str(error), failed=True)
        return [gr.skip(), gr.skip(), nothing, nothing, gr.skip(), gr.skip(), failed]
    return [gr.skip(), gr.skip(), *_show(questions, choose(questions))]


def _show(questions: Questions, example: Example) -> Updates:
    return [
        gr.update(**articles(questions, example)),
        gr.update(**questions_of(questions, example)),
        example.passage,
        example.question,
        cards.notice(describe(questions), failed=False),
    ]


def articles(questions: Questions, example: Example) -> dict[str, Any]:
    """Choices and value of the article list."""
    return {"choices": [(title or "(no title)", title) for title in questions.by_title], "value": example.title}


def questions_of(questions: Questions, example: Example) -> dict[str, Any]:
    """Choices and value of the question list: the questions of one article."""
    return {"choices": [(one.question, one.id) for one in questions.by_title[example.title]], "value": example.id}


def describe(questions: Questions) -> str:
    """What a source holds, in words."""
    count, articles = len(questions.examples), len(questions.by_title)
    held = f"{count:,} question{'s' * (count != 1)} in {articles:,} article{'s' * (articles != 1)}"
    return f"{questions.label}: {held}" + (f"; {questions.note}" if questions.note else "")


def labels(service: Service, backbone: str) -> list[tuple[str, str]]:
    """Name and label of each variant that is shown for a backbone."""
    engine = service.engines[backbone]
    return [(name, engine.variant(name).label) for name in engine.default_variants]
