"""What changed between two comparisons: for each variant whether its answer flipped, and what became of its confidence.

An answer flips when it is another one after SQuAD's normalisation, so that "the Seine" and "Seine" are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from qa_compare.comparison import Comparison, VariantAnswer, join
from qa_compare.scoring import normalize_answer

Kind = Literal["same", "flip"]
# of the words of two passages, the share that both hold, from which one is an edit of the other
_RELATED = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """One variant before and after; `before` is "" where it had no answer. Confidences are 0 to 1.

    `kind` is "flip" where `after` is another answer than `expected`, which is `before` unless the change of the text
    moved it.
    """

    variant: str
    label: str
    kind: Kind
    before: str
    expected: str
    after: str
    confidence_before: float
    confidence_after: float

    @property
    def points(self) -> int:
        """By how many percentage points the confidence rose, as far as whole percents show it."""
        return round(self.confidence_after * 100) - round(self.confidence_before * 100)


def changes(
    before: Comparison, after: Comparison, moved: Callable[[str], str] = lambda answer: answer
) -> tuple[Change, ...]:
    """The variants that both hold, in the order of `after`; one that could not run in either is left out.

    `moved` says what an answer before should be now.
    """
    earlier = {one.variant: one for one in before.answers if one.prediction}
    pairs = [(earlier[one.variant], one) for one in after.answers if one.prediction and one.variant in earlier]
    return tuple(_change(old, new, moved) for old, new in pairs)


def _change(old: VariantAnswer, new: VariantAnswer, moved: Callable[[str], str]) -> Change:
    expected = moved(old.answer)
    kind: Kind = "same" if _compared(expected) == _compared(new.answer) else "flip"
    return Change(new.variant, new.label, kind, old.answer, expected, new.answer, _sure(old), _sure(new))


def _compared(answer: str) -> str:
    """What an article or a mark alone leaves nothing of is compared as it is."""
    return normalize_answer(answer) or answer


def _sure(answer: VariantAnswer) -> float:
    return answer.prediction.confidence if answer.prediction else 0.0


def summary(changed: Sequence[Change]) -> str:
    """One sentence: which variants flip, and which keep their answers."""
    flips = [one.label for one in changed if one.kind == "flip"]
    kept = [one.label for one in changed if one.kind == "same"]
    if not changed:
        return "No variant answers both."
    if not flips:
        return f"{join(kept)} {'keep their answers' if len(kept) > 1 else 'keeps its answer'}."
    turned = f"{join(flips)} {'flip' if len(flips) > 1 else 'flips'}"
    if not kept:
        return f"{turned}."
    return f"{turned}; {join(kept)} {'keep their answers' if len(kept) > 1 else 'keeps its answer'}."


def related(before: Comparison, after: Comparison) -> bool:
    """Whether one text is an edit of the other, rather than another text: then there is a change to speak of."""
    if before.passage == after.passage or before.question == after.question:
        return True
    one, other = (set(text.passage.casefold().split()) for text in (before, after))
    return len(one & other) >= _RELATED * len(one | other)
