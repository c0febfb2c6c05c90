"""What is written is read again, and what is damaged is named in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from qa_compare.data.examples import SQUAD_VALIDATION, fingerprint
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.models.backbones import ADAPTERS
from qa_compare.runs.records import BertScore, Event, PredictionTable
from qa_compare.runs.store import (
    answers,
    in_order,
    read_log,
    read_metrics,
    read_predictions,
    read_run,
    write_metrics,
    write_predictions,
)
from tests import tiny
from tests.measured import metrics, table

RUN = {
    "method": "lora",
    "hyperparameters": {"rank": 16, "dropout": 0.05, "init_from": None},
    "data": {
        "train_files": [{"name": "wiki.json", "sha256": "0" * 64}],
        "validation_fraction": 0.05,
        "train_questions": 7_546,
        "validation_questions": 300,
    },
    "trainable_parameters": 664_322,
    "total_parameters": 23_230_468,
    "steps": 477,
    "seconds": 893,
    "best_step": 400,
    "stopped": "all steps done",
    "precision": "bf16",
    "device": "2 threads",
    "versions": {"torch": "2.13.0"},
    "something": "newer",
}


@pytest.mark.parametrize("scored", [None, BertScore(70.0, 60.0, 80.0, "hash", "words")], ids=["without", "with"])
def test_metrics_are_read_as_they_were_written(tmp_path: Path, scored: BertScore | None) -> None:
    written = metrics(bertscore=scored)
    write_metrics(tmp_path / "metrics.json", written)
    assert read_metrics(tmp_path) == written
    assert ("bertscore" in json.loads((tmp_path / "metrics.json").read_text())) is bool(scored)


def test_metrics_of_an_earlier_version_are_read_and_say_that_their_intervals_are_over_questions(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.json", metrics())
    old = json.loads((tmp_path / "metrics.json").read_text())
    for name in ("exact_match", "f1"):
        old[name] = {key: old[name][key] for key in ("value", "low", "high")}
    old["dataset"] = {key: old["dataset"][key] for key in ("name", "fingerprint", "questions")}
    write_json(tmp_path / "metrics.json", old)
    found = read_metrics(tmp_path)
    assert found
    assert found.f1.over == "questions, each taken by itself"
    assert found.dataset.sentences == (
        "Measured by an earlier version, which counted a question without a gold answer as wrong.",
    )
    old["dataset"]["fingerprint"] = SQUAD_VALIDATION  # each of whose questions has gold answers
    write_json(tmp_path / "metrics.json", old)
    again = read_metrics(tmp_path)
    assert again
    assert again.dataset.sentences == ()


def test_predictions_keep_who_is_not_scored_which_questions_share_an_article_and_null_scores(tmp_path: Path) -> None:
    half = np.array([1.0, np.nan, 0.0])
    places = np.array([0, -1, 1], dtype=np.int32)
    more = {"article": places, "passage": np.abs(places), "null": np.array([-3.5, 2.0, 0.5])}
    written = table(exact_match=half, f1=half, bertscore=half, bertscore_hash="hash", **more)
    write_predictions(tmp_path / "predictions.parquet", written)
    found = read_predictions(tmp_path)
    assert found
    assert found.scored.tolist() == [True, False, True]
    for name in ("exact_match", "f1", "bertscore", *more):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
    assert parquet.read_table(tmp_path / "predictions.parquet")["f1"].null_count == 1
    write_predictions(tmp_path / "predictions.parquet", table())
    old = read_predictions(tmp_path)
    assert old
    assert (old.article, old.passage, old.null, old.units.known) == (None, None, None, False)


@pytest.mark.parametrize("scored", [None, np.array([1.0, 0.25, 0.0])], ids=["without", "with"])
def test_predictions_are_read_as_they_were_written(tmp_path: Path, scored: np.ndarray | None) -> None:
    written = table(bertscore=scored, bertscore_hash=None if scored is None else "hash")
    write_predictions(tmp_path / "predictions.parquet", written)
    found = read_predictions(tmp_path)
    assert found
    assert (found.fingerprint, found.ids, found.bertscore_hash) == (
        written.fingerprint,
        written.ids,
        written.bertscore_hash,
    )
    for name in ("start", "end", "score", "confidence", "exact_match", "f1", "windows"):
        column = getattr(found, name)
        np.testing.assert_array_equal(column, getattr(written, name))
        assert column.dtype == getattr(written, name).dtype
    assert (found.bertscore is None) is (scored is None)
    if scored is not None:
        np.testing.assert_array_equal(found.bertscore, scored)
    rows = parquet.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert rows[2] | {"start": None, "end": None, "score": None} == rows[2]


def test_a_run_is_read_and_what_is_newer_passed_over(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", RUN)
    run = read_run(tmp_path)
    assert run
    assert (run.method, run.seconds, run.continued_from) == ("lora", 893.0, None)
    assert run.data.train_files[0].name == "wiki.json"
    assert run.hyperparameters == RUN["hyperparameters"]


def test_a_run_from_before_versions_were_recorded_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {key: value for key, value in RUN.items() if key != "versions"})
    found = read_run(tmp_path)
    assert found
    assert found.versions == {}


def test_every_run_of_this_checkout_can_be_read() -> None:
    trained = [path.parent for path in ADAPTERS.glob("*/*/run.json")]
    scored = [path.parent for path in ADAPTERS.glob("*/*/metrics.json")]
    if not trained and not scored:
        pytest.skip("no adapters in this checkout")
    assert [folder for folder in trained if not (read_run(folder) and read_log(folder))] == []
    assert [folder for folder in scored if not (read_metrics(folder) and read_predictions(folder))] == []


def test_a_log_is_read_up_to_the_line_that_is_being_written(tmp_path: Path) -> None:
    lines = [
        '{"step": 0, "epoch": 0.0, "seconds": 16.6, "eval_loss": 2.5, "eval_exact_match": 0, "eval_f1": 6.5}',
        '{"step": 15, "epoch": 0.03, "seconds": 59.6, "loss": 2.25, "learning_rate": 0.0006, "grad_norm": Infinity}',
        '{"step": 30, "epo',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert read_log(tmp_path) == (
        Event(0, 0.0, 16.6, eval_loss=2.5, eval_exact_match=0.0, eval_f1=6.5),
        Event(15, 0.03, 59.6, loss=2.25, learning_rate=0.0006, grad_norm=None),
    )


def test_where_there_is_no_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) is None
    assert read_run(tmp_path) is None
    assert read_predictions(tmp_path) is None
    assert read_log(tmp_path) == ()


def changed(value: Any, *path: str | int, to: Any = None) -> Any:
    """A copy with what stands at `path` replaced, or removed where there is no `to`."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return copy


