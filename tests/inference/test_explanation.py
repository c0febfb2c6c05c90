"""Each word's chances add up to decoding's confidences, and the windows' winner is decoding's answer."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qa_compare.data.examples import Example
from qa_compare.errors import UserError
from qa_compare.inference.decoding import decode
from qa_compare.inference.engine import Engine
from qa_compare.inference.explanation import explain, group, window_answers, words_of
from qa_compare.models.features import Encoded
from tests import measured
from tests.inference.test_decoding import PASSAGE, encoded_of, random_logits
from tests.models.test_marking import cut, passages
from tests.models.test_marking import logits as cut_logits

ALL = 100_000  # more candidates than any passage here has spans
LONG = " ".join([PASSAGE] * 60)
QUESTION = "Where flows the river to?"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The base, and a head that was calibrated."""
    folder = tmp_path_factory.mktemp("explanation")
    measured.backbone(folder)
    measured.variant(folder / "adapters", "head", seed=1, temperature=2.5)
    return Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")


def words(passage: str, engine: Engine) -> list[str]:
    found = explain(engine, passage, QUESTION, ["base"])["base"].words
    return [passage[word.start : word.end] for word in found]


def chances(encoded: Encoded, logits, temperature: float = 1.0):
    return words_of(encoded, np.zeros(len(encoded.offsets), dtype=bool), *logits, temperature)


@pytest.mark.parametrize(
    ("passage", "options"), [(PASSAGE, {}), (" ".join([PASSAGE] * 12), {"max_length": 60, "stride": 20})]
)
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_a_words_chance_is_the_sum_of_the_confidences_of_the_spans_that_begin_or_end_there(
    passage, options, temperature
):
    encoded = encoded_of(passage, **options)
    logits = random_logits(encoded)
    begins: dict[int, float] = defaultdict(float)
    ends: dict[int, float] = defaultdict(float)
    for candidate in decode(encoded, *logits, temperature=temperature, top=ALL).candidates:
        begins[candidate.start] += candidate.confidence
        ends[candidate.end] += candidate.confidence
    found = chances(encoded, logits, temperature)
    assert len(found) == len(encoded.offsets)
    np.testing.assert_allclose([word.begins for word in found], [begins[word.start] for word in found], atol=1e-6)
    np.testing.assert_allclose([word.ends for word in found], [ends[word.end] for word in found], atol=1e-6)
    assert sum(word.begins for word in found) == pytest.approx(1)
    assert sum(word.ends for word in found) == pytest.approx(1)


