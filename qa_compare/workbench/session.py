"""The session of one visitor: what was asked, what the cards show now, and what they are compared with. In memory.

What a visitor asks gives the session after it. A state can be written as query parameters and read back, so that a link
needs nothing that a server would have to remember: a question of a source is named by its id, and a text of one's own
stands in the link itself, as long as it is short.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from qa_compare.data.examples import Answer
from qa_compare.data.readers import ANSWER_SEPARATOR
from qa_compare.errors import UserError, quoted
from qa_compare.inference.comparison import Change, Comparison, changes, related
from qa_compare.measure.scoring import exact_match, f1
from qa_compare.runs.tables import csv_text
from qa_compare.workbench import probes
from qa_compare.workbench.probes import Variation
from qa_compare.workbench.service import SAMPLE, SQUAD, UPLOAD, Service

MAX_QUERY = 6_000  # characters of the whole query: what every browser, proxy and server lets through
PARAMETERS = ("source", "id", "passage", "question", "backbone", "variants")
_SEPARATOR = ","
_NOT_SENT = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)  # half a surrogate pair has no UTF-8


@dataclass(frozen=True, slots=True)
class Link:
    """What to open: question `id` of `source`, or a `passage`; `question` is one's own, also about a source's passage.

    An empty `backbone` or no `variants` stand for those that are shown by default.
    """

    source: str = ""
    id: str = ""
    passage: str = ""
    question: str = ""
    backbone: str = ""
    variants: tuple[str, ...] = ()


def write(link: Link) -> str:
    """The query, without its "?", in ASCII alone.

    Raises:
        UserError: there is no question in it, a variant's name cannot be listed, or it is too long.
    """
    if not (link.id and link.source) and not (link.passage and link.question):
        raise UserError("There is no question to link to yet.")
    if any(_SEPARATOR in name or not name for name in link.variants):
        raise UserError("A variant whose name holds a comma cannot be linked to.")
    values = {**{name: getattr(link, name) for name in PARAMETERS}, "variants": _SEPARATOR.join(link.variants)}
    query = urlencode({name: value.translate(_NOT_SENT) for name, value in values.items() if value}, safe=",")
    if len(query) > MAX_QUERY:
        raise UserError(
            f"The text is too long for a link: it takes {len(query):,} characters of an address, and {MAX_QUERY:,} fit."
        )
    return query


def read(parameters: Mapping[str, str]) -> Link | None:
    """What the query parameters of a page name; None where they name nothing. Others than ours are not looked at.

    Raises:
        UserError: they do not belong together.
    """
    found = {name: parameters[name] for name in PARAMETERS if name in parameters}
    if not found:
        return None
    if sum(map(len, found.values())) > MAX_QUERY:
        raise UserError("it is too long")
    if empty := [name for name, value in found.items() if not value]:
        raise UserError(f"its {empty[0]} is empty")
    if "id" in found and "passage" in found:
        raise UserError("it names a question and brings a passage of its own")
    if "id" in found and "source" not in found:
        raise UserError("it does not say which source its question is from")
    if "source" in found and "id" not in found:
        raise UserError("it does not say which question of the source to open")
    if "id" not in found and ("passage" in found) != ("question" in found):
        missing = "question" if "passage" in found else "passage"
        raise UserError(f"its {missing} is missing")
    variants = tuple(found.pop("variants", "").split(_SEPARATOR)) if "variants" in found else ()
    return Link(**found, variants=variants)


MAX_RUNS = 50
MAX_CHARACTERS = 2_000_000  # of all passages and questions that a session keeps


@dataclass(frozen=True, slots=True)
class Run:
    """One question about one passage as it was answered; `gold` holds the gold answers where they are known.

    `source`, `upload` and `id` say where the question is from, `edited` that its text is no longer the source's, and
    `asked_at` when it was asked, as "2026-11-24T23:25:50+00:00".
    """

    number: int
    backbone: str
    source: str
    upload: str
    id: str
    comparison: Comparison
    gold: tuple[Answer, ...] = ()
    edited: bool = False
    asked_at: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The same for the same question, whichever variants answered it."""
        asked = self.comparison
        return (self.backbone, self.source, self.upload, self.id, asked.passage, asked.question)

    @property
    def gold_texts(self) -> tuple[str, ...]:
        """The different texts of the gold answers."""
        return tuple(dict.fromkeys(answer.text for answer in self.gold))

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of those that answered, in the order of their cards."""
        return tuple(one.variant for one in self.comparison.answers)


@dataclass(frozen=True, slots=True)
class Session:
    """`runs`, the oldest first. `shown` is the one in the cards, `before` the one it is an edit of, if it is one.

    Probes start from `origin`: `variations` has what each makes of it, or why nothing, and `probed` what that gave. A
    session is never changed, only replaced.
    """

    runs: tuple[Run, ...] = ()
    shown: Run | None = None
    before: Run | None = None
    origin: Run | None = None
    variations: dict[str, probes.Variation | str] = field(default_factory=dict)
    probed: dict[str, Comparison] = field(default_factory=dict)
    asked: int = 0

    def record(self, run: Run) -> Session:
        """The session after `run` was answered: its number is given here, or is that of the same question before."""
        number = next((one.number for one in self.runs if one.key == run.key), self.asked + 1)
        run = replace(run, number=number)
        runs = [run if one.number == number else one for one in self.runs]
        runs += [run] * (number > self.asked)
        made = replace(self, runs=_bounded(runs, number), shown=run, asked=max(self.asked, number))
        if self.shown and run.key == self.shown.key:
            return made if self.origin and self.origin.variants == run.variants else made._from(run, self.before)
        before = self.shown if self.shown and _is_edit(self.shown, run) else None
        if not self.origin or (run.backbone, run.variants) != (self.origin.backbone, self.origin.variants):
            return made._from(run, before)
        if probe := self.probe_of(run):
            return replace(made, before=self.origin, probed={**self.probed, probe: run.comparison})
        return replace(made, before=before) if run.key == self.origin.key else made._from(run, before)

    def _from(self, run: Run, before: Run | None) -> Session:
        """Probes start from `run` now."""
        variations = probes.all_of(run.comparison.passage, run.comparison.question)
        return replace(self, before=before, origin=run, variations=variations, probed={})

    def probe_of(self, run: Run) -> str:
        """The key of the probe of `origin` that gives this text, "" where there is none."""
        text = run.comparison.passage, run.comparison.question
        for key, made in self.variations.items():
            if isinstance(made, probes.Variation) and (made.passage, made.question) == text:
                return key
        return ""

    @property
    def changed(self) -> tuple[Change, ...]:
        """What became of each variant's answer since the run before; nothing where there is none to speak of."""
        if not (self.shown and self.before):
            return ()
        # names that changed places do so again on the way back
        made = self.variations.get(self.probe_of(self.shown) or self.probe_of(self.before))
        moved = made.moved if isinstance(made, probes.Variation) and self._at_origin else str
        return changes(self.before.comparison, self.shown.comparison, moved)

    @property
    def _at_origin(self) -> bool:
        """Whether the cards show the origin or are compared with it."""
        return bool(self.origin and self.origin.key in {one.key for one in (self.shown, self.before) if one})

    def outcome(self, key: str) -> tuple[Change, ...] | None:
        """What a probe did to each variant's answer; None where it has not been run."""
        made = self.variations.get(key)
        if not (self.origin and key in self.probed and isinstance(made, probes.Variation)):
            return None
        return changes(self.origin.comparison, self.probed[key], made.moved)

    def run(self, number: int) -> Run | None:
        """The run of that number, as long as it is kept."""
        return next((one for one in self.runs if one.number == number), None)

    def without(self, number: int | None = None) -> Session:
        """The session with one run less, or without any; what the cards show stays."""
        return replace(self, runs=tuple(one for one in self.runs if number is not None and one.number != number))


