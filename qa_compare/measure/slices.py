"""Scores of named subsets of questions: by question word, answer length, passage length and article."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from qa_compare.data.examples import Example

Floats = NDArray[np.float64]

SLICE_KINDS = ("question word", "answer length", "passage length", "article")
QUESTION_WORDS = ("who", "what", "when", "where", "which", "how many", "how", "why", "other")
ANSWER_LENGTHS = ("1", "2", "3-4", "5+")
PASSAGE_LENGTHS = ("under 100", "100-149", "150-199", "200+")
MOST_ARTICLES = 100  # of a file with an article for each question, a row for each would drown the rest

_SAME = {"whom": "who", "whose": "who", "how much": "how many"}
_WORD = r"\b(?P<word>who|whom|whose|what|when|where|which|how (?:many|much)|how|why)\b"
_FIRST = re.compile(_WORD)
# "When the parliament met, who spoke?" asks who
_AFTER_CLAUSE = re.compile(rf"(?:when|where)\b.*?, (?:\w+ )?{_WORD}")


class SliceScores(TypedDict):
    """One row: a subset of questions and its mean scores in percent."""

    kind: str
    name: str
    questions: int
    exact_match: float
    f1: float


def question_word(question: str) -> str:
    """One of `QUESTION_WORDS`: the first that stands in the question, after a leading when- or where-clause.

    "whom" and "whose" count as who, "how much" as how many.
    """
    text = " ".join(question.lower().split())
    found = _AFTER_CLAUSE.match(text) or _FIRST.search(text)
    return _SAME.get(found["word"], found["word"]) if found else "other"


def slice_of(example: Example) -> dict[str, str]:
    """The slices a question is in, one of each kind that applies.

    Lengths are in words, parted by white space. The answer's is its first gold answer's; there is none without a gold
    answer, and no article without a title.
    """
    slices = {"question word": question_word(example.question)}
    if example.answers:
        slices["answer length"] = _bucket(example.answers[0].text, ANSWER_LENGTHS, (2, 3, 5))
    slices["passage length"] = _bucket(example.passage, PASSAGE_LENGTHS, (100, 150, 200))
    if example.title:
        slices["article"] = example.title
    return slices


def _bucket(text: str, names: Sequence[str], edges: Sequence[int]) -> str:
    words = len(text.split())
    return names[sum(words >= edge for edge in edges)]


def slices(examples: Sequence[Example], exact_match: Floats, f1: Floats) -> list[SliceScores]:
    """A row for each slice that has questions: the mean exact match and F1 in percent.

    `exact_match` and `f1` hold a value of 0 to 1 for each example, shape (N,). Rows are grouped by kind; within a kind
    they rise from short to long, or follow `QUESTION_WORDS`; articles come as the file has them, the 100 with the most
    questions where there are more.

    Raises:
        ValueError: not as many scores as examples.
    """
    names = zip(SLICE_KINDS, (QUESTION_WORDS, ANSWER_LENGTHS, PASSAGE_LENGTHS, ()), strict=True)
    members: dict[str, dict[str, list[int]]] = {kind: {name: [] for name in some} for kind, some in names}
    if not len(examples) == len(exact_match) == len(f1):
        raise ValueError(f"{len(exact_match)} and {len(f1)} scores do not go with {len(examples)} examples")
    for row, example in enumerate(examples):
        for kind, name in slice_of(example).items():
            members[kind].setdefault(name, []).append(row)
    members["article"] = _largest(members["article"])
    return [
        SliceScores(
            kind=kind,
            name=name,
            questions=len(rows),
            exact_match=100 * float(exact_match[rows].mean()),
            f1=100 * float(f1[rows].mean()),
        )
        for kind, named in members.items()
        for name, rows in named.items()
        if rows
    ]


def _largest(articles: dict[str, list[int]]) -> dict[str, list[int]]:
    kept = set(sorted(articles, key=lambda name: -len(articles[name]))[:MOST_ARTICLES])
    return {name: rows for name, rows in articles.items() if name in kept}
