"""LoRA training, this project's against the student report's configuration, in windows a second.

python -m benchmarks.training --train-file new_wiki.json

Both sides train LoRA r=8 on query and value, on the same base and the same questions, and are timed through their
trainer's own steps. The report's: plain PEFT in Hugging Face's Trainer, every input padded to 384 tokens, batches of
2, 4 accumulated, fp32, dropout as the checkpoint and the report have it. Ours: batches of 16 of like length, no
dropout, the precision that is measured to be fastest. Each side is a process of its own; they take turns, the other one
waiting, and the medians of the rounds after the first count. Writes benchmarks/training.json.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModelForQuestionAnswering
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks import measure
from qa_compare.data.readers import read_examples
from qa_compare.errors import UserError
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


def ours(options: Options, folder: Path, windows: WindowDataset, padding: int) -> tuple[Trainer, int]:
    """This project's trainer, as `python -m train.lora` runs it, and the windows of an optimiser step."""
    keep_freed_memory()
    backbone = backbones.get(options.backbone)
    base = build.start(backbone, backbones.locate(backbone), options, folder / "lora")
    own = {**lora.DEFAULTS, "rank": 8, "targets": "query,value"}
    trainer = QATrainer(
        model=build.build(lora.METHOD, backbone, base, options, own, None),
        args=replace(training_arguments(options, folder, len(windows)), **QUIET, load_best_model_at_end=False),
        train_dataset=windows,
        data_collator=Collator(padding),
    )
    return trainer, options.batch_size


def report(options: Options, folder: Path, windows: WindowDataset, padding: int) -> tuple[Trainer, int]:
    """The report's trainer, and the windows of an optimiser step."""
    backbone = backbones.get(options.backbone)
    options = replace(options, encoder_dropout=None)
    base = own_head(build.start(backbone, backbones.locate(backbone), options, folder / "lora"))
    config = LoraConfig(
        task_type="QUESTION_ANS", r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["query", "value"]
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
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
    trainer = Trainer(
        model=PeftModelForQuestionAnswering(base, config),
        args=arguments,
        train_dataset=windows,
        data_collator=Collator(padding, MAX_LENGTH),
    )
    return trainer, 2 * 4


def train(
    side: Callable[..., tuple[Trainer, int]], options: Options, folder: str, other: Connection, steps: int
) -> None:
    """One side's process: train it, `steps` optimiser steps at each word from the other end."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # what --threads says
    set_seed(options.seed)
    tokenizer = backbones.load_tokenizer(backbones.locate(backbones.get(options.backbone)))
    examples = [example for path in options.train_file for example in read_examples(path) if located(example)]
    windows = WindowDataset(encode(draw(examples, QUESTIONS, 0), tokenizer, max_length=MAX_LENGTH))
    trainer, at_once = side(options, Path(folder), windows, tokenizer.pad_token_id)
    trainer.add_callback(Paced(other, steps, at_once))
    trainer.train()


def rates(options: Options, rounds: int, steps: int) -> dict[str, list[float]]:
    """Windows a second of each side and round; the first round warms up and is left out."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for side, some in ((ours, steps), (report, max(1, steps // 2))):
            pipes[side.__name__], other = context.Pipe()
            processes.append(context.Process(target=train, args=(side, options, folder, other, some), daemon=True))
            processes[-1].start()
            other.close()  # so that a side that failed is an end of file here, not a wait without end
        found = measure.alternate({name: partial(rate, pipe, name) for name, pipe in pipes.items()}, rounds)
        for pipe in pipes.values():
            pipe.send(False)
        for process in processes:
            process.join()
    return found


def rate(pipe: Connection, side: str) -> float:
    """Windows a second of a side's next round, once it is done."""
    pipe.send(True)
    try:
        found: float = pipe.recv()
    except EOFError:
        raise UserError(f"the side {side!r} failed: its traceback stands above") from None
    print(f"{side}: {found:.2f} windows/s", file=sys.stderr, flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    more: dict[str, dict[str, Any]] = {
        "train-file": {"type": Path, "required": True, "help": "SQuAD JSON, JSONL or CSV"},
        "backbone": {"default": Options().backbone},
        "adapters": {"type": Path, "default": Options().adapters, "help": "where the backbone's base is"},
        "steps": {"type": positive, "default": 8, "help": "of ours in a round; the report's take half of them"},
    }
    given = measure.options(__doc__, argv, "training", **more)
    options = Options(
        backbone=given.backbone, adapters=given.adapters, train_file=(given.train_file,), max_steps=1_000_000
    )
    with one_line():
        rounds = rates(options, given.rounds, given.steps)
        medians = {side: statistics.median(values) for side, values in rounds.items()}
        ratio = medians["ours"] / medians["report"]
        names = {"train_file": given.train_file.name, "backbone": given.backbone}
        found = {**names, "median": medians, "ratio": ratio, "rounds": rounds}
        measure.write(given, "LoRA training, windows a second, medians", found)
        print(f"ours {medians['ours']:.1f}, the report's {medians['report']:.1f} windows/s: {ratio:.2f} times")


if __name__ == "__main__":
    main()
