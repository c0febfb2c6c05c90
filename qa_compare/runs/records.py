"""The records that a training run, an evaluation and an experiment leave: frozen, and checked when they are read.

JSON's objects become dataclasses and typed dictionaries; a fault is told with its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
from numpy.typing import NDArray

from qa_compare.data.examples import SQUAD_VALIDATION
from qa_compare.errors import UserError
from qa_compare.files import read_json
from qa_compare.measure.scoring import Counts, Squad2
from qa_compare.measure.slices import SliceScores
from qa_compare.measure.statistics import FEWEST_UNITS, Units, bootstrap, choose

Kind = TypeVar("Kind")


def structured(kind: type[Kind], value: Any, place: str) -> Kind:
    """`value`, as `json.loads` gives it, as a `kind`. `place` begins every message, such as `lora/metrics.json`.

    Understands dataclasses and TypedDicts (keys that they do not know are passed over), `tuple[X, ...]` from lists,
    `dict[str, X]`, `X | None`, and JSON's own kinds.

    Raises:
        UserError: something is missing, of another kind, or a number that is not finite: `place.key is …`.
    """
    found: Kind = _convert(kind, value, place)
    return found


def _convert(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _convert(next(one for one in inner if one is not NoneType), value, place)
    if origin is tuple:
        rows = _checked(list, value, place, "a list")
        return tuple(_convert(inner[0], row, f"{place}[{index}]") for index, row in enumerate(rows))
    if origin is dict:
        items = _checked(dict, value, place, "an object")
        return {key: _convert(inner[1], one, f"{place}.{key}") for key, one in items.items()}
    if is_dataclass(kind) or is_typeddict(kind):
        return kind(**_members(kind, _checked(dict, value, place, "an object"), place))
    return _plain(kind, value, place)


def _members(kind: Any, value: dict[str, Any], place: str) -> dict[str, Any]:
    own = fields(kind) if is_dataclass(kind) else ()
    optional = {one.name for one in own if one.default is not MISSING or one.default_factory is not MISSING}
    members = {}
    for name, hint in get_type_hints(kind).items():
        if name in value:
            members[name] = _convert(hint, value[name], f"{place}: {name}" if ": " not in place else f"{place}.{name}")
        elif name not in optional:
            raise UserError(f'{place} has no "{name}"')
    return members


def _plain(kind: type, value: Any, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    value = _checked(kind, value, place, words.get(kind, kind.__name__))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{place} is not a finite number")
    return value


def _checked(kind: type, value: Any, place: str, words: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise UserError(f"{place} is not {words}")
    return value


Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was measured on. `fingerprint` is `examples.fingerprint`'s; the counts are those of `scoring.Counts`, and
    `scored` is None in files from before it was recorded."""

    name: str
    fingerprint: str
    questions: int
    scored: int | None = None
    unanswerable: int = 0
    wordless: int = 0

    @property
    def sentences(self) -> tuple[str, ...]:
        """What to say of the questions wherever a score stands."""
        if self.scored is not None:
            return Counts(self.questions, self.scored, self.unanswerable, self.wordless).sentences
        if self.fingerprint == SQUAD_VALIDATION:  # each of its questions has gold answers
            return ()
        return ("Measured by an earlier version, which counted a question without a gold answer as wrong.",)


@dataclass(frozen=True, slots=True)
class Bounds:
    """An interval in percent."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions in percent, with its 95 % bootstrap interval.

    `resampled` names what was resampled as a whole for it: "articles", "passages" or "questions", `units` of them
    (None in files from before that was recorded). `by_question` is the interval that takes every question by itself,
    which is too narrow where questions share an article; None where that is the interval itself.
    """

    value: float
    low: float
    high: float
    resampled: str = field(default="questions", kw_only=True)
    units: int | None = field(default=None, kw_only=True)
    by_question: Bounds | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, scores: Floats, units: Units) -> Estimate:
        """From one score a question, 0 to 1, shape (N,): always the same resamples. Raises ValueError for none."""
        found, alone = bootstrap(scores, units), None
        if units.kind != "questions":
            each = bootstrap(scores)
            alone = Bounds(100 * each.low, 100 * each.high)
        return Estimate(
            100 * found.value,
            100 * found.low,
            100 * found.high,
            resampled=units.kind,
            units=units.count if units.known else None,
            by_question=alone,
        )

    @property
    def over(self) -> str:
        """What the interval is over, to stand behind "95 % interval over": such as "48 articles"."""
        return over(self.resampled, self.units)

    def __str__(self) -> str:
        """Such as 61.2 [60.2, 62.1]."""
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def over(resampled: str, units: int | None) -> str:
    """Such as "48 articles", with a warning where questions were resampled that may resemble each other."""
    if units is None:
        return f"{resampled}, each taken by itself"
    words = f"{units:,} {resampled if units != 1 else resampled.removesuffix('s')}"
    if resampled != "questions":
        return words
    return f"{words} of fewer than {FEWEST_UNITS} passages (too few for an interval to say much)"


