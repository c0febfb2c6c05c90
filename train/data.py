"""Training and validation questions: read, split by passage, checked for leaks, cut into labelled windows."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from qa_compare.errors import UserError
from qa_compare.examples import Example
from qa_compare.features import Encoded, Window, encode, labels, pad
from qa_compare.files import sha256
from qa_compare.readers import read_file
from qa_compare.sources import squad_train
from train.options import Options

Item = TypeVar("Item", Example, Encoded)


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from and stops by. `record` is what `run.json` says about it."""

    train: list[Example]
    validation: list[Example]
    record: dict[str, Any]


def load(options: Options) -> Data:
    """Read the files (or SQuAD from the hub), split, check.

    Raises:
        UserError: a file with a broken row, an unanswered question, or a validation passage that is trained on.
    """
    train = [example for path in options.train_file for example in read_examples(path)]
    if not options.train_file:
        train = _squad_train()
    if options.validation_file:
        validation = read_examples(options.validation_file)
    else:
        train, validation = split_by_passage(train, options.validation_fraction)
    kept_out = [example for path in options.keep_out for example in read_examples(path)]
    train = without_leaks(train, [*validation, *kept_out], drop=options.drop_overlap)
    train = draw([example for example in train if example.answers], options.max_examples, options.seed)
    validation = draw([example for example in validation if example.answers], options.max_validation, options.seed)
    if not train or not validation:
        raise UserError("no answered question is left to train on" if not train else "no validation question is left")
    record = {
        "train_files": described(options.train_file),
        "validation_file": described([options.validation_file] if options.validation_file else []),
        "validation_fraction": None if options.validation_file else options.validation_fraction,
        "kept_out": described(options.keep_out),
        "train_questions": len(train),
        "validation_questions": len(validation),
    }
    return Data(train, validation, record)


def _squad_train() -> list[Example]:
    try:
        return squad_train()
    except UserError as error:
        raise UserError(f"{error}, with --train-file") from error


def read_examples(path: Path) -> list[Example]:
    """A file's questions. The first of several processes says what was read from which columns, on standard error."""
    found = read_file(path)
    if os.environ.get("RANK", "0") == "0":
        print(found.told, file=sys.stderr)
    return found.examples


def described(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What records say of files: their names and hashes."""
    return [{"name": path.name, "sha256": sha256(path)} for path in paths]


def split_by_passage(examples: list[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Training and validation questions that share no passage: a question's neighbours would give its answer away.

    A passage's hash decides, so that it is held out in every run, whatever else is trained on: what a base never saw
    can still stop, and calibrate, the adapters on top of it.
    """
    if not 0 < fraction < 1:
        raise UserError(f"--validation-fraction is {fraction}: it must lie between 0 and 1")
    places = {example.passage: _place(example.passage) for example in examples}
    limit = max(fraction, min(places.values(), default=0.0))  # a small file still has one passage to hold out
    train = [example for example in examples if places[example.passage] > limit]
    return train, [example for example in examples if places[example.passage] <= limit]


def _place(passage: str) -> float:
    """A number from 0 to 1 that looks random and depends on the passage's words alone."""
    return int.from_bytes(hashlib.sha256(_plain(passage).encode("utf-8", "replace")).digest()[:8]) / 2**64


def _plain(passage: str) -> str:
    return " ".join(passage.casefold().split())


def without_leaks(train: list[Example], held_out: list[Example], *, drop: bool) -> list[Example]:
    """The training questions whose passage stands in no held-out passage, whole or as a part of it.

    Raises:
        UserError: there is one, and it is not to be dropped; the sentence names it.
    """
    everything = "\n".join(sorted({_plain(example.passage) for example in held_out}))
    leaked = {passage for passage in {_plain(example.passage) for example in train} if passage in everything}
    if leaked and not drop:
        example = next(example for example in train if _plain(example.passage) in leaked)
        raise UserError(
            f"{len(leaked)} training passage(s) also stand in the held-out questions, first that of {example.id!r} "
            f"({example.title!r}): train on other files, or pass --drop-overlap to leave them out"
        )
    return [example for example in train if _plain(example.passage) not in leaked]


def draw(examples: list[Item], count: int | None, seed: int) -> list[Item]:
    """`count` of the examples at random, in their order; all of them where that is fewer."""
    if count is None or count >= len(examples):
        return examples
    chosen = sorted(random.Random(seed).sample(range(len(examples)), count))
    return [examples[index] for index in chosen]


class WindowDataset(Dataset[dict[str, Any]]):
    """Labelled windows. With `sampled`, a window's label is one of its question's gold answers at random, each time."""

    def __init__(self, encoded: Sequence[Encoded], *, sampled: bool = False) -> None:
        self.encoded = list(encoded)
        self.rows: list[tuple[int, Window, list[tuple[int, int]]]] = []
        for index, one in enumerate(self.encoded):
            golds = dict.fromkeys(one.example.answers if sampled else one.example.answers[:1])
            choices = list(zip(*(labels(one, gold) for gold in golds), strict=True))
            self.rows += [(index, window, list(choice)) for window, choice in zip(one.windows, choices, strict=True)]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, padding left out."""
        return [len(window.input_ids) for _, window, _ in self.rows]

    def __getitem__(self, index: int) -> dict[str, Any]:
        _, window, choices = self.rows[index]
        start, end = choices[0] if len(choices) == 1 else random.choice(choices)
        return {"input_ids": window.input_ids, "window": window, "start": start, "end": end}

    def longest_first(self) -> WindowDataset:
        """The same rows in the order that wastes least on padding; for evaluation."""
        self.rows.sort(key=lambda row: -len(row[1].input_ids))
        return self


@dataclass(frozen=True, slots=True)
class Collator:
    """Rows of a WindowDataset -> a padded batch with `start_positions` and `end_positions`, each of length B."""

    pad_token_id: int
    length: int | None = None

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch of these rows."""
        batch = pad([row["window"] for row in rows], self.pad_token_id, self.length)
        for name, key in (("start_positions", "start"), ("end_positions", "end")):
            batch[name] = torch.from_numpy(np.array([row[key] for row in rows], dtype=np.int64))
        return batch


def datasets(
    data: Data, tokenizer: PreTrainedTokenizerFast, max_length: int, answers: str
) -> tuple[WindowDataset, WindowDataset]:
    """The training and the evaluation windows of `data`."""
    train = WindowDataset(encode(data.train, tokenizer, max_length=max_length), sampled=answers == "sampled")
    return train, WindowDataset(encode(data.validation, tokenizer, max_length=max_length)).longest_first()
