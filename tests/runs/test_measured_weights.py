"""Scores stay with the weights they were measured on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qa_compare.files import read_json, write_json
from qa_compare.models import backbones
from qa_compare.models.variants import HEAD_FILE, discover
from qa_compare.runs.overview import read_overview
from qa_compare.runs.store import read_metrics, stale, weights, write_metrics
from tests import measured

RIVER = backbones.Backbone("river-bert", "River", "")


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    for seed, name in enumerate(("base", "lora", "other")):
        measured.variant(tmp_path, name, seed=seed)
    return tmp_path


def test_a_variants_own_weights_and_its_bases_are_what_decides(adapters: Path) -> None:
    found = discover(RIVER, adapters)
    by_name = {one.name: one.sha256[HEAD_FILE] for one in found}
    expected = {f"base/{HEAD_FILE}": by_name["base"], f"lora/{HEAD_FILE}": by_name["lora"]}
    assert weights("lora", found) == expected
    assert weights("base", found) == {f"base/{HEAD_FILE}": by_name["base"]}


@pytest.mark.parametrize(
    ("changed", "says"), [("lora", True), ("base", True), ("other", False)], ids=["its own", "its base's", "another's"]
)
def test_new_weights_make_old_scores_stale(adapters: Path, changed: str, says: bool) -> None:
    made = measured.metrics(weights=weights("lora", discover(RIVER, adapters)))
    assert not stale(made, "lora", discover(RIVER, adapters))
    file = adapters / "river-bert" / changed / "variant.json"
    write_json(file, {**read_json(file), "sha256": {HEAD_FILE: "0" * 64}})
    assert stale(made, "lora", discover(RIVER, adapters)) is says


def test_scores_from_before_weights_were_recorded_are_taken_as_they_are(adapters: Path) -> None:
    folder = adapters / "river-bert" / "lora"
    write_metrics(folder / "metrics.json", measured.metrics())
    assert "weights" not in read_json(folder / "metrics.json")
    made = read_metrics(folder)
    assert made
    assert not stale(made, "lora", discover(RIVER, adapters))


def test_weights_that_are_not_shipped_cannot_be_others(adapters: Path) -> None:
    found = [dataclasses.replace(one, shipped=one.name != "lora", sha256={}) for one in discover(RIVER, adapters)]
    assert not stale(measured.metrics(weights={"lora/model.safetensors": "0" * 64}), "lora", found)


def test_the_page_says_which_variant_was_measured_on_other_weights(adapters: Path) -> None:
    folder = adapters / "river-bert" / "lora"
    write_metrics(folder / "metrics.json", measured.metrics(weights={f"lora/{HEAD_FILE}": "0" * 64}))
    [said] = read_overview(RIVER, adapters).problems
    assert said.startswith("lora was measured on other weights than it has now")


def test_the_page_says_whose_confidence_was_measured_at_another_temperature(adapters: Path) -> None:
    """As `train.calibrate` leaves it: the answers are the same, and how sure they are is not."""
    found = discover(RIVER, adapters)
    for name in ("lora", "other"):
        write_metrics(adapters / "river-bert" / name / "metrics.json", measured.metrics(weights=weights(name, found)))
        file = adapters / "river-bert" / name / "variant.json"
        write_json(file, {**read_json(file), "temperature": 1.5 if name == "other" else 2.25})
    [said] = read_overview(RIVER, adapters).problems
    assert said.startswith("lora's confidence was measured at a temperature of 1.5, and 2.25 is used now: python")
