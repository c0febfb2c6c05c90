"""What is on disk about a backbone's variants, gathered: scores, training runs, sizes, and pairs of variants.

A damaged file costs its variant that part, and becomes a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from qa_compare import measured_weights, paired
from qa_compare.backbones import Backbone
from qa_compare.errors import UserError
from qa_compare.experiments import ABLATION, SAMPLE_EFFICIENCY, Experiment, read_experiment
from qa_compare.paired import Pair
from qa_compare.records import Dataset, Metrics, PredictionTable, Run
from qa_compare.runs import LOG, PREDICTIONS, read_metrics, read_predictions, read_run
from qa_compare.variants import ADAPTER_FILE, HEAD_FILE, Variant, discover

Given = TypeVar("Given")
Kind = TypeVar("Kind")
_Stamp = tuple[str, Path, int, int]  # label, folder, and what changes when its predictions are written anew


@dataclass(frozen=True, slots=True)
class Measured:
    """A variant, with what is known of it. `weight_bytes` counts its weight files; None where they are not shipped."""

    name: str
    label: str
    folder: Path
    metrics: Metrics | None
    run: Run | None
    weight_bytes: int | None


@dataclass(frozen=True, slots=True)
class Overview:
    """A backbone's variants in the order of the page, its experiments, and a sentence for each damaged file.

    `adapters` is the folder that holds the backbone's.
    """

    backbone: str
    adapters: Path
    variants: tuple[Measured, ...]
    sample_efficiency: Experiment | None
    ablation: Experiment | None
    problems: tuple[str, ...]

    @property
    def dataset(self) -> Dataset | None:
        """The data set that most variants were measured on; None where none was measured."""
        found = [one.metrics.dataset for one in self.variants if one.metrics]
        counts = Counter(dataset.fingerprint for dataset in found)  # one data set may go by several names
        return max(found, key=lambda dataset: counts[dataset.fingerprint], default=None)

    @property
    def comparable(self) -> tuple[tuple[Measured, Metrics], ...]:
        """The variants that were measured on `dataset`, each with its scores."""
        wanted = self.dataset
        found = [(one, one.metrics) for one in self.variants if one.metrics]
        return tuple(both for both in found if wanted and both[1].dataset.fingerprint == wanted.fingerprint)


class Reader:
    """Reads what can be read, and keeps a sentence for each file that cannot; paths in it begin below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []

    def read(self, how: Callable[[Given], Kind | None], given: Given) -> Kind | None:
        """`how(given)`, or None where that raises a UserError."""
        try:
            return how(given)
        except UserError as error:
            self.note(str(error))
            return None

    def note(self, problem: str) -> None:
        """Keep a sentence, once, without the part of the path that says nothing to a visitor."""
        shortened = problem.replace(f"{self.root}/", "")
        if shortened not in self.problems:
            self.problems.append(shortened)


def overview(backbone: Backbone, adapters: Path) -> Overview:
    """Everything the metrics tab shows of a backbone, but for its pairs. Reads files of some kilobytes only."""
    reader = Reader(adapters)
    variants = discover(backbone, adapters)
    found = [_measured(variant, variant.folder, reader) for variant in variants if variant.folder]
    temperatures = {variant.name: variant.temperature for variant in variants if not variant.problem}
    for one in found:
        if one and one.metrics and measured_weights.stale(one.metrics, one.name, variants):
            reader.note(measured_weights.sentence(one.name))
        elif one and one.metrics and one.name in temperatures:
            said = measured_weights.other_temperature(one.name, one.metrics, temperatures[one.name])
            if said:
                reader.note(said)
    root = adapters / backbone.name
    return Overview(
        backbone=backbone.name,
        adapters=adapters,
        variants=tuple(one for one in found if one),
        sample_efficiency=reader.read(read_experiment, root / SAMPLE_EFFICIENCY),
        ablation=reader.read(read_experiment, root / ABLATION),
        problems=tuple(reader.problems),
    )


def _measured(variant: Variant, folder: Path, reader: Reader) -> Measured | None:
    metrics, run = reader.read(read_metrics, folder), reader.read(read_run, folder)
    if variant.problem and not metrics and not run:
        if not (folder / LOG).exists():  # else it is being trained: not finished, not broken
            reader.note(variant.problem)
        return None
    if variant.problem:
        reader.note(variant.problem)
    files = [folder / name for name in (ADAPTER_FILE, HEAD_FILE) if name in variant.sha256]
    files = [path for path in files if path.is_file()]
    size = sum(path.stat().st_size for path in files) if variant.shipped and files else None
    return Measured(variant.name, variant.label, folder, metrics, run, size)


def pairs(found: Overview) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Every two of the comparable variants that left predictions, and a sentence for each damaged file.

    A pair of 10,000 questions takes some hundredths of a second the first time, and none until its files are written
    anew.
    """
    reader = Reader(found.adapters)
    stamps = [_stamp(one) for one, _ in found.comparable if (one.folder / PREDICTIONS).exists()]
    readable = [stamp for stamp in stamps if reader.read(_predictions, stamp)]
    made = [pair for earlier, later in combinations(readable, 2) if (pair := _pair(earlier, later))]
    return tuple(paired.corrected(made)), tuple(reader.problems)


def _stamp(one: Measured) -> _Stamp:
    status = (one.folder / PREDICTIONS).stat()
    return one.label, one.folder, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _predictions(stamp: _Stamp) -> PredictionTable | None:
    return read_predictions(stamp[1])


@lru_cache(maxsize=128)
def _pair(earlier: _Stamp, later: _Stamp) -> Pair | None:
    first, second = _predictions(earlier), _predictions(later)
    if first is None or second is None or first.fingerprint != second.fingerprint:
        return None
    # two folders may bear one label
    a, b = (one[0] if earlier[0] != later[0] else f"{one[0]} ({one[1].name})" for one in (later, earlier))
    return paired.pair(a, b, second, first)