@pytest.mark.parametrize(
    ("path", "to", "says"),
    [
        (("f1", "low"), None, 'metrics.json: f1 has no "low"'),
        (("f1", "low"), "5", "metrics.json: f1.low is not a number"),
        (("f1", "low"), True, "metrics.json: f1.low is not a number"),
        pytest.param(("f1", "low"), 10**400, "metrics.json: f1.low is not a finite number", id="beyond floats"),
        (("f1",), [1, 2], "metrics.json: f1 is not an object"),
        (("dataset", "questions"), 1.5, "metrics.json: dataset.questions is not a whole number"),
        (("dataset", "questions"), True, "metrics.json: dataset.questions is not a whole number"),
        (("dataset", "name"), 3, "metrics.json: dataset.name is not a text"),
        (("calibration", "after", "reliability"), {"a": 1}, "calibration.after.reliability is not a list"),
        (("calibration", "after", "reliability", 0, "count"), "x", "reliability[0].count is not a whole number"),
        (("slices", 0, "kind"), None, 'metrics.json: slices[0] has no "kind"'),
        (("bertscore",), {"value": 1, "low": 1, "high": 1}, 'metrics.json: bertscore has no "hash"'),
    ],
)
def test_damaged_metrics_are_named_with_their_place(tmp_path: Path, path: Any, to: Any, says: str) -> None:
    file = tmp_path / "metrics.json"
    write_metrics(file, metrics())
    file.write_text(json.dumps(changed(json.loads(file.read_text()), *path, to=to)))
    with pytest.raises(UserError) as caught:
        read_metrics(tmp_path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("name", "text", "read", "says"),
    [
        ("metrics.json", '{"f1": ', read_metrics, "is not JSON"),
        ("metrics.json", "[]", read_metrics, "is not an object"),
        ("metrics.json", json.dumps({"f1": {"value": float("nan")}}), read_metrics, 'has no "dataset"'),
        ("run.json", json.dumps(changed(RUN, "data")), read_run, 'has no "data"'),
        ("run.json", json.dumps(changed(RUN, "versions", to={"torch": 2})), read_run, "versions.torch is not a text"),
        ("run.json", json.dumps(changed(RUN, "seconds", to=float("inf"))), read_run, "seconds is not a finite number"),
        ("log.jsonl", '{"step": 1}\n', read_log, 'log.jsonl line 1 has no "epoch"'),
        ("log.jsonl", '{"step": 1, "epoch": 0, "seconds": 1}\n{"st\n', read_log, "log.jsonl line 2 is not JSON"),
        ("log.jsonl", '{"step": "1", "epoch": 0, "seconds": 1}\n', read_log, "line 1: step is not a whole number"),
        ("log.jsonl", "[]\n", read_log, "line 1 is not an object"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str, read: Callable[[Path], Any], says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))


def damaged(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        parquet.write_table(change(parquet.read_table(path)), path)

    return write


def column(name: str, values: list[Any]) -> Callable[[Path], None]:
    def change(rows: pa.Table) -> pa.Table:
        return rows.set_column(rows.schema.get_field_index(name), name, pa.array(values))

    return damaged(change)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b"PAR1 not a table"), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "damaged"),
        (damaged(lambda rows: rows.drop_columns(["f1"])), "f1"),
        (damaged(lambda rows: rows.replace_schema_metadata({})), "qa_compare"),
        (damaged(lambda rows: rows.slice(0, 0)), "no question has a score"),
        (column("f1", pa.nulls(3, pa.float64()).to_pylist()), "no question has a score"),
        (column("f1", [1.0, None, 0.0]), "a question has one score and lacks the other"),
        (column("id", ["q0", "q1", "q1"]), "stands twice"),
        (column("id", ["q0", "q1", None]), "null"),
        (column("start", ["a", "b", "c"]), "damaged"),
        (column("start", [4, None, None]), "ends before it begins"),
        (column("start", [9, 0, None]), "ends before it begins"),
        (column("start", [-5, 0, None]), "ends before it begins"),
        (column("f1", [1.0, 50.0, 0.0]), "f1 is not between 0 and 1"),
        (column("confidence", [1.0, float("nan"), 0.0]), "confidence is not between 0 and 1"),
        (column("bertscore", [1.0, None, 0.0]), "bertscore is not between 0 and 1"),
    ],
)
def test_damaged_predictions_are_named(tmp_path: Path, damage: Callable[[Path], Any], says: str) -> None:
    file = tmp_path / "predictions.parquet"
    write_predictions(file, table())
    damage(file)
    with pytest.raises(UserError) as caught:
        read_predictions(tmp_path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file} is damaged or no predictions of this project: ")


