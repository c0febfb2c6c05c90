"""What a training run leaves: `run.json`, and the variant's folder with its weights, `variant.json` and card."""

from __future__ import annotations

import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from qa_compare import variants
from qa_compare.backbones import Backbone, Weights
from qa_compare.cards import write_card
from qa_compare.files import read_json, sha256, synced, write_json
from qa_compare.modeling import QAPeftModel
from qa_compare.runs import RUN
from qa_compare.versions import versions
from train.checkpoints import whole
from train.data import Data
from train.log import Log
from train.options import Options
from train.trainer import QATrainer

_NOT_HYPERPARAMETERS = {
    "backbone", "weights", "revision", "adapters", "output", "init_from", "train_file", "validation_file",
    "validation_fraction", "keep_out", "drop_overlap", "max_overlap", "runs", "resume", "overwrite", "device",
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
    method: str, model: nn.Module, backbone: Backbone, output: Path, run: dict[str, Any], *, keep: Path | None = None
) -> None:
    """Weights beside, then renamed into the folder, and `run.json` last: it is what says that the run is finished.

    `keep` names a folder for a model whose weights are not shipped.
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
