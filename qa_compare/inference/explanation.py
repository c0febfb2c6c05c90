"""How a variant came to its answer: where it may begin and end, what each window gave, and which words counted.

A word is a run of the tokenizer's word pieces, or a single mark or ideograph, as BERT splits them before its pieces.
Probabilities are sums over decoding's own distribution over spans, so that they and the confidence never disagree.
What a word counts for the answer is its gradient x input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from qa_compare.data.examples import Example
from qa_compare.inference.decoding import (
    MAX_ANSWER_TOKENS,
    Candidate,
    Floats,
    Layout,
    decode,
    layout,
    log_normaliser,
    span_scores,
)
from qa_compare.models.features import Encoded, Window, pad
from qa_compare.models.modeling import share

if TYPE_CHECKING:
    from qa_compare.inference.engine import Engine


def gradient_times_input(
    model: nn.Module, window: Window, table: Layout, answer: tuple[int, int], temperature: float = 1.0
) -> NDArray[np.float64]:
    """A value for each of the window's L tokens: its word embedding times the gradient of `log_confidence` by it.

    To first order, it is how far the logarithm of the answer's confidence would sink if the token's word embedding
    were nought. The input is the word embedding alone: of its sum with position and segment, which BERT normalises
    next and thereby frees of its length, the product would be nought at every token. `table` has the spans of
    the window alone, and `answer` the first character of one of them and the character behind its last. In fp32
    whatever the precision of the answer.

    Gradients of the class's score by the input: Simonyan, Vedaldi and Zisserman (2014), "Deep inside convolutional
    networks", arXiv:1312.6034. Times the input: Shrikumar, Greenside, Shcherbina and Kundaje (2016), "Not just a black
    box", arXiv:1605.01713; for words, summed over the embedding: Denil, Demiraj and de Freitas (2014), "Extraction of
    salient sentences from labelled documents", arXiv:1412.6815.
    """
    # a module tree of its own, over the same tensors: the hook below is for no other thread that uses the variant
    model = share(model)  # type: ignore[arg-type]
    device = next(model.parameters()).device
    embedded: list[Tensor] = []

    def watch(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    embeddings: nn.Module = model.get_input_embeddings()
    embeddings.register_forward_hook(watch)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        output = model(**{name: tensor.to(device) for name, tensor in pad([window], 0).items()})
        inside = slice(window.passage_start, window.passage_start + window.passage_tokens)
        value = log_confidence(output.start_logits[0, inside], output.end_logits[0, inside], table, answer, temperature)
        [words] = embedded
        # `grad`, not `backward`: it writes to no tensor that variants share
        [gradient] = torch.autograd.grad(value, words)
    return (gradient * words.detach())[0].double().sum(dim=-1).cpu().numpy()


def log_confidence(
    starts: Tensor, ends: Tensor, table: Layout, answer: tuple[int, int], temperature: float = 1.0
) -> Tensor:
    """The logarithm of the share that the span `answer` has in a softmax over all spans of one window, whose `table` is
    given with the logits of its P passage tokens. Of a passage of one window it is the logarithm of the confidence that
    decoding gives.
    """
    padded = F.pad(ends, (0, MAX_ANSWER_TOKENS - 1), value=float("-inf"))
    pairs = (starts[:, None] + padded.unfold(0, MAX_ANSWER_TOKENS, 1)).flatten()
    cells = torch.from_numpy(table.cells).to(pairs.device).flatten()
    size = len(table.starts) * table.width
    best = torch.full((size,), float("-inf"), dtype=pairs.dtype, device=pairs.device)
    best = best.scatter_reduce(0, cells, pairs.detach(), "amax")
    is_span = best.isfinite()
    is_span[torch.from_numpy(table.empty).to(pairs.device)] = False
    # behind the passage's end, pairs of minus infinity: their gradient would not be a number
    real = pairs.isfinite()
    sums = torch.zeros_like(best).index_add(0, cells[real], (pairs[real] - best[cells[real]]).exp())
    scores = (best[is_span] + sums[is_span].log()) / temperature
    [place] = (is_span.nonzero().flatten() == table.cell(*answer)).nonzero().flatten()
    return scores[place] - scores.logsumexp(dim=0)


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
    table = layout(_alone(encoded, window))
    values = gradient_times_input(loaded.model, window, table, (best.start, best.end), temperature)
    inside = slice(window.first_token, window.first_token + window.passage_tokens)
    read = slice(window.passage_start - 2)  # of the question, which [CLS] precedes and [SEP] follows
    found = Importance(
        _weights(asked.edges[read], _continues(engine, asked)[read], values[1:]),
        _weights(encoded.edges[inside], continues[inside], values[window.passage_start :]),
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
        begin, end = (int(alone.edges[0, 0]), int(alone.edges[-1, 1])) if window.passage_tokens else (0, 0)
        found.append(WindowAnswer(begin, end, next(iter(candidates), None), False))
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
    spans = span_scores(encoded, start_logits, end_logits)
    table, scores = spans.layout, spans.scores.astype(np.float64)
    chances = np.exp(scores / temperature - log_normaliser(spans.scores, temperature))
    rows, columns = np.nonzero(chances)
    bounds, _ = group(encoded.edges, continues)
    starts = np.array([first for first, _ in bounds])

    def within(characters: NDArray[np.intp]) -> NDArray[np.float64]:
        words = np.searchsorted(starts, characters, side="right") - 1
        return np.bincount(words, chances[rows, columns], len(bounds)).astype(np.float64)

    begin, end = within(table.starts[rows]), within(table.ends[table.first_end[rows] + columns] - 1)
    return tuple(Word(first, last, float(b), float(e)) for (first, last), b, e in zip(bounds, begin, end, strict=True))


def group(edges: NDArray[np.int32], continues: NDArray[np.bool_]) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Tokens -> words: each word's start and end character, in order and never overlapping, and each token's word."""
    bounds: list[tuple[int, int]] = []
    word = np.zeros(len(edges), dtype=np.int64)
    for token, (start, end) in enumerate(edges.tolist()):
        # two tokens may stand for the same characters, as the letters of a Hangul syllable do, or for none
        if bounds and (continues[token] or start < bounds[-1][1] or start >= end or bounds[-1][0] == bounds[-1][1]):
            bounds[-1] = (bounds[-1][0], max(end, bounds[-1][1]))
        else:
            bounds.append((start, max(start, end)))
        word[token] = len(bounds) - 1
    return bounds, word


def _weights(edges: NDArray[np.int32], continues: NDArray[np.bool_], values: NDArray[np.float64]) -> tuple[Weight, ...]:
    bounds, word = group(edges, continues)
    sums = np.bincount(word, values[: len(edges)], len(bounds))
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
    part = slice(window.first_token, window.first_token + window.passage_tokens)
    alone = (replace(window, first_token=0),)
    return replace(encoded, windows=alone, offsets=encoded.offsets[part], edges=encoded.edges[part])
