"""Training and validation questions: read, split by passage, checked for leaks, cut into labelled windows.

Whatever is not learned from is counted: `run.json` has the counts, and a sentence of them.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from qa_compare.data.examples import Answer, Example
from qa_compare.data.readers import read_file
from qa_compare.data.sources import squad_train
from qa_compare.errors import UserError, quoted
from qa_compare.files import sha256
from qa_compare.inference.decoding import MAX_ANSWER_TOKENS
from qa_compare.measure.scoring import Counts
from qa_compare.models.features import MAX_QUESTION_TOKENS, Encoded, Window, encode, labels, pad
from train import leaks
from train.options import Options

Item = TypeVar("Item", Example, Encoded)
_KEYS = "left_out", "held_out_left_out"  # of the record: questions by the reason, for training and for validation


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from and stops by. `record` is what `run.json` says about it; `unplaced` is a sentence on gold
    answers that are not in their passage, with a text of the file in it, which the record must not have."""

    train: list[Example]
    validation: list[Example]
    record: dict[str, Any]
    unplaced: str | None = None


def load(options: Options) -> Data:
    """Read the files (or SQuAD from the hub), split, check; what is left out is counted in the record.

    Raises:
        UserError: a file with a broken row, no question left, or a passage that overlaps one of a test set.
    """
    everything = [example for path in options.train_file for example in read_examples(path)]
    if not options.train_file:
        everything = _squad_train()
    train, validation, record = _apart(everything, options)
    record = {
        "train_files": described(options.train_file),
        "validation_file": described([options.validation_file] if options.validation_file else []),
        "validation_fraction": None if options.validation_file else options.validation_fraction,
        "kept_out": described(options.keep_out),
        "questions": len(everything),
        **record,
    }
    drawn = []
    for examples, most, key in zip(
        (train, validation), (options.max_examples, options.max_validation), _KEYS, strict=True
    ):
        usable, without = _usable(examples)
        drawn.append(draw(usable, most, options.seed))
        record[key] |= {**without, "not_drawn": len(usable) - len(drawn[-1])}
    return _checked(Data(drawn[0], drawn[1], record, _unplaced([*train, *validation])))


def _apart(everything: list[Example], options: Options) -> tuple[list[Example], list[Example], dict[str, Any]]:
    """The questions to train on and to stop by, no passage of which overlaps one of another part or of a test set; and
    what the record says of those that do."""
    drop, most = options.drop_overlap, options.max_overlap
    kept_out = [example for path in options.keep_out for example in read_examples(path)]
    # before the split: a run must not stop early, or fit its temperature, by a test set either
    train, of_tests = without_leaks(everything, kept_out, drop=drop, most=most)
    if options.validation_file:
        validation = read_examples(options.validation_file)
        validation, of_validation = without_leaks(validation, kept_out, drop=drop, most=most, what="validation")
    else:
        train, validation = split_by_passage(train, options.validation_fraction)
        of_validation = Overlap()
    # that a passage and its like come to lie on the two sides of a split is nobody's mistake
    train, of_held_out = without_leaks(train, validation, drop=drop or not options.validation_file, most=most)
    overlap = of_tests + of_held_out
    return (
        train,
        validation,
        {
            "held_out": 0 if options.validation_file else len(validation),
            "max_overlap": most,
            "overlapping_passages": dict(overlap.passages),
            "left_out": {"overlapping": overlap.questions},
            "held_out_left_out": {"overlapping": of_validation.questions},
        },
    )


def _checked(data: Data) -> Data:
    for examples, what, key in (
        (data.train, "no answered question is left to train on", _KEYS[0]),
        (data.validation, "no validation question is left", _KEYS[1]),
    ):
        if not examples:
            because = _listed(data.record, key)
            hint = " (--max-overlap allows more of it)" if data.record[key].get("overlapping") else ""
            raise UserError(f"{what}: left out are {because}{hint}" if because else what)
    return data


def _unplaced(examples: list[Example]) -> str | None:
    golds = [(gold.text, one.id) for one in examples for gold in one.answers if gold.start is None]
    if not golds:
        return None
    text, identifier = golds[0]
    return (
        f"{len(golds):,} gold answers are not in their passage and cannot be learned; the first is {quoted(text)} of "
        f"the question {quoted(identifier)}"
    )


