"""What changed between two comparisons, and the sentence about it."""

from __future__ import annotations

import pytest

from qa_compare.inference.comparison import Comparison, VariantAnswer, changes, related, summary
from qa_compare.inference.decoding import Candidate, Prediction

LABELS = {"base": "Base", "lora": "LoRA", "prompt-tuning": "Prompt tuning"}


def comparison(
    passage: str = "The Seine.", question: str = "Which?", **answers: tuple[str, float] | None
) -> Comparison:
    """Answers by variant; None is a variant that could not be loaded, ("", 0) one that found nothing."""
    made = []
    for name, given in answers.items():
        prediction = None
        if given is not None:
            candidates = (Candidate(given[0], 0, len(given[0]), 1.0, given[1]),) if given[0] else ()
            prediction = Prediction("", candidates, 0.0, 1)
        variant = name.replace("_", "-")
        problem = None if given else "it is broken"
        made.append(VariantAnswer(variant, LABELS[variant], prediction, 1.0, problem))
    return Comparison(passage, question, tuple(made))


def test_an_answer_flips_when_it_is_another_one_after_normalisation() -> None:
    before = comparison(base=("the Seine", 0.8), lora=("Paris", 0.504))
    after = comparison(base=("Seine", 0.71), lora=("Rouen", 0.9))
    base, lora = changes(before, after)
    assert (base.kind, base.points) == ("same", -9)
    assert (lora.kind, lora.before, lora.after, lora.points) == ("flip", "Paris", "Rouen", 40)


def test_an_answer_that_was_to_move_flips_when_it_stays() -> None:
    before, after = (
        comparison(base=("Paris", 0.5), lora=("Paris", 0.5)),
        comparison(base=("Rouen", 1), lora=("Paris", 1)),
    )
    base, lora = changes(before, after, lambda answer: "Rouen" if answer == "Paris" else answer)
    assert (base.kind, lora.kind, lora.expected) == ("same", "flip", "Rouen")


def test_an_answer_of_articles_and_marks_is_compared_as_it_is() -> None:
    assert [one.kind for one in changes(comparison(base=("the", 1)), comparison(base=("?", 1)))] == ["flip"]


def test_a_variant_without_an_answer_flips_and_one_that_cannot_run_is_left_out() -> None:
    before = comparison(base=("Paris", 0.5), lora=("Paris", 0.5), prompt_tuning=None)
    after = comparison(base=("", 0.0), prompt_tuning=("Paris", 0.5))
    [base] = changes(before, after)
    assert (base.kind, base.after, base.confidence_after) == ("flip", "", 0.0)


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ("ppp", "Base, LoRA and Prompt tuning keep their answers."),
        ("prp", "LoRA flips; Base and Prompt tuning keep their answers."),
        ("rpr", "Base and Prompt tuning flip; LoRA keeps its answer."),
        ("rrr", "Base, LoRA and Prompt tuning flip."),
    ],
)
def test_a_sentence_says_who_flips(after: str, sentence: str) -> None:
    one, other, third = ({"p": "Paris", "r": "Rouen"}[letter] for letter in after)
    before = comparison(base=("Paris", 1), lora=("Paris", 1), prompt_tuning=("Paris", 1))
    now = comparison(base=(one, 1), lora=(other, 1), prompt_tuning=(third, 1))
    assert summary(changes(before, now)) == sentence


def test_without_a_variant_in_both_there_is_nothing_to_say() -> None:
    assert summary(changes(comparison(base=None), comparison(base=("Paris", 1)))) == "No variant answers both."


@pytest.mark.parametrize(
    ("passage", "question", "yes"),
    [
        ("The Seine flows through Paris.", "Where?", True),
        ("Nothing of it.", "Which?", True),
        ("The Seine runs through Paris.", "Where?", True),
        ("A cat sat on a mat.", "Where?", False),
    ],
)
def test_an_edit_is_told_from_another_text(passage: str, question: str, *, yes: bool) -> None:
    before = comparison("The Seine flows through Paris.", "Which?", base=("Paris", 1))
    assert related(before, comparison(passage, question, base=("Paris", 1))) is yes
