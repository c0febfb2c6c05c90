"""What is on disk about a backbone's variants, gathered, and the tables and CSV made of it.

Scores, training runs, sizes, calibration, slices and pairs of variants. A damaged file costs its variant that part, and
becomes a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from qa_compare.errors import UserError
from qa_compare.measure.scoring import Squad2
from qa_compare.models.backbones import Backbone
from qa_compare.models.variants import ADAPTER_FILE, HEAD_FILE, Variant, discover
from qa_compare.runs import paired, store
from qa_compare.runs.paired import Pair
from qa_compare.runs.readme import REFERENCE_SCORER, REFERENCES
from qa_compare.runs.records import (
    ABLATION,
    SAMPLE_EFFICIENCY,
    BertScore,
    Dataset,
    Estimate,
    Experiment,
    Metrics,
    PredictionTable,
    Run,
    read_experiment,
)
from qa_compare.runs.store import LOG, PREDICTIONS, read_metrics, read_predictions, read_run
from qa_compare.runs.tables import NOTHING, Row, Table, csv_text

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


def read_overview(backbone: Backbone, adapters: Path) -> Overview:
    """Everything the metrics tab shows of a backbone, but for its pairs. Reads files of some kilobytes only."""
    reader = Reader(adapters)
    variants = discover(backbone, adapters)
    found = [_measured(variant, variant.folder, reader) for variant in variants if variant.folder]
    temperatures = {variant.name: variant.temperature for variant in variants if not variant.problem}
    for one in found:
        if one and one.metrics and store.stale(one.metrics, one.name, variants):
            reader.note(store.sentence(one.name))
        elif one and one.metrics and one.name in temperatures:
            said = store.other_temperature(one.name, one.metrics, temperatures[one.name])
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


_SCORES = ("exact_match", "f1", "bertscore")
_CSV = (
    "backbone", "variant", "label", *(f"{name}{end}" for name in _SCORES for end in ("", "_low", "_high")),
    "intervals_over", "units", "bertscore_hash", "trained_parameters", "total_parameters", "weight_bytes",
    "training_seconds", "questions_per_second", "precision", "dataset", "fingerprint", "questions", "scored",
    "what_differs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slice:
    """A subset of questions: F1 in percent by the variant's name, and the largest difference between two of them."""

    name: str
    questions: int
    f1: dict[str, float]

    @property
    def gap(self) -> float:
        """The largest difference between two variants, in points of percent."""
        return max(self.f1.values()) - min(self.f1.values())


def scores(found: Overview) -> Table:
    """A row for each variant, and below them the figures of others. Each BERTScore encoder has a column of its own."""
    scorers = bertscorers(found)
    titles = [f"BERTScore {number}" if len(scorers) > 1 else "BERTScore" for number in range(1, len(scorers) + 1)]
    columns = (
        "Variant", "Exact match", "F1", *titles, f"BERTScore by {REFERENCE_SCORER}", "Trained parameters",
        "Share of all", "Weights on disk", "Training time", "Questions a second",
    )  # fmt: skip
    rows = [Row(_cells(one, list(scorers)), one.name, _note(one, found.dataset)) for one in found.variants]
    for other in REFERENCES:
        nothing = (NOTHING,) * len(scorers)
        scored = (other.label, other.exact_match, other.f1, *nothing, other.bertscore or NOTHING)
        rows.append(Row((*scored, *(NOTHING,) * 5), note=other.differs))
    return Table(columns, tuple(rows))


def bertscorers(found: Overview) -> dict[str, str]:
    """The hash of each BERTScore encoder that was used, and what it stands for in words."""
    used = [one.metrics.bertscore for one in found.variants if one.metrics]
    return {score.hash: score.encoder for score in used if score}


def _cells(one: Measured, scorers: list[str]) -> tuple[str, ...]:
    found, run = one.metrics, one.run
    meaning = found.bertscore if found else None
    speed = f"{found.questions_per_second:.1f}" if found else NOTHING
    return (
        one.label,
        estimate(found.exact_match if found else None),
        estimate(found.f1 if found else None),
        *(estimate(meaning if meaning and meaning.hash == scorer else None) for scorer in scorers),
        NOTHING,
        f"{run.trainable_parameters:,}" if run else NOTHING,
        f"{100 * run.trainable_parameters / run.total_parameters:.3g} %" if run else NOTHING,
        NOTHING if one.weight_bytes is None else _size(one.weight_bytes),
        duration(run.seconds) if run else NOTHING,
        speed,
    )


def _note(one: Measured, usual: Dataset | None) -> str:
    if one.metrics is None:
        return "not measured yet"
    data = one.metrics.dataset
    return (
        ""
        if usual and data.fingerprint == usual.fingerprint
        else f"on other questions: {data.questions:,} of {data.name}"
    )


def estimate(found: Estimate | None) -> str:
    """61.2 [60.2, 62.1], in percent; a dash where it was not measured."""
    return NOTHING if found is None else str(found)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"