def _usable(examples: list[Example]) -> tuple[list[Example], dict[str, int]]:
    """The questions that can be learned from, and the count of the others by what they have not."""
    unanswerable = [example for example in examples if example.unanswerable]
    answered = [example for example in examples if example.answers and not example.unanswerable]
    usable = [example for example in answered if located(example)]
    return usable, {
        "unanswerable": len(unanswerable),
        "without_gold": len(examples) - len(unanswerable) - len(answered),
        "without_place": len(answered) - len(usable),
    }


def located(example: Example) -> list[Answer]:
    """The gold answers whose place in the passage is known, each once: those that can be learned."""
    return list(dict.fromkeys(answer for answer in example.answers if answer.start is not None))


def tell_left_out(what: str, examples: Sequence[Example]) -> None:
    """Say on standard error how many of the questions have no gold answer, and how many of these are marked as
    unanswerable, where there are any."""
    counts = Counts.of(examples)
    missing = counts.questions - counts.scored
    if missing and os.environ.get("RANK", "0") == "0":
        marked = f", {counts.unanswerable:,} of them marked as unanswerable" if counts.unanswerable else ""
        verb = "has no gold answer and is" if missing == 1 else "have no gold answer and are"
        print(f"train: {missing:,} of {counts.questions:,} {what} questions {verb} left out{marked}", file=sys.stderr)


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
    """Never to be changed: it decides which passages every run has held out so far."""
    return " ".join(passage.casefold().split())


@dataclass(frozen=True, slots=True)
class Overlap:
    """What overlaps a held-out passage: the number of passages by kind (`leaks.KINDS`), and of questions on them."""

    passages: Counter[str] = field(default_factory=Counter)
    questions: int = 0

    def __add__(self, other: Overlap) -> Overlap:
        """Both together."""
        return Overlap(self.passages + other.passages, self.questions + other.questions)


def without_leaks(
    examples: list[Example],
    held_out: list[Example],
    *,
    drop: bool,
    most: float = leaks.MOST,
    what: str = "training",
) -> tuple[list[Example], Overlap]:
    """The questions whose passage does not overlap a held-out one by the rule of `leaks.find`, and the count of the
    others.

    Raises:
        UserError: there is one, and it is not to be dropped; the sentence names it, and counts them by kind.
    """
    found = leaks.find([example.passage for example in examples], [example.passage for example in held_out], most)
    leaked = [example for example in examples if example.passage in found]
    overlap = Overlap(Counter(leak.kind for leak in found.values()), len(leaked))
    if leaked and not drop:
        first, leak = leaked[0], found[leaked[0].passage]
        other = next(example for example in held_out if example.passage == leak.held_out)
        raise UserError(
            f"{len(found):,} {what} {'passage overlaps' if len(found) == 1 else 'passages overlap'} held-out ones: "
            f"{_by_kind(overlap.passages, most)}. The first, that of the question {first.id!r} ({first.title!r}), "
            f"{_VERBS[leak.kind]} that of the held-out question {other.id!r}. Use other files, or pass --drop-overlap "
            "to leave such passages out"
        )
    return [example for example in examples if example.passage not in found], overlap


_VERBS = {
    "equal": "is equal to",
    "inside": "is a part of",
    "around": "contains",
    "alike": "has much of its text in common with",
}


def _by_kind(passages: Mapping[str, int], most: float) -> str:
    """Such as "2 equal to one, 1 inside one"."""
    alike = f"sharing more than {100 * most:g} % of the {leaks.WORDS}-word sequences of one side"
    words = {"equal": "equal to one", "inside": "inside one", "around": "containing one", "alike": alike}
    return ", ".join(f"{passages[kind]:,} {words[kind]}" for kind in words if passages.get(kind))


def draw(examples: list[Item], count: int | None, seed: int) -> list[Item]:
    """`count` of the examples at random, in their order; all of them where that is fewer."""
    if count is None or count >= len(examples):
        return examples
    chosen = sorted(random.Random(seed).sample(range(len(examples)), count))
    return [examples[index] for index in chosen]


class WindowDataset(Dataset[dict[str, Any]]):
    """Labelled windows. A window's label is the place of its question's first gold answer that lies in a window whole;
    with `sampled`, that of one of these answers at random, each time.

    Raises:
        ValueError: a question without such an answer.
    """

    def __init__(self, encoded: Sequence[Encoded], *, sampled: bool = False) -> None:
        self.encoded = list(encoded)
        self.rows: list[tuple[int, Window, list[tuple[int, int]]]] = []
        for index, one in enumerate(self.encoded):
            golds = learnable(one) if sampled else learnable(one)[:1]
            if not golds:
                raise ValueError(f"{one.example.id!r} has no gold answer that lies in a window")
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


