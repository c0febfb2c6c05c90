"""The loop that all methods share: read, build, train, keep the best, write the variant's folder."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed

from qa_compare.errors import UserError
from qa_compare.files import finish_replacing
from qa_compare.inference.memory import keep_freed_memory
from qa_compare.models import backbones
from qa_compare.models.features import window_length
from qa_compare.models.loading import fingerprint
from qa_compare.models.modeling import Repairs
from qa_compare.models.registry import fastest_precision
from qa_compare.runs.store import LOG, read_log
from train import build, held_out, record
from train import data as training_data
from train import options as shared
from train.checkpoints import Sealed, evaluations_in_vain, last_checkpoint, refuse_others, settings_of
from train.command import one_line
from train.log import Log
from train.options import Options
from train.trainer import LABELS, QATrainer, SpanMetrics

MethodOptions = dict[str, Any]
MODEL = "model"  # beside the checkpoints: the whole model of a run whose weights are not shipped


@dataclass(frozen=True, slots=True)
class Method:
    """A way to fine-tune. `configure` gives PEFT's config, or None where no adapter is added; `unfreeze` then names
    the parameters that are trained. `add_options` declares the method's own options, `defaults` overrides shared ones.
    `trains_head` lets it start from an encoder whose head is random; the others need one that was trained.
    """

    name: str
    configure: Callable[[MethodOptions], PeftConfig | None]
    defaults: dict[str, Any]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    unfreeze: Callable[[str], bool] = lambda name: False
    ship: bool = True
    trains_head: bool = False


def main(method: Method, argv: list[str] | None = None, description: str | None = None) -> None:
    """A training command: parse, run, and end wrong input with one line and status 2."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    method.add_options(parser)
    options, own = shared.parse(parser, method.defaults, argv)
    with one_line():
        folder = run(method, options, own)
        if os.environ.get("RANK", "0") == "0":
            print(f"wrote {folder}")


def run(method: Method, options: Options, own: MethodOptions, *, repairs: Repairs | None = None) -> Path:
    """Train and write the variant's folder; returns it. A finished run that stands there is replaced at the very end.

    Raises:
        UserError: bad input, a finished run in the output folder, a checkpoint of other settings, a full disk, or a
            loss that is not a number.
    """
    keep_freed_memory()
    backbone = backbones.get(options.backbone)
    output, checkpoints = _places(method, backbone, options)
    weights = backbones.locate(backbone, weights=options.weights, revision=options.revision)
    tokenizer = backbones.load_tokenizer(weights)
    set_seed(options.seed)
    data = training_data.load(options)
    base = build.start(backbone, weights, options, output, trains_head=method.trains_head)
    model = build.build(method, backbone, base, options, {**own, "tokenizer": weights.folder}, repairs)
    earlier = record.earlier(options.init_from)  # now: at its end the run may take that folder's place
    max_length = window_length(base.config.max_position_embeddings)
    train, validation, data = training_data.datasets(data, tokenizer, max_length, options.answers)
    checkpoint = last_checkpoint(checkpoints) if options.resume else None
    precision = effective_precision(options, checkpoint)
    start = record.start_of(backbone, weights, build.base_folder(backbone, options, output))
    settings = record.settings(method.name, options, own, start, data, repairs, precision)
    if checkpoint:
        refuse_others(checkpoint, settings_of(checkpoint), settings)
    _tell(data, options, checkpoint)
    arguments = training_arguments(replace(options, precision=precision), checkpoints, len(train))
    # Trainer's own evaluation before the first step: one asked for before `train()` leaves several processes' model
    # marked as prepared, and their gradients are then never averaged
    arguments.eval_on_start = checkpoint is None
    log = _prepare(output, checkpoints, checkpoint, options, write=arguments.process_index == 0)
    early = EarlyStoppingCallback(options.patience)
    early.early_stopping_patience_counter = evaluations_in_vain(checkpoint)
    trainer = QATrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=training_data.Collator(tokenizer.pad_token_id, options.pad_to),
        compute_metrics=SpanMetrics(validation),
        callbacks=[log, Sealed(settings), early],
        head_learning_rate=options.head_learning_rate,
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if arguments.process_index == 0:
        described = record.describe_run(method.name, trainer, weights, backbone, data, log, options, own, earlier)
        some = training_data.draw(validation.encoded, held_out.MOST, options.seed)
        described["calibration"] = held_out.calibration(model, some, tokenizer.pad_token_id)
        _finish(
            method, model, tokenizer, backbone, fingerprint(base), output, described, log.path, checkpoints, options
        )
    trainer.accelerator.wait_for_everyone()
    return output


