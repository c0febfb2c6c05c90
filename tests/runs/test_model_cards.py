"""A card says what its three JSON files say, in the hub's format, and leaves out what they do not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from qa_compare.errors import UserError
from qa_compare.files import read_json, write_json
from qa_compare.models import backbones, variants
from qa_compare.models.backbones import BACKBONES, Backbone
from qa_compare.models.variants import ADAPTER_FILE, HEAD_FILE, LABELS, Variant, describe
from qa_compare.runs.model_card import write_card
from qa_compare.runs.records import BertScore, Dataset, Estimate
from tests import measured, tiny

pytestmark = pytest.mark.slow

MERGED, PLAIN, OWN = (BACKBONES[name] for name in ("minilm-l6-qa", "minilm-l6", "bert-tiny"))
RUN: dict[str, Any] = {
    "method": "lora",
    "trainable_parameters": 8_450,
    "total_parameters": 22_574_596,
    "data": {
        "train_questions": 7_546,
        "validation_questions": 300,
        "train_files": [{"name": "a.json", "sha256": "0" * 64}, {"name": "b.json", "sha256": "1" * 64}],
    },
    "steps": 4_770,
    "seconds": 780.4,
    "device": "2 threads",
    "precision": "bf16",
    "best_step": 3_210,
    "stopped": "all steps done",
    "hyperparameters": {"seed": 0, "rank": None, "learning_rate": 3e-3},
}


def scores(**more: Any) -> dict[str, Any]:
    """What `metrics.json` holds."""
    made = measured.metrics(
        dataset=Dataset("SQuAD v1.1 validation", "f" * 64, 10_570),
        exact_match=Estimate(54.04, 53.1, 55.0),
        f1=Estimate(68.0, 67.2, 68.8),
        **more,
    )
    return {key: value for key, value in asdict(made).items() if value is not None}


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
    plain = scores()
    estimate = {**plain["f1"], "resampled": "articles", "units": 48}
    scored = {**plain, "dataset": {**plain["dataset"], **counts}, "f1": estimate, "squad2": two}
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
    run = {**RUN, "data": {"train_questions": 87_599, "validation_questions": 9, "train_files": []}}
    assert "87,599 questions from SQuAD v1.1's training questions; " in card(tmp_path, "lora", run=run)[1]


def test_metrics_are_shown_with_their_intervals_and_data_set(tmp_path: Path) -> None:
    scored = BertScore(91.26, 90.0, 92.5, "bert-base_L9", "BERT, layer 9")
    data, text = card(tmp_path, "lora", metrics=scores(bertscore=scored))
    assert data["metrics"] == ["exact_match", "f1"]
    assert "SQuAD v1.1 validation, 10,570 questions, in percent." in text
    assert (
        "| exact match | 54.0 | 53.1 to 55.0 |\n| F1 | 68.0 | 67.2 to 68.8 |\n| BERTScore | 91.3 | 90.0 to 92.5 |"
        in text
    )
    assert "BERTScore" not in card(tmp_path, "lora", metrics=scores())[1]


def test_what_was_left_out_of_training_is_told(tmp_path: Path) -> None:
    run = {**RUN, "data": {**RUN["data"], "summary": "Trained on 7,546 of 7,938 questions; left out: 392 not drawn."}}
    assert (
        "\n\nTrained on 7,546 of 7,938 questions; left out: 392 not drawn.\n\n|" in card(tmp_path, "lora", run=run)[1]
    )


def test_a_variant_that_says_nothing_of_virtual_positions_has_a_card(tmp_path: Path) -> None:
    card(tmp_path, "lora")
    described = read_json(tmp_path / "variant.json")
    del described["virtual_positions"]
    write_json(tmp_path / "variant.json", described)
    write_card(tmp_path, MERGED)
    assert "Plain PEFT loads it onto the merged base" in (tmp_path / "README.md").read_text()


def test_a_run_that_continued_an_adapter_without_a_record_says_so(tmp_path: Path) -> None:
    run = {**RUN, "continued_from": {"label": "LoRA", "method": "lora", "sha256": {"adapter_model.safetensors": "0"}}}
    assert "- It continues an adapter that came without a record of its data: ask" in card(tmp_path, "lora", run=run)[1]
    assert "without a record" not in card(tmp_path, "lora", run=RUN)[1]


@pytest.mark.parametrize("name", ["variant", "run", "metrics"])
def test_whatever_a_record_lacks_ends_in_a_sentence_or_a_card(tmp_path: Path, name: str) -> None:
    files = {"run": {**RUN, "continued_from": RUN}, "metrics": scores()}
    card(tmp_path, "full", file=None, **files)
    whole = read_json(tmp_path / f"{name}.json")
    for key in whole:
        write_json(tmp_path / f"{name}.json", {one: value for one, value in whole.items() if one != key})
        said = f'{name}.json has no "{key}"'
        try:
            write_card(tmp_path, MERGED)
        except UserError as error:
            said_instead = str(error).removeprefix(f"{tmp_path}/")
        else:
            said_instead = said
        assert said_instead == said


def test_a_card_is_replaced_and_one_without_its_variant_refused(tmp_path: Path) -> None:
    assert card(tmp_path, "lora") == card(tmp_path, "lora")
    (tmp_path / "variant.json").unlink()
    with pytest.raises(UserError, match=r"variant\.json cannot be read"):
        write_card(tmp_path, MERGED)