def learnable(encoded: Encoded) -> list[Answer]:
    """The gold answers that lie in one of the question's windows from their first to their last token."""
    return [gold for gold in located(encoded.example) if any(place != (0, 0) for place in labels(encoded, gold))]


def datasets(
    data: Data, tokenizer: PreTrainedTokenizerFast, max_length: int, answers: str
) -> tuple[WindowDataset, WindowDataset, Data]:
    """The training and the evaluation windows of `data`, and `data` with what the tokens say, and a `summary` in words,
    in its record.

    Raises:
        UserError: no question has a gold answer that lies in one of its windows.
    """
    made, record = [], dict(data.record)
    for examples, key in zip((data.train, data.validation), _KEYS, strict=True):
        encoded = encode(examples, tokenizer, max_length=max_length)
        made.append([one for one in encoded if learnable(one)])
        record[key] = {**record[key], "in_no_window": len(encoded) - len(made[-1])}
    train, validation = made
    record["train_questions"], record["validation_questions"] = len(train), len(validation)
    record["of_those_trained_on"] = _oddities(train)
    record["summary"] = summary(record)
    found = [[one.example for one in some] for some in made]
    checked = _checked(Data(found[0], found[1], record, data.unplaced))
    return (
        WindowDataset(train, sampled=answers == "sampled"),
        WindowDataset(validation).longest_first(),
        checked,
    )


def _oddities(train: Sequence[Encoded]) -> dict[str, int]:
    """How many questions are trained on though something is odd about their gold answers, or the question."""
    golds = [one.example.answers for one in train]
    return {
        "ambiguous": sum(any(gold.ambiguous for gold in some) for some in golds),
        "too_long": sum(any(_tokens(one, gold) > MAX_ANSWER_TOKENS for gold in located(one.example)) for one in train),
        "also_without_place": sum(any(gold.start is None for gold in some) for some in golds),
        "question_cut": sum(one.question_cut for one in train),
    }


def _tokens(encoded: Encoded, gold: Answer) -> int:
    assert gold.start is not None
    starts, ends = encoded.offsets[:, 0], encoded.offsets[:, 1]
    return int(np.count_nonzero((ends > gold.start) & (starts < gold.start + len(gold.text))))


_LEFT_OUT = {
    "unanswerable": "marked as unanswerable",
    "without_gold": "without a gold answer",
    "without_place": "whose gold answers are not in their passage",
    "in_no_window": "whose gold answers lie in no window from end to end",
    "not_drawn": "not drawn",
}
_ODD = {
    "ambiguous": "with a gold answer that stands at several places (the first is learned)",
    "too_long": f"with a gold answer of more than {MAX_ANSWER_TOKENS} tokens (which can never be predicted)",
    "also_without_place": "with a further gold answer that is not in their passage",
    "question_cut": f"whose question is cut to {MAX_QUESTION_TOKENS} tokens",
}


def summary(record: dict[str, Any]) -> str:
    """What a run is trained on, and what it is not, in words."""
    text = f"Trained on {record['train_questions']:,} of {record['questions']:,} questions"
    if record["held_out"]:
        text += f", {record['held_out']:,} held out"
    if listed := _listed(record, _KEYS[0]):
        text += f"; left out: {listed}"
    odd = [f"{count:,} {_ODD[key]}" for key, count in record["of_those_trained_on"].items() if count]
    if odd:
        text += f". Of those trained on: {', '.join(odd)}"
    text += f". {record['validation_questions']:,} held-out questions decide when to stop"
    if listed := _listed(record, _KEYS[1]):
        text += f"; left out: {listed}"
    return f"{text}."


def _listed(record: dict[str, Any], key: str) -> str:
    left_out = record[key]
    words = [f"{left_out[kind]:,} {_LEFT_OUT[kind]}" for kind in _LEFT_OUT if left_out.get(kind)]
    if count := left_out.get("overlapping"):
        kinds = _by_kind(record["overlapping_passages"], record["max_overlap"]) if key == _KEYS[0] else ""
        words.insert(0, f"{count:,} on passages that overlap held-out ones{kinds and f' ({kinds})'}")
    return ", ".join(words)