@given(passages, st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.7]))
@settings(deadline=None, max_examples=50)
def test_chances_are_decodings_in_every_script_though_its_spans_are_of_many_tokens(passage, seed, temperature):
    generator = np.random.default_rng(seed)
    encoded = cut(passage, generator)
    logits = cut_logits(encoded, generator)
    candidates = decode(encoded, *logits, temperature=temperature, top=ALL).candidates
    assume(candidates)
    found = words_of(encoded, generator.random(len(encoded.offsets)) < 0.3, *logits, temperature)
    assert all(one.start < one.end <= other.start for one, other in pairwise(found))
    # what lies between two words has no token of its own and counts to the first
    for word, behind in zip(found, [*(one.start for one in found[1:]), len(passage)], strict=True):
        begins = sum(one.confidence for one in candidates if word.start <= one.start < behind)
        ends = sum(one.confidence for one in candidates if word.start < one.end <= behind)
        assert (word.begins, word.ends) == (pytest.approx(begins, abs=1e-5), pytest.approx(ends, abs=1e-5))
    assert sum(word.begins for word in found) == pytest.approx(1, abs=1e-5)
    assert sum(word.ends for word in found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("variant", ["base", "head"])
@pytest.mark.parametrize("passage", [PASSAGE, LONG, "the river 1637 rises in 42"])
def test_what_is_told_of_a_variant_is_what_it_answered_with_its_temperature(engine, variant, passage):
    [prediction] = engine.predict([Example("", "", passage, QUESTION)], variant, top=ALL)
    found = explain(engine, passage, QUESTION, [variant])[variant]
    [won] = [window for window in found.windows if window.won]
    best = prediction.candidates[0]
    assert (won.best.text, won.best.start) == (best.text, best.start)
    assert won.best.score == pytest.approx(best.score, abs=1e-4)
    assert len(found.windows) == prediction.windows
    chosen = next(word for word in found.words if word.start <= best.start < word.end)
    there = (one for one in prediction.candidates if chosen.start <= one.start < chosen.end)
    assert chosen.begins == pytest.approx(sum(one.confidence for one in there), rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_winner_among_windows_is_decodings_answer_and_the_others_tell_their_own(seed):
    encoded = encoded_of(" ".join([PASSAGE] * 12), max_length=60, stride=20)
    starts, ends = random_logits(encoded, seed)
    found = window_answers(encoded, starts, ends)
    best = decode(encoded, starts, ends).candidates[0]
    assert [(one.best.start, one.best.end, one.best.score) for one in found if one.won] == [
        (best.start, best.end, best.score)
    ]
    for one, window, start, end in zip(found, encoded.windows, starts, ends, strict=True):
        inside = slice(window.passage_start, window.passage_start + window.passage_tokens)
        assert one.best.score <= best.score
        assert one.best.score <= start[inside].max() + end[inside].max()
        assert one.start <= one.best.start < one.best.end <= one.end


def test_windows_cover_the_passage_and_overlap(engine):
    found = explain(engine, LONG, QUESTION, ["base"])["base"].windows
    assert len(found) > 2
    assert (found[0].start, found[-1].end) == (0, len(LONG))
    assert all(one.start < other.start < one.end < other.end for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("The riverbed, 3,500 km.", ["The", "riverbed", ",", "3", ",", "500", "km", "."]),
        ("New-York's", ["New", "-", "York", "'", "s"]),
        ("the cafe\u0301 rises", ["the", "cafe\u0301", "rises"]),
        ("\n the \t sea  ", ["the", "sea"]),
    ],
)
def test_a_word_is_whole_and_marks_stand_alone(engine, passage, expected):
    assert words(passage, engine) == expected


@pytest.mark.parametrize(
    "passage", ["한국의 수도", "日本の首都は東京です。", "שלום, עולם!", "a\x00b\x1cc d", "🌊👍🏽 x", "\ud83d sea"]
)
def test_words_follow_each_other_and_miss_nothing_but_space(engine, passage):
    found = explain(engine, passage, QUESTION, ["base"])["base"].words
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(one.start < one.end for one in found)
    outside = set(range(len(passage))) - {place for word in found for place in range(word.start, word.end)}
    assert not any(passage[place].isalnum() for place in outside)


def test_tokens_that_share_characters_or_have_none_join_the_word_before():
    edges = np.array([[0, 2], [0, 2], [2, 2], [3, 4], [4, 6]], dtype=np.int32)
    bounds, word = group(edges, np.array([False, False, False, False, True]))
    assert bounds == [(0, 2), (3, 6)]
    assert word.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("passage", [" \x00", "\u200b"])
def test_where_there_is_no_answer_nothing_is_told(engine, passage):
    found = explain(engine, passage, QUESTION, ["base"], importance=True)["base"]
    assert (found.words, found.importance) == ((), None)
    assert not any(window.won for window in found.windows)


def test_importance_is_told_on_demand_of_the_question_and_of_the_window_that_won_alone(engine):
    assert explain(engine, LONG, QUESTION, ["head"])["head"].importance is None
    found = explain(engine, LONG, QUESTION, ["head"], importance=True)["head"]
    [won] = [window for window in found.windows if window.won]
    told = found.importance.passage
    assert (told[0].start, told[-1].end) == (won.start, won.end) != (0, len(LONG))
    asked = [QUESTION[weight.start : weight.end] for weight in found.importance.question]
    assert asked == ["Where", "flows", "the", "river", "to", "?"]
    values = [weight.value for weight in (*told, *found.importance.question)]
    assert np.isfinite(values).all()
    assert len(set(values)) > len(values) / 2


def test_of_a_question_that_is_cut_only_what_was_read_is_told(engine):
    found = explain(engine, PASSAGE, "where " * 100, ["base"], importance=True)["base"].importance
    assert len(found.question) == 64


def test_an_unknown_variant_is_refused(engine):
    with pytest.raises(UserError, match="unknown variant 'nobody'"):
        explain(engine, PASSAGE, QUESTION, ["base", "nobody"])


def test_a_broken_variant_is_refused(engine, tmp_path: Path):
    (tmp_path / "river-bert" / "broken").mkdir(parents=True)
    broken = Engine(str(engine.located.folder), adapters=tmp_path, precision="fp32")
    with pytest.raises(UserError, match=r"broken/variant\.json is missing"):
        explain(broken, PASSAGE, QUESTION, ["broken"])
