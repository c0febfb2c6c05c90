"""What a training run leaves: `run.json`, and the variant's folder with its weights, `variant.json` and card.

Folders that were trained before their base was recorded get that record, and a new card, from

python -m train.record adapters/minilm-l6-qa/lora …

It takes the base that lies here for the one that they were trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.files import read_json, replace_folder, sha256, synced, write_json, write_text
from qa_compare.models import backbones, loading, variants
from qa_compare.models.backbones import Backbone, Weights
from qa_compare.models.modeling import QAPeftModel, Repairs
from qa_compare.models.registry import versions
from qa_compare.runs import store
from qa_compare.runs.model_card import write_card
from qa_compare.runs.store import LOG, METRICS, RUN, read_run
from train.checkpoints import whole
from train.command import one_line
from train.data import Data, WindowDataset
from train.log import Log
from train.options import Options
from train.trainer import QATrainer

_NOT_HYPERPARAMETERS = {
    "backbone", "weights", "revision", "adapters", "output", "init_from", "train_file", "validation_file",
    "validation_fraction", "keep_out", "drop_overlap", "max_overlap", "runs", "resume", "overwrite", "device", "recipe",
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
    earlier: dict[str, Any] | None,
) -> dict[str, Any]:
    """The object that `run.json` holds; `earlier` is that of the run that was continued."""
    assert trainer.model is not None
    parameters = list(trainer.model.parameters())
    return {
        "method": method,
        "recipe": options.recipe,
        "backbone": backbone.name,
        "backbone_weights": weights.source,
        "backbone_commit": weights.commit,
        "continued_from": earlier,
        "hyperparameters": hyperparameters(options, own),
        "data": data.record,
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "total_parameters": sum(p.numel() for p in parameters),
        "windows": len(cast("WindowDataset", trainer.train_dataset)),
        **_ending(trainer, log),
        "device": _device(trainer.args.device),
        "processes": trainer.args.world_size,
        "versions": versions("torch", "transformers", "peft", "accelerate"),
        "python": platform.python_version(),
    }


def earlier(folder: Path | None) -> dict[str, Any] | None:
    """What `run.json` says of a run that is to be continued, whose data, steps and seconds count too; the name and the
    hashes of a variant that came without one. Read before the run: it may take that folder's place at its end."""
    if folder is None:
        return None
    if (folder / RUN).exists():
        read_run(folder)  # a damaged one is told before the work, not after it
        found: dict[str, Any] = read_json(folder / RUN)
        return found
    described = read_json(folder / variants.VARIANT_FILE)
    return {key: described[key] for key in ("label", "method", "backbone", "sha256") if key in described}


def settings(
    method: str,
    options: Options,
    own: dict[str, Any],
    start: dict[str, Any],
    data: Data,
    repairs: Repairs | None,
    precision: str,
) -> dict[str, Any]:
    """All that decides what a run learns, by its option or in words, for its checkpoints: a run goes on from them with
    nothing else. `start` is `start_of`'s. The number of processes may change as long as they take as many windows in a
    pass together."""
    chosen = hyperparameters(options, own)
    batch = chosen.pop("batch_size") * int(os.environ.get("WORLD_SIZE", "1"))
    return {
        "method": method,
        **start,
        "--init-from": _hashes(options.init_from) if options.init_from else None,
        "--train-file": data.record["train_files"],
        "--validation-file": data.record["validation_file"],
        "--keep-out": data.record["kept_out"],
        "--batch-size of all processes": batch,
        **{f"--{key.replace('_', '-')}": value for key, value in sorted(chosen.items())},
        "--precision": precision,
        "--validation-fraction": data.record["validation_fraction"],
        "--drop-overlap": options.drop_overlap,
        "--max-overlap": options.max_overlap,
        "repairs": asdict(repairs) if repairs else None,
        "training questions": {"name": f"{len(data.train):,}", "sha256": _digest(data.train)},
        "validation questions": {"name": f"{len(data.validation):,}", "sha256": _digest(data.validation)},
    }


def start_of(backbone: Backbone, weights: Weights, base: Path | None) -> dict[str, Any]:
    """What a run starts from: the backbone's files, and the variant in the folder `base` if it goes onto one."""
    kinds = {".json", ".safetensors", ".txt", ".model"}
    files = [path for path in sorted(weights.folder.iterdir()) if path.suffix in kinds and path.is_file()]
    hashes = json.dumps({path.name: sha256(path) for path in files})
    return {
        "backbone": {"name": backbone.name, "sha256": hashlib.sha256(hashes.encode()).hexdigest()},
        "base": _hashes(base) if base and base.is_dir() else None,
    }


def _hashes(folder: Path) -> dict[str, str]:
    """The hashes of a variant's weights, as it says them itself; loading it checks them."""
    hashes: dict[str, str] = read_json(folder / variants.VARIANT_FILE)["sha256"]
    return hashes


def _digest(examples: Sequence[Example]) -> str:
    return hashlib.sha256(json.dumps([asdict(example) for example in examples]).encode()).hexdigest()


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
    log: Path,
    *,
    base: str,
    keep: Path | None = None,
) -> Path:
    """Write all that the finished run leaves into a folder beside `output`, `run.json` last; returns that folder.

    `base` is the fingerprint of the base that was trained on; `keep` names a folder for a model whose weights are not
    shipped; `log` is the run's.

    Raises:
        UserError: it cannot be written; nothing is left of it, and `output` is as it was.
    """
    made = beside(output)
    for folder in filter(None, (made, keep)):
        shutil.rmtree(folder, ignore_errors=True)
    with whole(made):
        made.mkdir(parents=True)
        names = _write_weights(model, made, keep)
        for name in names:
            synced(made / name)
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
            sha256={name: sha256(made / name) for name in names},
            base_fingerprint=base,
        )
        merged = variants.ADAPTER_FILE in names and positions is None
        write_json(made / variants.VARIANT_FILE, variants.describe(variant, merged=merged))
        shutil.copyfile(log, made / LOG)
        write_json(made / RUN, run)
        write_card(made, backbone, name=output.name)
    return made


def holds_variant(folder: Path) -> bool:
    """Whether it is more than what an unfinished run leaves."""
    return any((folder / name).exists() for name in (variants.VARIANT_FILE, RUN))


def beside(output: Path) -> Path:
    """Where a folder is made that is to take the place of `output`: on the same disk, and no variant to the page."""
    place = output.resolve()
    return place.with_name(f".{place.name}-new")


def put_in_place(made: Path, output: Path, models: tuple[Path, Path] | None, replaced: Path) -> None:
    """Let the finished run in the folder `made` take the place of `output`, and `models[0]`, a model that is not
    shipped, that of `models[1]`. What was there is kept under `replaced`, nothing is deleted.

    Raises:
        UserError: there is no room to keep it, or a folder cannot be renamed; `output` is as it was.
    """
    if holds_variant(output):
        kept = _free(replaced / f"{output.parent.name}-{output.name}-{time.strftime('%Y%m%d-%H%M%S')}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole(kept):
            shutil.copytree(output, kept)
        if models and models[1].exists():
            shutil.move(models[1], kept / "model")
    if models:
        replace_folder(*models)
    replace_folder(made, output.resolve())


def _free(path: Path) -> Path:
    """The path, or the first with a number behind it that nothing stands at."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], numbered) if not one.exists())


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
        base = backbones.load_model(source, located, needs_head=False)
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
    old, new = (store.weights(one.name, [one]) for one in (before, after))
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
