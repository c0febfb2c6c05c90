"""Example -> overlapping windows of tokens, `[CLS] question [SEP] passage slice [SEP]`, with labels when training.

A question and a passage are tokenised once each; windows are slices of the passage's tokens, so that every variant of
a backbone reads the same ones and offsets stay exact. Equal to transformers' `truncation="only_second"` with `stride`.

An encoder with a small table of positions has small windows, in which everything has its share: virtual tokens a
quarter of the table, the question half of what is left beside special tokens, the overlap half of the passage's room.
With the usual 512 positions none of these shares is ever reached.

A reader would mark an answer between two characters as readers see them, and never within a word. What a reader sees as
one character (a grapheme) can be several in Python: a letter and its accents or vowel signs, a family of emoji, a
line's end. Tokenizers cut graphemes and words into pieces, so every token knows the edges of its own (`edges`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import regex
import torch
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

from qa_compare.data.examples import Answer, Example
from qa_compare.errors import UserError

# Scripts in which no space says where a word ends. Korean has spaces, but writes its particles onto the word: an answer
# to "where?" is 서울 in 서울은, as KorQuAD marks it.
_UNSPACED = "Bopo Yiii Thai Laoo Khmr Mymr Tibt Tale Talu Lana Tavt Java Bali Hang".split()
_UNSPACED_LETTER = "".join(
    [rf"\p{{{script}}}" for script in _UNSPACED] + [rf"\p{{scx={script}}}" for script in ("Han", "Hira", "Kana")]
)
_OF_A_WORD = rf"[\p{{N}}[\p{{L}}--[{_UNSPACED_LETTER}]]]"
# \X and the vowel signs that Unicode counts apart from their letter (Burmese has some)
_GRAPHEME = r"\X(?:(?<![\s\p{Cc}])\p{M}++)?"
# the first alternative is for speed alone
_WORD_PART = rf"(?:[0-9A-Za-z]++(?=[\x00-\x7f]|\Z)|(?=\p{{GCB=Prepend}}*+{_OF_A_WORD}){_GRAPHEME})"
# soft hyphens, marks of direction: nobody sees them within a word. A space of no width does part words.
_INVISIBLE = r"[\p{Cf}--[\u200b\p{GCB=Prepend}]]*+"
_UNIT = regex.compile(rf"{_WORD_PART}(?:{_INVISIBLE}{_WORD_PART})*+|{_GRAPHEME}", regex.V1)
_WORD_CHARACTER = regex.compile(_OF_A_WORD, regex.V1)
# characters of which each is a grapheme wherever only such characters stand
_SIMPLE = regex.compile(r"[[\r\n\p{GCB=Other}\p{GCB=Control}\p{GCB=LV}\p{GCB=LVT}]--[\p{M}\p{Cf}]]", regex.V1)


def edges(passage: str, offsets: NDArray[np.int32]) -> NDArray[np.int32]:
    """The start and end characters of a passage's T tokens, T x 2, moved outwards to where a reader would set a mark.

    A word is a run of letters and digits that no space, punctuation or symbol interrupts: a mark may stand after `1637`
    in `1637–1640`, after `children` in `children's` and before `1` in `$1,200`, but not inside `1637`. Letters of
    scripts without spaces form no words; a mark may stand between any two graphemes of theirs. A token's white space is
    left out; one of white space alone starts at the next word and ends at the one before, so before its start.
    """
    if not len(offsets):
        return offsets
    length = len(passage)
    of_a_word, is_space, is_complex = _kinds(passage)
    is_break = np.ones(length + 1, dtype=np.bool_)
    if is_complex.any():
        is_break[1:] = False
        is_break[[unit.end() for unit in _UNIT.finditer(passage)]] = True
    else:  # the same, some ten times as fast
        is_break[1:-1] = ~(of_a_word[:-1] & of_a_word[1:])
        is_break[[line_end.start() + 1 for line_end in regex.finditer("\r\n", passage)]] = False
    places = np.arange(length + 1, dtype=np.int32)
    down = np.maximum.accumulate(np.where(is_break, places, 0))
    up = np.minimum.accumulate(np.where(is_break, places, length)[::-1])[::-1]
    next_text = np.minimum.accumulate(np.where(np.append(is_space, False), length, places)[::-1])[::-1]
    last_text = np.maximum.accumulate(np.where(np.append(True, is_space), 0, places))
    return np.stack([down[next_text[offsets[:, 0]]], up[last_text[offsets[:, 1]]]], axis=1).astype(np.int32)


def _kinds(passage: str) -> tuple[NDArray[np.bool_], ...]:
    """Of each character: is it part of a word, is it white space, can it be part of a longer grapheme?"""
    kinds = np.fromiter(map(_kind, passage), dtype=np.uint8, count=len(passage))
    return kinds & 1 > 0, kinds & 2 > 0, kinds & 4 > 0


@lru_cache(maxsize=1 << 16)
def _kind(character: str) -> int:
    of_a_word = _WORD_CHARACTER.match(character) is not None
    return of_a_word + 2 * character.isspace() + 4 * (_SIMPLE.match(character) is None)


MAX_LENGTH = 384
STRIDE = 128
MAX_QUESTION_TOKENS = 64
_SPECIAL = 3  # [CLS] and two [SEP]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `first_token : first_token + passage_tokens` of a passage, behind their question.

    `input_ids[passage_start : passage_start + passage_tokens]` are the passage's; segment 1 begins at `passage_start`.
    """

    input_ids: NDArray[np.int64]
    passage_start: int
    passage_tokens: int
    first_token: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example's windows.

    `offsets`: T x 2, start and end character of each of the passage's T tokens. `edges`: T x 2, the character at which
    an answer starts whose first token it is, and the one before which an answer ends whose last token it is. `unknown`
    names the texts ("passage", "question") most of whose tokens the vocabulary does not know.
    """

    example: Example
    windows: tuple[Window, ...]
    offsets: NDArray[np.int32]
    edges: NDArray[np.int32]
    question_cut: bool
    unknown: tuple[str, ...] = ()


def window_length(positions: int) -> int:
    """Tokens of a window for an encoder of so many positions: 384 (of 512), or three quarters of a smaller table, so
    that virtual tokens have room beside it."""
    return min(MAX_LENGTH, positions * 3 // 4)


def question_limit(max_length: int) -> int:
    """The tokens that are read of a question in windows of that length: 64, or half of the room in a small window.

    Raises:
        UserError: no room is left for a question and a passage.
    """
    room = max_length - _SPECIAL
    if room < 2:
        raise UserError(f"windows of {max_length} tokens have no room for a question and a passage: it takes 5 or more")
    return min(MAX_QUESTION_TOKENS, room // 2)


def encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    max_windows: int | None = None,
) -> list[Encoded]:
    """Windows of at most `max_length` tokens, for each example in order.

    They overlap by `stride` tokens, or by half of the passage's room in a window where that is less.

    Raises:
        UserError: `max_length` leaves no room.
    """
    most = question_limit(max_length)
    tokens = tokenised([text for example in examples for text in (example.question, example.passage)], tokenizer)
    offsets = {
        passage: np.array(tokens[passage].offsets, dtype=np.int32).reshape(-1, 2)
        for passage in {example.passage for example in examples}
    }
    marked = {passage: edges(passage, found) for passage, found in offsets.items()}
    encoded = []
    for example in examples:
        question, passage = tokens[example.question], tokens[example.passage]
        windows = _windows(question.ids[:most], passage.ids, tokenizer, max_length, stride)
        parts = {"passage": passage.ids, "question": question.ids}
        unknown = tuple(name for name, ids in parts.items() if 2 * ids.count(tokenizer.unk_token_id) > len(ids))
        cut, text = len(question.ids) > most, example.passage
        encoded.append(Encoded(example, windows[:max_windows], offsets[text], marked[text], cut, unknown))
    return encoded


def tokenised(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> dict[str, Encoding]:
    """The tokens of each text, without special ones."""
    backend = tokenizer.backend_tokenizer
    # some checkpoints are published with both switched on, and every call of the tokenizer leaves its own behind
    backend.no_truncation()
    backend.no_padding()
    different = list(dict.fromkeys(texts))
    # half of a surrogate pair is no character: the tokenizer refuses it, so it reads U+FFFD, which is as long
    clean = [_LONE_SURROGATE.sub("\ufffd", text) for text in different]
    return dict(zip(different, backend.encode_batch(clean, add_special_tokens=False), strict=True))


def _windows(
    question: list[int], passage: list[int], tokenizer: PreTrainedTokenizerFast, max_length: int, stride: int
) -> tuple[Window, ...]:
    head = [tokenizer.cls_token_id, *question, tokenizer.sep_token_id]
    room = max_length - len(head) - 1
    step = room - min(stride, room // 2)  # without the bound, small windows would become hundreds
    windows = []
    for first in range(0, max(1, len(passage)), step):
        part = passage[first : first + room]
        ids = np.array([*head, *part, tokenizer.sep_token_id], dtype=np.int64)
        windows.append(Window(ids, len(head), len(part), first))
        if first + room >= len(passage):
            break
    return tuple(windows)


def pad(windows: Sequence[Window], pad_token_id: int, length: int | None = None) -> dict[str, torch.Tensor]:
    """A batch of windows as `input_ids`, `attention_mask` and `token_type_ids`, each B x L.

    L is the longest window's length, or `length` if given.
    """
    length = length or max(len(window.input_ids) for window in windows)
    input_ids = np.full((len(windows), length), pad_token_id, dtype=np.int64)
    mask = np.zeros_like(input_ids)
    segments = np.zeros_like(input_ids)
    for row, window in enumerate(windows):
        end = len(window.input_ids)
        input_ids[row, :end] = window.input_ids
        mask[row, :end] = 1
        segments[row, window.passage_start : end] = 1
    arrays = {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": segments}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def labels(encoded: Encoded, answer: Answer) -> list[tuple[int, int]]:
    """The first and last token of `answer` in each window, as positions in its `input_ids`.

    A window that does not hold the whole answer gets (0, 0), the `[CLS]` token: the standard treatment since BERT's
    SQuAD script. Where an answer's edge falls inside a token, the token counts.

    Raises:
        ValueError: the answer's place in the passage is not known.
    """
    if answer.start is None:
        raise ValueError(f"the answer {answer.text!r} to {encoded.example.id!r} has no place in its passage")
    end = answer.start + len(answer.text)
    inside = np.flatnonzero((encoded.offsets[:, 1] > answer.start) & (encoded.offsets[:, 0] < end))
    positions = []
    for window in encoded.windows:
        if len(inside) and (
            window.first_token <= inside[0] and inside[-1] < window.first_token + window.passage_tokens
        ):
            shift = window.passage_start - window.first_token
            positions.append((int(inside[0]) + shift, int(inside[-1]) + shift))
        else:
            positions.append((0, 0))
    return positions
