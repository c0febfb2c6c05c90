"""What a training run and an evaluation leave in a variant's folder, read and written here and nowhere else.

`metrics.json`, `run.json` and `log.jsonl` become frozen records, `predictions.parquet` columns; a damaged file is a
UserError that names it. `run.json` and `log.jsonl` are written by `train/`. A `metrics.json` knows on which weights and
at which temperature it was measured, and is stale where the folder's are others now.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from qa_compare.data.examples import Example
from qa_compare.errors import UserError, reason
from qa_compare.files import atomic, parse_json, read_bytes, read_json, write_json
from qa_compare.models.variants import Variant
from qa_compare.runs.records import Event, Metrics, PredictionTable, Run, structured

METRICS, PREDICTIONS, RUN, LOG = "metrics.json", "predictions.parquet", "run.json", "log.jsonl"
_LATER = ("article", "passage", "null")  # columns that older files have not
_ABOUT = b"qa_compare"  # the key of the file's own metadata: which data set, which BERTScore


def read_metrics(folder: Path) -> Metrics | None:
    """A variant's scores; None where it has not been evaluated. Raises UserError for a damaged file."""
    path = folder / METRICS
    return structured(Metrics, read_json(path), str(path)) if path.exists() else None


def write_metrics(path: Path, metrics: Metrics) -> None:
    """Write `metrics.json`, without what there is none of. Raises UserError where it cannot be written."""
    write_json(path, {key: value for key, value in asdict(metrics).items() if value is not None})


def read_run(folder: Path) -> Run | None:
    """A variant's training run; None where there was none. Raises UserError for a damaged file."""
    path = folder / RUN
    return structured(Run, read_json(path), str(path)) if path.exists() else None


def read_log(folder: Path) -> tuple[Event, ...]:
    """The events of a run, also of one that goes on: a last line that is half written is left out.

    Raises:
        UserError: a damaged line; the sentence has its number.
    """
    path = folder / LOG
    if not path.exists():
        return ()
    *lines, _unfinished = read_bytes(path).split(b"\n")
    return tuple(_event(line, f"{path} line {number}") for number, line in enumerate(lines, 1))


def _event(line: bytes, place: str) -> Event:
    value = parse_json(line, place)
    if isinstance(value, dict):  # a gradient's norm can overflow, for which JSON has no word but Python's writes one
        value = {key: None if _endless(one) else one for key, one in value.items()}
    return structured(Event, value, place)


