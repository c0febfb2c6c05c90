"""Every two variants on the same questions: how much one is ahead, how sure that is, and both in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa_compare.backbones import Backbone
from qa_compare.records import PredictionTable
from qa_compare.runs import read_predictions
from qa_compare.statistics import McNemar, PairedDifference, mcnemar, paired_difference
from qa_compare.variants import discover

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # what adding floats may leave of an interval that ends at 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants by their labels, on `questions` questions. Differences are `a` minus `b`, in points of percent.

    McNemar's `only_a` and `only_b` count the questions that one alone matches exactly. No p-value is corrected for
    the number of pairs that are looked at.
    """

    a: str
    b: str
    fingerprint: str
    questions: int
    f1: PairedDifference
    exact_match: PairedDifference
    mcnemar: McNemar

    @property
    def sentences(self) -> tuple[str, str, str]:
        """F1, exact match and McNemar's test in words."""
        return (
            _sentence(self.a, self.b, "F1", self.f1),
            _sentence(self.a, self.b, "exact match", self.exact_match),
            (
                f"Only {self.a} matches {self.mcnemar.only_a:,} of {self.questions:,} questions exactly, only {self.b} "
                f"{self.mcnemar.only_b:,} (McNemar's test: {_p(self.mcnemar.p)})."
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {**asdict(self), "sentences": list(self.sentences)}


def pairs(tables: Mapping[str, PredictionTable]) -> list[Pair]:
    """Every two of the tables, by label, that were made on the same data set; the later in the mapping is `a`.

    10,000 bootstrap resamples a difference, always of the same seed: some seconds for two tables of 10,000 questions.
    """
    rows = {label: np.argsort(np.array(table.ids)) for label, table in tables.items()}
    return [
        _pair(a, b, tables, rows) for b, a in combinations(tables, 2) if tables[a].fingerprint == tables[b].fingerprint
    ]


def _pair(a: str, b: str, tables: Mapping[str, PredictionTable], rows: Mapping[str, NDArray[np.intp]]) -> Pair:
    def of(name: str) -> tuple[Floats, Floats]:
        first, second = (100 * getattr(tables[one], name)[rows[one]] for one in (a, b))
        return first, second

    return Pair(
        a=a,
        b=b,
        fingerprint=tables[a].fingerprint,
        questions=len(tables[a].ids),
        f1=paired_difference(*of("f1")),
        exact_match=paired_difference(*of("exact_match")),
        mcnemar=mcnemar(*of("exact_match")),
    )


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


def _sentence(a: str, b: str, score: str, found: PairedDifference) -> str:
    """Such as "LoRA is ahead of Base by 3.1 F1 [2.5, 3.7], p < 0.001." """
    difference, low, high = found.difference, found.low, found.high
    if difference < 0:
        a, b, difference, low, high = b, a, -difference, -high, -low
    points = "z.1f" if difference >= 1 else "z.2f"  # 0.04 points are not 0.0, and nothing is -0.0
    interval = f"[{low:{points}}, {high:{points}}]"
    if low <= _ROUNDING:
        return f"{a} and {b} cannot be told apart in {score}: {difference:{points}} {interval}, {_p(found.p)}."
    return f"{a} is ahead of {b} by {difference:{points}} {score} {interval}, {_p(found.p)}."


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
