"""All questions of a data set x variants: who got which right, what kind of error, filters that combine, and orders.

A filter looks at columns that are computed once, when the table is made; only free text is searched each time. A column
is made of saved answers, of the engine's, or of another system's `{id: text}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa_compare.data.examples import Example
from qa_compare.data.readers import read_upload
from qa_compare.errors import UserError, quoted
from qa_compare.files import parse_json
from qa_compare.inference.decoding import Prediction
from qa_compare.measure.error_kinds import KINDS, error_kind
from qa_compare.measure.scoring import Counts, has_gold, score
from qa_compare.measure.slices import SLICE_KINDS, slice_of
from qa_compare.models.variants import Variant
from qa_compare.runs import store

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]
_ALL_OUTCOMES = 3  # with more variants, only the outcomes that occur are listed


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One variant's answers to N questions, in the table's order.

    `start` is the answer's first character in the passage, -1 where there is none or it is not known. `confidence` is
    0 to 1, NaN where it is not known; `exact_match` is 0 or 1, `f1` 0 to 1, both NaN without a gold answer; `kind`
    counts in `KINDS`. `null` is the null score minus the answer's (logits), NaN where there is no answer; None where
    null scores are not known. All (N,).
    """

    name: str
    label: str
    answers: tuple[str, ...]
    start: NDArray[np.int32]
    confidence: Floats
    exact_match: Floats
    f1: Floats
    kind: NDArray[np.int8]
    null: Floats | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """What a question must meet; what is empty or None is not asked.

    `outcome` has a 1 or a 0 for each column, in their order: right or wrong, such as "010". `kind` is one of `KINDS`;
    `sure` asks for a wrong answer of at least this confidence (0 to 1). Both speak of the column `variant`, or of any
    one column, the same for both. `text` is looked for in question, passage and all answers, in any case.
    """

    outcome: str = ""
    kind: str = ""
    variant: str = ""
    sure: float | None = None
    question_word: str = ""
    answer_length: str = ""
    passage_length: str = ""
    article: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many questions exactly the columns of `right` (labels) got right; `key` is what `Filter.outcome` takes."""

    key: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    count: int

    @property
    def sentence(self) -> str:
        """Such as "Only LoRA right" or "All right"."""
        if not self.right:
            return "Nobody right" if len(self.wrong) > 1 else "Wrong"
        if not self.wrong:
            return "All right" if len(self.right) > 1 else "Right"
        if len(self.right) == 1:
            return f"Only {self.right[0]} right"
        return f"Only {self.wrong[0]} wrong" if len(self.wrong) == 1 else f"{', '.join(self.right)} right"


@dataclass(frozen=True, eq=False)
class Table:
    """N questions and one column or more of as many answers."""

    examples: tuple[Example, ...]
    columns: tuple[Column, ...]

    @cached_property
    def f1(self) -> Floats:
        """(columns, N)"""
        return np.stack([column.f1 for column in self.columns])

    @cached_property
    def counts(self) -> Counts:
        """How many of the questions are scored, and what the others are."""
        return Counts.of(self.examples)

    @cached_property
    def outcome(self) -> NDArray[np.int64]:
        """(N,): the right columns as bits, the first column the highest; -1 where there is no gold answer."""
        right = np.stack([column.exact_match > 0.5 for column in self.columns])
        bits = 1 << np.arange(len(self.columns))[::-1]
        return np.where(has_gold(self.examples), bits @ right, -1)

    @cached_property
    def slices(self) -> dict[str, NDArray[np.str_]]:
        """For each kind of slice, the name of each question's (N,); "" where it is in none."""
        found = [slice_of(example) for example in self.examples]
        return {kind: np.array([one.get(kind, "") for one in found]) for kind in SLICE_KINDS}

    @cached_property
    def searched(self) -> tuple[list[str], NDArray[np.intp], list[str]]:
        """Lower-cased: the different passages, which of them is each question's (N,), and question and answers (N)."""
        place: dict[str, int] = {}
        rows = np.array([place.setdefault(example.passage, len(place)) for example in self.examples])
        texts = [
            "\n".join((example.question, *(gold.text for gold in example.answers), *given)).casefold()
            for example, given in zip(self.examples, zip(*(c.answers for c in self.columns), strict=True), strict=True)
        ]
        return [passage.casefold() for passage in place], rows, texts

    def column(self, name: str) -> Column:
        """The column of that name. Raises UserError with the names there are."""
        for column in self.columns:
            if column.name == name:
                return column
        raise _unknown("variant", name, [column.name for column in self.columns])


