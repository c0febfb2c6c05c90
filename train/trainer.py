"""Hugging Face's Trainer, told what extractive question answering needs: batches of like length, two learning rates,
exact match and F1 at every evaluation."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import EvalPrediction, Trainer

from qa_compare.inference.decoding import decode
from qa_compare.measure.scoring import exact_match, f1, gold_texts
from train.checkpoints import whole
from train.data import WindowDataset

_BATCHES_IN_POOL = 50
LABELS = ["start_positions", "end_positions"]


class ByLength(Sampler[int]):
    """Random batches of rows of like length. Trainer's own sampler draws an epoch's order from whatever state the
    random numbers are in, so that a resumed run goes on with other batches; here seed and epoch decide."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of that epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        chance = random.Random(f"{self.seed} {self.epoch}")
        rows = chance.sample(range(len(self.lengths)), len(self.lengths))
        pool = _BATCHES_IN_POOL * self.batch_size
        batches = []
        for first in range(0, len(rows), pool):
            some = sorted(rows[first : first + pool], key=self.lengths.__getitem__)
            batches += [some[begin : begin + self.batch_size] for begin in range(0, len(some), self.batch_size)]
        # only the last batch may be short, else all rows behind it would move into other batches
        batches.sort(key=lambda batch: len(batch) < self.batch_size)
        whole = sum(len(batch) == self.batch_size for batch in batches)
        order = [*chance.sample(range(whole), whole), *range(whole, len(batches))]
        return (row for index in order for row in batches[index])


class QATrainer(Trainer):
    """`head_learning_rate` is the question-answering head's; every other parameter takes the arguments' rate."""

    def __init__(self, *args: Any, head_learning_rate: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_learning_rate = head_learning_rate
        # the model takes **kwargs, from which Trainer would conclude that it averages its loss over accumulated
        # batches itself; it does not, and gradients would grow with the accumulation
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        dataset = cast("WindowDataset", train_dataset or self.train_dataset)
        rows = self.args.train_batch_size * self.args.world_size
        return ByLength(dataset.lengths, rows, self.args.data_seed or self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        # grouping by length would shuffle the evaluation too, and scores would go to other questions' windows
        return SequentialSampler(eval_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with whole(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"):
            super()._save_checkpoint(model, trial)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a learning rate for the head and one for all else that is trained."""
        if self.optimizer is None:
            head: list[nn.Parameter] = []
            other: list[nn.Parameter] = []
            assert self.model is not None
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    (head if "qa_outputs" in name else other).append(parameter)
            rate = self.args.learning_rate
            groups = [{"params": other, "lr": rate}, {"params": head, "lr": self.head_learning_rate or rate}]
            groups = [group for group in groups if group["params"]]
            self.optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=self.args.weight_decay)
        return self.optimizer


class SpanMetrics:
    """Exact match and F1, in percent, of an evaluation's logits over the windows of `dataset`, whose questions all have
    gold answers: `train.data` leaves the others out, and says how many they are."""

    def __init__(self, dataset: WindowDataset) -> None:
        self.dataset = dataset

    def __call__(self, output: EvalPrediction) -> dict[str, float]:
        """`exact_match` and `f1` of Trainer's predictions, whose rows are those of the dataset."""
        starts, ends = cast("tuple[np.ndarray, np.ndarray]", output.predictions)
        logits: list[dict[int, tuple[np.ndarray, np.ndarray]]] = [{} for _ in self.dataset.encoded]
        for row, (index, window, _) in enumerate(self.dataset.rows):
            logits[index][window.first_token] = (starts[row], ends[row])
        scores = []
        for one, found in zip(self.dataset.encoded, logits, strict=True):
            pairs = [found[window.first_token] for window in one.windows]
            answer = decode(one, [pair[0] for pair in pairs], [pair[1] for pair in pairs], top=1).answer
            golds = gold_texts(one.example)
            scores.append((exact_match(answer, golds), f1(answer, golds)))
        means = 100 * np.array(scores).mean(axis=0)
        return {"exact_match": float(means[0]), "f1": float(means[1])}
