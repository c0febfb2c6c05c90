"""Which slices a question is in, and what a slice scores."""

from __future__ import annotations

import numpy as np
import pytest

from qa_compare.data.examples import Answer, Example
from qa_compare.measure.slices import MOST_ARTICLES, question_word, slice_of, slices


def example(
    question: str = "Who?", answer: str | None = "one", passage: str = "one two", title: str = "Rivers"
) -> Example:
    return Example("q", title, passage, question, () if answer is None else (Answer(answer, 0), Answer("a b c d e", 0)))


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Who built the bridge?", "who"),
        ("To whom was it given?", "who"),
        ("Whose idea was it?", "who"),
        ("What year did it open?", "what"),
        ("In which year did it open?", "which"),
        ("WHEN did it open?", "when"),
        ("The bridge opened where?", "where"),
        ("How   many arches has it?", "how many"),
        ("How much did it cost?", "how many"),
        ("How long is it?", "how"),
        ("Why was it built?", "why"),
        ("What was built when the war ended?", "what"),
        ("When the war ended, who built the bridge?", "who"),
        ("When it opened in May, to which town did it lead?", "which"),
        ("Name the builder.", "other"),
        ("Is it somewhere whatsoever?", "other"),
        ("", "other"),
    ],
)
def test_the_question_word(question: str, word: str) -> None:
    assert question_word(question) == word


@pytest.mark.parametrize(
    ("answer", "name"), [("one", "1"), ("one two", "2"), ("a b c", "3-4"), ("a b c d", "3-4"), ("a b c d e", "5+")]
)
def test_answer_length_is_the_first_gold_answers_in_words(answer: str, name: str) -> None:
    assert slice_of(example(answer=answer))["answer length"] == name


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (1, "under 100"),
        (99, "under 100"),
        (100, "100-149"),
        (149, "100-149"),
        (150, "150-199"),
        (200, "200+"),
        (5_000, "200+"),
    ],
)
def test_passage_length_in_words(words: int, name: str) -> None:
    assert slice_of(example(passage="word " * words))["passage length"] == name


def test_a_question_without_title_or_gold_answer_is_in_no_such_slice() -> None:
    assert slice_of(example(answer=None, title="")) == {"question word": "who", "passage length": "under 100"}


def test_rows_hold_percent_and_only_slices_that_have_questions_in_a_fixed_order() -> None:
    examples = [
        example("Why?", "one two", title="Zebras"),
        example("Who?", "one"),
        example("Who?", "one two"),
        example("What?", "one", "word " * 120),
    ]
    rows = slices(examples, np.array([1.0, 0.0, 1.0, 0.0]), np.array([1.0, 0.5, 1.0, 0.25]))
    assert [(row["kind"], row["name"], row["questions"], row["exact_match"], row["f1"]) for row in rows] == [
        ("question word", "who", 2, 50, 75),
        ("question word", "what", 1, 0, 25),
        ("question word", "why", 1, 100, 100),
        ("answer length", "1", 2, 0, pytest.approx(37.5)),
        ("answer length", "2", 2, 100, 100),
        ("passage length", "under 100", 3, pytest.approx(200 / 3), pytest.approx(250 / 3)),
        ("passage length", "100-149", 1, 0, 25),
        ("article", "Zebras", 1, 100, 100),
        ("article", "Rivers", 3, pytest.approx(100 / 3), pytest.approx(175 / 3)),
    ]


def test_of_very_many_articles_the_largest_are_kept() -> None:
    examples = [example(title=f"article {number}") for number in range(150)]
    examples += [example(title="article 149")] * 2
    rows = slices(examples, np.zeros(152), np.zeros(152))
    articles = {row["name"]: row["questions"] for row in rows if row["kind"] == "article"}
    assert len(articles) == MOST_ARTICLES
    assert articles["article 149"] == 3


def test_scores_of_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="do not go with 1 examples"):
        slices([example()], np.zeros(2), np.zeros(2))
