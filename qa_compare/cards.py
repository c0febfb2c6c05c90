"""The model card of a variant, generated from its `variant.json`, `run.json` and `metrics.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qa_compare.backbones import Backbone
from qa_compare.errors import UserError
from qa_compare.files import read_json, write_text
from qa_compare.variants import BEFORE_PASSAGE, END_OF_TABLE

_USE = {
    "base": (
        "The adapter is merged into the encoder when this project loads it; "
        "`python -m qa_compare export-base {backbone} --output DIR` writes the merged model as an ordinary checkpoint."
    ),
    "head": "Only a linear head on the frozen encoder: `head.safetensors`, its `weight` and `bias`.",
    "lora": (
        "Plain PEFT loads it onto {base}. PEFT's question-answering class drops `token_type_ids`: merge the adapter "
        "and pass them to the merged model, and the logits are this project's."
    ),
    END_OF_TABLE: (
        "Plain PEFT loads it onto {base}, but needs this project's `QAPeftModel` to keep segments and positions: the "
        "virtual tokens sit at the end of the position table and the passage keeps its own positions."
    ),
    BEFORE_PASSAGE: (
        "Plain PEFT loads it onto {base}, but needs this project's `QAPeftModel` to keep segments. The virtual tokens "
        "sit before the passage and move its positions, as PEFT has it."
    ),
}


def write_card(folder: Path, backbone: Backbone) -> None:
    """Write `README.md` in a variant's folder. What has not been measured is left out."""
    variant = read_json(folder / "variant.json")
    run, metrics = _optional(folder / "run.json"), _optional(folder / "metrics.json")
    parts = [
        _front_matter(variant, backbone, metrics),
        f"# {variant['label']} on {backbone.label}",
        _summary(variant, run),
    ]
    if metrics:
        parts.append(_results(metrics))
    parts.append(f"## Use\n\n{_use(variant, backbone)}")
    if run:
        parts.append(_training(run))
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")


def _optional(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except UserError:
        return {}


def _front_matter(variant: dict[str, Any], backbone: Backbone, metrics: dict[str, Any]) -> str:
    tags = ["question-answering", "extractive-qa", variant["method"]]
    lines = ["---", "license: apache-2.0", "language: en", "pipeline_tag: question-answering"]
    if backbone.hub_id:
        lines.append(f"base_model: {backbone.hub_id}")
    if "adapter_model.safetensors" in variant["sha256"]:
        lines.append("library_name: peft")
    lines.append(f"tags: {json.dumps(tags)}")
    if metrics:
        lines.append('metrics: ["exact_match", "f1"]')
    return "\n".join([*lines, "---"])


def _summary(variant: dict[str, Any], run: dict[str, Any]) -> str:
    text = f"Method: {variant['method']}. Backbone: `{variant['backbone']}`."
    if run:
        share = 100 * run["trainable_parameters"] / run["total_parameters"]
        text += (
            f" Trained parameters: {run['trainable_parameters']:,} of {run['total_parameters']:,} ({share:.2f} %), the"
            " question-answering head among them."
        )
    return text


def _results(metrics: dict[str, Any]) -> str:
    dataset = metrics["dataset"]
    lines = [f"## Results\n\n{dataset['name']}, {dataset['questions']:,} questions, in percent.\n"]
    lines += ["| metric | value | 95 % interval |", "|---|---|---|"]
    for key, label in (("exact_match", "exact match"), ("f1", "F1"), ("bertscore", "BERTScore")):
        if key in metrics:
            value = metrics[key]
            interval = f"{value['low']:.1f} to {value['high']:.1f}" if "low" in value else "–"
            lines.append(f"| {label} | {value['value']:.1f} | {interval} |")
    return "\n".join(lines)


def _use(variant: dict[str, Any], backbone: Backbone) -> str:
    if variant["weights"] != "shipped":
        return "The weights are not kept: this is the record of a reference run."
    kind = variant["virtual_positions"] or variant["method"]
    if "head.safetensors" in variant["sha256"]:
        kind = "head"
    base = f"`{backbone.hub_id or backbone.label}`"
    if backbone.merges:
        base = f"the merged base that `python -m qa_compare export-base {backbone.name} --output DIR` writes"
    return _USE.get(kind, _USE["lora"]).format(base=base, backbone=backbone.name)


def _training(run: dict[str, Any]) -> str:
    data = run["data"]
    files = ", ".join(f"`{file['name']}`" for file in data["train_files"]) or "SQuAD v1.1's training questions"
    lines = [
        "## Training\n",
        f"{data['train_questions']:,} questions from {files}; {run['steps']:,} steps in "
        f"{run['seconds'] / 60:.0f} minutes on {run['device']} in {run['precision']}; "
        f"best at step {run['best_step']:,}; {run['stopped']}.",
        "",
        "| hyperparameter | value |",
        "|---|---|",
    ]
    lines += [f"| {key} | {value} |" for key, value in sorted(run["hyperparameters"].items()) if value is not None]
    return "\n".join(lines)
