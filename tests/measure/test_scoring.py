"""SQuAD v1.1's and SQuAD 2's scores: cases worked out by hand, properties, the offline metric, published systems."""

from __future__ import annotations

import json
import re
import socket
import string
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer, Example
from qa_compare.measure.scoring import (
    Counts,
    Squad2,
    exact_match,
    f1,
    match_kind,
    normalize_answer,
    nothing_left,
    score,
    squad2,
)
from tests.conftest import DATA

pytestmark = pytest.mark.slow

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
    np.testing.assert_array_equal(scores.exact_match, [0, 1, 0, np.nan])  # without a gold answer, there is no score
    np.testing.assert_allclose(scores.f1, [2 / 3, 1, 0, np.nan])


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
    from qa_compare.measure.squad_metric import SquadMetric

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
    assert computed == {
        "exact_match": pytest.approx(100 / 3), "f1": pytest.approx((100 + 200 / 3) / 3), "scored": 3, "left_out": 0
    }  # fmt: skip


def sentences(questions: int, scored: int, unanswerable: int = 0, wordless: int = 0) -> tuple[str, ...]:
    return Counts(questions, scored, unanswerable, wordless).sentences


def test_questions_without_gold_answers_are_told_in_one_sentence() -> None:
    assert sentences(40, 40) == ()
    assert sentences(40, 28) == ("12 of 40 questions have no gold answer and are left out of the scores.",)
    assert sentences(1, 0) == ("1 of 1 question has no gold answer and is left out of the scores.",)
    marked = (
        "2 of 40 questions are marked as unanswerable: exact match and F1 leave them out; SQuAD 2's metric counts them."
    )
    assert sentences(40, 38, 2) == (marked,)
    assert sentences(40, 28, 2) == ("10 of 40 questions have no gold answer and are left out of the scores.", marked)
    assert sentences(2_000, 2_000, 0, 1) == (
        (
            "1 of 2,000 questions has only gold answers of articles or punctuation, such as “the”: F1 is then 0 even "
            "for an exact match, as in SQuAD v1.1's official script."
        ),
    )


def unanswerable(number: int) -> Example:
    return Example(f"q{number}", "Title", "Nothing to be found.", "Who?", (), unanswerable=True)


def test_what_a_file_holds_is_counted() -> None:
    examples = [example(1, "red car"), example(2, "the", "An"), example(3, "the", "red"), example(4), unanswerable(5)]
    assert Counts.of(examples) == Counts(questions=5, scored=3, unanswerable=1, wordless=1)


def test_squad_2_of_a_case_worked_out_by_hand() -> None:
    examples = [example(1, "red car"), example(2, "blue"), unanswerable(3), unanswerable(4), example(5)]
    answers = ["red car", "sky blue", "", "noise", "anything"]
    # the question of unknown answer, q5, is in nothing; F1 of "sky blue" is 2/3, and q3 is declined already
    nulls = np.array([-4.0, -1.0, 3.0, 0.5, -9.0])
    found = squad2(answers, examples, nulls)
    assert found == Squad2(
        exact=50.0,
        f1=pytest.approx(100 * (1 + 2 / 3 + 1) / 4),
        total=4,
        has_ans_exact=50.0,
        has_ans_f1=pytest.approx(100 * (1 + 2 / 3) / 2),
        has_ans_total=2,
        no_ans_exact=50.0,
        no_ans_f1=50.0,
        no_ans_total=2,
        # both declined: 2 of 4; with q1 answered 3; "sky blue" adds nothing to exact match and 2/3 to F1
        best_exact=75.0,
        best_exact_threshold=-4.0,
        best_f1=pytest.approx(100 * (3 + 2 / 3) / 4),
        best_f1_threshold=-1.0,
    )


def test_squad_2_declines_all_where_that_is_best_and_knows_no_threshold_without_null_scores() -> None:
    examples = [example(1, "red car"), unanswerable(2)]
    found = squad2(["noise", "noise"], examples, np.array([1.0, -1.0]))
    assert found
    assert (found.exact, found.best_exact, found.best_exact_threshold) == (0.0, 50.0, None)
    without = squad2(["red car", ""], examples)
    assert without
    assert (without.exact, without.best_exact, without.best_f1) == (100.0, None, None)
    assert squad2(["red car"], examples[:1], np.array([1.0])) is None
    only = squad2(["noise"], examples[1:], np.array([1.0]))
    assert only
    assert (only.has_ans_exact, only.has_ans_total, only.no_ans_exact, only.best_exact) == (None, 0, 0.0, 100.0)


