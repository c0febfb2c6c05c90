"""An `Overview` -> the tables of the metrics tab, and their CSV: scores, calibration, slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qa_compare.measurements import Measured, Overview
from qa_compare.records import BertScore, Dataset, Estimate, Metrics
from qa_compare.results import REFERENCE_SCORER, REFERENCES
from qa_compare.scoring import Squad2
from qa_compare.tables import NOTHING, Row, Table, csv_text

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
