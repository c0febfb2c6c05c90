"""SQuAD v1.1's exact match and F1, and SQuAD 2's, as the official evaluation scripts compute them.

One rule for questions without gold answers: exact match and F1 are means over the questions that have them, and the
others are counted and told (`Counts`). Where a data set marks questions as unanswerable, SQuAD 2's metric, which counts
these too, is given beside it (`squad2`). Scores of questions are 0 to 1; means of many are in percent where it is said.
`metric.py` offers the same as an `evaluate.Metric`.
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

from qa_compare.data.examples import Example
from qa_compare.measure.statistics import Units, choose, numbered

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MatchKind = Literal["exact", "partial", "wrong"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only, as in the official script: “ and – stay


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Exact match (0.0 or 1.0) and F1 (0.0 to 1.0) of each question, in the examples' order, both of shape (N,).

    Both are NaN where the question has no gold answer: whoever takes a mean has to leave it out.
    """

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

    A question that has no prediction scores 0; one that has no gold answer has no score. Predictions for other
    questions are not looked at.
    """
    exact, overlap = np.full(len(examples), np.nan), np.full(len(examples), np.nan)
    for row, example in enumerate(examples):
        if example.answers:
            given, golds = predictions.get(example.id), gold_texts(example)
            exact[row], overlap[row] = (0.0, 0.0) if given is None else (exact_match(given, golds), f1(given, golds))
    return Scores(exact, overlap)


def has_gold(examples: Sequence[Example]) -> Bools:
    """Which questions have a gold answer and are scored, shape (N,)."""
    return np.array([bool(example.answers) for example in examples], dtype=bool)


def units(examples: Sequence[Example]) -> Units:
    """What to resample of the questions that are scored, in their order."""
    scored = [example for example in examples if example.answers]
    return choose(numbered(one.title for one in scored), numbered(one.passage for one in scored), len(scored))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of the `questions` are `scored`, since they have a gold answer, and how many the data set marks as
    unanswerable. Of the scored ones, `wordless` have no gold answer that a word is left of after normalisation."""

    questions: int
    scored: int
    unanswerable: int = 0
    wordless: int = 0

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Counts:
        """What these questions hold."""
        wordless = (one.answers and not any(normalize_answer(gold) for gold in gold_texts(one)) for one in examples)
        unanswerable = sum(one.unanswerable and not one.answers for one in examples)
        return cls(len(examples), int(has_gold(examples).sum()), unanswerable, sum(map(bool, wordless)))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What to say wherever a score of these questions stands; nothing where every question is scored as usual."""
        unknown = self.questions - self.scored - self.unanswerable
        found = []
        if unknown:
            one = ("has", "is") if unknown == 1 else ("have", "are")
            found.append(f"{self._part(unknown)} {one[0]} no gold answer and {one[1]} left out of the scores.")
        if self.unanswerable:
            verb, them = ("is", "it") if self.unanswerable == 1 else ("are", "them")
            found.append(
                f"{self._part(self.unanswerable)} {verb} marked as unanswerable: exact match and F1 leave {them} out; "
                f"SQuAD 2's metric counts {them}."
            )
        if self.wordless:
            verb = "has" if self.wordless == 1 else "have"
            found.append(
                f"{self._part(self.wordless)} {verb} only gold answers of articles or punctuation, such as “the”: F1 "
                "is then 0 even for an exact match, as in SQuAD v1.1's official script."
            )
        return tuple(found)

    def _part(self, count: int) -> str:
        return f"{count:,} of {self.questions:,} question{'' if self.questions == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Squad2:
    """SQuAD 2's metric in percent, with its official names: questions with an answer (HasAns), unanswerable ones
    (NoAns), and both. A part that has no question has no scores.

    `best_exact` and `best_f1` are the best totals to be had by declining every question whose null score (the start
    and end logit of `[CLS]`) exceeds its best span's score by more than the threshold beside it, in logits. Where it is
    None, to decline all questions is best. The official script takes any number for this, such as a probability.
    Without null scores, none of the four is known.
    """

    exact: float
    f1: float
    total: int
    has_ans_exact: float | None
    has_ans_f1: float | None
    has_ans_total: int
    no_ans_exact: float
    no_ans_f1: float
    no_ans_total: int
    best_exact: float | None = None
    best_exact_threshold: float | None = None
    best_f1: float | None = None
    best_f1_threshold: float | None = None


def squad2(answers: Sequence[str], examples: Sequence[Example], nulls: Floats | None = None) -> Squad2 | None:
    """SQuAD 2's metric as the official evaluate-v2.0.py defines it; None where no question is marked as unanswerable.

    `answers` holds one text a question, "" where the model declines. `nulls` holds the null score minus the score of
    the best span, shape (N,), NaN where there is no span. Questions whose gold answers are not known are left out.
    """
    kept = [row for row, one in enumerate(examples) if one.answers or one.unanswerable]
    has = np.array([bool(examples[row].answers) for row in kept], dtype=bool)
    if has.all():
        return None
    given = [answers[row] for row in kept]
    raw = np.array([_squad2(text, examples[row]) for text, row in zip(given, kept, strict=True)]).T
    (exact, overlap) = raw
    parts = [(None, None) if not some.any() else tuple(100 * raw[:, some].mean(axis=1)) for some in (has, ~has)]
    best: tuple[float | None, ...] = (None,) * 4
    if nulls is not None:
        best = (*_best(given, exact, nulls[kept], has), *_best(given, overlap, nulls[kept], has))
    (has_exact, has_f1), (no_exact, no_f1) = (
        [None if value is None else float(value) for value in part] for part in parts
    )
    assert no_exact is not None
    assert no_f1 is not None
    total = (100 * float(exact.mean()), 100 * float(overlap.mean()), len(kept))
    counted = int(has.sum())
    return Squad2(*total, has_exact, has_f1, counted, no_exact, no_f1, len(kept) - counted, *best)


def _squad2(answer: str, example: Example) -> tuple[float, float]:
    """Exact match and F1 by SQuAD 2's rules, which differ from v1.1's where nothing is left of a text: two such texts
    agree. A question without a gold answer of words has the gold answer ""."""
    golds = [gold for gold in gold_texts(example) if normalize_answer(gold)] or [""]
    words = normalize_answer(answer).split()
    if words:
        return exact_match(answer, golds), f1(answer, golds)
    same = float(golds == [""])
    return same, same


def _best(answers: Sequence[str], scores: Floats, nulls: Floats, has: Bools) -> tuple[float, float | None]:
    """The best mean in percent over all thresholds, and the lowest threshold that reaches it; None declines all."""
    known = nulls[np.isfinite(nulls)]
    nulls = np.where(
        np.isfinite(nulls), nulls, known.max() + 1 if len(known) else 0.0
    )  # no span: declined first of all
    order = np.argsort(nulls, kind="stable")
    wrong = np.array([-float(bool(answer)) for answer in answers])
    # begun with all questions declined, those are answered one after another that decline least
    sums = np.cumsum([float((~has).sum()), *np.where(has, scores, wrong)[order]])
    place = int(sums.argmax())
    return 100 * float(sums[place]) / len(scores), float(nulls[order[place - 1]]) if place else None


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
