"""One sentence says which variants agree; the dictionary is what the command line and the page's endpoint give."""

from __future__ import annotations

import json

import pytest

from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate, Prediction

LABELS = ("Base", "LoRA", "Prompt", "IA³", "Prefix", "Head", "Full")


def column(label: str, text: str | None) -> VariantAnswer:
    """A column that answers `text`, finds no answer (""), or is broken (None)."""
    if text is None:
        return VariantAnswer(label.lower(), label, None, problem="broken")
    candidates = (Candidate(text, 4, 4 + len(text), 1.5, 0.75), Candidate("sea", 0, 3, 0.5, 0.25)) if text else ()
    return VariantAnswer(label.lower(), label, Prediction("", candidates, 0.0, 1), 12.3456)


def comparison(*texts: str | None) -> Comparison:
    return Comparison("the Nile", "which", tuple(map(column, LABELS, texts)), ("A warning.",))


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ((), "No variant found an answer."),
        (("Nile",), "Only Base answers: “Nile”."),
        (("",), "No variant found an answer."),
        ((None,), "No variant found an answer."),
        (("The Nile", "nile"), "Both agree: “The Nile”."),
        (("Nile", "Rhine"), "The two disagree."),
        (("", "Rhine"), "Only LoRA answers: “Rhine”."),
        (("the  Nile!", "Nile", "a nile"), "All three agree: “the  Nile!”."),
        (("Nile", "Rhine", "Elbe"), "All three differ."),
        (("Nile", "Rhine", "rhine"), "LoRA and Prompt agree on “Rhine”; Base says “Nile”."),
        (("Nile", None, "Nile"), "Both agree: “Nile”."),
        (("Nile", "", "Elbe"), "The two disagree."),
        (("Nile",) * 6, "All six agree: “Nile”."),
        (("Nile",) * 7, "All 7 agree: “Nile”."),
        (("a", "b", "c", "d", "e", "f"), "All six differ."),
        (
            ("Nile", "Rhine", "nile", "the Rhine", "Nile", "Elbe"),
            "Base, Prompt and Prefix agree on “Nile”; LoRA and IA³ agree on “Rhine”; Head says “Elbe”.",
        ),
        (("Elbe", None, "Nile", "Nile", "", None), "Prompt and IA³ agree on “Nile”; Base says “Elbe”."),
    ],
)
def test_one_sentence_says_who_agrees_with_whom(texts: tuple[str | None, ...], sentence: str) -> None:
    assert comparison(*texts).agreement == sentence


def test_the_dictionary_holds_every_column_and_goes_through_json() -> None:
    found = comparison("Nile", "", None).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "question": "which",
        "agreement": "Only Base answers: “Nile”.",
        "warnings": ["A warning."],
        "variants": [
            {
                "variant": "base",
                "label": "Base",
                "answer": "Nile",
                "start": 4,
                "end": 8,
                "confidence": 0.75,
                "latency_ms": 12.35,
                "candidates": [
                    {"text": "Nile", "start": 4, "end": 8, "score": 1.5, "confidence": 0.75},
                    {"text": "sea", "start": 0, "end": 3, "score": 0.5, "confidence": 0.25},
                ],
                "problem": None,
            },
            _without_answer("LoRA", 12.35, None),
            _without_answer("Prompt", 0.0, "broken"),
        ],
    }


def _without_answer(label: str, latency_ms: float, problem: str | None) -> dict[str, object]:
    nothing = {"answer": "", "start": None, "end": None, "confidence": 0.0, "candidates": []}
    return {"variant": label.lower(), "label": label, **nothing, "latency_ms": latency_ms, "problem": problem}


def test_a_prediction_without_candidates_has_an_empty_answer_of_no_confidence() -> None:
    assert (Prediction("", (), 0.0, 1).answer, Prediction("", (), 0.0, 1).confidence) == ("", 0.0)
