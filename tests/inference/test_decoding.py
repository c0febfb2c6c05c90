"""Spans are chosen jointly over all windows, and their confidence counts every valid span."""

from __future__ import annotations

import numpy as np
import pytest

from qa_compare.data.examples import Answer, Example
from qa_compare.inference.decoding import MAX_ANSWER_TOKENS, decode, overlong, span_scores
from qa_compare.models.features import MAX_QUESTION_TOKENS, Encoded, encode
from tests import tiny

TOKENIZER = tiny.tokenizer()
PASSAGE = "the river rises in the north and flows to the sea"


def encoded_of(passage: str, **options: int) -> Encoded:
    return encode([Example("q", "", passage, "where")], TOKENIZER, **options)[0]


def random_logits(encoded: Encoded, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    generator = np.random.default_rng(seed)
    rows = [generator.normal(0, 3, (2, len(window.input_ids))).astype(np.float32) for window in encoded.windows]
    return [row[0] for row in rows], [row[1] for row in rows]


def by_hand(encoded: Encoded, starts, ends) -> dict[tuple[int, int], float]:
    """Every valid span's best score, by a double loop."""
    found: dict[tuple[int, int], float] = {}
    for window, start, end in zip(encoded.windows, starts, ends, strict=True):
        for i in range(window.passage_tokens):
            for j in range(i, min(i + MAX_ANSWER_TOKENS, window.passage_tokens)):
                span = (window.first_token + i, window.first_token + j)
                score = float(start[window.passage_start + i] + end[window.passage_start + j])
                found[span] = max(score, found.get(span, -np.inf))
    return found


@pytest.mark.parametrize(
    ("passage", "options"), [(PASSAGE, {}), (" ".join([PASSAGE] * 12), {"max_length": 60, "stride": 20})]
)
@pytest.mark.parametrize("seed", range(3))
def test_ranking_and_confidence_equal_a_double_loop_over_all_windows(passage, options, seed):
    encoded = encoded_of(passage, **options)
    starts, ends = random_logits(encoded, seed)
    spans = by_hand(encoded, starts, ends)
    total = sum(np.exp(score) for score in spans.values())
    best = sorted(spans.items(), key=lambda item: -item[1])[:5]
    prediction = decode(encoded, starts, ends)
    assert prediction.windows == len(encoded.windows)
    for candidate, ((first, last), score) in zip(prediction.candidates, best, strict=True):
        assert (candidate.start, candidate.end) == (encoded.offsets[first, 0], encoded.offsets[last, 1])
        assert candidate.score == pytest.approx(score, abs=1e-5)
        assert candidate.confidence == pytest.approx(np.exp(score) / total, rel=1e-4)


def peaks(encoded: Encoded, start: int, end: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    length, shift = len(encoded.windows[0].input_ids), encoded.windows[0].passage_start
    starts, ends = np.zeros(length, np.float32), np.zeros(length, np.float32)
    starts[shift + start], ends[shift + end] = 10, 10
    return [starts], [ends]


def test_an_end_before_the_start_is_never_chosen_though_both_peak_there():
    encoded = encoded_of(PASSAGE)
    answer = decode(encoded, *peaks(encoded, 6, 2)).candidates[0]
    assert answer.start < answer.end
    assert answer.score == pytest.approx(10)


def test_a_span_longer_than_thirty_tokens_is_never_chosen():
    encoded = encoded_of(" ".join([PASSAGE] * 8))
    assert decode(encoded, *peaks(encoded, 0, 30)).candidates[0].score == pytest.approx(10)
    assert decode(encoded, *peaks(encoded, 0, 29)).candidates[0].score == pytest.approx(20)


def test_tokens_of_the_question_are_never_chosen():
    encoded = encoded_of(PASSAGE)
    starts, ends = random_logits(encoded)
    starts[0][:3], ends[0][:3] = 50, 50
    assert decode(encoded, starts, ends).candidates[0].score < 50
    assert decode(encoded, starts, ends).no_answer_score == pytest.approx(100)


def test_a_span_that_two_windows_share_counts_once():
    encoded = encoded_of(" ".join([PASSAGE] * 8), max_length=60, stride=50)
    starts = [np.zeros(len(window.input_ids), np.float32) for window in encoded.windows]
    candidates = decode(encoded, starts, starts, top=50).candidates
    assert len({(one.start, one.end) for one in candidates}) == len(candidates) == 50
    valid = np.isfinite(span_scores(encoded, starts, starts).scores).sum()
    assert candidates[0].confidence == pytest.approx(1 / valid)


def test_the_no_answer_score_is_that_of_the_window_that_is_surest_of_it():
    encoded = encoded_of(" ".join([PASSAGE] * 8), max_length=60)
    starts, ends = random_logits(encoded)
    sums = [float(start[0] + end[0]) for start, end in zip(starts, ends, strict=True)]
    assert len(set(sums)) > 1
    assert decode(encoded, starts, ends).no_answer_score == pytest.approx(max(sums))


def test_a_span_ends_behind_the_accent_of_its_last_letter():
    passage = "the sea cafe\u0301 flows"
    encoded = encoded_of(passage)
    first = int(np.flatnonzero(encoded.offsets[:, 0] == passage.index("cafe"))[0])
    last = int(np.flatnonzero(encoded.offsets[:, 1] == passage.index("\u0301"))[-1])
    assert decode(encoded, *peaks(encoded, first, last)).candidates[0].text == "cafe\u0301"


def test_temperature_lowers_confidence_and_keeps_the_order():
    encoded = encoded_of(PASSAGE)
    logits = random_logits(encoded)
    sharp, flat = decode(encoded, *logits), decode(encoded, *logits, temperature=3)
    assert [one.text for one in sharp.candidates] == [one.text for one in flat.candidates]
    assert flat.confidence < sharp.confidence


def test_huge_logits_do_not_overflow():
    encoded = encoded_of(PASSAGE)
    starts, ends = peaks(encoded, 2, 3)
    prediction = decode(encoded, [starts[0] * 1e4], [ends[0] * 1e4])
    assert prediction.confidence == pytest.approx(1)


@pytest.mark.parametrize("passage", ["\x00", "\u200b", " "])
def test_a_passage_without_a_token_has_no_answer(passage):
    encoded = encoded_of(passage)
    prediction = decode(encoded, *random_logits(encoded))
    assert prediction.candidates == ()
    assert (prediction.answer, prediction.confidence) == ("", 0.0)


@pytest.mark.parametrize(("tokens", "cut"), [(MAX_QUESTION_TOKENS, False), (MAX_QUESTION_TOKENS + 1, True)])
def test_a_question_counts_as_cut_exactly_where_encoding_cuts_it(tokens: int, cut: bool) -> None:
    examples = [Example("a", "", PASSAGE, "where"), Example("b", "", PASSAGE, "where " * tokens)]
    assert overlong(examples, TOKENIZER, 384).cut == ({1} if cut else set())
    assert [one.question_cut for one in encode(examples, TOKENIZER)] == [False, cut]


def test_gold_answers_that_no_span_can_be_are_counted_each_text_once() -> None:
    def golds(*lengths: int) -> tuple[Answer, ...]:
        return tuple(Answer("the " * length, None) for length in lengths)

    examples = [
        Example("a", "", PASSAGE, "where", golds(MAX_ANSWER_TOKENS)),
        Example("b", "", PASSAGE, "where", golds(MAX_ANSWER_TOKENS + 1, MAX_ANSWER_TOKENS + 1, 1)),
        Example("c", "", PASSAGE, "where", golds(MAX_ANSWER_TOKENS + 1, MAX_ANSWER_TOKENS + 2)),
    ]
    found = overlong(examples, TOKENIZER, 384)
    assert (found.golds, found.questions) == (3, 2)
    assert found.sentences == [
        "3 gold answers are longer than 30 tokens, the longest answer that a variant gives (in 2 questions)"
    ]
    assert overlong(examples[:1], TOKENIZER, 384).sentences == []