def intervals(found: Sequence[tuple[str, Estimate]]) -> list[str]:
    """What the 95 % intervals of these rows, each with its label, are over: a sentence, or one for each kind."""
    labels: dict[str, list[str]] = {}
    for label, one in found:
        labels.setdefault(one.over, []).append(label)
    if len(labels) == 1:
        return [f"95 % intervals over {over}." for over in labels]
    return [f"95 % intervals over {over}: {', '.join(some)}." for over, some in labels.items()]


@dataclass(frozen=True, slots=True)
class BertScore(Estimate):
    """Scores of different `hash` cannot be compared; `encoder` says in words what the hash stands for."""

    hash: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Reliability:
    """Questions of like confidence, `count` of them: from `low` to `high`, mean confidence and accuracy, in percent."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error in percent over equal-mass bins, for all questions and by the passage's windows;
    None where there are no such questions. `reliability` has the bins of all questions."""

    overall: float
    one_window: float | None
    many_windows: float | None
    reliability: tuple[Reliability, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence is from the chance of an exact match, at a temperature of 1 and at the variant's own."""

    temperature: float
    before: CalibrationError
    after: CalibrationError


@dataclass(frozen=True, slots=True)
class Metrics:
    """`metrics.json`: one variant on one data set, in percent, over its questions with gold answers. `weights` has the
    SHA-256 of the files it was measured on, by `folder/file`; None in those from before that was recorded. `squad2` is
    there where the data set marks unanswerable questions."""

    dataset: Dataset
    exact_match: Estimate
    f1: Estimate
    calibration: Calibration
    slices: tuple[SliceScores, ...]
    questions_per_second: float
    precision: str
    bertscore: BertScore | None = None
    weights: dict[str, str] | None = None
    squad2: Squad2 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PredictionTable:
    """`predictions.parquet`: columns of N questions, N >= 1. No text of the data set is in it.

    `start` and `end` count characters of the passage and are -1 where there is no answer, whose `score` (logits) is
    NaN. `confidence`, `exact_match`, `f1` and `bertscore` are 0 to 1, the last three NaN where the question has no gold
    answer; `windows` counts the passage's windows. `article` and `passage` number the question's, in the order of the
    data set (-1: it has no title), so that they can be resampled without it; None in files from before they were
    recorded. `null` is the null score (logits), kept where the data set marks unanswerable questions.
    """

    fingerprint: str
    ids: tuple[str, ...]
    start: Ints
    end: Ints
    score: Floats
    confidence: Floats
    exact_match: Floats
    f1: Floats
    windows: Ints
    bertscore: Floats | None = None
    bertscore_hash: str | None = None
    article: Ints | None = None
    passage: Ints | None = None
    null: Floats | None = None

    @property
    def scored(self) -> Bools:
        """Which questions have a gold answer, shape (N,)."""
        return ~np.isnan(self.f1)

    @property
    def units(self) -> Units:
        """What to resample of the scored questions, in the table's order."""
        article, passage = (None if one is None else one[self.scored] for one in (self.article, self.passage))
        return choose(article, passage, int(self.scored.sum()))


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that a run read, by name and SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RunData:
    """What a run learned from. `train_files` is empty for SQuAD's training questions from the hub; `summary` says in
    words what was left out, and why, or is None in records from before that was counted."""

    train_files: tuple[DataFile, ...]
    train_questions: int
    validation_questions: int
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """`run.json`: one training run. `continued_from` is the same object of the run before, if there was one."""

    method: str
    hyperparameters: dict[str, Any]
    data: RunData
    trainable_parameters: int
    total_parameters: int
    steps: int
    seconds: float
    best_step: int
    stopped: str
    precision: str
    device: str
    continued_from: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A line of `log.jsonl`: a training or an evaluation event; what it has not, or is not finite, is None."""

    step: int
    epoch: float
    seconds: float
    loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    eval_loss: float | None = None
    eval_exact_match: float | None = None
    eval_f1: float | None = None


SAMPLE_EFFICIENCY, ABLATION = "sample_efficiency.json", "ablation.json"


@dataclass(frozen=True, slots=True)
class ScoredOn:
    """The questions that every training of the experiment was scored on."""

    name: str
    questions: int


@dataclass(frozen=True, slots=True)
class Result:
    """One training's scores in percent. `step` names a step of the ablation; `train_questions` and `steps` (of the
    optimiser) belong to sample efficiency, and are None for the base, which is not trained there."""

    method: str
    exact_match: Estimate
    f1: Estimate
    step: str | None = None
    train_questions: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """The results so far, in the order they were found."""

    scored_on: ScoredOn
    results: tuple[Result, ...]

    @property
    def methods(self) -> list[str]:
        """In the order they were found, the base first."""
        return list(dict.fromkeys(row.method for row in self.results))

    @property
    def steps(self) -> list[str]:
        """Of the ablation, in their order: prompt tuning has them all, the others not those of virtual tokens."""
        ordered = sorted(self.results, key=lambda row: row.method != "prompt-tuning")
        return list(dict.fromkeys(row.step for row in ordered if row.step))


def read_experiment(path: Path) -> Experiment | None:
    """An experiment's results; None where it has none yet. Raises UserError for a damaged file."""
    found = structured(Experiment, read_json(path), str(path)) if path.exists() else None
    return found if found and found.results else None