def made_for(count: int = 3, **changes: Any) -> PredictionTable:
    return table(fingerprint=fingerprint(tiny.examples(count)), **changes)


def test_predictions_are_joined_to_their_questions_by_id() -> None:
    examples = tiny.examples(3)
    mixed = [examples[index] for index in (2, 0, 1)]
    found = in_order(made_for(bertscore=np.array([1.0, 0.5, 0.0])), mixed, fingerprint(mixed))
    assert found.ids == ("q2", "q0", "q1")
    assert answers(found, mixed) == ["", "river", "The"]
    np.testing.assert_array_equal(found.score, [np.nan, 7.25, -1.5])
    assert found.bertscore is not None
    assert found.bertscore.tolist() == [0.0, 1.0, 0.5]


def test_predictions_for_other_questions_are_refused() -> None:
    examples = tiny.examples(3)
    with pytest.raises(UserError, match="made for other questions"):
        in_order(table(), examples, fingerprint(examples))
    with pytest.raises(UserError, match="made for other questions"):
        in_order(made_for(ids=("q0", "q1", "other")), examples, fingerprint(examples))
    outside = made_for(end=np.array([9, 900, -1], dtype=np.int32))
    with pytest.raises(UserError, match="outside its passage"):
        in_order(outside, examples, fingerprint(examples))
