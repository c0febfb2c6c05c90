"""The tables of the Metrics tab say what lies on disk, and a damaged file costs no more than its own part."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from qa_compare.models.backbones import Backbone
from qa_compare.runs import overview as measurements
from qa_compare.runs import paired
from qa_compare.runs.overview import (
    calibration,
    duration,
    pairs,
    read_overview,
    scores,
    scores_csv,
    slice_table,
    slices,
    slices_csv,
)
from qa_compare.runs.readme import REFERENCES
from qa_compare.runs.records import BertScore, Dataset, read_experiment
from qa_compare.runs.store import write_metrics
from tests import shown

RIVER = Backbone("river-bert", "River", "")


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    shown.write_all(tmp_path)
    return tmp_path


def cells(adapters: Path) -> dict[str, dict[str, str]]:
    table = scores(read_overview(RIVER, adapters))
    return {row.cells[0]: dict(zip(table.columns, row.cells, strict=True)) for row in table.rows}


def test_a_variants_row_has_scores_with_intervals_parameters_time_and_speed(adapters: Path) -> None:
    row = cells(adapters)["LoRA"]
    assert row["Exact match"] == "60.1 [58.9, 61.3]"
    assert row["F1"] == "72.1 [70.9, 73.3]"
    assert row["BERTScore"] == "77.1 [76.1, 78.1]"
    assert (row["Trained parameters"], row["Share of all"]) == ("664,322", "2.86 %")
    assert (row["Training time"], row["Questions a second"]) == ("14 min 53 s", "12.5")


def test_figures_of_others_stand_below_marked_with_what_differs(adapters: Path) -> None:
    rows = scores(read_overview(RIVER, adapters)).rows
    others = rows[-len(REFERENCES) :]
    assert [(row.cells[0], row.note) for row in others] == [(one.label, one.differs) for one in REFERENCES]
    assert all(row.variant is None and row.note for row in others)
    assert [row.variant for row in rows[: -len(REFERENCES)]] == ["base", "lora", "prompt-tuning"]


def test_each_bertscore_encoder_has_a_column_of_its_own(adapters: Path) -> None:
    other = shown.metrics(70.0, bertscore=BertScore(90.0, 89.0, 91.0, "L17-hash", "RoBERTa"))
    write_metrics(adapters / "river-bert" / "lora" / "metrics.json", other)
    found = cells(adapters)
    assert (found["Base"]["BERTScore 1"], found["Base"]["BERTScore 2"]) == ("71.5 [70.5, 72.5]", "–")
    assert (found["LoRA"]["BERTScore 1"], found["LoRA"]["BERTScore 2"]) == ("–", "90.0 [89.0, 91.0]")
    assert found["the report: LoRA"]["BERTScore by roberta-large"] == "72.2"


def test_the_size_on_disk_is_that_of_the_weight_files(tmp_path: Path) -> None:
    from tests import measured

    folder = measured.variant(tmp_path, "lora")
    assert cells(tmp_path)["LoRA"]["Weights on disk"] == f"{(folder / 'head.safetensors').stat().st_size / 1e3:.3g} kB"


def test_before_anything_is_measured_the_runs_are_there_already(tmp_path: Path) -> None:
    folder = tmp_path / "river-bert" / "lora"
    shown.write_variant(folder, "LoRA")
    shown.write_run(folder)
    found = read_overview(RIVER, tmp_path)
    assert (found.dataset, found.comparable, found.problems) == (None, (), ())
    row = scores(found).rows[0]
    assert (row.cells[0], row.cells[1], row.note) == ("LoRA", "–", "not measured yet")
    assert "664,322" in row.cells


def test_a_variant_measured_on_other_questions_is_in_the_table_and_in_nothing_that_compares(adapters: Path) -> None:
    elsewhere = shown.metrics(99.0, dataset=Dataset("sea.json", "a" * 64, 3))
    write_metrics(adapters / "river-bert" / "lora" / "metrics.json", elsewhere)
    found = read_overview(RIVER, adapters)
    assert [one.name for one, _ in found.comparable] == ["base", "prompt-tuning"]
    assert "on other questions: 3 of sea.json" in [row.note for row in scores(found).rows]
    assert len(pairs(found)[0]) == 1


@pytest.mark.parametrize("file", ["metrics.json", "run.json", "variant.json"])
def test_a_damaged_file_is_named_and_the_others_stay(adapters: Path, file: str) -> None:
    (adapters / "river-bert" / "lora" / file).write_text("{")
    found = read_overview(RIVER, adapters)
    assert len(found.problems) == 1
    assert f"lora/{file}" in found.problems[0]
    assert str(adapters) not in found.problems[0]
    assert {"base", "prompt-tuning"} <= {one.name for one, _ in found.comparable}


def test_damaged_experiments_and_predictions_are_named_and_the_others_stay(adapters: Path) -> None:
    root = adapters / "river-bert"
    (root / "ablation.json").write_text('{"results": 3}')
    (root / "lora" / "predictions.parquet").write_bytes(b"no parquet")
    found = read_overview(RIVER, adapters)
    assert found.ablation is None
    assert found.sample_efficiency
    assert found.problems == ('river-bert/ablation.json has no "scored_on"',)
    made, problems = pairs(found)
    assert [(pair.a, pair.b) for pair in made] == [("Prompt tuning", "Base")]
    assert len(problems) == 1
    assert problems[0].startswith("river-bert/lora/predictions.parquet is damaged")


def test_a_folder_that_is_being_trained_is_no_problem(adapters: Path) -> None:
    shown.write_log(adapters / "river-bert" / "ia3")
    found = read_overview(RIVER, adapters)
    assert found.problems == ()
    assert "ia3" not in {one.name for one in found.variants}


def test_pairs_are_computed_once_until_predictions_are_written_anew(
    adapters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    compute = paired.pair
    monkeypatch.setattr(measurements.paired, "pair", lambda *given: calls.append(1) or compute(*given))
    found = read_overview(RIVER, adapters)
    first, _ = pairs(found)
    assert len(first) == len(calls) == 3
    assert pairs(found)[0] == first
    assert len(calls) == 3
    from qa_compare.runs.store import write_predictions

    write_predictions(adapters / "river-bert" / "lora" / "predictions.parquet", shown.predictions(0.1, 7))
    assert pairs(read_overview(RIVER, adapters))[0] != first
    assert len(calls) == 5  # the two pairs that LoRA is in


def test_slices_with_the_largest_gap_between_variants_come_first(adapters: Path) -> None:
    found = read_overview(RIVER, adapters)
    parts = slices(found, "question word")
    assert parts[0].name == "why"
    assert [part.gap for part in parts] == sorted((part.gap for part in parts), reverse=True)
    table = slice_table(found, "question word")
    assert table.columns == ("Question word", "Questions", "Base", "LoRA", "Prompt tuning", "Largest gap")
    assert table.rows[0].cells[:2] == ("why", "40")
    assert slices(found, "passage length") == ()


def test_calibration_is_told_before_and_after(adapters: Path) -> None:
    assert calibration(read_overview(RIVER, adapters)).rows[0].cells == ("Base", "1.60", "9.0", "2.0", "2.0", "–")


def test_the_csv_has_the_numbers_unrounded_and_the_others_marked(adapters: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(scores_csv(read_overview(RIVER, adapters)))))
    assert len(rows) == 3 + len(REFERENCES)
    assert (rows[1]["variant"], float(rows[1]["f1"]), float(rows[1]["f1_low"])) == ("lora", 72.1, 72.1 - 1.2)
    assert (rows[1]["bertscore_hash"], rows[1]["trained_parameters"]) == ("L6-hash", "664322")
    assert (rows[3]["variant"], rows[3]["bertscore"], rows[3]["bertscore_hash"]) == ("", "10.12", "roberta-large")
    assert all(row["what_differs"] for row in rows[3:])
    assert None not in rows[0]
    assert None not in rows[0].values()


def test_the_csv_of_slices_has_every_kind(adapters: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(slices_csv(read_overview(RIVER, adapters)))))
    assert {row["kind"] for row in rows} == {"question word", "article"}
    assert len(rows) == 3 * 5
    assert [row["slice"] for row in rows[:4]] == ["who", "why", "when", "Super_Bowl_50"]
    assert (rows[0]["variant"], float(rows[0]["f1"]), int(rows[0]["questions"])) == ("base", 67.5, 40)


def test_an_experiment_without_results_is_none(tmp_path: Path) -> None:
    assert read_experiment(tmp_path / "ablation.json") is None
    (tmp_path / "ablation.json").write_text('{"scored_on": {"name": "a", "questions": 3}, "results": []}')
    assert read_experiment(tmp_path / "ablation.json") is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(59.4, "59 s"), (59.6, "1 min 0 s"), (893, "14 min 53 s"), (5_400, "1 h 30 min")]
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_data_set_of_two_names_is_one(adapters: Path) -> None:
    same = Dataset("SQuAD from the hub", shown.DATA.fingerprint, shown.QUESTIONS)
    write_metrics(adapters / "river-bert" / "lora" / "metrics.json", shown.metrics(70.0, dataset=same))
    found = read_overview(RIVER, adapters)
    assert len(found.comparable) == 3
    assert {row.note for row in scores(found).rows if row.variant} == {""}
