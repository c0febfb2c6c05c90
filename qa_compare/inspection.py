"""What the error inspection asks: the table for a source of questions, and the answers that are missing from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa_compare import answer_columns
from qa_compare.analysis import Column, Table
from qa_compare.answering import Pace, Progress, advance, keep
from qa_compare.errors import UserError
from qa_compare.predictions import Prediction
from qa_compare.runs import PREDICTIONS
from qa_compare.service import SAMPLE, Questions, Service
from qa_compare.variants import Variant

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
        self._columns: dict[tuple[Any, ...], Column] = {}
        self._tables: dict[tuple[Any, ...], Table] = {}
        self._without: dict[tuple[Any, ...], bool] = {}  # what was looked for in a variant's folder, and is not there
        self._begun: dict[tuple[Any, ...], _Begun] = {}
        self._lock = threading.Lock()
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
                column = self._column(questions, wanted.backbone, variant)
            except UserError as error:
                problems.append(str(error))
                continue
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
        key = (view.questions.key, wanted.backbone, variant.name, 0)
        with self._lock:
            if key in self._columns:  # somebody else was faster
                return
            begun = keep(self._begun, key, _COLUMNS, _Begun)
        yield len(begun.found)
        while len(begun.found) < len(examples):
            with begun.step:
                if len(begun.found) < len(examples):
                    advance(engine, examples, variant.name, begun.found, cancelled, pace)
            yield len(begun.found)
        column = answer_columns.computed(variant, examples, begun.found)
        with self._lock:
            keep(self._columns, key, _COLUMNS, lambda: column)
            self._begun.pop(key, None)

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

    def _column(self, questions: Questions, backbone: str, variant: Variant) -> Column | None:
        """The saved answers or, where there are none to these questions, those computed before."""
        computed = (questions.key, backbone, variant.name, 0)
        key = (*computed[:3], _saved_at(variant))
        if key in self._columns:
            return self._columns[key]
        if key not in self._without:
            if column := answer_columns.saved(variant, questions.examples, questions.fingerprint):
                return keep(self._columns, key, _COLUMNS, lambda: column)
            keep(self._without, key, _COLUMNS, lambda: True)
        return self._columns.get(computed)

    def _file(self, questions: Questions, path: str) -> Column:
        key = (questions.key, "file", path)
        return keep(self._columns, key, _COLUMNS, lambda: answer_columns.from_file(Path(path), questions.examples))

    def _table(self, questions: Questions, columns: list[Column]) -> Table | None:
        if not columns:
            return None
        key = (questions.key, *map(id, columns))  # a table holds its columns, so that no id is used anew
        return keep(self._tables, key, _TABLES, lambda: Table(questions.examples, tuple(columns)))


def _saved_at(variant: Variant) -> int:
    """When the variant's answers were saved, in nanoseconds; 0 where there are none."""
    path = variant.folder / PREDICTIONS if variant.folder else None
    return path.stat().st_mtime_ns if path and path.exists() else 0
