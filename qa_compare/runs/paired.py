"""Every two variants on the same questions: how much one is ahead, how sure that is, and both in words.

Articles (or passages) are resampled as wholes, and p-values are corrected for the number of pairs that are compared: of
21 pairs without any difference, one would otherwise have a p below 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa_compare.measure.statistics import McNemar, PairedDifference, holm, mcnemar, paired_difference
from qa_compare.models.backbones import Backbone
from qa_compare.models.variants import discover
from qa_compare.runs.records import PredictionTable, over
from qa_compare.runs.store import read_predictions

Floats = NDArray[np.float64]

_SURE = 0.05  # a corrected p-value below it, and 0 outside the interval, is a difference
_ROUNDING = 1e-9  # what adding floats may leave of an interval that ends at 0


@dataclass(frozen=True, slots=True)
class Corrected:
    """The p-values of a pair, corrected by Holm's method for `pairs` pairs, each score for itself."""

    f1: float
    exact_match: float
    mcnemar: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants by their labels, on the `questions` that have gold answers; `left_out` counts the others.

    Differences are `a` minus `b`, in points of percent. Their intervals and p-values are over `resampled` ("articles",
    "passages" or "questions"), `units` of them, None where no file says which questions share an article. McNemar's
    `only_a` and `only_b` count the questions that one alone matches exactly; that test takes each question by itself.
    """

    a: str
    b: str
    fingerprint: str
    questions: int
    left_out: int
    resampled: str
    units: int | None
    f1: PairedDifference
    exact_match: PairedDifference
    mcnemar: McNemar
    corrected: Corrected

    @property
    def sentences(self) -> tuple[str, str, str]:
        """F1, exact match and McNemar's test in words, with the corrected p-values."""
        return (
            _sentence(self.a, self.b, "F1", self.f1, self.corrected.f1),
            _sentence(self.a, self.b, "exact match", self.exact_match, self.corrected.exact_match),
            (
                f"Only {self.a} matches {self.mcnemar.only_a:,} of {self.questions:,} questions exactly, only {self.b} "
                f"{self.mcnemar.only_b:,} (McNemar's test, each question by itself: {_p(self.corrected.mcnemar)})."
            ),
        )

    @property
    def basis(self) -> str:
        """What intervals and p-values of this pair rest on, in a sentence or two."""
        found = f"95 % intervals and p-values over {over(self.resampled, self.units)}."
        if self.corrected.pairs > 1:
            found += (
                f" The p-values are corrected for {self.corrected.pairs:,} pairs (Holm's method), the intervals not."
            )
        if self.left_out:
            asked = self.questions + self.left_out
            found += f" Left out, since they have no gold answer: {self.left_out:,} of {asked:,} questions."
        return found

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {**asdict(self), "sentences": list(self.sentences)}


def pairs(tables: Mapping[str, PredictionTable]) -> list[Pair]:
    """Every two of the tables, by label, that were made on the same data set; the later in the mapping is `a`.

    10,000 bootstrap resamples a difference, always of the same seed.
    """
    return corrected(
        [
            pair(a, b, tables[a], tables[b])
            for b, a in combinations(tables, 2)
            if tables[a].fingerprint == tables[b].fingerprint
        ]
    )


def corrected(found: Sequence[Pair]) -> list[Pair]:
    """The same pairs with their p-values corrected for the number of those on the same data set."""
    made = list(found)
    for fingerprint in {one.fingerprint for one in found}:
        rows = [row for row, one in enumerate(found) if one.fingerprint == fingerprint]
        family = [found[row] for row in rows]
        p = zip(
            holm([one.f1.p for one in family]),
            holm([one.exact_match.p for one in family]),
            holm([one.mcnemar.p for one in family]),
            strict=True,
        )
        for row, values in zip(rows, p, strict=True):
            made[row] = replace(found[row], corrected=Corrected(*values, len(rows)))
    return made


def pair(a: str, b: str, first: PredictionTable, second: PredictionTable) -> Pair:
    """Two tables of the same data set, in any order of its questions, as if they were the only pair."""
    rows = [_scored(first), _scored(second)]
    known = first if first.units.known else second
    place = np.cumsum(known.scored) - 1  # of a scored row among the scored ones
    units = replace(known.units, of=known.units.of[place[_scored(known)]])

    def scores(name: str) -> tuple[Floats, Floats]:
        return 100 * getattr(first, name)[rows[0]], 100 * getattr(second, name)[rows[1]]

    f1, exact = (paired_difference(*scores(name), units) for name in ("f1", "exact_match"))
    test = mcnemar(*scores("exact_match"))
    return Pair(
        a=a,
        b=b,
        fingerprint=first.fingerprint,
        questions=len(rows[0]),
        left_out=len(first.ids) - len(rows[0]),
        resampled=units.kind,
        units=units.count if units.known else None,
        f1=f1,
        exact_match=exact,
        mcnemar=test,
        corrected=Corrected(f1.p, exact.p, test.p, 1),
    )


def _scored(table: PredictionTable) -> NDArray[np.intp]:
    """The rows of the scored questions, in the order of their ids."""
    order = np.argsort(np.array(table.ids))
    return order[table.scored[order]]


def saved(backbone: Backbone, adapters: Path) -> dict[str, PredictionTable]:
    """The predictions that lie in the folders of a backbone's variants, by label, in the order of the page.

    Raises:
        UserError: a damaged file.
    """
    found = {}
    for variant in discover(backbone, adapters):
        table = read_predictions(variant.folder) if variant.folder else None
        if table is not None:
            label = variant.label if variant.label not in found else f"{variant.label} ({variant.name})"
            found[label] = table
    return found


def _sentence(a: str, b: str, score: str, found: PairedDifference, p: float) -> str:
    """Such as "LoRA is ahead of Base by 3.1 F1 [2.5, 3.7], p < 0.001."; `p` is the corrected one, which decides."""
    difference, low, high = found.difference, found.low, found.high
    if difference < 0:
        a, b, difference, low, high = b, a, -difference, -high, -low
    points = "z.1f" if difference >= 1 else "z.2f"  # 0.04 points are not 0.0, and nothing is -0.0
    interval = f"[{low:{points}}, {high:{points}}]"
    if low <= _ROUNDING or p >= _SURE:
        return f"{a} and {b} cannot be told apart in {score}: {difference:{points}} {interval}, {_p(p)}."
    return f"{a} is ahead of {b} by {difference:{points}} {score} {interval}, {_p(p)}."


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
