"""Example -> overlapping windows of tokens, `[CLS] question [SEP] passage slice [SEP]`, with labels when training.

A question and a passage are tokenised once each; windows are slices of the passage's tokens, so that every variant of
a backbone reads the same ones and offsets stay exact. Equal to transformers' `truncation="only_second"` with `stride`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import PreTrainedTokenizerFast

from qa_compare.examples import Answer, Example

MAX_LENGTH = 384
STRIDE = 128
MAX_QUESTION_TOKENS = 64
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
    """An example's windows. `offsets`: T x 2, start and end character of each of the passage's T tokens."""

    example: Example
    windows: tuple[Window, ...]
    offsets: NDArray[np.int32]
    question_cut: bool


def encode(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    max_windows: int | None = None,
) -> list[Encoded]:
    """Windows of at most `max_length` tokens that overlap by `stride` tokens, for each example in order."""
    tokens = tokenised([text for example in examples for text in (example.question, example.passage)], tokenizer)
    encoded = []
    for example in examples:
        question, passage = tokens[example.question], tokens[example.passage]
        windows = _windows(question.ids[:MAX_QUESTION_TOKENS], passage.ids, tokenizer, max_length, stride)
        offsets = np.array(passage.offsets, dtype=np.int32).reshape(-1, 2)
        cut = len(question.ids) > MAX_QUESTION_TOKENS
        encoded.append(Encoded(example, windows[:max_windows], offsets, cut))
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
    step = max(1, room - stride)
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


def widen(passage: str, end: int) -> int:
    """Move a span's end over the marks that belong to its last character (accents, joiners, variation selectors).

    The tokenizer strips combining marks, so a token's end can lie between a letter and its accent.
    """
    while end < len(passage) and (unicodedata.combining(passage[end]) or passage[end] in "\u200d\ufe0e\ufe0f"):
        end += 1
    return end
