"""What the error inspection asks: the table for a source of questions, and the answers that are missing from it.

Answers to many questions are found a step at a time, so that progress, the time left and cancelling are always known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.inference.decoding import Prediction
from qa_compare.inference.engine import AnswerCache, Cancelled, Engine, Key
from qa_compare.models.registry import Loaded
from qa_compare.models.variants import Variant
from qa_compare.runs.store import PREDICTIONS, read_metrics, sentence, stale
from qa_compare.workbench import table as answer_columns
from qa_compare.workbench.service import SAMPLE, Questions, Service
from qa_compare.workbench.table import Column, Table

LEAST_STEP, MOST_STEP = 16, 256  # questions between two reports of progress: a slow processor also reports often


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` answers, now those of `label`; `left` estimates the seconds to go, None where it cannot yet."""

    done: int
    total: int
    label: str
    left: float | None


class Pace:
    """How fast the answering goes, from the moment that this is made."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._made = 0
        self.step = LEAST_STEP

    def count(self, made: int, seconds: float) -> None:
        """So many answers were found in that time: the next step is to take between one second and four."""
        self._made += made
        if seconds < 1:
            self.step = min(2 * self.step, MOST_STEP)
        elif seconds > 4:
            self.step = max(self.step // 2, LEAST_STEP)

    def at(self, done: int, total: int, label: str) -> Progress:
        """Of the `done` answers, those that were there before this pace are not counted for the time that is left."""
        spent = time.perf_counter() - self._begun
        return Progress(done, total, label, spent / self._made * (total - done) if self._made else None)


def advance(
    engine: Engine,
    examples: Sequence[Example],
    variant: str | Loaded,
    found: list[Prediction],
    cancelled: Callable[[], bool],
    pace: Pace,
) -> None:
    """Add the variant's answers to the next of the questions, a step of the pace, to those that were `found`.

    Raises:
        UserError: the variant cannot be loaded.
        Cancelled: soon after `cancelled()` is true; `found` is then as it was.
    """
    if cancelled():
        raise Cancelled
    begun = time.perf_counter()
    some = engine.predict(examples[len(found) : len(found) + pace.step], variant, top=1, cancelled=cancelled)
    found += some
    pace.count(len(some), time.perf_counter() - begun)


AT_ONCE = 256  # missing answers to so many questions are found without being asked for
MAX_COLUMNS = 6
_TABLES, _COLUMNS = 4, 32  # kept in memory: a table of SQuAD's validation questions takes some 30 MB, a column 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which questions and which columns: the variants by name (none: those shown by default), and predictions files."""

    backbone: str
    source: str = SAMPLE
    upload: str = ""
    variants: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """The questions, the table of the answers there are (None: no column yet), and the variants that lack theirs.

    `problems` are sentences about columns that cannot be had, `warnings` about answers that are computed here.
    """

    questions: Questions
    table: Table | None
    missing: tuple[Variant, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(eq=False)
class _Begun:
    """The answers of one variant that were `found` so far; who holds `step` finds the next ones."""

    found: list[Prediction] = field(default_factory=list)
    step: threading.Lock = field(default_factory=threading.Lock)


class Inspector:
    """The tables that visitors look at, shared where they look at the same; answers are found once, and kept."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._columns = AnswerCache[Column](_COLUMNS)
        self._tables = AnswerCache[Table](_TABLES)
        # what was looked for in a variant's folder and cannot be had; with a sentence where there is something to say
        self._without = AnswerCache[str](_COLUMNS)
        self._begun = AnswerCache[_Begun](_COLUMNS)
        self._beside: threading.Thread | None = None

    def available(self, backbone: str) -> list[Variant]:
        """The variants that can be columns: those with weights, or with saved answers at least."""
        found = self.service.engines[backbone].variants
        return [one for one in found if not one.problem and (one.shipped or _saved_at(one))]

    def view(self, wanted: Wanted) -> View:
        """The table as far as its answers are known.

        Raises:
            UserError: the questions cannot be had, there is no such variant, or there are more than six columns.
        """
        questions = self.service.questions(wanted.source, wanted.upload)
        engine = self.service.engines[wanted.backbone]
        variants = [engine.variant(name) for name in wanted.variants or engine.default_variants]
        if len(variants) + len(wanted.files) > MAX_COLUMNS:
            raise UserError(f"at most {MAX_COLUMNS} columns are compared: take one away first")
        columns, missing, problems = [], [], []
        for variant in variants:
            try:
                column, why = self._column(questions, wanted.backbone, variant)
            except UserError as error:
                problems.append(str(error))
                continue
            problems += [why] * bool(why)
            if column:
                columns.append(column)
            elif variant.problem or not variant.shipped:
                problems.append(variant.problem or f"{variant.label} has no saved answers to these questions")
            else:
                missing.append(variant)
        for path in wanted.files:
            try:
                columns.append(self._file(questions, path))
            except UserError as error:
                problems.append(str(error))
        return View(questions, self._table(questions, columns), tuple(missing), tuple(problems), engine.warnings)

    def compute(self, wanted: Wanted, cancelled: Callable[[], bool]) -> Iterator[Progress]:
        """Find the answers that are missing, a variant after the other; what is found is kept, also when cancelled.

        Several threads that want the same answers take turns at the steps: none is found twice.

        Raises:
            UserError: the backbone is not at hand, or, after the others were answered, a variant could not be loaded.
            Cancelled: soon after `cancelled()` is true.
        """
        view = self.view(wanted)
        ready = self.service.readiness(wanted.backbone)
        if view.missing and not ready.ready:
            raise UserError(ready.detail)
        size, pace, problems = len(view.questions.examples), Pace(), []
        for place, variant in enumerate(view.missing):
            try:
                for done in self._answer(view, wanted, variant, cancelled, pace):
                    yield pace.at(done + place * size, size * len(view.missing), variant.label)
            except UserError as error:
                problems.append(str(error))
        if problems:
            raise UserError("; ".join(problems))

    def _answer(
        self, view: View, wanted: Wanted, variant: Variant, cancelled: Callable[[], bool], pace: Pace
    ) -> Iterator[int]:
        examples, engine = view.questions.examples, self.service.engines[wanted.backbone]
        loaded = engine.load(variant.name)  # to the end, whatever becomes of its folder meanwhile
        key = _computed(view.questions, wanted.backbone, loaded.key)
        if self._columns.get(key):  # somebody else was faster
            return
        begun = self._begun.made(key, _Begun)
        if self._columns.get(key):  # or has been since
            self._begun.drop(key)
            return
        yield len(begun.found)
        while len(begun.found) < len(examples):
            with begun.step:
                if len(begun.found) < len(examples):
                    advance(engine, examples, loaded, begun.found, cancelled, pace)
            yield len(begun.found)
        self._columns.made(key, lambda: answer_columns.computed(loaded.variant, examples, begun.found))
        self._begun.drop(key)

    def answer_sample_beside(self, after: threading.Thread) -> threading.Thread:
        """Find the built-in sample's answers in a thread of its own once `after` has ended, before anybody asks."""

        def work() -> None:
            after.join()
            with suppress(UserError):  # who opens the tab is told what is missing
                for _progress in self.compute(Wanted(self.service.backbone), lambda: False):
                    pass

        self._beside = threading.Thread(target=work, name="sample", daemon=True)
        self._beside.start()
        return self._beside

    @property
    def begins(self) -> bool:
        """Whether the built-in sample is being answered beside: whoever asks for it may come again."""
        return self._beside is not None and self._beside.is_alive()

    def _column(self, questions: Questions, backbone: str, variant: Variant) -> tuple[Column | None, str]:
        """The saved answers or, where these weights have left none to these questions, those computed before; and why
        the saved ones are not shown, where that is not plain."""
        computed = _computed(questions, backbone, self.service.engines[backbone].key(variant))
        key = (*computed, _saved_at(variant))
        if column := self._columns.get(key):
            return column, ""
        why = self._without.get(key)
        if why is None:
            column, why = answer_columns.saved(variant, questions.examples, questions.fingerprint), ""
            if column and self._stale(backbone, variant):
                column, why = None, sentence(variant.name)
            if column:
                self._columns.put(key, column)
                return column, ""
            self._without.put(key, why)
        return self._columns.get(computed), why

    def _stale(self, backbone: str, variant: Variant) -> bool:
        """Whether the saved answers are other weights' than those that lie there now."""
        metrics = read_metrics(variant.folder) if variant.folder else None
        return metrics is not None and stale(metrics, variant.name, self.service.engines[backbone].variants)

    def _file(self, questions: Questions, path: str) -> Column:
        key = (questions.key, "file", path)
        return self._columns.made(key, lambda: answer_columns.from_file(Path(path), questions.examples))

    def _table(self, questions: Questions, columns: list[Column]) -> Table | None:
        if not columns:
            return None
        key = (questions.key, *map(id, columns))  # a table holds its columns, so that no id is used anew
        return self._tables.made(key, lambda: Table(questions.examples, tuple(columns)))


def _computed(questions: Questions, backbone: str, weights: str) -> Key:
    """What the answers of a variant with these weights to these questions are kept under."""
    return questions.key, backbone, weights


def _saved_at(variant: Variant) -> int:
    """When the variant's answers were saved, in nanoseconds; 0 where there are none."""
    try:
        return (variant.folder / PREDICTIONS).stat().st_mtime_ns if variant.folder else 0
    except OSError:  # or the folder is gone since it was found
        return 0