def _finish(
    method: Method,
    model: Any,
    tokenizer: Any,
    backbone: backbones.Backbone,
    base: str,
    output: Path,
    described: dict[str, Any],
    log: Path,
    checkpoints: Path,
    options: Options,
) -> None:
    """Write what the run leaves beside its place, and only then let it take that place."""
    models = None if method.ship else (checkpoints / "model-new", checkpoints / MODEL)
    kept = models[0] if models else None
    made = record.save(method.name, model, backbone, output, described, log, base=base, keep=kept)
    if kept:  # without it, the folder would be no checkpoint that anybody can load
        tokenizer.save_pretrained(kept)
    record.put_in_place(made, output, models, options.runs / "replaced")
    (checkpoints / LOG).unlink(missing_ok=True)  # of a run that took another's place: it lies in its folder now
    if models:
        print(f"its weights, which are not shipped: {models[1]}")


def _tell(data: training_data.Data, options: Options, checkpoint: Path | None) -> None:
    """Say what is trained on and what is not, once, before the time is spent."""
    begins = "there is no whole checkpoint to resume from: the run begins anew" if options.resume else None
    if os.environ.get("RANK", "0") == "0":
        for sentence in filter(None, (data.unplaced, data.record["summary"], begins if checkpoint is None else None)):
            print(f"train: {sentence}", file=sys.stderr, flush=True)


def _places(method: Method, backbone: backbones.Backbone, options: Options) -> tuple[Path, Path]:
    """The variant's folder, which must hold nothing but what an unfinished run leaves, or a variant that may be
    replaced; and the checkpoints' folder."""
    output = options.output or options.adapters / backbone.name / method.name
    if os.environ.get("RANK", "0") == "0":
        finish_replacing(record.beside(output), output.resolve())
    checkpoints = options.runs / backbone.name / output.name
    if record.holds_variant(output):
        going = options.resume and (checkpoints / LOG).exists()  # a run that was told to replace it, and was cut
        if not options.overwrite and not going:
            raise UserError(
                f"{output} already holds a finished run: pass --overwrite to replace it, or another --output"
            )
    elif output.exists():
        names = [path.name for path in output.iterdir()] if output.is_dir() else [output.name]
        if any(name != LOG and not name.startswith(".") for name in names):
            raise UserError(f"{output} holds something else than a variant: choose another --output")
    return output, checkpoints


def _prepare(output: Path, checkpoints: Path, checkpoint: Path | None, options: Options, *, write: bool) -> Log:
    """Clear the way, in the main process alone (`write`), and begin or go on with the log. It lies in the variant's
    folder, where the page shows it; but with the checkpoints while a finished run is there, which stays until the end.
    """
    earlier = read_log(options.init_from) if options.init_from else ()
    here, there = output / LOG, checkpoints / LOG
    if write and checkpoint is None:
        # the model of the last run of `train.full` lies there too, and stays until there is another
        for path in checkpoints.iterdir() if checkpoints.is_dir() else ():
            if path.is_dir() and path.name != MODEL:
                shutil.rmtree(path, ignore_errors=True)
        there.unlink(missing_ok=True)
    log = there if record.holds_variant(output) else here
    if write and checkpoint is not None and not log.exists():
        other = there if log == here else here  # the run was finished, or its folder removed, since the checkpoint
        if other.exists():
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(other, log)
    return Log(log, _step(checkpoint), earlier, write=write)


def effective_precision(options: Options, checkpoint: Path | None = None) -> str:
    """What `--precision auto` comes down to: what the checkpoint was made in, or what is faster here."""
    if options.precision != "auto":
        return options.precision
    if checkpoint:
        return str(settings_of(checkpoint).get("--precision"))
    device = _device(options)
    return "bf16" if device == "cuda" else fastest_precision(device)


def _device(options: Options) -> str:
    there = torch.cuda.is_available()
    if options.device == "cuda" and not there:
        raise UserError("--device cuda: PyTorch finds no CUDA device here")
    return options.device if options.device != "auto" else ("cuda" if there else "cpu")


def training_arguments(options: Options, checkpoints: Path, windows: int) -> TrainingArguments:
    """What Trainer is told; `windows` are there to train on."""
    device = _device(options)
    precision = effective_precision(options)
    every = _evaluation_steps(options, windows)
    return TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=64,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.learning_rate,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps,
        lr_scheduler_type=options.schedule,
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=max(1, every // 10),
        logging_nan_inf_filter=False,
        bf16=precision == "bf16",
        use_cpu=device == "cpu",
        train_sampling_strategy="random" if options.pad_to else "group_by_length",
        label_names=LABELS,
        remove_unused_columns=False,
        report_to="none",
        ddp_find_unused_parameters=False,
        seed=options.seed,
    )


def _evaluation_steps(options: Options, windows: int) -> int:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    per_epoch = max(1, windows // (options.batch_size * options.accumulate * processes))
    every = max(1, per_epoch // options.evaluations_per_epoch)
    if options.max_steps > 0:  # many passes over few questions need no evaluation in each
        every = min(max(every, options.max_steps // 10), max(1, options.max_steps // 4))
    return every


def _step(checkpoint: Path | None) -> int | None:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else None
