"""How a variant came to its answer: where it may begin and end, what each window gave, and which words counted.

A word is a run of the tokenizer's word pieces, or a single mark or ideograph, as BERT splits them before its pieces.
Probabilities are sums over decoding's own distribution over spans, so that they and the confidence never disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qa_compare.decoding import MAX_ANSWER_TOKENS, Floats, decode, log_normaliser, span_scores
from qa_compare.examples import Example
from qa_compare.features import Encoded, Window, widen
from qa_compare.importance import gradient_times_input
from qa_compare.predictions import Candidate

if TYPE_CHECKING:
    from qa_compare.engine import Engine

_PIECE = "##"  # WordPiece's mark of a token that continues a word


@dataclass(frozen=True, slots=True)
class Word:
    """Characters `start:end` of the passage, and the probabilities (0 to 1) that the answer begins or ends in them."""

    start: int
    end: int
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Weight:
    """Characters `start:end` of a text and their gradient x input: above 0, the confidence would sink without them."""

    start: int
    end: int
    value: float


@dataclass(frozen=True, slots=True)
class Importance:
    """Gradient x input of the question's words that were read, and of the passage's words in the window that won."""

    question: tuple[Weight, ...]
    passage: tuple[Weight, ...]


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """Characters `start:end` of the passage, which one window holds; its best span, and whether that is the answer.

    `best.confidence` is within the window. `best` is None where the window holds no token.
    """

    start: int
    end: int
    best: Candidate | None
    won: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of one variant's answer. Without an answer there are no words; `importance` is on demand."""

    words: tuple[Word, ...]
    windows: tuple[WindowAnswer, ...]
    importance: Importance | None = None


def explain(
    engine: Engine, passage: str, question: str, variants: Sequence[str], *, importance: bool = False
) -> dict[str, Explanation]:
    """How each of `variants` comes to its answer, by name: one forward pass over the passage's windows each.

    `importance` adds a forward and a backward pass over the window that won, and over no other.

    Raises:
        UserError: an unknown variant, or one whose folder cannot be used.
    """
    # the question is read as a passage too, for the places of its tokens: an engine's windows keep only the passage's
    encoded, asked = engine.encode([Example("", "", passage, question), Example("", "", question, question)])
    return {name: _explain(engine, encoded, asked, name, importance) for name in variants}


def _explain(engine: Engine, encoded: Encoded, asked: Encoded, variant: str, importance: bool) -> Explanation:
    loaded = engine.load(variant)
    temperature = loaded.variant.temperature
    [(starts, ends)] = engine.logits([encoded], loaded)
    windows = window_answers(encoded, starts, ends, temperature)
    won = next((index for index, window in enumerate(windows) if window.won), None)
    if won is None:
        return Explanation((), windows)
    continues = _continues(engine, encoded)
    words = words_of(encoded, continues, starts, ends, temperature)
    if not importance:
        return Explanation(words, windows)
    window, best = encoded.windows[won], windows[won].best
    assert best is not None
    span = _tokens_of(_alone(encoded, window), starts[won], ends[won], best)
    values = gradient_times_input(loaded.model, window, span, temperature)
    inside = slice(window.first_token, window.first_token + window.passage_tokens)
    read = slice(window.passage_start - 2)  # of the question, which [CLS] precedes and [SEP] follows
    found = Importance(
        _weights(asked.example.passage, asked.offsets[read], _continues(engine, asked)[read], values[1:]),
        _weights(encoded.example.passage, encoded.offsets[inside], continues[inside], values[window.passage_start :]),
    )
    return Explanation(words, windows, found)


def window_answers(
    encoded: Encoded, start_logits: Sequence[Floats], end_logits: Sequence[Floats], temperature: float = 1.0
) -> tuple[WindowAnswer, ...]:
    """What each window would answer if it were alone. The best score wins, as decoding has it; at a tie the first."""
    found = []
    for window, starts, ends in zip(encoded.windows, start_logits, end_logits, strict=True):
        alone = _alone(encoded, window)
        candidates = decode(alone, [starts], [ends], temperature=temperature, top=1).candidates
        begin, end = (int(alone.offsets[0, 0]), int(alone.offsets[-1, 1])) if window.passage_tokens else (0, 0)
        found.append(WindowAnswer(begin, widen(encoded.example.passage, end), next(iter(candidates), None), False))
    scores = [window.best.score if window.best else -np.inf for window in found]
    winner = int(np.argmax(scores))
    if np.isfinite(scores[winner]):
        found[winner] = replace(found[winner], won=True)
    return tuple(found)


