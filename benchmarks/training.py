"""LoRA training, this project's against the student report's configuration, in windows a second.

python -m benchmarks.training --train-file new_wiki.json

Both sides train LoRA r=8 on query and value, on the same base and the same questions, and are timed through their
trainer's own steps. The report's: plain PEFT in Hugging Face's Trainer, every input padded to 384 tokens, batches of
2, 4 accumulated, fp32, dropout as the checkpoint and the report have it. Ours: batches of 16 of like length, no
dropout, the precision that is measured to be fastest. Each side is a process of its own; they take turns, the other one
waiting, and the medians of the rounds after the first count. Writes benchmarks/training.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModelForQuestionAnswering
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks.measure import HERE, machine
from qa_compare.data.readers import read_examples
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.memory import keep_freed_memory
from qa_compare.models import backbones
from qa_compare.models.features import MAX_LENGTH, encode
from qa_compare.models.modeling import own_head
from train import build, lora
from train.command import one_line
from train.data import Collator, WindowDataset, draw, located
from train.loop import training_arguments
from train.options import Options, positive
from train.trainer import LABELS, QATrainer

OUTPUT = HERE / "training.json"
QUESTIONS = 2_000
QUIET: dict[str, Any] = {"eval_strategy": "no", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}


class Paced(TrainerCallback):
    """Times `steps` optimiser steps at each word from the other end, and says how many windows a second they were."""

    def __init__(self, other: Connection, steps: int, windows: int) -> None:
        self.other, self.steps, self.windows = other, steps, windows

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Trainer has built what it needs: now the first word is waited for."""
        self._wait(control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An optimiser step is done."""
        if state.global_step % self.steps == 0:
            self.other.send(self.steps * self.windows / (time.perf_counter() - self.begin))
            self._wait(control)

    def _wait(self, control: Any) -> None:
        control.should_training_stop = not self.other.recv()
        self.begin = time.perf_counter()


def _common(options: Options) -> tuple[backbones.Backbone, backbones.Weights, WindowDataset, Any]:
    torch.set_num_threads(os.cpu_count() or 1)
    set_seed(options.seed)
    backbone = backbones.get(options.backbone)
    weights = backbones.locate(backbone)
    tokenizer = backbones.load_tokenizer(weights)
    examples = [example for path in options.train_file for example in read_examples(path) if located(example)]
    windows = WindowDataset(encode(draw(examples, QUESTIONS, 0), tokenizer, max_length=MAX_LENGTH))
    return backbone, weights, windows, tokenizer


def ours(options: Options, folder: str, other: Connection, steps: int) -> None:
    """This project's training, as `python -m train.lora` runs it."""
    keep_freed_memory()
    backbone, weights, windows, tokenizer = _common(options)
    own = {**lora.DEFAULTS, "rank": 8, "targets": "query,value"}
    base = build.start(backbone, weights, options, Path(folder) / "lora")
    arguments = replace(training_arguments(options, Path(folder), len(windows)), **QUIET, load_best_model_at_end=False)
    QATrainer(
        model=build.build(lora.METHOD, backbone, base, options, own, None),
        args=arguments,
        train_dataset=windows,
        data_collator=Collator(tokenizer.pad_token_id),
        callbacks=[Paced(other, steps, options.batch_size)],
    ).train()


def report(options: Options, folder: str, other: Connection, steps: int) -> None:
    """The report's training."""
    backbone, weights, windows, tokenizer = _common(options)
    base = own_head(build.start(backbone, weights, replace(options, encoder_dropout=None), Path(folder) / "lora"))
    config = LoraConfig(
        task_type="QUESTION_ANS", r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["query", "value"]
    )
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        learning_rate=3e-3,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps,
        use_cpu=not torch.cuda.is_available(),
        label_names=LABELS,
        remove_unused_columns=False,
        report_to="none",
        **QUIET,
    )
    Trainer(
        model=PeftModelForQuestionAnswering(base, config),
        args=arguments,
        train_dataset=windows,
        data_collator=Collator(tokenizer.pad_token_id, MAX_LENGTH),
        callbacks=[Paced(other, steps, 8)],
    ).train()


def measure(options: Options, rounds: int, steps: dict[str, int]) -> dict[str, list[float]]:
    """Windows a second of each side and round; the first round warms up and is left out."""
    sides: dict[str, Callable[..., None]] = {"ours": ours, "report": report}
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    rates: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        for side, work in sides.items():
            pipes[side], other = context.Pipe()
            processes.append(context.Process(target=work, args=(options, folder, other, steps[side]), daemon=True))
            processes[-1].start()
            other.close()  # so that a side that failed is an end of file here, not a wait without end
        for number in range(rounds + 1):
            for side, pipe in pipes.items():
                pipe.send(True)
                rate = _answer(pipe, side)
                print(f"round {number}: {side} {rate:.2f} windows/s", file=sys.stderr, flush=True)
                if number:
                    rates[side].append(rate)
        for pipe in pipes.values():
            pipe.send(False)
        for process in processes:
            process.join()
    return rates


def _answer(pipe: Connection, side: str) -> float:
    try:
        rate: float = pipe.recv()
    except EOFError:
        raise UserError(f"the side {side!r} failed: its traceback stands above") from None
    return rate


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train-file", type=Path, required=True, help="SQuAD JSON, JSONL or CSV")
    parser.add_argument("--backbone", default=Options().backbone)
    parser.add_argument("--adapters", type=Path, default=Options().adapters, help="where the backbone's base is")
    parser.add_argument("--rounds", type=positive, default=9, help="that count (default: 9, each some 20 seconds)")
    parser.add_argument("--steps", type=positive, default=8, help="of ours in a round; the report's take half of them")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(argv)
    options = Options(
        backbone=given.backbone, adapters=given.adapters, train_file=(given.train_file,), max_steps=1_000_000
    )
    with one_line():
        rates = measure(options, given.rounds, {"ours": given.steps, "report": max(1, given.steps // 2)})
        medians = {side: statistics.median(values) for side, values in rates.items()}
        ratio = medians["ours"] / medians["report"]
        found = {
            "what": "LoRA training, windows a second, medians",
            "train_file": given.train_file.name,
            "backbone": given.backbone,
            "machine": machine(),
            "median": medians,
            "ratio": ratio,
            "rounds": rates,
        }
        write_json(given.output, found)
        print(f"ours {medians['ours']:.1f}, the report's {medians['report']:.1f} windows/s: {ratio:.2f} times")


if __name__ == "__main__":
    main()
