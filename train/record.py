"""What a training run leaves: `run.json`, and the variant's folder with its weights, `variant.json` and card.

Folders that were trained before their base was recorded get that record, and a new card, from

python -m train.record adapters/minilm-l6-qa/lora …

It takes the base that lies here for the one that they were trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from qa_compare import backbones, loading, measured_weights, variants
from qa_compare.backbones import Backbone, Weights
from qa_compare.cards import write_card
from qa_compare.errors import UserError
from qa_compare.files import read_json, sha256, synced, write_json, write_text
from qa_compare.modeling import QAPeftModel
from qa_compare.runs import METRICS, RUN
from qa_compare.versions import versions
from train.checkpoints import whole
from train.command import one_line
from train.data import Data
from train.log import Log
from train.options import Options
from train.trainer import QATrainer

_NOT_HYPERPARAMETERS = {
    "backbone", "weights", "revision", "adapters", "output", "init_from", "train_file", "validation_file",
    "validation_fraction", "keep_out", "drop_overlap", "runs", "resume", "overwrite", "device", "recipe",
}  # fmt: skip


def describe_run(
    method: str,
    trainer: QATrainer,
    weights: Weights,
    backbone: Backbone,
    data: Data,
    log: Log,
    options: Options,
    own: dict[str, Any],
    windows: int,
) -> dict[str, Any]:
    """The object that `run.json` holds."""
    assert trainer.model is not None
    parameters = list(trainer.model.parameters())
    return {
        "method": method,
        "recipe": options.recipe,
        "backbone": backbone.name,
        "backbone_weights": weights.source,
        "backbone_commit": weights.commit,
        "continued_from": _earlier(options.init_from),
        "hyperparameters": hyperparameters(options, own),
        "data": data.record,
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "total_parameters": sum(p.numel() for p in parameters),
        "windows": windows,
        **_ending(trainer, log),
        "device": _device(trainer.args.device),
        "processes": trainer.args.world_size,
        "versions": versions("torch", "transformers", "peft", "accelerate"),
        "python": platform.python_version(),
    }


def _earlier(folder: Path | None) -> dict[str, Any] | None:
    """What `run.json` said of the run that was continued: its data, steps and seconds count too."""
    return read_json(folder / RUN) if folder else None


def hyperparameters(options: Options, own: dict[str, Any]) -> dict[str, Any]:
    """The options that say how, not on what or where, a run is trained."""
    chosen = {key: value for key, value in asdict(options).items() if key not in _NOT_HYPERPARAMETERS}
    return {**chosen, **own}


def _ending(trainer: QATrainer, log: Log) -> dict[str, Any]:
    state = trainer.state
    stopped = "early: no lower evaluation loss" if state.global_step < state.max_steps else "all steps done"
    best = state.best_model_checkpoint
    return {
        "seconds": round(log.seconds, 1),
        "steps": state.global_step,
        "epochs": state.epoch,
        "best_step": int(best.rpartition("-")[2]) if best else state.global_step,
        "best_eval_loss": state.best_metric,
        "stopped": stopped,
        "precision": "bf16" if trainer.args.bf16 else "fp32",
    }


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} processor, {torch.get_num_threads()} threads"


def save(
    method: str,
    model: nn.Module,
    backbone: Backbone,
    output: Path,
    run: dict[str, Any],
    *,
    base: str,
    keep: Path | None = None,
) -> None:
    """Weights beside, then renamed into the folder, and `run.json` last: it is what says that the run is finished.

    `base` is the fingerprint of the base that was trained on; `keep` names a folder for a model whose weights are not
    shipped.
    """
    beside = output / ".new"
    shutil.rmtree(beside, ignore_errors=True)
    with whole(beside):
        beside.mkdir(parents=True)
        names = _write_weights(model, beside, keep)
        for name in names:
            synced(beside / name)
    for name in names:
        (beside / name).replace(output / name)
    shutil.rmtree(beside)
    positions = _positions(model)
    fit = run.get("calibration")
    variant = variants.Variant(
        name=output.name,
        label=variants.LABELS.get(output.name, output.name),
        method=method,
        backbone=backbone.name,
        folder=output,
        shipped=keep is None,
        virtual_positions=positions,
        temperature=fit["temperature"] if fit else 1.0,
        sha256={name: sha256(output / name) for name in names},
        base_fingerprint=base,
    )
    merged = variants.ADAPTER_FILE in names and positions is None
    write_json(output / variants.VARIANT_FILE, variants.describe(variant, merged=merged))
    write_json(output / RUN, run)
    write_card(output, backbone)


def _positions(model: nn.Module) -> str | None:
    if not isinstance(model, QAPeftModel) or not model.virtual_tokens:
        return None
    if not model.repairs.positions:
        return variants.BEFORE_PASSAGE
    return variants.NO_POSITIONS if model.active_peft_config.peft_type == "PREFIX_TUNING" else variants.END_OF_TABLE


def _write_weights(model: nn.Module, folder: Path, keep: Path | None) -> list[str]:
    """Write what is shipped into `folder`; returns the names of the files that were meant."""
    if keep is not None:
        assert isinstance(model, PreTrainedModel)
        model.save_pretrained(keep)
        return []
    if isinstance(model, QAPeftModel):
        model.save_pretrained(str(folder))
        return [variants.ADAPTER_FILE, variants.CONFIG_FILE]
    state = model.get_submodule("qa_outputs").state_dict()
    head = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(head, folder / variants.HEAD_FILE)
    return [variants.HEAD_FILE]


def record_base(folder: Path, *, backbone: str | None = None, weights: Path | None = None) -> None:
    """Write into a variant's folder which base it was trained on, taking the one that lies here for it.

    `adapter_config.json` gets the name that a run would give it now. No weight changes, so that what was measured on
    the folder's files before counts as measured on them now.

    Raises:
        UserError: the folder or its base cannot be used, or the folder already names another base.
    """
    described = read_json(variants.inside(folder, variants.VARIANT_FILE))
    source = backbones.get(backbone or str(described.get("backbone") if isinstance(described, dict) else None))
    variant = variants.read(folder, source)
    if variant.problem:
        raise UserError(variant.problem)
    located = backbones.locate(source, weights=weights)
    if folder.name == "base":
        base = backbones.load_model(source, located)
    else:
        base = loading.load_base(source, located, folder.resolve().parent.parent)
    found = loading.fingerprint(base)
    if variant.base_fingerprint not in (None, found):
        raise UserError(f"{folder} names another base than the one that lies here")
    config, hashes = _config_naming(folder, loading.published_name(base, source), variant.sha256)
    after = replace(variant, base_fingerprint=found, sha256={**variant.sha256, **hashes})
    # if it is cut here, the same command mends the folder
    write_json(folder / variants.VARIANT_FILE, variants.describe(after, merged=described["merged_at_load"]))
    if config:
        write_text(folder / variants.CONFIG_FILE, config)
    _carry_over(folder / METRICS, variant, after)
    write_card(folder, source)


def _config_naming(folder: Path, name: str, hashes: dict[str, str]) -> tuple[str, dict[str, str]]:
    """`adapter_config.json` as PEFT writes it, with the base's name in it, and its hash; empty where it stays."""
    path = folder / variants.CONFIG_FILE
    if not path.exists() or (config := read_json(path))["base_model_name_or_path"] == name:
        return "", {}
    text = json.dumps({**config, "base_model_name_or_path": name}, indent=2, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if hashes.get(path.name) not in (None, sha256(path), digest):
        raise UserError(f"{path} is damaged: its sha256 is not the one in {variants.VARIANT_FILE}")
    return text, {path.name: digest}


def _carry_over(path: Path, before: variants.Variant, after: variants.Variant) -> None:
    """Let scores that were measured on the files before be those of the files after."""
    metrics = read_json(path) if path.exists() else {}
    old, new = (measured_weights.weights(one.name, [one]) for one in (before, after))
    recorded = metrics.get("weights") or {}
    if old != new and old.items() <= recorded.items():
        write_json(path, {**metrics, "weights": dict(sorted({**recorded, **new}.items()))})


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a variant's, in its place")
    parser.add_argument("--backbone", help="where the folder's own name for it is not enough: a hub id or a folder")
    parser.add_argument("--weights", type=Path, help="folder with the backbone's weights")
    arguments = parser.parse_args(argv)
    with one_line():
        for folder in arguments.folders:
            record_base(folder, backbone=arguments.backbone, weights=arguments.weights)
            print(f"recorded the base of {folder}")


if __name__ == "__main__":
    main()
