"""What opens a question on the Compare tab: a source, an article, chance, a file, a link, a run of the history.

A list's `input` event says little: Gradio sends it twice for one choice, and once more whenever the list loses the
focus, as when somebody goes past it with the Tab key. So the server keeps what was opened last (`Opened`), and an
opener that is asked for the same again leaves the page alone. What it does open it tells by a new `Opened`, and that
change, which happens once, is what asks the question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.page import stopping
from qa_compare.page.compare import cards, toolbox
from qa_compare.workbench import chance
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.service import SAMPLE, UPLOAD, Questions, Service
from qa_compare.workbench.session import Asked

# (source, uploaded, article, number, passage, question, status, opened), or, with them, (backbone, variants, …)
Updates = list[Any]
SHOWN = 8
CONTROLS = 10


@dataclass(frozen=True, slots=True)
class Opened:
    """What the controls stand for: the backbone whose variants are listed, and the question that was opened last.

    `id` is empty for a visitor's own text. `turn` counts what was opened: each is asked, the same one again too.
    """

    backbone: str
    source: str = SAMPLE
    upload: str = ""
    id: str = ""
    turn: int = 0

    def __hash__(self) -> int:
        """By its turn alone: Gradio tells a state that changed by its hash, and only another turn is to be asked."""
        return hash(self.turn)

    def next(self, source: str, upload: str, identifier: str) -> Opened:
        """After another question was opened."""
        return replace(self, source=source, upload=upload, id=identifier, turn=self.turn + 1)

    def holds(self, source: str, upload: str) -> bool:
        """Whether the question that was opened last is from there."""
        return self.source == source and (source != UPLOAD or self.upload == upload)


def open_source(service: Service, opened: Opened, source: str, uploaded: str) -> Updates:
    """The source's first question; nothing where the source is open already."""
    if opened.holds(source, uploaded):
        return unchanged()
    return _open(service, opened, source, uploaded, lambda questions: questions.examples[0])


def open_article(service: Service, opened: Opened, source: str, uploaded: str, article: str | None) -> Updates:
    """The article's first question; nothing where the article is open already, or is one of another source's."""

    def first(questions: Questions) -> Example | None:
        shown = questions.by_id.get(opened.id) if opened.holds(source, uploaded) else None
        found = questions.by_title.get(article or "")
        return None if found is None or (shown and shown.title == article) else found[0]

    return unchanged() if article is None else _open(service, opened, source, uploaded, first)


def open_question(service: Service, opened: Opened, source: str, uploaded: str, number: str | None) -> Updates:
    """The chosen question; nothing where it is open already, or is one of another source's."""
    if number is None or (opened.holds(source, uploaded) and opened.id == number):
        return unchanged()
    return _open(service, opened, source, uploaded, lambda questions: questions.by_id.get(number))


def unchanged(controls: int = SHOWN) -> Updates:
    """Nothing to do: the page stays as it is, and nothing is asked."""
    return [gr.skip()] * controls


def open_any(
    inspector: Inspector,
    opened: Opened,
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
        shown = _show(inspector.service.questions(source, uploaded), example)
        return [gr.skip(), gr.skip(), *shown, opened.next(source, uploaded, example.id)]
    except UserError as error:
        return _stays(_refused(str(error)))


def open_file(service: Service, opened: Opened, path: str) -> Updates:
    """The first question of a file that was just uploaded; a file that cannot be read leaves the page as it was."""
    try:
        questions = service.questions(UPLOAD, path)
    except UserError as error:
        return _stays(_refused(str(error)))
    first = questions.examples[0]
    return [_source(service, UPLOAD, questions), path, *_show(questions, first), opened.next(UPLOAD, path, first.id)]


def open_elsewhere(service: Service, opened: Opened, source: str, uploaded: str, number: str) -> Updates:
    """A question that was chosen in another tab, from its source; where it is gone from there, the page stays."""
    try:
        questions = service.questions(source, uploaded)
    except UserError as error:  # an upload that was deleted since
        return _stays(_refused(str(error)))
    if number not in questions.by_id:
        return unchanged()
    shown = _show(questions, questions.by_id[number])
    return [_source(service, source, questions), uploaded, *shown, opened.next(source, uploaded, number)]


def open_address(service: Service, opened: Opened, parameters: Mapping[str, str]) -> Updates:
    """The controls as the page's address wants them; a broken link opens the page as usual, and says so."""
    as_usual = opened.next(opened.source, opened.upload, opened.id)
    try:
        asked = toolbox.opened(service, parameters)
        return open_asked(service, opened, asked) if asked else [*unchanged(CONTROLS - 1), as_usual]
    except UserError as error:
        return [*unchanged(CONTROLS - 2), _refused(f"This link cannot be opened: {error}"), as_usual]


def open_asked(service: Service, opened: Opened, asked: Asked) -> Updates:
    """All controls as they were, or would have been, when this was asked."""
    chosen = [asked.backbone, gr.update(**variants(service, asked.backbone, asked.variants))]
    text = [asked.passage, asked.question]
    try:
        questions = service.questions(asked.source, asked.upload)
        example = questions.by_id.get(asked.id)
    except UserError:  # an upload that is gone: the text is still here
        questions, example = service.questions(SAMPLE), None
    where = asked.source if example else SAMPLE
    opened = replace(opened.next(where, asked.upload, asked.id if example else ""), backbone=asked.backbone)
    source = _source(service, where, questions)
    if example:
        *lists, _, _, status = _show(questions, example)
        return [*chosen, source, asked.upload, *lists, *text, status, opened]
    nothing = gr.update(value=None)
    return [*chosen, source, asked.upload, nothing, nothing, *text, cards.notice("Your own text"), opened]


def once_loaded(service: Service, updates: Updates) -> Iterator[Updates]:
    """All controls' updates: first what there is to see, and, once the models are loaded, what asks.

    So nobody else's question waits for them: loading takes no turn at the models. And of a step of several the browser
    hears of the change before it fills the boxes.
    """
    *seen, opened = updates
    yield [*seen, gr.skip()]
    if isinstance(opened, Opened):
        service.prepare(opened.backbone, seen[1].get("value") or service.engines[opened.backbone].default_variants)
    yield [*unchanged(CONTROLS - 1), opened]


def _open(
    service: Service, opened: Opened, source: str, uploaded: str, choose: Callable[[Questions], Example | None]
) -> Updates:
    try:
        questions = service.questions(source, uploaded)
    except UserError as error:  # nothing is open now: this choice may be tried again, and any other be made
        nothing = gr.update(choices=[], value=None)
        closed = replace(opened, source="", upload="", id="")
        return [gr.skip(), gr.skip(), nothing, nothing, gr.skip(), gr.skip(), _refused(str(error)), closed]
    example = choose(questions)
    if example is None:
        return unchanged()
    return [gr.skip(), gr.skip(), *_show(questions, example), opened.next(source, uploaded, example.id)]


def _stays(status: str) -> Updates:
    """The page stays as it is, but for a sentence."""
    return [*unchanged(SHOWN - 2), status, gr.skip()]


def _refused(why: str) -> str:
    stopping.refused()
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