def select(table: Table, wanted: Filter, order: str = "") -> Rows:
    """The rows that meet the filter, in the data's order or in one of `orders`.

    Raises:
        UserError: an outcome, a kind, a variant or an order that there is not.
    """
    rows = np.flatnonzero(_meets(table, wanted) & _outcome(table, wanted.outcome))
    if not order:
        return rows
    known = orders(table)
    if order not in known:
        raise _unknown("order", order, list(known))
    return rows[np.argsort(known[order].key(rows), kind="stable")]


def outcomes(table: Table, wanted: Filter) -> list[Outcome]:
    """The counts among the questions that meet the filter, whatever outcome it names; from all right to all wrong.

    Up to three columns every combination is listed, with more those that occur.
    """
    size = len(table.columns)
    found = table.outcome[_meets(table, wanted)]
    counts = np.bincount(found[found >= 0], minlength=2**size)
    made = []
    for bits in sorted(product((1, 0), repeat=size), key=lambda one: -sum(one)):
        key = "".join(map(str, bits))
        count = int(counts[int(key, 2)])
        if count or size <= _ALL_OUTCOMES or key == wanted.outcome:
            pairs = list(zip(table.columns, bits, strict=True))
            right, wrong = (tuple(column.label for column, bit in pairs if bit == side) for side in (1, 0))
            made.append(Outcome(key, right, wrong, count))
    return made


def _meets(table: Table, wanted: Filter) -> Bools:
    """(N,): everything but the outcome."""
    kept: Bools = np.ones(len(table.examples), dtype=bool)
    for kind in SLICE_KINDS:
        if name := getattr(wanted, kind.replace(" ", "_")):
            kept &= table.slices[kind] == name
    if wanted.kind or wanted.sure is not None:
        columns = [table.column(wanted.variant)] if wanted.variant else table.columns
        kept &= np.any([_of(column, wanted, table.outcome >= 0) for column in columns], axis=0)
    if needle := wanted.text.strip().casefold():
        passages, place, texts = table.searched
        in_passage = np.array([needle in passage for passage in passages])
        kept &= in_passage[place] | np.array([needle in text for text in texts])
    return kept


def _of(column: Column, wanted: Filter, marked: Bools) -> Bools:
    met: Bools = np.ones(len(column.answers), dtype=bool)
    if wanted.kind:
        if wanted.kind not in KINDS:
            raise _unknown("kind of error", wanted.kind, KINDS)
        met &= column.kind == KINDS.index(wanted.kind)
    if wanted.sure is not None:  # an unknown confidence, NaN, is none
        met &= marked & (column.exact_match < 0.5) & (column.confidence >= wanted.sure)
    return met


def _outcome(table: Table, key: str) -> Bools:
    if not key:
        return np.ones(len(table.examples), dtype=bool)
    if len(key) != len(table.columns) or set(key) - {"0", "1"}:
        raise UserError(
            f"the outcome {quoted(key)} is not a 1 (right) or 0 (wrong) for each of {len(table.columns)} columns"
        )
    return table.outcome == int(key, 2)


@dataclass(frozen=True, slots=True)
class Order:
    """A way to sort: `label` says what comes first and last, `key` gives rows their numbers, the smallest first."""

    label: str
    key: Callable[[Rows], Floats]


