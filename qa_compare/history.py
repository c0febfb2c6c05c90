"""The session of one visitor: what was asked, what the cards show now, and what they are compared with. In memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qa_compare import probes
from qa_compare.changes import Change, changes, related
from qa_compare.comparison import Comparison
from qa_compare.examples import Answer
from qa_compare.readers import ANSWER_SEPARATOR
from qa_compare.scoring import exact_match, f1
from qa_compare.tables import csv_text

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
