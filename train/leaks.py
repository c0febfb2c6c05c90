"""Training passages that give a held-out one away: equal to it, part of it, around it, or much alike.

Passages are compared by their words (letters and digits, whatever their case), and so are those that differ in spaces,
punctuation or width alone. Two passages are alike when they share too many of their sequences of 13 words, the measure
that is usual since GPT-3 (Brown et al. 2020, appendix C). A passage of fewer words has no such sequence: it leaks where
it is equal to, part of or around another, on word boundaries.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = 13
MOST = 0.1  # of the 13-word sequences: some 20 words on end of a passage of 100, or every seventh word exchanged
KINDS = ("equal", "inside", "around", "alike")
_WORD = re.compile(r"\w+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_ROWS = 1_000  # passages whose sequences are compared at once, so that many alike ones need no huge table


@dataclass(frozen=True, slots=True)
class Leak:
    """Why a training passage leaks, a key of `KINDS`, and the held-out passage that it gives away most of."""

    kind: str
    held_out: str


def find(passages: Sequence[str], held_out: Sequence[str], most: float = MOST) -> dict[str, Leak]:
    """The passages that leak, and why: the first of `KINDS` that holds.

    "alike": more than `most` (0 to 1) of a passage's different 13-word sequences stand in held-out passages, or it
    holds more than `most` of those of one held-out passage. With `most` 1 there are none.
    """
    if not passages or not held_out:
        return {}
    ours, theirs = _Texts(passages), _Texts(held_out)
    found: dict[int, tuple[str, int]] = {}
    for kind, pairs in (
        ("equal", _equal(ours, theirs)),
        ("inside", _short(ours, theirs)),
        ("around", ((one, other) for other, one in _short(theirs, ours))),
    ):
        for one, other in pairs:
            found.setdefault(one, (kind, other))
    for one, kind, other in _long(ours, theirs, most):
        if one not in found or KINDS.index(kind) < KINDS.index(found[one][0]):
            found[one] = (kind, other)
    leaks = {ours.plain[one]: Leak(kind, theirs.original[other]) for one, (kind, other) in found.items()}
    return {passage: leaks[plain] for passage, plain in ours.plain_of.items() if plain in leaks}


class _Texts:
    """Different passages, their words as numbers on end (`codes`), and whose each number is (`owner`)."""

    def __init__(self, passages: Sequence[str]) -> None:
        self.plain_of = {passage: plain(passage) for passage in dict.fromkeys(passages)}
        first = {words: passage for passage, words in reversed(self.plain_of.items())}
        self.plain = sorted(first)
        self.original = [first[words] for words in self.plain]
        split = [words.split(" ") for words in self.plain]
        self.lengths = np.array([len(words) for words in split], dtype=np.int64)
        numbers = {word: _number(word) for word in set().union(*split)}
        self.codes = np.array([numbers[word] for words in split for word in words], dtype=np.uint64)
        self.owner = np.repeat(np.arange(len(split)), self.lengths)

    def sequences(self, words: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """A number for each sequence of so many words, and whose it is. Different ones have the same number by chance,
        once in 2**64 pairs."""
        count = max(0, len(self.codes) - words + 1)
        found = np.zeros(count, dtype=np.uint64)
        for place in range(words if count else 0):
            found = found * _FACTOR + self.codes[place : place + count]
        whole = self.owner[:count] == self.owner[words - 1 :][:count]
        return found[whole], self.owner[:count][whole]


def plain(passage: str) -> str:
    """The passage's words, a space between them; what holds no word is compared by its other characters."""
    text = unicodedata.normalize("NFKC", passage).casefold()
    return " ".join(_WORD.findall(text) or text.split())


def _number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _equal(ours: _Texts, theirs: _Texts) -> Iterator[tuple[int, int]]:
    places = {words: place for place, words in enumerate(theirs.plain)}
    return ((one, places[words]) for one, words in enumerate(ours.plain) if words in places)


def _short(parts: _Texts, wholes: _Texts) -> Iterator[tuple[int, int]]:
    """Each of the `parts` of fewer than 13 words, with each of the `wholes` that it stands in."""
    for length in sorted(set(parts.lengths[parts.lengths < WORDS].tolist())):
        codes, owners = parts.sequences(length)
        whole = parts.lengths[owners] == length
        order = np.argsort(codes[whole])
        codes, owners = codes[whole][order], owners[whole][order]
        found, places = wholes.sequences(length)
        at = np.minimum(np.searchsorted(codes, found), len(codes) - 1)
        hits = codes[at] == found
        yield from zip(owners[at[hits]].tolist(), places[hits].tolist(), strict=True)


def _long(ours: _Texts, theirs: _Texts, most: float) -> Iterator[tuple[int, str, int]]:
    """The passages of 13 words and more that leak, why, and the held-out passage that they do it with."""
    mine, other = _matrices(ours, theirs)
    size, other_size = mine.getnnz(axis=1), other.getnnz(axis=1)
    known = mine @ (other.getnnz(axis=0) > 0).astype(np.int32)  # of each passage: its sequences that are held out
    rows = np.flatnonzero(known)
    for first in range(0, len(rows), _ROWS):
        some = rows[first : first + _ROWS]
        shared = (mine[some] @ other.T).tocsr()
        for place, one in enumerate(some.tolist()):
            part = slice(shared.indptr[place], shared.indptr[place + 1])
            others, counts = shared.indices[part], shared.data[part]
            parts = counts / other_size[others]
            nearest = int(others[np.argmax(counts / np.minimum(size[one], other_size[others]))])
            text = f" {ours.plain[one]} "
            wholes = (whole for whole in others[counts == size[one]].tolist() if text in f" {theirs.plain[whole]} ")
            pieces = (piece for piece in others[parts == 1].tolist() if f" {theirs.plain[piece]} " in text)
            if (whole := next(wholes, None)) is not None:
                yield one, "inside", whole
            elif (piece := next(pieces, None)) is not None:
                yield one, "around", piece
            elif known[one] / size[one] > most or parts.max() > most:
                yield one, "alike", nearest


def _matrices(ours: _Texts, theirs: _Texts) -> tuple[Any, Any]:
    """Passages x different sequences of 13 words, 1 where the passage has it, for both sides."""
    from scipy.sparse import csr_matrix

    sides = [ours.sequences(WORDS), theirs.sequences(WORDS)]
    different, columns = np.unique(np.concatenate([codes for codes, _ in sides]), return_inverse=True)
    made, begin = [], 0
    for texts, (codes, owners) in zip((ours, theirs), sides, strict=True):
        here = columns[begin : begin + len(codes)]
        begin += len(codes)
        shape = (len(texts.plain), len(different))
        matrix = csr_matrix((np.ones(len(codes), dtype=np.int32), (owners, here)), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        made.append(matrix)
    return made[0], made[1]
