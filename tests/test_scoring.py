"""SQuAD v1.1's scores: hand-made cases, properties, the offline metric, and three published systems."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.examples import Answer, Example
from qa_compare.scoring import exact_match, f1, match_kind, normalize_answer, nothing_left, score
from tests.conftest import DATA

PEERS = {  # exact match and F1 in percent
    "logistic_regression_baseline": (40.14, 50.98),
    "match_lstm_ensemble": (67.63, 76.76),
    "bert_ensemble": (86.21, 92.20),
}

short_text = st.text(alphabet="aAtTheEn bc.,'-é–\t", max_size=12)


def example(number: int, *golds: str) -> Example:
    return Example(f"q{number}", "Title", " ".join(golds), "Who?", tuple(Answer(gold, 0) for gold in golds))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat sat,\n on a mat!", "cat sat on mat"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),  # an article only as a whole word
        ("a-n other", "other"),  # punctuation goes first: "an"
        ("$1,000", "1000"),
        ("“the end”", "“ end”"),  # only ASCII punctuation goes
        ("the — a", "—"),
        ("north–the–south", "north– –south"),  # an article leaves a space
        ("The", ""),
        ("", ""),
    ],
)
def test_normalisation_follows_the_official_order(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("prediction", "golds", "exact", "overlap", "kind"),
    [
        ("the Broncos", ["Broncos"], 1.0, 1.0, "exact"),
        ("Denver Broncos", ["Broncos"], 0.0, 2 / 3, "partial"),
        ("Denver Broncos", ["Panthers", "The Denver Broncos!"], 1.0, 1.0, "exact"),
        ("Denver Broncos", ["Broncos", "Denver Broncos of Colorado"], 0.0, 2 / 3, "partial"),  # the best, not the first
        ("to be or to", ["to be"], 0.0, 2 / 3, "partial"),  # a repeated word counts as often as both have it
        ("to be or not to be", ["to be to do"], 0.0, 0.6, "partial"),
        ("Panthers", ["Broncos"], 0.0, 0.0, "wrong"),
        ("", ["Broncos"], 0.0, 0.0, "wrong"),
        ("the", ["a"], 1.0, 0.0, "exact"),  # nothing is left of either: equal, but they share no word
        ("Broncos", [], 0.0, 0.0, "wrong"),
    ],
)
def test_scores_of_hand_made_cases(prediction: str, golds: list[str], exact: float, overlap: float, kind: str) -> None:
    assert exact_match(prediction, golds) == exact
    assert f1(prediction, golds) == pytest.approx(overlap)
    assert match_kind(prediction, golds) == kind


@given(short_text, st.lists(short_text, max_size=3))
def test_f1_is_the_best_harmonic_mean_of_precision_and_recall(prediction: str, golds: list[str]) -> None:
    def by_hand(gold: str) -> float:
        ours, theirs = normalize_answer(prediction).split(), normalize_answer(gold).split()
        left, same = list(theirs), 0
        for word in ours:
            if word in left:
                left.remove(word)
                same += 1
        if not same:
            return 0.0
        precision, recall = same / len(ours), same / len(theirs)
        return 2 * precision * recall / (precision + recall)

    assert f1(prediction, golds) == pytest.approx(max(map(by_hand, golds), default=0.0), abs=1e-12)


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalize_answer(normalize_answer(text)) == normalize_answer(text)


def test_scores_are_in_the_examples_order_and_a_missing_prediction_scores_0() -> None:
    examples = [example(2, "red car"), example(1, "blue", "sky blue"), example(3, "the"), example(4)]
    predictions = {"q1": "Sky blue", "q2": "car", "elsewhere": "blue"}
    scores = score(predictions, examples)
    np.testing.assert_array_equal(scores.exact_match, [0, 1, 0, 0])
    np.testing.assert_allclose(scores.f1, [2 / 3, 1, 0, 0])


def test_scores_of_no_questions_are_empty() -> None:
    scores = score({}, [])
    assert scores.exact_match.shape == scores.f1.shape == (0,)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_the_metric_works_offline_and_pairs_by_id(tmp_path: Path) -> None:
    from qa_compare.metric import SquadMetric

    metric = SquadMetric(cache_dir=str(tmp_path))
    references = [
        {"id": "one", "answers": {"text": ["Denver Broncos", "Broncos"], "answer_start": [0, 7]}},
        {"id": "two", "answers": {"text": ["blue"], "answer_start": [0]}},
        {"id": "three", "answers": {"text": ["1999"], "answer_start": [4]}},
    ]
    predictions = [
        {"id": "two", "prediction_text": "sky blue"},
        {"id": "one", "prediction_text": "the Broncos"},
        {"id": "other", "prediction_text": "1999"},
    ]
    computed = metric.compute(predictions=predictions, references=references)
    assert computed == {"exact_match": pytest.approx(100 / 3), "f1": pytest.approx((100 + 200 / 3) / 3)}


@pytest.mark.parametrize(("system", "expected"), PEERS.items())
def test_published_systems_score_what_they_are_known_to_score(
    squad: list[Example], system: str, expected: tuple[float, float]
) -> None:
    answers = DATA / "peers" / f"{system}.json"
    if not answers.is_file():
        pytest.skip("the published predictions are not on this machine")
    scores = score(json.loads(answers.read_text(encoding="utf-8")), squad)
    assert len(scores.f1) == 10_570
    assert (round(100 * scores.exact_match.mean(), 2), round(100 * scores.f1.mean(), 2)) == expected


def test_exact_match_above_f1_is_explained_and_nothing_else() -> None:
    golds = {"A": ("A",), "b": ("B",), "wrong": ("B",)}
    pairs = [(exact_match(text, gold), f1(text, gold)) for text, gold in golds.items()]
    exact, overlap = (np.array(values) for values in zip(*pairs, strict=True))
    assert (exact.tolist(), overlap.tolist()) == ([1, 1, 0], [0, 1, 0])
    assert nothing_left(exact, overlap).startswith("1 question has exact match 100 but F1 0, as in SQuAD's own script")
    assert nothing_left(exact[1:], overlap[1:]) == ""
