"""SQuAD's shape loses nothing; a data set's fingerprint depends on its texts alone."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_compare.data.examples import Answer, Example, fingerprint, to_squad
from qa_compare.data.readers import check
from tests import tiny


@st.composite
def any_examples(draw: st.DrawFn) -> list[Example]:
    """Few passages and titles, so that neighbours share them; answers with a place and without, or marked as none."""
    filled = st.text(min_size=1, max_size=12).filter(str.strip)
    passages = draw(st.lists(filled, min_size=1, max_size=2))
    made = []
    for identifier in draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=5, unique=True)):
        passage = draw(st.sampled_from(passages))
        spans = draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), max_size=3))
        answers = [Answer(passage[start:][:length], start) for start, length in spans]
        answers += [Answer(answer.text.strip(), None) for answer in answers] + [Answer("a text that is nowhere", None)]
        impossible = draw(st.booleans())
        golds = () if impossible else tuple(answer for answer in answers if answer.text.strip())
        title = draw(st.sampled_from(["", "Rivers"]))
        made.append(Example(identifier, title, passage, draw(filled), golds, impossible))
    return made


@given(any_examples())
@settings(max_examples=60, deadline=None)
def test_what_is_written_as_squad_json_is_read_back_the_same(some: Any) -> None:
    found = check(json.dumps(to_squad(some)).encode(), "rivers.json")
    assert (found.examples, found.problems) == (some, [])


def test_neighbours_of_one_title_and_passage_stand_together() -> None:
    first, other = tiny.examples(2)
    again = dataclasses.replace(first, id="again")
    data = to_squad([first, again, other])["data"]
    assert [[len(one["qas"]) for one in article["paragraphs"]] for article in data] == [[2], [1]]


def test_only_a_set_with_unanswerable_questions_is_written_as_version_2() -> None:
    first, second = tiny.examples(2)
    assert to_squad([first, second])["version"] == "1.1"
    marked = dataclasses.replace(second, answers=(), unanswerable=True)
    data = to_squad([first, marked])
    questions = [qa for article in data["data"] for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
    assert data["version"] == "v2.0"
    assert [qa["is_impossible"] for qa in questions] == [False, True]


@given(any_examples(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_fingerprint_depends_on_no_order_offset_or_repeated_answer(
    some: list[Example], chance: random.Random
) -> None:
    other = [
        dataclasses.replace(
            example, title="x", answers=tuple(dataclasses.replace(one, start=0) for one in example.answers[::-1] * 2)
        )
        for example in some
    ]
    chance.shuffle(other)
    assert fingerprint(other) == fingerprint(some)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"passage": "the sea"},
        {"question": "Why?"},
        {"answers": (Answer("river", 4),)},
        {"answers": ()},
    ],
)
def test_the_fingerprint_is_changed_by_any_text(change: dict[str, Any]) -> None:
    first, *rest = tiny.examples(3)
    assert fingerprint([dataclasses.replace(first, **change), *rest]) != fingerprint([first, *rest])
    assert fingerprint(rest) != fingerprint([first, *rest])