def _is_edit(before: Run, run: Run) -> bool:
    """Another question of a source is none, even about the same passage."""
    return before.key[:4] == run.key[:4] and related(before.comparison, run.comparison)


def _bounded(runs: Sequence[Run], newest: int) -> tuple[Run, ...]:
    """The last runs that together are not too long, the newest in any case."""
    kept: list[Run] = []
    room = MAX_CHARACTERS
    for run in reversed(runs[-MAX_RUNS:]):
        room -= len(run.comparison.passage) + len(run.comparison.question)
        if room >= 0 or run.number == newest:
            kept.append(run)
    return tuple(reversed(kept))


def as_objects(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One object a run: its text and, under `variants`, each answer. Confidence is 0 to 1; a score needs gold."""
    return [
        {
            "number": run.number,
            "asked_at": run.asked_at,
            "backbone": run.backbone,
            "source": run.source,
            "id": run.id,
            "edited": run.edited,
            "question": run.comparison.question,
            "passage": run.comparison.passage,
            "gold": list(run.gold_texts),
            "warnings": list(run.comparison.warnings),
            "variants": {one["variant"]: _answer(one, run.gold_texts) for one in run.comparison.as_dict()["variants"]},
        }
        for run in runs
    ]


def _answer(column: dict[str, Any], gold: Sequence[str]) -> dict[str, Any]:
    scores = {
        "exact_match": int(exact_match(column["answer"], gold)) if gold else None,
        "f1": round(f1(column["answer"], gold), 4) if gold else None,
    }
    told = {name: column[name] for name in ("answer", "start", "end")}
    return {**told, "confidence": round(column["confidence"], 4), **scores, "problem": column["problem"]}


def as_json(runs: Sequence[Run]) -> str:
    """A list of `as_objects`' objects, indented by one."""
    return json.dumps(as_objects(runs), indent=1, ensure_ascii=False) + "\n"


def as_csv(runs: Sequence[Run]) -> str:
    """A line a run, gold answers joined by " | ", a variant's columns named like "lora answer", empty where it was not
    asked."""
    objects = as_objects(runs)
    names = list(dict.fromkeys(name for one in objects for name in one["variants"]))
    parts = ("answer", "start", "end", "confidence", "exact_match", "f1", "problem")
    head = ("number", "asked_at", "backbone", "source", "id", "edited", "question", "passage")
    lines: list[list[Any]] = [[*head, "gold", "warnings", *(f"{name} {part}" for name in names for part in parts)]]
    for one in objects:
        cells = [*(one[name] for name in head), ANSWER_SEPARATOR.join(one["gold"]), " ".join(one["warnings"])]
        cells += [one["variants"].get(name, {}).get(part) for name in names for part in parts]
        lines.append(cells)
    return csv_text(lines)


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
