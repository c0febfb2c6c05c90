"""What a variant answers: frozen records that decoding makes and everything after it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer span: `text == passage[start:end]`, in characters.

    `score` is the sum of the start and the end logit or, where several pairs of tokens stand for these characters, the
    logarithm of the sum of the pairs' exponentials; `confidence` the span's probability (0 to 1) under a softmax over
    all spans of all windows, after the variant's calibration temperature.
    """

    text: str
    start: int
    end: int
    score: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A variant's ranked answers to one question, best first; none where the passage holds no token.

    `no_answer_score` is the best window's `[CLS]` start + end logit (SQuAD v2's null score), kept, not used.
    `windows` counts the passage's windows; `question_cut` says that only the beginning of the question was read (64
    tokens, fewer in small windows), `unknown` which texts ("passage", "question") are mostly unknown to the vocabulary.
    """

    id: str
    candidates: tuple[Candidate, ...]
    no_answer_score: float
    windows: int
    question_cut: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The best answer; "" where there is none."""
        return self.candidates[0].text if self.candidates else ""

    @property
    def confidence(self) -> float:
        """The best answer's; 0 where there is none."""
        return self.candidates[0].confidence if self.candidates else 0.0


def notes(predictions: Sequence[Prediction]) -> list[str]:
    """A sentence for each thing that was not read or not understood of these questions, with how many it befell."""
    found = []
    if cut := sum(one.question_cut for one in predictions):
        whose, only = ("question is", "its beginning was") if cut == 1 else ("questions are", "their beginnings were")
        found.append(f"{cut:,} {whose} longer than this model reads: only {only} read")
    if unknown := sum(bool(one.unknown) for one in predictions):
        what = "the answer to 1 question" if unknown == 1 else f"the answers to {unknown:,} questions"
        found.append(f"{what} cannot be relied on: most of the text is unknown to this model's vocabulary")
    return found