def orders(table: Table) -> dict[str, Order]:
    """By key: each variant's F1 ("worst lora", "best lora"), the largest difference, and every two ("lora, base")."""
    found = {}
    if len(table.columns) > 1:
        found["difference"] = Order("Largest difference first", lambda rows: -np.ptp(table.f1[:, rows], axis=0))
    for one, other in permutations(table.columns, 2):
        label = f"{one.label} better → {other.label} better"
        found[f"{one.name}, {other.name}"] = Order(label, partial(_ahead, one, other))
    for one in table.columns:
        found[f"worst {one.name}"] = Order(f"{one.label}: worst first", partial(_score, one, 1))
        found[f"best {one.name}"] = Order(f"{one.label}: best first", partial(_score, one, -1))
    return found


def _ahead(one: Column, other: Column, rows: Rows) -> Floats:
    return other.f1[rows] - one.f1[rows]


def _score(column: Column, sign: int, rows: Rows) -> Floats:
    return sign * column.f1[rows]


def _unknown(what: str, value: Any, known: Sequence[str]) -> UserError:
    return UserError(f"unknown {what} {quoted(value)}: there are {', '.join(known)}")


def saved(variant: Variant, examples: Sequence[Example], fingerprint: str) -> Column | None:
    """The answers that lie in the variant's folder; None where there are none, or none to these questions.

    `fingerprint` is that of `examples`. Raises UserError for a damaged file.
    """
    table = store.read_predictions(variant.folder) if variant.folder else None
    if table is None or table.fingerprint != fingerprint:
        return None
    table = store.in_order(table, examples, fingerprint)
    answers = dict(zip(table.ids, store.answers(table, examples), strict=True))
    return _column(variant.name, variant.label, examples, answers, table.start.tolist(), table.confidence)


def computed(variant: Variant, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Column:
    """The engine's answers, one a question in the same order."""
    answers = {one.id: found.answer for one, found in zip(examples, predictions, strict=True)}
    starts = [one.candidates[0].start if one.candidates else -1 for one in predictions]
    nulls = [one.no_answer_score - one.candidates[0].score if one.candidates else np.nan for one in predictions]
    column = _column(
        variant.name, variant.label, examples, answers, starts, np.array([one.confidence for one in predictions])
    )
    return replace(column, null=np.array(nulls))


def from_file(path: Path, examples: Sequence[Example]) -> Column:
    """Another system's answers, an object `{question id: text}`, as a column named after the file.

    A question that is not in it counts as not answered. Its confidences are not known.

    Raises:
        UserError: the file is over the limits of an upload, no such object, or for none of these questions.
    """
    answers = parse_json(read_upload(path), path.name)
    if not isinstance(answers, dict) or not all(isinstance(text, str) for text in answers.values()):
        raise UserError(f"{path.name} is not a predictions file: it must be one JSON object, {{question id: answer}}")
    if not any(example.id in answers for example in examples):
        raise UserError(f"{path.name} answers none of these questions: its ids are of another data set")
    # half a surrogate pair, which JSON can escape, could be neither shown nor exported
    texts = {one.id: answers[one.id].encode("utf-8", "replace").decode() for one in examples if one.id in answers}
    unknown = np.full(len(examples), np.nan)
    return _column(f"file:{path.stem}", path.name, examples, texts, [-1] * len(examples), unknown)


def _column(
    name: str,
    label: str,
    examples: Sequence[Example],
    answers: Mapping[str, str],
    starts: Sequence[int],
    confidence: Floats,
) -> Column:
    scores = score(answers, examples)
    texts = [answers.get(example.id, "") for example in examples]
    rows = zip(examples, texts, starts, scores.exact_match, scores.f1, strict=True)
    kinds = [KINDS.index(error_kind(one, text, start, exact > 0, f1)) for one, text, start, exact, f1 in rows]
    return Column(
        name=name,
        label=label,
        answers=tuple(texts),
        start=np.array(starts, dtype=np.int32),
        confidence=confidence,
        exact_match=scores.exact_match,
        f1=scores.f1,
        kind=np.array(kinds, dtype=np.int8),
    )
