"""A random question with a purpose: the variants disagree, only LoRA is right, or nobody is.

Where the answers to a source are known (saved by an evaluation of these very questions, or computed in the error
inspection), all of them are looked through; else questions are answered in a random order until one fits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.measure.scoring import normalize_answer
from qa_compare.models.variants import LABELS, Variant
from qa_compare.workbench import table as answer_columns
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.table import Table

AT_ONCE = 16  # questions that are answered before one looks whether one of them fits
MOST = 256  # questions that are answered before one gives up
ONLY = "lora"
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Purpose:
    """`fits` tells for each question of a table whether it is wanted; `none` says that there is none, in a clause."""

    label: str
    fits: Callable[[Table], Bools]
    none: str
    marked: bool = True


def _disagree(table: Table) -> Bools:
    answers = zip(*(map(normalize_answer, column.answers) for column in table.columns), strict=True)
    return np.array([len(set(given)) > 1 for given in answers], dtype=bool)


def _only(table: Table) -> Bools:
    size = len(table.columns)
    place = [column.name for column in table.columns].index(ONLY)
    return table.outcome == 1 << (size - 1 - place)


def _nobody(table: Table) -> Bools:
    return table.outcome == 0


ANY = "any"
PURPOSES = {
    "disagree": Purpose("Variants disagree", _disagree, "that the variants shown answer differently", marked=False),
    "only": Purpose(f"Only {LABELS[ONLY]} is right", _only, f"that only {LABELS[ONLY]} gets right"),
    "nobody": Purpose("Nobody is right", _nobody, "that every variant shown gets wrong"),
}


def pick(inspector: Inspector, wanted: Wanted, purpose: str, current: str | None = None) -> Example:
    """Some question of the source that meets the purpose, not `current` where there is another.

    Raises:
        UserError: there is none, or none was found among those that were tried; the questions or the models cannot be
            had; too few variants are shown for the purpose.
    """
    questions = inspector.service.questions(wanted.source, wanted.upload)
    if purpose == ANY:
        return _some(questions.examples, current)
    asked = PURPOSES[purpose]
    answering = _answering(inspector, wanted, purpose)
    if asked.marked and not any(example.answers for example in questions.examples):
        raise UserError("None of these questions has a gold answer, so nobody can be right or wrong")
    view = inspector.view(wanted)
    if view.table is not None and len(view.table.columns) == len(answering):
        rows = np.flatnonzero(asked.fits(view.table))
        if not len(rows):
            raise UserError(_none(len(questions.examples), len(questions.examples), asked))
        return _some([questions.examples[row] for row in rows], current)
    return _search(inspector, wanted, answering, questions.examples, asked, current)


def _some(examples: Sequence[Example], current: str | None) -> Example:
    return random.choice([example for example in examples if example.id != current] or examples)


def _none(tried: int, total: int, asked: Purpose) -> str:
    if tried == total:
        return f"There is no question {asked.none} among all {total:,} of this source"
    return f"No question {asked.none} was found among {tried:,} tried at random, of {total:,}: try again"


def _answering(inspector: Inspector, wanted: Wanted, purpose: str) -> list[Variant]:
    """The variants shown that can answer, or have answered."""
    engine = inspector.service.engines[wanted.backbone]
    can = {variant.name for variant in inspector.available(wanted.backbone)}
    found = [engine.variant(name) for name in wanted.variants or engine.default_variants if name in can]
    if purpose == "only" and ONLY not in {variant.name for variant in found}:
        raise UserError(f"{LABELS[ONLY]} is not among the variants that are shown here: choose it first")
    if len(found) < 2 and purpose != "nobody":
        raise UserError("This takes two variants that can answer: choose another one first")
    if not found:
        raise UserError("No variant of this backbone can answer")
    return found


def _search(
    inspector: Inspector,
    wanted: Wanted,
    variants: Sequence[Variant],
    examples: Sequence[Example],
    asked: Purpose,
    current: str | None,
) -> Example:
    ready = inspector.service.readiness(wanted.backbone)
    if not ready.ready:
        raise UserError(ready.detail)
    engine = inspector.service.engines[wanted.backbone]
    order = [one for one in examples if one.id != current and (one.answers or not asked.marked)]
    random.shuffle(order)
    # the one that is shown comes last: it is better than none
    order += [one for one in examples if one.id == current and (one.answers or not asked.marked)]
    for first in range(0, min(len(order), MOST), AT_ONCE):
        some = order[first : first + AT_ONCE]
        columns = tuple(
            answer_columns.computed(variant, some, engine.predict(some, variant.name, top=1)) for variant in variants
        )
        if len(rows := np.flatnonzero(asked.fits(Table(tuple(some), columns)))):
            return some[rows[0]]
    raise UserError(_none(min(len(order), MOST), len(order), asked))
