"""What kind of error an answer is, from where it lies in the passage beside the gold answers.

Kinds, from right to wrong, of an answer of characters [start, end) beside the gold span that it overlaps most:

- "right": an exact match as SQuAD has it, wherever it stands;
- "too long": it holds all of the gold span, and more;
- "too short": it is a part of the gold span;
- "overlap": the two share characters, and neither holds the other;
- "right sentence": it shares no character with any gold span, but a sentence with one;
- "wrong sentence": everything else, also a text that does not stand in the passage and shares no word with gold;
- "no answer": the text is empty;
- "no gold": the question has no gold answer, so that nothing can be said.

The gold span that is overlapped most is the one of the greatest 2 x shared / (both lengths). An answer that is known
by its text only is looked for in the passage, in any case and with any punctuation and white space between its words;
of several places the one that overlaps gold most counts. A text that stands nowhere and shares words with gold is an
"overlap".

A sentence ends at a line break, and at . ! or ? with the closing quotes and brackets after it where white space and
then something other than a lower-case letter follows. "Dr. Smith" is thus parted; who looks for errors forgives it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

from qa_compare.data.examples import Example

RIGHT, LONG, SHORT, OVERLAP = "right", "too long", "too short", "overlap"
SAME_SENTENCE, OTHER_SENTENCE, NO_ANSWER, NO_GOLD = "right sentence", "wrong sentence", "no answer", "no gold"
KINDS = (RIGHT, LONG, SHORT, OVERLAP, SAME_SENTENCE, OTHER_SENTENCE, NO_ANSWER, NO_GOLD)

Span = tuple[int, int]
# what follows is looked for among a few marks only: a passage of dots and spaces would else take hours
_END = re.compile(r"[.!?][\"')\]”’»]*+\s++(?=\W{0,20}+[^\Wa-z])|\n+")


def error_kind(example: Example, answer: str, start: int, exact_match: bool, f1: float) -> str:
    """One of `KINDS`. `start` is the answer's first character in the passage, -1 where it is not known."""
    if not example.answers:
        return NO_GOLD
    if exact_match:
        return RIGHT
    if not answer.strip():
        return NO_ANSWER
    golds = [span for gold in example.answers for span in gold.spans]
    places = [(start, start + len(answer))] if start >= 0 else find(example.passage, answer)
    if not places or not golds:
        return OVERLAP if f1 > 0 else OTHER_SENTENCE
    place, gold = max(((one, gold) for one in places for gold in golds), key=lambda pair: _overlap(*pair))
    if _shared(place, gold):
        return _boundaries(place, gold)
    sentences = _sentences(example.passage)
    together = any(_touch(sentences, one, other) for one in places for other in golds)
    return SAME_SENTENCE if together else OTHER_SENTENCE


def find(passage: str, answer: str) -> list[Span]:
    """Where the answer's words stand in the passage, in any case and whatever punctuation or white space parts them."""
    words = re.findall(r"[^\W_]+", answer)
    if not words:
        return [(found.start(), found.end()) for found in re.finditer(re.escape(answer.strip()), passage)]
    pattern = r"(?<![^\W_])" + r"[\W_]*+".join(map(re.escape, words)) + r"(?![^\W_])"
    return [(found.start(), found.end()) for found in re.finditer(pattern, passage, re.IGNORECASE)]


def _boundaries(place: Span, gold: Span) -> str:
    if place[0] <= gold[0] and gold[1] <= place[1]:
        return LONG
    return SHORT if gold[0] <= place[0] and place[1] <= gold[1] else OVERLAP


def _shared(one: Span, other: Span) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _overlap(one: Span, other: Span) -> float:
    return 2 * _shared(one, other) / (one[1] - one[0] + other[1] - other[0])


@lru_cache(maxsize=256)  # the questions of a passage follow each other
def _sentences(passage: str) -> list[int]:
    """The characters at which the second and every later sentence begins."""
    return [found.end() for found in _END.finditer(passage)]


def _touch(sentences: list[int], one: Span, other: Span) -> bool:
    """Whether some sentence holds characters of both."""
    (a, b), (c, d) = ((bisect_right(sentences, start), bisect_right(sentences, end - 1)) for start, end in (one, other))
    return a <= d and c <= b
