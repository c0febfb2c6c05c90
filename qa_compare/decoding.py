"""Start and end logits -> ranked answer spans with confidence.

A span is chosen jointly (start <= end, at most 30 tokens, inside the passage), the best over all windows; its
confidence is a softmax over *all* such spans, not over the n-best list. All windows are decoded in one array of
T passage tokens x 30 lengths, in which a span that two windows share stands once, with the better score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from qa_compare.examples import Example
from qa_compare.features import MAX_QUESTION_TOKENS, Encoded, tokenised, widen
from qa_compare.predictions import Candidate, Prediction

MAX_ANSWER_TOKENS = 30
Floats = NDArray[np.float32]


def span_scores(encoded: Encoded, start_logits: Sequence[Floats], end_logits: Sequence[Floats]) -> Floats:
    """Scores of all spans, T x 30: `[t, n]` is the start logit of token t + the end logit of token t + n.

    `start_logits` and `end_logits` hold a row for each window of `encoded`, as long as its tokens or longer (padded).
    Spans that end behind the passage, or that no window holds whole, score minus infinity.
    """
    scores = np.full((len(encoded.offsets), MAX_ANSWER_TOKENS), -np.inf, dtype=np.float32)
    for window, starts, ends in zip(encoded.windows, start_logits, end_logits, strict=True):
        inside = slice(window.passage_start, window.passage_start + window.passage_tokens)
        padded = np.concatenate([ends[inside], np.full(MAX_ANSWER_TOKENS - 1, -np.inf, dtype=np.float32)])
        if not window.passage_tokens:
            continue
        spans = starts[inside, None] + sliding_window_view(padded, MAX_ANSWER_TOKENS)
        rows = scores[window.first_token : window.first_token + window.passage_tokens]
        np.maximum(rows, spans, out=rows)
    return scores


def log_normaliser(scores: Floats, temperature: float = 1.0) -> float:
    """The logarithm of the softmax's denominator over all spans, computed without overflow."""
    highest = float(scores.max())
    return highest / temperature + float(np.log(np.exp((scores - highest) / temperature, dtype=np.float64).sum()))


def decode(
    encoded: Encoded,
    start_logits: Sequence[Floats],
    end_logits: Sequence[Floats],
    *,
    temperature: float = 1.0,
    top: int = 5,
) -> Prediction:
    """The `top` best spans, no two of the same characters, best first.

    `temperature` divides the scores before the softmax: above 1, confidence sinks; the order stays.
    """
    scores = span_scores(encoded, start_logits, end_logits)
    no_answer = max(float(starts[0] + ends[0]) for starts, ends in zip(start_logits, end_logits, strict=True))
    candidates = _candidates(encoded, scores, temperature, top) if np.isfinite(scores).any() else ()
    return Prediction(encoded.example.id, candidates, no_answer, len(encoded.windows), encoded.question_cut)


def _candidates(encoded: Encoded, scores: Floats, temperature: float, top: int) -> tuple[Candidate, ...]:
    passage, offsets, flat = encoded.example.passage, encoded.offsets, scores.ravel()
    # twice as many as asked, since two tokens can stand for the same characters
    best = np.argpartition(flat, -min(2 * top, flat.size))[-2 * top :]
    best = best[np.argsort(-flat[best], kind="stable")]
    normaliser = log_normaliser(scores, temperature)
    found: dict[tuple[int, int], Candidate] = {}
    for index in best:
        score = float(flat[index])
        first, more = divmod(int(index), MAX_ANSWER_TOKENS)
        if not np.isfinite(score) or len(found) == top:
            break
        start, end = int(offsets[first, 0]), widen(passage, int(offsets[first + more, 1]))
        confidence = float(np.exp(score / temperature - normaliser))
        if start < end:
            found.setdefault((start, end), Candidate(passage[start:end], start, end, score, confidence))
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Overlong:
    """What goes over the limits of tokens: the numbers of the questions that are cut, and how many gold answers no
    variant can give, of how many questions."""

    cut: frozenset[int]
    golds: int = 0
    questions: int = 0

    @property
    def sentences(self) -> list[str]:
        """A sentence for each limit that is gone over, without a full stop."""
        told = []
        if count := len(self.cut):
            whose = "1 question is" if count == 1 else f"{count:,} questions are"
            only = "its beginning was" if count == 1 else "their beginnings were"
            told.append(f"{whose} longer than {MAX_QUESTION_TOKENS} tokens: only {only} read")
        if self.golds:
            whose = "1 gold answer is" if self.golds == 1 else f"{self.golds:,} gold answers are"
            of_them = "1 question" if self.questions == 1 else f"{self.questions:,} questions"
            told.append(
                f"{whose} longer than {MAX_ANSWER_TOKENS} tokens, the longest answer that a variant gives "
                f"(in {of_them})"
            )
        return told


def overlong(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> Overlong:
    """Which of the examples' questions are longer than what is read, and which gold answers than what is answered."""
    asked = {number: one.question for number, one in enumerate(examples) if _many(one.question, MAX_QUESTION_TOKENS)}
    golds = [[gold.text for gold in one.answers if _many(gold.text, MAX_ANSWER_TOKENS)] for one in examples]
    tokens = tokenised([*asked.values(), *(text for texts in golds for text in texts)], tokenizer)
    long = [sum(len(tokens[text].ids) > MAX_ANSWER_TOKENS for text in set(texts)) for texts in golds]
    cut = frozenset(number for number, text in asked.items() if len(tokens[text].ids) > MAX_QUESTION_TOKENS)
    return Overlong(cut, sum(long), sum(map(bool, long)))


def _many(text: str, limit: int) -> bool:
    """Whether the text may have more tokens than that: each has a byte at least."""
    return len(text.encode("utf-8", "surrogatepass")) > limit