def duration(seconds: float) -> str:
    """95 -> "1 min 35 s", 5_400 -> "1 h 30 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def scores_csv(found: Overview) -> str:
    """The table's numbers, unrounded, a column for each; the figures of others at its end."""
    rows: list[tuple[object, ...]] = [_csv_row(found.backbone, one) for one in found.variants]
    for other in REFERENCES:
        numbers = (other.exact_match, None, None, other.f1, None, None, other.bertscore, None, None)
        scorer = REFERENCE_SCORER if other.bertscore else None
        rows.append((None, None, other.label, *numbers, None, None, scorer, *(None,) * 10, other.differs))
    return csv_text([_CSV, *rows])


def _csv_row(backbone: str, one: Measured) -> tuple[object, ...]:
    found, run = one.metrics, one.run
    estimates = (found.exact_match, found.f1, found.bertscore) if found else (None, None, None)
    numbers = [number for one in estimates for number in ((one.value, one.low, one.high) if one else (None,) * 3)]
    scorer = estimates[2].hash if isinstance(estimates[2], BertScore) else None
    trained = (run.trainable_parameters, run.total_parameters) if run else (None, None)
    end: tuple[object, ...] = (None,) * 6
    over: tuple[object, ...] = (None,) * 2
    if found:
        data, over = found.dataset, (found.f1.resampled, found.f1.units)
        end = (found.questions_per_second, found.precision, data.name, data.fingerprint, data.questions, data.scored)
    seconds = run.seconds if run else None
    return (backbone, one.name, one.label, *numbers, *over, scorer, *trained, one.weight_bytes, seconds, *end, None)


def squad2(found: Sequence[tuple[str, str, Squad2]]) -> Table:
    """SQuAD 2's metric: a row for each label and variant, exact match and F1 in each cell."""
    columns = ("Variant", "HasAns", "NoAns", "Total", "Best exact", "Best F1")
    return Table(columns, tuple(Row((label, *_squad2(one)), name) for label, name, one in found))


SQUAD2_NOTE = (
    "SQuAD 2's metric, exact match / F1 in percent: questions with an answer (HasAns), unanswerable ones (NoAns), all. "
    "Every question was answered. Best: had each been declined whose null score exceeds its best span's by more than "
    "the threshold, in logits."
)


def _squad2(one: Squad2) -> tuple[str, ...]:
    def both(exact: float | None, f1: float | None) -> str:
        return NOTHING if exact is None or f1 is None else f"{exact:.1f} / {f1:.1f}"

    return (
        both(one.has_ans_exact, one.has_ans_f1),
        both(one.no_ans_exact, one.no_ans_f1),
        both(one.exact, one.f1),
        best(one.best_exact, one.best_exact_threshold),
        best(one.best_f1, one.best_f1_threshold),
    )


def best(score: float | None, threshold: float | None) -> str:
    """SQuAD 2's best score with its threshold: 61.2 above 1.25; a dash where null scores are not known."""
    if score is None:
        return NOTHING
    return f"{score:.1f} ({'all declined' if threshold is None else f'above {threshold:z.2f}'})"


def calibration(found: Overview) -> Table:
    """How far confidence is from the chance of an exact match, in points of percent."""
    columns = ("Variant", "Temperature", "Error without it", "Error with it", "One window", "Several windows")
    return Table(columns, tuple(Row(_calibration(one, scored), one.name) for one, scored in found.comparable))


def _calibration(one: Measured, found: Metrics) -> tuple[str, ...]:
    before, after = found.calibration.before, found.calibration.after
    parts = [NOTHING if part is None else f"{part:.1f}" for part in (after.one_window, after.many_windows)]
    return (one.label, f"{found.calibration.temperature:.2f}", f"{before.overall:.1f}", f"{after.overall:.1f}", *parts)


def slices(found: Overview, kind: str) -> tuple[Slice, ...]:
    """The slices of a kind, the one on which two variants differ most first. Only comparable variants are in it."""
    counts: dict[str, int] = {}
    values: dict[str, dict[str, float]] = {}
    for one, scored in found.comparable:
        for row in scored.slices:
            if row["kind"] == kind:
                counts[row["name"]] = row["questions"]
                values.setdefault(row["name"], {})[one.name] = row["f1"]
    made = [Slice(name, counts[name], f1) for name, f1 in values.items()]
    return tuple(sorted(made, key=lambda one: -one.gap))


def slice_table(found: Overview, kind: str) -> Table:
    """F1 in percent, a column for each comparable variant, in the order of `slices`."""
    shown = [one for one, _ in found.comparable]
    rows = [
        Row((part.name, f"{part.questions:,}", *(_f1(part, one.name) for one in shown), f"{part.gap:.1f}"))
        for part in slices(found, kind)
    ]
    return Table((kind.capitalize(), "Questions", *(one.label for one in shown), "Largest gap"), tuple(rows))


def _f1(part: Slice, variant: str) -> str:
    return f"{part.f1[variant]:.1f}" if variant in part.f1 else NOTHING


def slices_csv(found: Overview) -> str:
    """All slices of all kinds: a row for each slice and comparable variant."""
    rows = [
        (found.backbone, one.name, row["kind"], row["name"], row["questions"], row["exact_match"], row["f1"])
        for one, scored in found.comparable
        for row in scored.slices
    ]
    return csv_text([("backbone", "variant", "kind", "slice", "questions", "exact_match", "f1"), *rows])
