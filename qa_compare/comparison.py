"""What the variants of one backbone answer to one question, and who agrees with whom."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qa_compare.predictions import Prediction
from qa_compare.scoring import normalize_answer


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
