"""What the variants of one backbone answer to one question, who agrees, and what changes between two comparisons.

An answer flips when it is another one after SQuAD's normalisation, so that "the Seine" and "Seine" are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from qa_compare.inference.decoding import Prediction
from qa_compare.measure.scoring import normalize_answer


@dataclass(frozen=True, slots=True)
class VariantAnswer:
    """One column: the variant's prediction, or the `problem` that kept it from answering."""

    variant: str
    label: str
    prediction: Prediction | None
    latency_ms: float = 0.0
    problem: str | None = None

    @property
    def answer(self) -> str:
        """The best answer; "" where there is none."""
        return self.prediction.answer if self.prediction else ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All columns for one passage and question; `warnings` are sentences to show beside the answers."""

    passage: str
    question: str
    answers: tuple[VariantAnswer, ...]
    warnings: tuple[str, ...] = ()

    @property
    def agreement(self) -> str:
        """One sentence that says which variants give the same answer, compared as SQuAD's exact match does."""
        groups: dict[str, list[VariantAnswer]] = {}
        for answer in self.answers:
            if answer.prediction and answer.prediction.candidates:
                groups.setdefault(normalize_answer(answer.answer), []).append(answer)
        answering = sum(len(group) for group in groups.values())
        if answering == 0:
            return "No variant found an answer."
        if answering == 1:
            [[only]] = groups.values()
            return f"Only {only.label} answers: “{only.answer}”."
        if len(groups) == 1:
            everyone = "Both" if answering == 2 else f"All {_count(answering)}"
            return f"{everyone} agree: “{next(iter(groups.values()))[0].answer}”."
        if len(groups) == answering:
            return "The two disagree." if answering == 2 else f"All {_count(answering)} differ."
        parts = []
        for group in sorted(groups.values(), key=len, reverse=True):
            names = join([answer.label for answer in group])
            parts.append(f"{names} {'agree on' if len(group) > 1 else 'says'} “{group[0].answer}”")
        return "; ".join(parts) + "."

    def as_dict(self) -> dict[str, Any]:
        """The object that the command line's `--json` and the page's `/compare` endpoint give."""
        return {
            "question": self.question,
            "agreement": self.agreement,
            "warnings": list(self.warnings),
            "variants": [_column(answer) for answer in self.answers],
        }


def _column(answer: VariantAnswer) -> dict[str, Any]:
    candidates = answer.prediction.candidates if answer.prediction else ()
    best = candidates[0] if candidates else None
    return {
        "variant": answer.variant,
        "label": answer.label,
        "answer": answer.answer,
        "start": best.start if best else None,
        "end": best.end if best else None,
        "confidence": best.confidence if best else 0.0,
        "latency_ms": round(answer.latency_ms, 2),
        "candidates": [asdict(candidate) for candidate in candidates],
        "problem": answer.problem,
    }


def _count(number: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}.get(number, str(number))


def join(names: list[str]) -> str:
    """ "A", "A and B", "A, B and C"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


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
