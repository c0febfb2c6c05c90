"""A card says what its three JSON files say, in the hub's format, and leaves out what they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from qa_compare import backbones, variants
from qa_compare.backbones import BACKBONES, Backbone
from qa_compare.cards import write_card
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.variants import ADAPTER_FILE, HEAD_FILE, LABELS, Variant, describe
from tests import tiny

pytestmark = pytest.mark.slow

MERGED, PLAIN, OWN = (BACKBONES[name] for name in ("minilm-l6-qa", "minilm-l6", "bert-tiny"))
RUN = {
    "trainable_parameters": 8_450,
    "total_parameters": 22_574_596,
    "data": {"train_questions": 7_546, "train_files": [{"name": "a.json"}, {"name": "b.json"}]},
    "steps": 4_770,
    "seconds": 780.4,
    "device": "2 threads",
    "precision": "bf16",
    "best_step": 3_210,
    "stopped": "all steps done",
    "hyperparameters": {"seed": 0, "rank": None, "learning_rate": 3e-3},
}
METRICS = {
    "dataset": {"name": "SQuAD v1.1 validation", "fingerprint": "f" * 64, "questions": 10_570},
    "exact_match": {"value": 54.04, "low": 53.1, "high": 55.0},
    "f1": {"value": 68.0, "low": 67.2, "high": 68.8},
}


def card(
    folder: Path,
    name: str,
    backbone: Backbone = MERGED,
    *,
    file: str | None = ADAPTER_FILE,
    positions: str | None = None,
    **files: dict[str, Any],
) -> tuple[dict[str, Any], str]:
    """The metadata and the text of a variant's card, made from `variant.json` and the `files` beside it."""
    hashes = {file: "0" * 64} if file else {}
    variant = Variant(name, LABELS[name], name, backbone.name, folder, bool(file), positions, sha256=hashes)
    write_json(folder / "variant.json", describe(variant, merged=positions is None))
    for key, value in files.items():
        write_json(folder / f"{key}.json", value)
    write_card(folder, backbone)
    read = ModelCard.load(folder / "README.md")
    return read.data.to_dict(), read.text


def test_a_card_says_who_is_left_out_of_the_scores_and_has_squad_2s_metric(tmp_path: Path) -> None:
    parts = {"has_ans_exact": 60.0, "has_ans_f1": 70.0, "has_ans_total": 8, "no_ans_exact": 0.0, "no_ans_f1": 0.0}
    two = {"exact": 48.0, "f1": 56.0, "total": 10, **parts, "no_ans_total": 2}
    counts = {"questions": 10, "scored": 8, "unanswerable": 2}
    estimate = {**METRICS["f1"], "resampled": "articles", "units": 48}
    scored = {**METRICS, "dataset": {**METRICS["dataset"], **counts}, "f1": estimate, "squad2": two}
    _, text = card(tmp_path, "lora", metrics=scored)
    assert "2 of 10 questions are marked as unanswerable: exact match and F1 leave them out" in text
    assert "95 % intervals over 48 articles." in text
    assert "| unanswerable questions | 0.0 | 0.0 | 2 |" in text


EXPORT = "`python -m qa_compare export-base minilm-l6-qa --output DIR` writes"
USES: list[tuple[str, dict[str, Any], str]] = [
    ("base", {}, f"The adapter is merged into the encoder when this project loads it; {EXPORT} the merged model"),
    ("lora", {}, f"Plain PEFT loads it onto the merged base that {EXPORT}. PEFT's"),
    ("lora", {"backbone": OWN}, "Plain PEFT loads it onto `mrm8488/bert-tiny-finetuned-squadv2`."),
    ("ia3", {"backbone": OWN}, "Plain PEFT loads it onto `mrm8488/bert-tiny-finetuned-squadv2`."),
    ("prompt-tuning", {"positions": variants.END_OF_TABLE}, "the virtual tokens sit at the end of the position table"),
    ("prompt-tuning", {"positions": variants.BEFORE_PASSAGE}, "The virtual tokens sit before the passage and move its"),
    ("prefix-tuning", {"positions": variants.NO_POSITIONS}, "the virtual keys and values take no positions"),
    ("base", {"backbone": PLAIN, "file": HEAD_FILE}, "Only a linear head on the frozen encoder: `head.safetensors`"),
    ("head", {"file": HEAD_FILE}, "Only a linear head on the frozen encoder: `head.safetensors`"),
    ("full", {"file": None}, "The weights are not kept: this is the record of a reference run."),
]


@pytest.mark.parametrize(("name", "options", "use"), USES)
def test_each_kind_of_variant_says_how_it_is_used(tmp_path: Path, name: str, options: dict[str, Any], use: str) -> None:
    backbone = options.get("backbone", MERGED)
    data, text = card(tmp_path, name, **options)
    assert f"# {LABELS[name]} on {backbone.label}" in text
    assert use in text.partition("## Use\n\n")[2]
    assert "{" not in text
    assert data["tags"] == ["question-answering", "extractive-qa", name]
    assert data["base_model"] == backbone.hub_id
    assert data.get("library_name") == ("peft" if options.get("file", ADAPTER_FILE) == ADAPTER_FILE else None)


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    folder = backbones.get(str(tiny.checkpoint(tmp_path / "checkpoint")))
    data, text = card(tmp_path, "lora", folder)
    assert set(data) == {"license", "language", "pipeline_tag", "library_name", "tags"}
    for absent in ("## Results", "## Training", "Trained parameters", "None"):
        assert absent not in text
    assert "Plain PEFT loads it onto `checkpoint`." in text


def test_the_training_run_is_told(tmp_path: Path) -> None:
    text = card(tmp_path, "lora", run=RUN)[1]
    assert "Trained parameters: 8,450 of 22,574,596 (0.04 %), the question-answering head among them." in text
    assert (
        "7,546 questions from `a.json`, `b.json`; 4,770 steps in 13 minutes on 2 threads in bf16; "
        "best at step 3,210; all steps done." in text
    )
    assert "| learning_rate | 0.003 |\n| seed | 0 |" in text
    assert "rank" not in text
    assert "## Results" not in text


def test_a_run_on_the_hubs_squad_names_it(tmp_path: Path) -> None:
    run = {**RUN, "data": {"train_questions": 87_599, "train_files": []}}
    assert "87,599 questions from SQuAD v1.1's training questions; " in card(tmp_path, "lora", run=run)[1]


def test_metrics_are_shown_with_their_intervals_and_data_set(tmp_path: Path) -> None:
    metrics = {**METRICS, "bertscore": {"value": 91.26, "hash": "bert-base_L9"}}
    data, text = card(tmp_path, "lora", metrics=metrics)
    assert data["metrics"] == ["exact_match", "f1"]
    assert "SQuAD v1.1 validation, 10,570 questions, in percent." in text
    assert "| exact match | 54.0 | 53.1 to 55.0 |\n| F1 | 68.0 | 67.2 to 68.8 |\n| BERTScore | 91.3 | – |" in text
    assert "BERTScore" not in card(tmp_path, "lora", metrics=METRICS)[1]


def test_a_card_is_replaced_and_one_without_its_variant_refused(tmp_path: Path) -> None:
    assert card(tmp_path, "lora") == card(tmp_path, "lora")
    (tmp_path / "variant.json").unlink()
    with pytest.raises(UserError, match=r"variant\.json cannot be read"):
        write_card(tmp_path, MERGED)
