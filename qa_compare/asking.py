"""What a visitor asks -> the session after it; and the way to and from a link. Knows nothing of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from qa_compare.errors import UserError, quoted
from qa_compare.examples import Answer
from qa_compare.history import Run, Session
from qa_compare.links import Link
from qa_compare.probes import Variation
from qa_compare.service import SAMPLE, SQUAD, UPLOAD, Service


@dataclass(frozen=True, slots=True)
class Asked:
    """The controls of the Compare tab: `id` is the question chosen of `source`, of which the text may be an edit.

    Without an `id` the text is the visitor's own. No `variants` stand for those shown by default.
    """

    backbone: str
    variants: tuple[str, ...]
    source: str
    upload: str
    id: str
    passage: str
    question: str


def ask(service: Service, asked: Asked, session: Session) -> Session:
    """The session after the question was answered. Raises UserError where it cannot be, as `Service.compare` does."""
    comparison = service.compare(asked.passage, asked.question, asked.backbone, in_order(service, asked))
    gold: tuple[Answer, ...] = ()
    edited = False
    if asked.id:
        questions = service.questions(asked.source, asked.upload)
        example = questions.by_id.get(asked.id)
        edited = example is None or (example.passage, example.question) != (asked.passage, asked.question)
        gold = questions.gold(asked.id, asked.passage, asked.question)
    upload = asked.upload if asked.source == UPLOAD else ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    run = Run(0, asked.backbone, asked.source, upload, asked.id, comparison, gold, edited, now)
    made = session.variations.get(session.probe_of(run))
    if isinstance(made, Variation) and session.origin:  # a probe leaves the gold answers as they are
        run = replace(run, gold=made.gold(session.origin.comparison.passage, session.origin.gold))
    return session.record(run)


def in_order(service: Service, asked: Asked) -> tuple[str, ...]:
    """The variants asked for in the page's order, so that each keeps its place among the cards."""
    names = service.shown(asked.backbone, asked.variants)
    return tuple(one.name for one in service.choices(asked.backbone) if one.name in names)


def up_to_date(service: Service, asked: Asked, session: Session) -> Session:
    """The session in which the text that stands in the boxes has been answered. Raises UserError as `ask` does."""
    shown = session.shown
    text = asked.passage, asked.question
    same = shown and (shown.comparison.passage, shown.comparison.question, shown.backbone) == (*text, asked.backbone)
    return session if same and shown and shown.variants == in_order(service, asked) else ask(service, asked, session)


def probe_all(service: Service, session: Session) -> Iterator[Session]:
    """The session after each probe of the origin that had not been run. Raises UserError where one cannot be."""
    if not (origin := session.origin):
        return
    for key, made in session.variations.items():
        if key not in session.probed and isinstance(made, Variation):
            answered = service.compare(made.passage, made.question, origin.backbone, origin.variants)
            session = replace(session, probed={**session.probed, key: answered})
            yield session


def again(run: Run) -> Asked:
    """What was asked in a run."""
    text = run.comparison
    return Asked(run.backbone, run.variants, run.source, run.upload, run.id, text.passage, text.question)


def to_link(service: Service, run: Run) -> Link:
    """What a link to a run names: as little of its text as another browser needs."""
    text = run.comparison
    if run.id and run.source in (SAMPLE, SQUAD):
        example = service.questions(run.source).by_id.get(run.id)
        if example and example.passage == text.passage:
            question = "" if example.question == text.question else text.question
            return Link(run.source, run.id, "", question, run.backbone, run.variants)
    return Link("", "", text.passage, text.question, run.backbone, run.variants)


def from_link(service: Service, link: Link) -> Asked:
    """What a link asks.

    Raises:
        UserError: its source, question, backbone or variants are not here.
    """
    backbone = link.backbone or service.backbone
    variants = service.shown(backbone, link.variants)
    first = service.questions(SAMPLE).examples[0]
    if not link.source:
        passage, question = (link.passage, link.question) if link.passage else (first.passage, first.question)
        number = "" if link.passage else first.id
        return Asked(backbone, variants, SAMPLE, "", number, passage, question)
    known: Sequence[str] = (SAMPLE, SQUAD)
    if link.source not in known:
        raise UserError(f"unknown source {quoted(link.source)}: there are {' and '.join(known)}")
    questions = service.questions(link.source)
    if link.id not in questions.by_id:
        raise UserError(f"there is no question {quoted(link.id)} in “{questions.label}”")
    example = questions.by_id[link.id]
    return Asked(backbone, variants, link.source, "", link.id, example.passage, link.question or example.question)