def _endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def read_predictions(folder: Path) -> PredictionTable | None:
    """A variant's predictions; None where there are none. Raises UserError for a damaged file."""
    path = folder / PREDICTIONS
    if not path.exists():
        return None
    import pyarrow as pa
    from pyarrow import parquet

    data = read_bytes(path)
    try:
        table = parquet.read_table(io.BytesIO(data), page_checksum_verification=True)
        about = json.loads((table.schema.metadata or {})[_ABOUT])
        schema = _schema([name for name in _LATER if name in table.schema.names])
        return _checked(table.select(schema.names).cast(schema), about["fingerprint"], about["bertscore_hash"])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or no predictions of this project: {reason(error)}") from error


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write `predictions.parquet`. Raises UserError where it cannot be written."""
    import pyarrow as pa
    from pyarrow import parquet

    answered, scored = table.start >= 0, table.scored
    later = [name for name in _LATER if getattr(table, name) is not None]
    columns = {
        "id": pa.array(table.ids, pa.string()),
        **{name: pa.array(getattr(table, name), mask=~answered) for name in ("start", "end", "score")},
        **{name: pa.array(getattr(table, name), mask=~scored) for name in ("exact_match", "f1")},
        **{name: pa.array(getattr(table, name)) for name in ("confidence", "windows", *later)},
        "bertscore": pa.nulls(len(table.ids), pa.float64())
        if table.bertscore is None
        else pa.array(table.bertscore, mask=~scored),
    }
    about = {"fingerprint": table.fingerprint, "bertscore_hash": table.bertscore_hash}
    schema = _schema(later).with_metadata({_ABOUT: json.dumps(about)})
    with atomic(path) as beside:
        parquet.write_table(pa.table(columns, schema=schema), beside, write_page_checksum=True)


def _schema(later: Sequence[str]) -> Any:
    """The columns of the file, those of `_LATER` that are named among them."""
    import pyarrow as pa

    filled = {
        "id": pa.string(),
        "start": pa.int32(),
        "end": pa.int32(),
        "score": pa.float64(),
        "confidence": pa.float64(),
        "exact_match": pa.float64(),
        "f1": pa.float64(),
        "bertscore": pa.float64(),
        "windows": pa.int32(),
    }
    filled |= {name: pa.float64() if name == "null" else pa.int32() for name in later}
    may_lack = {"start", "end", "score", "exact_match", "f1", "bertscore"}
    return pa.schema([pa.field(name, kind, nullable=name in may_lack) for name, kind in filled.items()])


def _checked(table: Any, fingerprint: str, bertscore_hash: str | None) -> PredictionTable:
    """Raises ValueError for what no evaluation writes."""
    unscored = table["bertscore"].null_count == len(table)
    found = PredictionTable(
        fingerprint=fingerprint,
        ids=tuple(table["id"].to_pylist()),
        start=table["start"].fill_null(-1).to_numpy(),
        end=table["end"].fill_null(-1).to_numpy(),
        bertscore=None if unscored else table["bertscore"].to_numpy(),
        bertscore_hash=bertscore_hash,
        **{name: table[name].to_numpy() for name in ("score", "confidence", "exact_match", "f1", "windows")},
        **{name: table[name].to_numpy() for name in _LATER if name in table.schema.names},
    )
    if not found.scored.any():
        raise ValueError("no question has a score")
    if not found.ids or len(set(found.ids)) != len(found.ids):
        raise ValueError("an id is missing or stands twice")
    if not ((found.end > found.start) & (found.start >= 0) | (found.start == -1) & (found.end == -1)).all():
        raise ValueError("an answer ends before it begins")
    if (np.isnan(found.exact_match) == found.scored).any():
        raise ValueError("a question has one score and lacks the other")
    for name in ("confidence", "exact_match", "f1", "bertscore"):
        values = getattr(found, name)
        may_lack = name != "confidence"
        within = None if values is None else (values >= 0) & (values <= 1 + 1e-9) | may_lack & ~found.scored
        if within is not None and not within.all():
            raise ValueError(f"{name} is not between 0 and 1")
    return found


def in_order(table: PredictionTable, examples: Sequence[Example], fingerprint: str) -> PredictionTable:
    """The predictions in the order of `examples`, whose `fingerprint` the caller has computed.

    Raises:
        UserError: they were made for other questions, or an answer lies outside its passage.
    """
    place = {identifier: row for row, identifier in enumerate(table.ids)}
    if table.fingerprint != fingerprint or place.keys() != {example.id for example in examples}:
        raise UserError("these predictions were made for other questions, or for others of the same ids")
    rows = np.array([place[example.id] for example in examples])
    columns = {
        one.name: getattr(table, one.name)[rows]
        for one in fields(table)
        if isinstance(getattr(table, one.name), np.ndarray)
    }
    if (columns["end"] > [len(example.passage) for example in examples]).any():
        raise UserError("an answer of these predictions lies outside its passage")
    return replace(table, ids=tuple(example.id for example in examples), **columns)


def answers(table: PredictionTable, examples: Sequence[Example]) -> list[str]:
    """The texts of a table that is `in_order` of `examples`; "" where there is no answer."""
    spans = zip(table.start.tolist(), table.end.tolist(), examples, strict=True)
    return [example.passage[start:end] if start >= 0 else "" for start, end, example in spans]


def weights(name: str, variants: Iterable[Variant]) -> dict[str, str]:
    """SHA-256 of the weight files that decide what a variant answers: its own and its base's, as `lora/file`."""
    chosen = [one for one in variants if one.name in ("base", name)]
    return {f"{one.name}/{file}": digest for one in chosen for file, digest in sorted(one.sha256.items())}


def stale(metrics: Metrics, name: str, variants: Iterable[Variant]) -> bool:
    """Whether the scores belong to other weights than those of now.

    A file from before weights were recorded fits whatever lies there, and weights that are not shipped cannot differ.
    """
    here = [one for one in variants if one.shipped and not one.problem]
    now, names = weights(name, here), {one.name for one in here}
    recorded = {path: digest for path, digest in (metrics.weights or {}).items() if path.split("/")[0] in names}
    return bool(recorded) and recorded != now


def sentence(name: str) -> str:
    """What is said of a variant whose scores are stale."""
    return f"{name} was measured on other weights than it has now: python -m qa_compare evaluate FILE --save"


def other_temperature(name: str, metrics: Metrics, temperature: float) -> str | None:
    """What is said of a variant whose confidence was measured at another temperature than it has now; None where it is
    the same. Its answers, and so its exact match and F1, do not depend on it."""
    before = metrics.calibration.temperature
    if before == temperature:
        return None
    return (
        f"{name}'s confidence was measured at a temperature of {before:.3g}, and {temperature:.3g} is used now: "
        "python -m qa_compare evaluate FILE --save"
    )
