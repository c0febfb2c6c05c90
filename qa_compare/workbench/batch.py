"""A file of one's own questions: checked, answered by several variants, and scored where it has gold answers.

The variants keep step, so that a run which was cut has answered the same questions with each of them.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from qa_compare.data.examples import Example
from qa_compare.data.readers import FileCheck, Problem, check_upload
from qa_compare.errors import OverLimit, UserError
from qa_compare.inference.decoding import Overlong, Prediction
from qa_compare.inference.engine import AnswerCache, Cancelled, Engine
from qa_compare.measure.scoring import Counts, Squad2, has_gold, normalize_answer, nothing_left, squad2, units
from qa_compare.measure.statistics import Units
from qa_compare.models.registry import Loaded
from qa_compare.models.variants import Variant
from qa_compare.runs.records import Estimate
from qa_compare.workbench import table as answer_columns
from qa_compare.workbench.answers import MAX_COLUMNS, Pace, Progress, advance
from qa_compare.workbench.service import Service
from qa_compare.workbench.table import Column, Table

_KEPT = 6  # files whose answers are kept in memory; 20,000 answers of a variant take some 10 MB


@dataclass(frozen=True)
class Checked:
    """A file's good rows, the problems of the others, and notes on gold answers that cost no row.

    `told` says in one line which columns were taken for what, and how many gold answers were read.
    """

    name: str
    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()
    told: str = ""

    @classmethod
    def of(cls, found: FileCheck, name: str) -> Checked:
        """What was read from a file of that name."""
        return cls(name, tuple(found.examples), tuple(found.problems), tuple(found.notes), found.told)

    @cached_property
    def gold(self) -> int:
        """How many questions have a gold answer."""
        return sum(bool(example.answers) for example in self.examples)


@dataclass(frozen=True, slots=True)
class Scores:
    """One variant on the questions that have gold answers, in percent; None where no question has one.

    `confidence` is the mean over all questions, in percent; `squad2` is there where some are marked as unanswerable.
    """

    variant: str
    label: str
    exact_match: Estimate | None
    f1: Estimate | None
    confidence: float
    squad2: Squad2 | None


@dataclass(frozen=True, eq=False)
class Result:
    """The questions that every chosen variant has answered, the file's first ones, out of `asked`.

    `problems` say which of the chosen variants could not answer, and why; `warnings` are about all of the answers.
    `overlong` says which of the answered questions were cut, and how many gold answers are too long to be given.
    """

    table: Table
    asked: int
    problems: tuple[str, ...]
    overlong: Overlong
    warnings: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many questions all of the variants have answered."""
        return len(self.table.examples)

    @property
    def partial(self) -> bool:
        """Whether the run was cut."""
        return self.done < self.asked

    @cached_property
    def counts(self) -> Counts:
        """How many of the answered questions are scored, and what the others are."""
        return Counts.of(self.table.examples)

    @cached_property
    def units(self) -> Units:
        """What the intervals resample."""
        return units(self.table.examples)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What to know of the answers and scores: a sentence, without a full stop, for each limit and oddity."""
        odd = [f"{one.label}: {told}" for one in self.table.columns if (told := nothing_left(one.exact_match, one.f1))]
        return (*self.overlong.sentences, *odd)

    @cached_property
    def scores(self) -> tuple[Scores, ...]:
        """A row for each variant, with 95 % bootstrap intervals over `units`."""
        return tuple(self._scores(column) for column in self.table.columns)

    def _scores(self, column: Column) -> Scores:
        scored, examples = has_gold(self.table.examples), self.table.examples
        exact, f1 = (
            Estimate.of(values[scored], self.units) if scored.any() else None
            for values in (column.exact_match, column.f1)
        )
        confidence = 100 * float(column.confidence.mean())
        return Scores(column.name, column.label, exact, f1, confidence, squad2(column.answers, examples, column.null))

    @cached_property
    def agreeing(self) -> int:
        """To how many questions all variants give the same answer, as SQuAD compares texts."""
        rows = zip(*(column.answers for column in self.table.columns), strict=True)
        return sum(len({normalize_answer(answer) for answer in row}) == 1 for row in rows)


@dataclass(eq=False)
class _Found:
    """A variant as it was when its answers were begun, and the answers so far."""

    variant: Variant
    key: str
    answers: list[Prediction] = field(default_factory=list)


class Answers:
    """What the variants of one engine have answered to these questions so far."""

    def __init__(self, engine: Engine, examples: Sequence[Example]) -> None:
        self._engine = engine
        self._examples = tuple(examples)
        self._found: dict[str, _Found] = {}
        self._problems: dict[str, str] = {}
        self._made: tuple[tuple[_Found, ...], int, Result] | None = None
        self._step = threading.Lock()  # who holds it finds the next answers: several who run a file share them

    def find(self, names: Sequence[str], cancelled: Callable[[], bool]) -> Iterator[Progress]:
        """Answer what these variants have not answered yet, always with the one that is the furthest behind.

        Raises:
            UserError: there is no variant of one of the names, or none of them could be loaded.
            Cancelled: soon after `cancelled()` is true; what was answered is kept.
        """
        going = {name: self._begin(self._engine.variant(name)) for name in names}
        loaded: dict[str, Loaded] = {}  # to the end of this run, whatever becomes of their folders meanwhile
        pace = Pace()
        told = self._progress(pace, going)
        yield told
        while going:
            if cancelled():  # before one waits for somebody else's step
                raise Cancelled
            with self._step:
                name = min(going, key=lambda one: len(going[one].answers))
                if len(going[name].answers) == len(self._examples):
                    break
                try:
                    if name not in loaded:
                        loaded[name] = self._engine.load(name)
                        going[name] = self._known(loaded[name].variant, loaded[name].key)
                    found = going[name].answers
                    ahead = max(len(one.answers) for one in going.values())
                    # whoever is behind goes as far as the others are, and no further
                    part = self._examples[:ahead] if ahead > len(found) else self._examples
                    advance(self._engine, part, loaded[name], found, cancelled, pace)
                except UserError as error:
                    self._problems[name] = f"{going.pop(name).variant.label} cannot answer: {error}"
                    continue
            told = self._progress(pace, going)
            yield told
        else:
            raise UserError("; ".join(dict.fromkeys(self._problems[name] for name in names)))
        last = self._progress(pace, going)
        if last.done > told.done:  # somebody else took the last step
            yield last

    def _begin(self, variant: Variant) -> _Found:
        with self._step:
            self._problems.pop(variant.name, None)
            return self._known(variant, self._engine.key(variant))

    def _known(self, variant: Variant, key: str) -> _Found:
        """What the variant has found, or nothing yet where its weights are others since."""
        known = self._found.get(variant.name)
        if known is None or known.key != key:
            known = self._found[variant.name] = _Found(variant, key)
        return known

    def _progress(self, pace: Pace, going: dict[str, _Found]) -> Progress:
        done = sum(len(found.answers) for found in going.values())
        label = ", ".join(found.variant.label for found in going.values())
        return pace.at(done, len(going) * len(self._examples), label)

    def result(self, names: Sequence[str]) -> Result | None:
        """The answers of these variants as far as they go; None where there is no question that all have answered."""
        able = tuple(self._found[name] for name in names if name in self._found and name not in self._problems)
        done = min((len(found.answers) for found in able), default=0)
        if not done or len(able) + sum(name in self._problems for name in names) < len(names):
            return None
        made = self._made
        if not made or made[:2] != (able, done):
            made = self._made = (able, done, self._result(names, able, done))
        return made[2]

    def _result(self, names: Sequence[str], able: Sequence[_Found], done: int) -> Result:
        examples = self._examples[:done]
        columns = [answer_columns.computed(found.variant, examples, found.answers[:done]) for found in able]
        problems = tuple(self._problems[name] for name in names if name in self._problems)
        overlong, warnings = self._engine.overlong(examples), self._engine.warnings
        return Result(Table(examples, tuple(columns)), len(self._examples), problems, overlong, warnings)


class Batches:
    """The files that visitors brought, and what was answered to them: of those used last."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._answers = AnswerCache[Answers](_KEPT)

    def available(self, backbone: str) -> list[Variant]:
        """The variants that can be asked."""
        return [one for one in self.service.engines[backbone].variants if one.shipped and not one.problem]

    def find(
        self, backbone: str, upload: str, names: Sequence[str], cancelled: Callable[[], bool]
    ) -> Iterator[Progress]:
        """Answer the good rows of the file `upload` with these variants; a run that was cut goes on where it was.

        Raises:
            UserError: the file has no good row, or the backbone or none of the variants is at hand.
            Cancelled: soon after `cancelled()` is true; what was answered is kept.
        """
        ready = self.service.readiness(backbone)
        if not ready.ready:
            raise UserError(ready.detail)
        examples = check(Path(upload)).examples
        if not examples:
            raise UserError("no row of the file holds a usable question")
        engine = self.service.engines[backbone]
        names = variants(engine, names)
        answers = self._answers.made((upload, backbone), lambda: Answers(engine, examples))
        yield from answers.find(names, cancelled)

    def result(self, backbone: str, upload: str, names: Sequence[str]) -> Result | None:
        """What was answered to that file; None where that is nothing, or was let go since."""
        answers = self._answers.get((upload, backbone))
        return answers.result(names) if answers else None


@lru_cache(maxsize=4)  # uploads never change: their folder is named after their bytes
def check(path: Path) -> Checked:
    """Read a file of questions, with or without gold answers, and list what is wrong with it.

    Raises:
        UserError: the file as a whole cannot be read, or is more than the page takes: then it names the command to use.
    """
    try:
        found = check_upload(path)
    except OverLimit as error:
        command = f"python -m qa_compare predict {shlex.quote(path.name)} --variant lora --output answers.json"
        raise UserError(f"{error}. Without a limit, it is answered by: {command}") from error
    return Checked.of(found, path.name)


def variants(engine: Engine, names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once; the variants shown by default where there are none.

    Raises:
        UserError: there is no variant of one of the names, or there are more than six.
    """
    chosen = tuple(dict.fromkeys(engine.variant(name).name for name in names)) or engine.default_variants
    if len(chosen) > MAX_COLUMNS:
        raise UserError(f"at most {MAX_COLUMNS} variants are run at once: take one away first")
    return chosen
