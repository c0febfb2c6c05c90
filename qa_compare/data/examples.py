"""Questions with their passage and gold answers, how long their texts may be, SQuAD's shape, and a data set's name.

Files are read in `readers.py`, the built-in sample and SQuAD in `sources.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qa_compare.errors import UserError

MAX_QUESTION, MAX_PASSAGE = 2_000, 200_000  # characters
# what `fingerprint` gives for the 10,570 questions of SQuAD v1.1's validation split
SQUAD_VALIDATION = "c87e98ed9cbf26b73ee835c51239b075fcbd399040f3ad1885adee52a30dad72"


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold answer: `passage[start : start + len(text)] == text`, `start` in characters.

    `start` is None where the text is not in the passage: such an answer is scored by its text, and neither underlined
    nor trained on. `other_starts` are further places where it stands as whole words, if the file named none.
    """

    text: str
    start: int | None
    other_starts: tuple[int, ...] = ()

    @property
    def ambiguous(self) -> bool:
        """Whether the file named no place and the text stands at several."""
        return bool(self.other_starts)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Start and end character of every place where the answer stands, that of `start` first."""
        starts = () if self.start is None else (self.start, *self.other_starts)
        return [(start, start + len(self.text)) for start in starts]


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one passage; `answers` is empty where no gold answer is known.

    `unanswerable` says that the data set marks the question so (SQuAD 2's `is_impossible`): it has no golds then.
    """

    id: str
    title: str
    passage: str
    question: str
    answers: tuple[Answer, ...] = ()
    unanswerable: bool = False


def check_question(passage: str, question: str) -> None:
    """Refuse, with one sentence, what no model can answer. Raises UserError."""
    for name, text, limit in (("passage", passage, MAX_PASSAGE), ("question", question, MAX_QUESTION)):
        if not text.strip():
            raise UserError(f"The {name} is empty: write one first.")
        if len(text) > limit:
            raise UserError(f"The {name} has {len(text):,} characters; at most {limit:,} are read.")


def to_squad(examples: Sequence[Example]) -> dict[str, Any]:
    """The examples as SQuAD's object: neighbours of one title and passage stand together.

    It is version 1.1, or 2.0 with `is_impossible` where a question is marked as unanswerable. An answer whose place is
    not known has `answer_start` -1; of one that stands at several places, the first is written.
    """
    data: list[dict[str, Any]] = []
    impossible = any(example.unanswerable for example in examples)
    for example in examples:
        if not data or data[-1]["title"] != example.title:
            data.append({"title": example.title, "paragraphs": []})
        paragraphs = data[-1]["paragraphs"]
        if not paragraphs or paragraphs[-1]["context"] != example.passage:
            paragraphs.append({"context": example.passage, "qas": []})
        answers = [
            {"text": answer.text, "answer_start": -1 if answer.start is None else answer.start}
            for answer in example.answers
        ]
        marked = {"is_impossible": example.unanswerable} if impossible else {}
        paragraphs[-1]["qas"].append({"id": example.id, "question": example.question, "answers": answers, **marked})
    return {"version": "v2.0" if impossible else "1.1", "data": data}


def fingerprint(examples: Iterable[Example]) -> str:
    """The SHA-256 over the sorted (id, passage, question, sorted answer texts).

    It is the same for the hub's copy and a JSON file, whatever their order, bytes and answer offsets.
    """
    rows = sorted(
        [example.id, example.passage, example.question, *sorted({answer.text for answer in example.answers})]
        for example in examples
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
