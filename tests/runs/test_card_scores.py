"""What a card says beyond the three files: the hub's model-index, the encoder, the calibration, licences and limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from qa_compare.data import examples
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.models.backbones import BACKBONES
from qa_compare.runs.model_card import write_card
from qa_compare.runs.records import BertScore, Dataset, Metrics
from qa_compare.runs.store import write_metrics
from tests import measured
from tests.runs.test_runs import RUN

SQUAD = Dataset("dev-v1.1.json", examples.SQUAD_VALIDATION, 10_570)
SHIFTS = "- Trained on [SQuADShifts](https://modestyachts.github.io/squadshifts-website/): CC BY 4.0."
QAMR = "- Trained on [QAMR](https://github.com/uwnlp/qamr): MIT."


def card(folder: Path, metrics: Metrics | None = None, run: dict[str, Any] | None = None) -> ModelCard:
    made = measured.variant(folder, "lora")
    if metrics:
        write_metrics(made / "metrics.json", metrics)
    if run:
        write_json(made / "run.json", run)
    write_card(made, BACKBONES["minilm-l6-qa"])
    return ModelCard.load(made / "README.md")


def run_on(*names: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    files = [{"name": name, "sha256": "0" * 64} for name in names]
    return {
        **RUN,
        "data": {"train_files": files, "train_questions": 5, "validation_questions": 2},
        "continued_from": before,
    }


def test_the_hub_reads_the_scores_as_a_model_index(tmp_path: Path) -> None:
    scored = BertScore(70.123, 60.0, 80.0, "hash", "MiniLM, last layer")
    data = card(tmp_path, measured.metrics(dataset=SQUAD, bertscore=scored)).data
    assert data.model_name == "lora on minilm-l6-qa"
    assert data.eval_results
    found = [(one.metric_type, one.metric_value, one.metric_name) for one in data.eval_results]
    assert found == [
        ("exact_match", 50.0, "exact match"),
        ("f1", 66.6, "F1"),
        ("bertscore", 70.12, "BERTScore (MiniLM, last layer)"),
    ]
    for one in data.eval_results:
        assert (one.task_type, one.dataset_type, one.dataset_name, one.dataset_split) == (
            "question-answering",
            "rajpurkar/squad",
            "SQuAD v1.1",
            "validation",
        )


def test_scores_on_another_file_do_not_pass_for_squads(tmp_path: Path) -> None:
    made = card(tmp_path, measured.metrics(dataset=Dataset("dev-v1.1.json", "e" * 64, 10_570)))
    assert {(one.dataset_type, one.dataset_name) for one in made.data.eval_results or []} == {("dev-v1.1.json",) * 2}
    assert "CC BY-SA" not in made.text


def test_bertscore_stands_with_its_encoder_and_confidence_with_its_error(tmp_path: Path) -> None:
    scored = BertScore(70.0, 60.0, 80.0, "hash", "MiniLM, last layer")
    text = card(tmp_path, measured.metrics(bertscore=scored)).text
    assert "| BERTScore | 70.0 | 60.0 to 80.0 |" in text
    assert "BERTScore by MiniLM, last layer. Other encoders give other scores." in text
    assert "by 5.0 points on average (expected calibration error), at a temperature of 1.50; by 5.0 at 1." in text


def test_a_calibration_at_another_temperature_is_not_taken_for_that_of_today(tmp_path: Path) -> None:
    said = "The temperature has changed since, to 1.00: this error is not that of today."
    assert said in card(tmp_path / "one", measured.metrics()).text
    calibration = dataclasses.replace(measured.metrics().calibration, temperature=1.0)
    assert "changed since" not in card(tmp_path / "other", measured.metrics(calibration=calibration)).text


@pytest.mark.parametrize(
    ("run", "lines"),
    [
        (run_on("amazon_reviews_v1.0.json", "reddit_v1.0.json"), [SHIFTS]),
        (run_on("new_wiki_v1.0.json", "qamr_dev_filtered.json"), [SHIFTS, QAMR]),
        (run_on("new_wiki_v1.0.json", before=run_on("qamr_dev_filtered.json", before=run_on("mine.json"))),
         [SHIFTS, QAMR, "- Trained on `mine.json`: ask whoever made it."]),
        (run_on(), ["- Trained on [SQuAD v1.1](https://rajpurkar.github.io/SQuAD-explorer/): CC BY-SA 4.0."]),
        (None, []),
    ],
    ids=["two files of one source", "two sources", "continued twice", "the hub's SQuAD", "no run"],
)  # fmt: skip
def test_the_licence_of_every_training_file_is_told_once(tmp_path: Path, run: Any, lines: list[str]) -> None:
    licences = card(tmp_path, run=run).text.partition("## Licences\n\n")[2].strip().splitlines()
    assert licences == ["- These weights: Apache-2.0.", *lines]


def test_the_licence_of_the_evaluation_is_told(tmp_path: Path) -> None:
    text = card(tmp_path, measured.metrics(dataset=SQUAD)).text
    assert "- Evaluated on [SQuAD v1.1](https://rajpurkar.github.io/SQuAD-explorer/): CC BY-SA 4.0." in text


def test_limits_are_told_in_every_card(tmp_path: Path) -> None:
    assert "## Limits\n\n- Extractive: the answer is a stretch of the passage" in card(tmp_path).text


def test_a_damaged_file_is_not_taken_for_an_absent_one(tmp_path: Path) -> None:
    made = measured.variant(tmp_path, "lora")
    (made / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json is not JSON"):
        write_card(made, BACKBONES["minilm-l6-qa"])
    assert not (made / "README.md").exists()
