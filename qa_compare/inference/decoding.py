"""Start and end logits -> ranked answer spans with confidence, and the frozen records of them.

A span's first and last token are chosen together: in this order, at most 30 tokens, inside the passage, in one window.
A span is what a reader would mark (`Encoded.edges`), and several pairs of tokens can stand for the same characters.
These are one span: within a window its score is the logarithm of the sum of the pairs' exponentials, and where several
windows hold it, it has the best of its scores. Its confidence is its share in a softmax over *all* spans, not over the
n-best list. So the confidences of all spans sum to 1, and the most confident one is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from qa_compare.data.examples import Example
from qa_compare.models.features import MAX_QUESTION_TOKENS, Encoded, question_limit, tokenised


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


MAX_ANSWER_TOKENS = 30
Floats = NDArray[np.float32]
Integers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """All spans of a passage, each once, as cells of a table of U rows and W columns; not every cell is a span.

    The cell (row, column) is the characters `starts[row] : ends[first_end[row] + column]`. `rows` (T) has the row of
    the spans that begin with each token, and `cells` (T x 30) the index, in the flattened table, of the span from token
    t to token t + n; behind the passage's end it is any. `empty` are the cells that enclose no character, if any.
    """

    starts: Integers
    ends: Integers
    first_end: Integers
    rows: Integers
    cells: Integers
    empty: Integers
    width: int

    def place(self, row: int, column: int) -> tuple[int, int]:
        """The first character of a cell's span, and the one behind its last."""
        return int(self.starts[row]), int(self.ends[self.first_end[row] + column])

    def cell(self, start: int, end: int) -> int:
        """The cell of the span `start:end`, which must be one."""
        row = int(np.searchsorted(self.starts, start))
        return row * self.width + int(np.searchsorted(self.ends, end) - self.first_end[row])


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of a passage and their `scores` (U x W), minus infinity in cells that are no span."""

    layout: Layout
    scores: Floats


def layout(encoded: Encoded) -> Layout:
    """The table of the passage's spans; without a cell where the passage has no token."""
    starts, rows = _distinct(encoded.edges[:, 0])
    ends, end_of = _distinct(encoded.edges[:, 1])
    if not len(rows):
        return Layout(starts, ends, end_of, rows, rows[:, None], rows, 0)
    first_end = end_of[np.searchsorted(rows, np.arange(len(starts)))]
    begins = first_end[rows]
    last_ends = end_of[np.minimum(np.arange(len(rows)) + MAX_ANSWER_TOKENS - 1, len(rows) - 1)]
    width = int((last_ends - begins).max()) + 1
    cells = _onwards(end_of, end_of[-1]) + (rows * width - begins)[:, None]
    empty = rows[:0]
    if (ends[first_end] <= starts).any():  # tokens of white space alone
        too_early = np.searchsorted(ends, starts, side="right") - first_end
        empty = np.flatnonzero(np.arange(width) < too_early[:, None])
    return Layout(starts, ends, first_end, rows, cells, empty, width)


def _onwards(values: NDArray[Any], behind: float) -> NDArray[Any]:
    """T values -> T x 30: `[t, n]` is value t + n, or `behind` where there is none. A view: not to be written to."""
    padded = np.concatenate([values, np.full(MAX_ANSWER_TOKENS - 1, behind, dtype=values.dtype)])
    # what `sliding_window_view` makes, in a tenth of the time
    return np.ndarray((len(values), MAX_ANSWER_TOKENS), values.dtype, padded, strides=padded.strides * 2)


def _distinct(places: NDArray[np.int32]) -> tuple[Integers, Integers]:
    """The different ones of rising numbers, and which of them each is."""
    is_new = np.append(True, places[1:] != places[:-1])[: len(places)]
    return places[is_new].astype(np.intp), np.cumsum(is_new) - 1


def span_scores(encoded: Encoded, start_logits: Sequence[Floats], end_logits: Sequence[Floats]) -> Spans:
    """The scores of all spans. Each window that holds one gives it a score of its own; the best counts.

    `start_logits` and `end_logits` hold a row for each window of `encoded`, as long as its tokens or longer (padded).
    """
    table = layout(encoded)
    scores = np.full(len(table.starts) * table.width, -np.inf, dtype=np.float32)
    for window, starts, ends in zip(encoded.windows, start_logits, end_logits, strict=True):
        if not window.passage_tokens:
            continue
        inside = slice(window.passage_start, window.passage_start + window.passage_tokens)
        tokens = slice(window.first_token, window.first_token + window.passage_tokens)
        rows = table.rows[tokens]
        first = rows[0] * table.width
        reached = scores[first : (rows[-1] + 1) * table.width]
        found = _of_window(starts[inside], ends[inside], table.cells[tokens] - first, len(reached))
        np.maximum(reached, found, out=reached)
    scores[table.empty] = -np.inf
    return Spans(table, scores.reshape(len(table.starts), table.width))


