"""SQuAD v1.1's exact match and F1, as the official evaluation script computes them, for one question and for many.

Values are 0 to 1; percent is for whoever shows them. `metric.py` offers the same as an `evaluate.Metric`.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qa_compare.examples import Example

Floats = NDArray[np.float64]
MatchKind = Literal["exact", "partial", "wrong"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only, as in the official script: “ and – stay


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Exact match (0.0 or 1.0) and F1 (0.0 to 1.0) of each question, in the examples' order, both of shape (N,)."""

    exact_match: Floats
    f1: Floats


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces: what SQuAD compares."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 where the prediction equals one of the gold answers after normalisation, else 0.0; 0.0 without golds."""
    normalized = normalize_answer(prediction)
    return float(any(normalized == normalize_answer(gold) for gold in golds))


def f1(prediction: str, golds: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall over words, 0.0 to 1.0, among the gold answers; 0.0 without golds.

    Two answers of which nothing is left after normalisation share no word and score 0, as in the official v1.1 script.
    """
    words = normalize_answer(prediction).split()
    return max((_f1(words, normalize_answer(gold).split()) for gold in golds), default=0.0)


def _f1(prediction: list[str], gold: list[str]) -> float:
    shared = (Counter(prediction) & Counter(gold)).total()
    return 2 * shared / (len(prediction) + len(gold)) if shared else 0.0


def match_kind(prediction: str, golds: Sequence[str]) -> MatchKind:
    """ "exact" as `exact_match` has it, "partial" where a word is shared with a gold answer, else "wrong"."""
    if exact_match(prediction, golds):
        return "exact"
    return "partial" if f1(prediction, golds) else "wrong"


def score(predictions: Mapping[str, str], examples: Sequence[Example]) -> Scores:
    """Score `{question id: answer}` against the examples' gold answers.

    A question that has no prediction scores 0, and so does one that has no gold answer; predictions for other
    questions are not looked at.
    """
    pairs = [(predictions.get(example.id, ""), gold_texts(example)) for example in examples]
    answered = [example.id in predictions for example in examples]
    exact = [exact_match(*pair) if there else 0.0 for pair, there in zip(pairs, answered, strict=True)]
    return Scores(np.array(exact, dtype=np.float64), np.array([f1(*pair) for pair in pairs], dtype=np.float64))


def nothing_left(exact: Floats, f1_scores: Floats) -> str:
    """A sentence where exact match exceeds F1; "" where it does not. Both are of shape (N,)."""
    count = int(((exact > 0) & (f1_scores == 0)).sum())
    if not count:
        return ""
    where = "1 question has" if count == 1 else f"{count:,} questions have"
    return (
        f"{where} exact match 100 but F1 0, as in SQuAD's own script: without articles and punctuation nothing is left "
        "of the gold answer, nor of the variant's"
    )


def gold_texts(example: Example) -> list[str]:
    """The different texts of the gold answers, in their order: SQuAD's annotators often agree."""
    return list(dict.fromkeys(answer.text for answer in example.answers))
