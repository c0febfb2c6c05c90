"""Windows: equal to transformers' own, exact offsets for any Unicode, labels as the standard treatment has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example as given_example
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_compare.data.examples import Answer, Example
from qa_compare.errors import UserError
from qa_compare.inference.decoding import decode
from qa_compare.models.features import MAX_QUESTION_TOKENS, encode, labels, pad, question_limit, window_length
from tests import tiny
from tests.cases import cases

TOKENIZER = tiny.tokenizer()
LONG = " ".join(f"the river {number} flows" for number in range(60))


def one(passage: str, question: str = "where", **options: int):
    [encoded] = encode([Example("q", "", passage, question)], TOKENIZER, **options)
    return encoded


@pytest.mark.parametrize("passage", ["the river flows", LONG, LONG * 3])
@pytest.mark.parametrize(("max_length", "stride"), [(384, 128), (64, 16), (40, 30)])
def test_windows_equal_those_of_transformers(passage, max_length, stride):
    question = "where flows the river"
    room = max_length - len(TOKENIZER.tokenize(question)) - 3
    theirs = TOKENIZER(
        question,
        passage,
        truncation="only_second",
        max_length=max_length,
        stride=min(stride, room // 2),  # ours overlap by no more than half
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    ours = one(passage, question, max_length=max_length, stride=stride)
    assert [window.input_ids.tolist() for window in ours.windows] == theirs["input_ids"]
    batch = pad(ours.windows, TOKENIZER.pad_token_id)
    for row, segments in enumerate(theirs["token_type_ids"]):
        assert batch["token_type_ids"][row, : len(segments)].tolist() == segments
    for row, window in enumerate(ours.windows):
        inside = theirs["offset_mapping"][row][window.passage_start : window.passage_start + window.passage_tokens]
        own = ours.offsets[window.first_token : window.first_token + window.passage_tokens]
        assert own.tolist() == [list(pair) for pair in inside]


def test_every_passage_token_stands_in_a_window_and_neighbours_overlap():
    encoded = one(LONG, max_length=64, stride=16)
    covered = np.zeros(len(encoded.offsets), dtype=int)
    for window in encoded.windows:
        covered[window.first_token : window.first_token + window.passage_tokens] += 1
    assert covered.min() == 1
    for before, after in zip(encoded.windows, encoded.windows[1:], strict=False):
        assert before.first_token + before.passage_tokens - after.first_token == 16


def test_a_long_question_is_cut_to_its_first_tokens_and_says_so():
    encoded = one("the river", "where " * 200)
    assert encoded.question_cut
    assert encoded.windows[0].passage_start == MAX_QUESTION_TOKENS + 2
    assert not one("the river", "where " * MAX_QUESTION_TOKENS).question_cut


TABLES = [8, 16, 32, 64, 128, 256, 512]


def test_a_window_takes_384_tokens_or_three_quarters_of_a_smaller_table_and_half_of_its_room_is_the_questions():
    assert [window_length(table) for table in TABLES] == [6, 12, 24, 48, 96, 192, 384]
    assert [question_limit(window_length(table)) for table in TABLES] == [1, 4, 10, 22, 46, 64, 64]
    assert (window_length(1024), question_limit(512)) == (384, 64)


@given(table=st.sampled_from(TABLES), words=st.integers(0, 1_500), asked=st.integers(1, 90))
@given_example(table=128, words=660, asked=64)
@given_example(table=64, words=660, asked=64)
@cases(100)
def test_windows_of_any_table_hold_every_token_are_no_longer_than_told_and_at_most_twice_the_ideal(table, words, asked):
    length = window_length(table)
    encoded = one("river " * words or " ", "where " * asked, max_length=length)
    assert all(len(window.input_ids) <= length for window in encoded.windows)
    assert encoded.question_cut == (asked > question_limit(length))
    covered = np.zeros(words, dtype=int)
    for window in encoded.windows:
        covered[window.first_token : window.first_token + window.passage_tokens] += 1
    assert covered.all()
    room = length - encoded.windows[0].passage_start - 1
    assert room >= (length - 3) / 2
    assert len(encoded.windows) <= 2 * max(1, -(-words // room))


@given(words=st.integers(1, 1_500), asked=st.integers(1, MAX_QUESTION_TOKENS))
@cases(30)
def test_with_512_positions_windows_are_those_of_transformers_whatever_the_question(words, asked):
    texts = "where " * asked, "river " * words
    theirs = TOKENIZER(*texts, truncation="only_second", max_length=384, stride=128, return_overflowing_tokens=True)[
        "input_ids"
    ]
    ours = one(texts[1], texts[0], max_length=window_length(512))
    assert [window.input_ids.tolist() for window in ours.windows] == theirs


@pytest.mark.parametrize("max_length", [0, 3, 4])
def test_windows_without_room_are_refused_in_one_sentence(max_length):
    with pytest.raises(UserError, match=f"^windows of {max_length} tokens have no room for a question and a passage"):
        one("the river", max_length=max_length)


@pytest.mark.parametrize(
    ("passage", "question", "unknown"),
    [
        ("the river \u4e2d\u6587", "where", ()),
        ("\u4e2d\u6587 \u6cb3\u6d41 the sea", "where", ("passage",)),
        ("\U0001f30a \U0001f3d4 \U0001f409", "\U0001f30a", ("passage", "question")),
        ("the river", "\u0433\u0434\u0435", ("question",)),
        ("\u0301", "where", ()),
    ],
)
def test_a_text_that_is_mostly_unknown_to_the_vocabulary_is_named(passage, question, unknown):
    assert one(passage, question).unknown == unknown


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=120))
@given_example("e\u0301te\u0301 re\u0301sume\u0301")
@given_example("مرحبا بالعالم שלום עולם")
@given_example("👩\u200d👩\u200d👧 family ❤\ufe0f heart 🇩🇪")
@given_example("a\r\nb\tc\u200bd\ufeffe\x00f\x07g")
@given_example("İstanbul ﬁne ß ẞ 한국어 中文字")
@given_example("\ud83d half a pair \udc00")
def test_every_answer_is_the_passage_between_its_offsets(passage):
    encoded = one(passage)
    generator = np.random.default_rng(len(passage))
    rows = [generator.normal(size=(2, len(window.input_ids))).astype(np.float32) for window in encoded.windows]
    prediction = decode(encoded, [row[0] for row in rows], [row[1] for row in rows], top=20)
    for candidate in prediction.candidates:
        assert passage[candidate.start : candidate.end] == candidate.text
        assert candidate.text
    assert 0 <= sum(candidate.confidence for candidate in prediction.candidates) <= 1 + 1e-6


def labelled(passage: str, text: str, **options: int) -> list[str | None]:
    """What the labels of each window point at, or None for [CLS]."""
    encoded = one(passage, **options)
    found: list[str | None] = []
    pairs = labels(encoded, Answer(text, passage.index(text)))
    for window, (first, last) in zip(encoded.windows, pairs, strict=True):
        if (first, last) == (0, 0):
            found.append(None)
            continue
        shift = window.first_token - window.passage_start
        found.append(passage[encoded.offsets[first + shift, 0] : encoded.offsets[last + shift, 1]])
    return found


def test_labels_point_at_the_answer():
    assert labelled("the river rises in the north", "rises in") == ["rises in"]


def test_windows_that_do_not_hold_the_whole_answer_are_labelled_cls():
    found = labelled(LONG, "river 59", max_length=64, stride=16)
    assert found[-1] == "river 59"
    assert len(found) > 3
    assert set(found[:-1]) == {None}


def test_an_answer_that_starts_inside_a_token_is_labelled_with_the_whole_token():
    assert labelled("the river rises", "iver") == ["river"]