def official_text(text: str) -> str:
    plain = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def official_f1(gold: str, answer: str) -> float:
    ours, theirs = official_text(answer).split(), official_text(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    same = sum((Counter(ours) & Counter(theirs)).values())
    if not same:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def official_best(
    answers: dict[str, str], scores: dict[str, float], nulls: dict[str, float], has: dict[str, bool]
) -> tuple[float, float | None]:
    now = highest = float(sum(not one for one in has.values()))
    threshold = None
    for key in sorted(nulls, key=nulls.__getitem__):
        now += scores[key] if has[key] else (-1 if answers[key] else 0)
        if now > highest:
            highest, threshold = now, nulls[key]
    return 100.0 * highest / len(scores), threshold


def official_squad_2(answers: dict[str, str], golds: dict[str, list[str]], nulls: dict[str, float]) -> dict[str, Any]:
    """The algorithm of the official script as it is published, one dictionary after another."""
    has = {key: bool(texts) for key, texts in golds.items()}
    exact, partial = {}, {}
    for key, texts in golds.items():
        wanted = [text for text in texts if official_text(text)] or [""]
        exact[key] = max(float(official_text(text) == official_text(answers[key])) for text in wanted)
        partial[key] = max(official_f1(text, answers[key]) for text in wanted)

    def mean(scores: dict[str, float], keys: list[str]) -> float | None:
        return 100.0 * sum(scores[key] for key in keys) / len(keys) if keys else None

    found: dict[str, Any] = {}
    kinds = {
        "": list(has),
        "has_ans_": [key for key in has if has[key]],
        "no_ans_": [key for key in has if not has[key]],
    }
    for name, keys in kinds.items():
        found |= {f"{name}exact": mean(exact, keys), f"{name}f1": mean(partial, keys), f"{name}total": len(keys)}
    for name, scores in (("exact", exact), ("f1", partial)):
        found[f"best_{name}"], found[f"best_{name}_threshold"] = official_best(answers, scores, nulls, has)
    return found


@given(
    st.lists(
        st.tuples(
            short_text,
            st.lists(short_text.filter(bool), max_size=2),
            st.sampled_from([-3.0, -0.5, 0.0, 0.25, 2.0, 7.5]),  # some are equal
        ),
        min_size=1,
        max_size=12,
    )
)
def test_squad_2_is_what_the_official_algorithm_gives(rows: list[tuple[str, list[str], float]]) -> None:
    examples = [example(number, *golds) if golds else unanswerable(number) for number, (_, golds, _) in enumerate(rows)]
    answers = {f"q{number}": answer for number, (answer, _, _) in enumerate(rows)}
    golds = {f"q{number}": golds for number, (_, golds, _) in enumerate(rows)}
    nulls = {f"q{number}": null for number, (_, _, null) in enumerate(rows)}
    found = squad2(list(answers.values()), examples, np.array(list(nulls.values())))
    if all(golds.values()):
        assert found is None
        return
    assert found
    expected = official_squad_2(answers, golds, nulls)
    for name, value in expected.items():
        assert getattr(found, name) == (value if value is None else pytest.approx(value, abs=1e-9)), name


# What a published system would send in. Per question: the answer, the gold answers, exact match and F1 by the
# definition of SQuAD v1.1's official script: lower case, then no punctuation, then no articles, then words.
SYSTEM: list[tuple[str, list[str], float, float]] = [
    ("the Iron Bridge", ["Iron Bridge", "an iron bridge"], 1, 1),
    ("bridge of iron", ["Iron Bridge"], 0, 2 * (2 / 3) * (2 / 2) / (2 / 3 + 2 / 2)),  # two of three words, both of two
    ("1,450 metres", ["1450 metres", "1450"], 1, 1),
    ("U.S.A.", ["USA"], 1, 1),
    ("north-east", ["north east"], 0, 0),  # the hyphen goes and leaves "northeast"
    ("Theatre Royal", ["the Theatre Royal"], 1, 1),  # only whole words are articles
    ("in 1901 and 1902", ["1901", "1902 and 1901"], 0, 2 * (3 / 4) * 1 / (3 / 4 + 1)),  # and, 1901, 1902 of four
    ("wind wind", ["wind"], 0, 2 * (1 / 2) * 1 / (1 / 2 + 1)),  # a word counts as often as both have it
    ("“Rosa”", ["Rosa"], 0, 0),  # only ASCII punctuation goes
    ("a", ["the"], 1, 0),  # nothing is left of either: equal, without a word in common
    ("", ["mill"], 0, 0),
    ("granite", ["slate", "sandstone"], 0, 0),
]


def test_a_system_scores_what_the_official_definition_gives_worked_out_by_hand() -> None:
    examples = [example(number, *golds) for number, (_, golds, _, _) in enumerate(SYSTEM)]
    examples.append(example(99, "not answered"))  # counts as wrong, as the script has it
    answers = {f"q{number}": answer for number, (answer, _, _, _) in enumerate(SYSTEM)}
    scores = score({**answers, "another": "set"}, examples)
    assert scores.exact_match.tolist() == [*(exact for _, _, exact, _ in SYSTEM), 0]
    assert scores.f1.tolist() == pytest.approx([*(overlap for _, _, _, overlap in SYSTEM), 0])
    assert 100 * scores.exact_match.mean() == pytest.approx(100 * 5 / 13)
    # 1, 4/5, 1, 1, 0, 1, 6/7, 2/3, 0, 0, 0, 0, 0
    assert 100 * scores.f1.mean() == pytest.approx(100 * (4 + 4 / 5 + 6 / 7 + 2 / 3) / 13)


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
