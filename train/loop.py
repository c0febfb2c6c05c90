"""The loop that all methods share: read, build, train, keep the best, write the variant's folder."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig
from torch import nn
from transformers import BertForQuestionAnswering, EarlyStoppingCallback, TrainingArguments, set_seed

from qa_compare import backbones, variants
from qa_compare.errors import UserError
from qa_compare.features import MAX_LENGTH
from qa_compare.loading import apply, apply_adapter, load_base
from qa_compare.memory import keep_freed_memory
from qa_compare.modeling import QAPeftModel, Repairs, own_head
from qa_compare.precision import fastest_precision
from train import data as training_data
from train import options as shared
from train import record
from train.options import Options
from train.trainer import LABELS, Log, QATrainer, Sealed, SpanMetrics, last_checkpoint, read_log

MethodOptions = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to fine-tune. `configure` gives PEFT's config, or None where no adapter is added; `unfreeze` then names
    the parameters that are trained. `add_options` declares the method's own options, `defaults` overrides shared ones.
    """

    name: str
    configure: Callable[[MethodOptions], PeftConfig | None]
    defaults: dict[str, Any]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    unfreeze: Callable[[str], bool] = lambda name: False
    ship: bool = True


def main(method: Method, argv: list[str] | None = None, description: str | None = None) -> None:
    """A training command: parse, run, and end wrong input with one line and status 2."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    method.add_options(parser)
    options, own = shared.parse(parser, method.defaults, argv)
    try:
        folder = run(method, options, own)
    except UserError as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        sys.exit(_complain(f"{error.strerror}: {error.filename}; the last good checkpoint is in {options.runs}"))
    print(f"wrote {folder}")


def _complain(message: str) -> int:
    print(f"train: error: {message}", file=sys.stderr)
    return 2


def run(method: Method, options: Options, own: MethodOptions, *, repairs: Repairs | None = None) -> Path:
    """Train and write the variant's folder; returns it.

    Raises:
        UserError: bad input, a finished run in the output folder, or a loss that is not a number.
    """
    keep_freed_memory()
    backbone = backbones.get(options.backbone)
    output = options.output or options.adapters / backbone.name / method.name
    checkpoints = options.runs / backbone.name / output.name
    if (output / "run.json").exists() and not options.overwrite:
        raise UserError(f"{output} already holds a finished run: pass --overwrite to replace it, or another --output")
    weights = backbones.locate(backbone, weights=options.weights, revision=options.revision)
    tokenizer = backbones.load_tokenizer(weights)
    set_seed(options.seed)
    data = training_data.load(options)
    base = _start(backbone, weights, options, output)
    _set_dropout(base, options.encoder_dropout)
    model = _build(method, backbone, base, options, {**own, "tokenizer": weights.folder}, repairs)
    max_length = min(MAX_LENGTH, base.config.max_position_embeddings)
    train, validation = training_data.datasets(data, tokenizer, max_length, options.answers)
    checkpoint = last_checkpoint(checkpoints) if options.resume else None
    if checkpoint is None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    earlier = read_log(options.init_from) if options.init_from else []
    _put_aside(output, options)
    log = Log(output / "log.jsonl", _step(checkpoint), earlier)
    arguments = _arguments(options, checkpoints, len(train))
    trainer = QATrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=training_data.Collator(tokenizer.pad_token_id, options.pad_to),
        compute_metrics=SpanMetrics(validation),
        callbacks=[log, Sealed(), EarlyStoppingCallback(options.patience)],
        head_learning_rate=options.head_learning_rate,
    )
    trainer.evaluate()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    run_record = record.describe_run(method.name, trainer, weights, backbone, data, log, options, own, len(train))
    kept = None if method.ship else checkpoints / "model"
    record.save(method.name, model, backbone, output, run_record, keep=kept)
    return output


def _put_aside(output: Path, options: Options) -> None:
    """Move the finished run that is about to be replaced out of the way: nothing is deleted."""
    if (output / "run.json").exists():
        kept = options.runs / "replaced" / f"{output.parent.name}-{output.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(output, kept)


def _start(
    backbone: backbones.Backbone, weights: backbones.Weights, options: Options, output: Path
) -> BertForQuestionAnswering:
    """The model that the adapter goes onto: the backbone's base, or the bare encoder when the base is what is made."""
    if output.resolve() == (options.adapters / backbone.name / "base").resolve():
        return backbones.load_model(backbone, weights)
    return load_base(backbone, weights, options.adapters)


def _set_dropout(base: nn.Module, rate: float | None) -> None:
    """Give the encoder's dropout layers another rate; None leaves the checkpoint's own.

    On a processor, drawing the masks takes about a third of a training step.
    """
    if rate is None:
        return
    for module in base.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate


def _build(
    method: Method,
    backbone: backbones.Backbone,
    base: BertForQuestionAnswering,
    options: Options,
    own: MethodOptions,
    repairs: Repairs | None,
) -> nn.Module:
    config = method.configure(own)
    before = variants.read(options.init_from, backbone) if options.init_from else None
    if before and before.problem:
        raise UserError(f"--init-from: {before.problem}")
    if config is None:
        plain = own_head(base if before is None else cast("BertForQuestionAnswering", apply(before, base)))
        for name, parameter in plain.named_parameters():
            parameter.requires_grad_(method.unfreeze(name))
        return plain
    model = (
        QAPeftModel(own_head(base), config, repairs) if before is None else apply_adapter(before, base, trainable=True)
    )
    # what the card and plain PEFT read: the published encoder, not a folder of this machine
    saved: Any = model.active_peft_config
    saved.base_model_name_or_path = backbone.hub_id or backbone.label
    if getattr(saved, "tokenizer_name_or_path", None):
        saved.tokenizer_name_or_path = saved.base_model_name_or_path
    return model


def _arguments(options: Options, checkpoints: Path, windows: int) -> TrainingArguments:
    device = options.device if options.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if device == "cuda" else fastest_precision(device)
    per_epoch = max(1, windows // (options.batch_size * options.accumulate))
    every = max(1, per_epoch // options.evaluations_per_epoch)
    if options.max_steps > 0:
        every = min(every, max(1, options.max_steps // 4))
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
        seed=options.seed,
    )


def _step(checkpoint: Path | None) -> int | None:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else None
