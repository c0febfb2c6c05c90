"""What opens a question on the Compare tab: a source, an article, chance, a file, a link, a run of the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from qa_compare import chance, ended
from qa_compare.asking import Asked
from qa_compare.errors import UserError
from qa_compare.examples import Example
from qa_compare.inspection import Inspector, Wanted
from qa_compare.service import SAMPLE, UPLOAD, Questions, Service
from qa_compare.ui import cards, link_button

# (source, uploaded, article, number, passage, question, status), or, with them, (backbone, variants, …)
Updates = list[Any]
CONTROLS = 9


def open_source(service: Service, source: str, uploaded: str) -> Updates:
    """The source's first question."""
    return _open(service, source, uploaded, lambda questions: questions.examples[0])


def open_article(service: Service, source: str, uploaded: str, article: str | None) -> Updates:
    """The article's first question."""
    return _open(service, source, uploaded, lambda questions: questions.by_title[article or ""][0])


def open_question(service: Service, source: str, uploaded: str, number: str | None) -> Updates:
    """The chosen question."""
    return _open(service, source, uploaded, lambda questions: questions.by_id[number or ""])


def open_any(
    inspector: Inspector,
    purpose: str,
    backbone: str,
    variants: Sequence[str],
    source: str,
    uploaded: str,
    number: str | None,
) -> Updates:
    """A question of the source that meets the purpose; where there is none, the page stays and says so."""
    wanted = Wanted(backbone, source, uploaded, tuple(variants))
    try:
        example = chance.pick(inspector, wanted, purpose, number)
        return [gr.skip(), gr.skip(), *_show(inspector.service.questions(source, uploaded), example)]
    except UserError as error:
        return [*[gr.skip()] * 6, _refused(str(error))]


def open_file(service: Service, path: str) -> Updates:
    """The first question of a file that was just uploaded; a file that cannot be read leaves the page as it was."""
    try:
        questions = service.questions(UPLOAD, path)
    except UserError as error:
        return [*[gr.skip()] * 6, _refused(str(error))]
    return [_source(service, UPLOAD, questions), path, *_show(questions, questions.examples[0])]


def open_elsewhere(service: Service, source: str, uploaded: str, number: str) -> Updates:
    """A question that was chosen in another tab, from its source; where it is gone from there, the page stays."""
    try:
        questions = service.questions(source, uploaded)
    except UserError as error:  # an upload that was deleted since
        return [*[gr.skip()] * 6, _refused(str(error))]
    if number not in questions.by_id:
        return [gr.skip()] * 7
    return [_source(service, source, questions), uploaded, *_show(questions, questions.by_id[number])]


def open_address(service: Service, parameters: Mapping[str, str]) -> Updates:
    """The controls as the page's address wants them; a broken link opens the page as usual, and says so."""
    try:
        asked = link_button.opened(service, parameters)
        return open_asked(service, asked) if asked else [gr.skip()] * CONTROLS
    except UserError as error:
        return [*[gr.skip()] * (CONTROLS - 1), _refused(f"This link cannot be opened: {error}")]


def open_asked(service: Service, asked: Asked) -> Updates:
    """All controls as they were, or would have been, when this was asked."""
    chosen = [asked.backbone, gr.update(**variants(service, asked.backbone, asked.variants))]
    text = [asked.passage, asked.question]
    try:
        questions = service.questions(asked.source, asked.upload)
        example = questions.by_id.get(asked.id)
    except UserError:  # an upload that is gone: the text is still here
        questions, example = service.questions(SAMPLE), None
    source = _source(service, asked.source if example else SAMPLE, questions)
    if example:
        *lists, _, _, status = _show(questions, example)
        return [*chosen, source, asked.upload, *lists, *text, status]
    nothing = gr.update(value=None)
    return [*chosen, source, asked.upload, nothing, nothing, *text, cards.notice("A text of one's own")]


def _open(service: Service, source: str, uploaded: str, choose: Callable[[Questions], Example]) -> Updates:
    try:
        questions = service.questions(source, uploaded)
    except UserError as error:
        nothing = gr.update(choices=[], value=None)
        return [gr.skip(), gr.skip(), nothing, nothing, gr.skip(), gr.skip(), _refused(str(error))]
    return [gr.skip(), gr.skip(), *_show(questions, choose(questions))]


def _refused(why: str) -> str:
    ended.refused()
    return cards.notice(why, failed=True)


def _source(service: Service, source: str, questions: Questions) -> Any:
    uploads = [(questions.label, UPLOAD)] if source == UPLOAD else []
    return gr.update(choices=[*service.sources, *uploads], value=source)


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


def variants(service: Service, backbone: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """Choices and value of the variants shown; without names, those shown by default."""
    choices = [(one.label, one.name) for one in service.choices(backbone)]
    shown = names or service.engines[backbone].default_variants
    return {"choices": choices, "value": [name for _, name in choices if name in shown]}


def describe(questions: Questions) -> str:
    """What a source holds, in words."""
    count, articles = len(questions.examples), len(questions.by_title)
    held = f"{count:,} question{'s' * (count != 1)} in {articles:,} article{'s' * (articles != 1)}"
    return f"{questions.label}: {held}" + (f"; {questions.note}" if questions.note else "")