def _of_window(starts: Floats, ends: Floats, cells: Integers, count: int) -> Floats:
    """The scores that one window gives `count` cells: start + end logit, its exponentials added up within a cell."""
    pairs = (starts[:, None] + _onwards(ends, -np.inf)).ravel()
    cells = cells.ravel()
    best = np.full(count, -np.inf, dtype=np.float32)
    np.maximum.at(best, cells, pairs)
    best[~np.isfinite(best)] = 0  # no pair of tokens, and a sum of 0
    sums = np.bincount(cells, np.exp(pairs - best[cells]), count).astype(np.float32)
    with np.errstate(divide="ignore"):
        return best + np.log(sums)


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
    """The `top` best spans, or as many as there are, best first.

    `temperature` divides the scores before the softmax: above 1, confidence sinks; the order stays.
    """
    spans = span_scores(encoded, start_logits, end_logits)
    no_answer = max(float(starts[0] + ends[0]) for starts, ends in zip(start_logits, end_logits, strict=True))
    candidates = _candidates(encoded.example.passage, spans, temperature, top)
    return Prediction(
        encoded.example.id, candidates, no_answer, len(encoded.windows), encoded.question_cut, encoded.unknown
    )


def _candidates(passage: str, spans: Spans, temperature: float, top: int) -> tuple[Candidate, ...]:
    highest = spans.scores.max(axis=1, initial=-np.inf)
    if not np.isfinite(highest).any():
        return ()
    normaliser = log_normaliser(spans.scores, temperature)
    rows = np.sort(np.argpartition(highest, -min(top, len(highest)))[-top:])  # no other row can hold one of the best
    scores = spans.scores[rows].ravel()
    found = []
    for index in np.argsort(-scores, kind="stable")[:top].tolist():
        row, column = divmod(index, spans.layout.width)
        if np.isfinite(scores[index]):
            score = float(scores[index])
            start, end = spans.layout.place(int(rows[row]), column)
            confidence = float(np.exp(score / temperature - normaliser))
            found.append(Candidate(passage[start:end], start, end, score, confidence))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Overlong:
    """What goes over the limits of tokens: the numbers of the questions that are cut to `limit` tokens, and how many
    gold answers no variant can give, of how many questions."""

    cut: frozenset[int]
    limit: int = MAX_QUESTION_TOKENS
    golds: int = 0
    questions: int = 0

    @property
    def sentences(self) -> list[str]:
        """A sentence for each limit that is gone over, without a full stop."""
        told = []
        if count := len(self.cut):
            whose = "1 question is" if count == 1 else f"{count:,} questions are"
            only = "its beginning was" if count == 1 else "their beginnings were"
            told.append(f"{whose} longer than {self.limit} tokens: only {only} read")
        if self.golds:
            whose = "1 gold answer is" if self.golds == 1 else f"{self.golds:,} gold answers are"
            of_them = "1 question" if self.questions == 1 else f"{self.questions:,} questions"
            told.append(
                f"{whose} longer than {MAX_ANSWER_TOKENS} tokens, the longest answer that a variant gives "
                f"(in {of_them})"
            )
        return told


def overlong(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, max_length: int) -> Overlong:
    """Which of the examples' questions are longer than what is read, and which gold answers than what is answered."""
    most = question_limit(max_length)
    asked = {number: one.question for number, one in enumerate(examples) if _many(one.question, most)}
    golds = [[gold.text for gold in one.answers if _many(gold.text, MAX_ANSWER_TOKENS)] for one in examples]
    tokens = tokenised([*asked.values(), *(text for texts in golds for text in texts)], tokenizer)
    long = [sum(len(tokens[text].ids) > MAX_ANSWER_TOKENS for text in set(texts)) for texts in golds]
    cut = frozenset(number for number, text in asked.items() if len(tokens[text].ids) > most)
    return Overlong(cut, most, sum(long), sum(map(bool, long)))


def _many(text: str, limit: int) -> bool:
    """Whether the text may have more tokens than that: each has a byte at least."""
    return len(text.encode("utf-8", "surrogatepass")) > limit