def words_of(
    encoded: Encoded,
    continues: NDArray[np.bool_],
    start_logits: Sequence[Floats],
    end_logits: Sequence[Floats],
    temperature: float = 1.0,
) -> tuple[Word, ...]:
    """The passage's words. Their `begins` sum to 1, and so do their `ends`.

    They are the marginals of decoding's softmax over all spans of all windows: the chance that the answer begins in a
    word is the sum of the confidences of the spans that do, so no candidate's confidence exceeds it.
    """
    scores = span_scores(encoded, start_logits, end_logits).astype(np.float64)
    spans = np.exp(scores / temperature - log_normaliser(scores.astype(np.float32), temperature))
    ends = np.zeros(len(spans))
    for more in range(min(MAX_ANSWER_TOKENS, len(spans))):
        ends[more:] += spans[: len(spans) - more, more]
    bounds, word = group(encoded.example.passage, encoded.offsets, continues)
    begin, end = (np.bincount(word, weights, len(bounds)) for weights in (spans.sum(axis=1), ends))
    return tuple(Word(first, last, float(b), float(e)) for (first, last), b, e in zip(bounds, begin, end, strict=True))


def group(
    text: str, offsets: NDArray[np.int32], continues: NDArray[np.bool_]
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Tokens -> words: each word's start and end character, in order and never overlapping, and each token's word."""
    bounds: list[tuple[int, int]] = []
    word = np.zeros(len(offsets), dtype=np.int64)
    for token, (start, end) in enumerate(offsets.tolist()):
        # two tokens may stand for the same characters, as the letters of a Hangul syllable do, or for none
        if bounds and (continues[token] or start < bounds[-1][1] or start == end):
            bounds[-1] = (bounds[-1][0], max(end, bounds[-1][1]))
        else:
            bounds.append((start, end))
        word[token] = len(bounds) - 1
    return [(start, widen(text, end)) for start, end in bounds], word


def _weights(
    text: str, offsets: NDArray[np.int32], continues: NDArray[np.bool_], values: NDArray[np.float64]
) -> tuple[Weight, ...]:
    bounds, word = group(text, offsets, continues)
    sums = np.bincount(word, values[: len(offsets)], len(bounds))
    return tuple(Weight(start, end, float(value)) for (start, end), value in zip(bounds, sums, strict=True))


def _continues(engine: Engine, encoded: Encoded) -> NDArray[np.bool_]:
    """Whether each token of the passage continues the word before it."""
    ids = np.zeros(len(encoded.offsets), dtype=np.int64)
    for window in encoded.windows:
        part = window.input_ids[window.passage_start : window.passage_start + window.passage_tokens]
        ids[window.first_token : window.first_token + window.passage_tokens] = part
    tokens = engine.tokenizer.convert_ids_to_tokens(ids.tolist())
    return np.array([token.startswith(_PIECE) for token in tokens], dtype=np.bool_)


def _alone(encoded: Encoded, window: Window) -> Encoded:
    """The example as if its passage had no other window. Offsets still count the whole passage's characters."""
    offsets = encoded.offsets[window.first_token : window.first_token + window.passage_tokens]
    return replace(encoded, windows=(replace(window, first_token=0),), offsets=offsets)


def _tokens_of(alone: Encoded, starts: Floats, ends: Floats, best: Candidate) -> tuple[int, int]:
    """First and last token, counted from the window's first of the passage, of the span that `best` stands for."""
    scores = span_scores(alone, [starts], [ends])
    passage = alone.example.passage
    for first, more in np.argwhere(scores == np.float32(best.score)).tolist():
        start, end = int(alone.offsets[first, 0]), widen(passage, int(alone.offsets[first + more, 1]))
        if (start, end) == (best.start, best.end):
            return first, first + more
    raise AssertionError("the best span is one of its window's")
