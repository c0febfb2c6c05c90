"""Intervals and tests against naive resampling, by simulation, and in the cases that have one right answer."""

from __future__ import annotations

import time
import tracemalloc
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_compare.measure.statistics import Interval, Units, bootstrap, choose, holm, mcnemar, numbered, paired_difference

pytestmark = pytest.mark.slow

scores = st.lists(st.sampled_from([0.0, 0.2, 0.5, 2 / 3, 1.0]), min_size=1, max_size=40)
pairs = st.lists(st.tuples(st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([0.0, 0.4, 1.0])), min_size=1, max_size=60)
continuous = np.random.default_rng(5).random  # so many different values that indices are drawn


def naive_means(values: np.ndarray, resamples: int) -> np.ndarray:
    generator = np.random.default_rng(123)
    return np.array([generator.choice(values, size=len(values)).mean() for _ in range(resamples)])


@pytest.mark.parametrize(
    "values",
    [
        (continuous(300) < 0.3).astype(float),  # few different values: multinomial counts
        np.round(continuous(700) * 10) / 10,
        continuous(300) ** 3,
    ],
    ids=["right or wrong", "eleven levels", "continuous and skewed"],
)
def test_the_interval_is_that_of_naive_resampling(values: np.ndarray) -> None:
    interval = bootstrap(values)
    low, high = np.quantile(naive_means(values, 10_000), (0.025, 0.975))
    spread = values.std() / len(values) ** 0.5
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(low, abs=0.1 * spread)
    assert interval.high == pytest.approx(high, abs=0.1 * spread)


def test_the_interval_covers_the_true_mean_about_95_times_in_100() -> None:
    generator = np.random.default_rng(0)
    trials = [bootstrap(generator.random(200) < 0.7, seed=seed, resamples=1_000) for seed in range(400)]
    covered = sum(trial.low <= 0.7 <= trial.high for trial in trials) / len(trials)
    assert 0.92 < covered < 0.98


@given(scores, st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_the_interval_stays_within_the_scores_and_is_the_same_for_the_same_seed(values: list[float], seed: int) -> None:
    interval = bootstrap(values, seed=seed, resamples=200)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12
    assert interval == bootstrap(values, seed=seed, resamples=200)


def test_another_seed_resamples_anew() -> None:
    values = continuous(100)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_equal_scores_have_no_spread() -> None:
    assert bootstrap([1.0] * 50) == Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "values", [[], [[0.1, 0.2]], [0.5, float("nan")], [float("inf")]], ids=["none", "two axes", "nan", "infinite"]
)
def test_scores_that_cannot_be_averaged_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="score"):
        bootstrap(values)


def test_all_of_squad_takes_seconds_and_little_memory() -> None:
    values = continuous(10_570)
    begin = time.process_time()
    bootstrap(values)
    assert time.process_time() - begin < 5  # 0.8 s where nothing else runs
    tracemalloc.start()
    bootstrap(values, resamples=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32e6


def test_a_paired_difference_is_surer_than_two_intervals_show() -> None:
    generator = np.random.default_rng(0)
    hard = generator.random(2_000) * 0.9
    easier = np.clip(hard + generator.normal(0.01, 0.05, 2_000), 0, 1)
    found = paired_difference(easier, hard)
    assert found.low > 0
    assert found.p < 0.05
    assert bootstrap(easier).low < bootstrap(hard).high
    assert found.difference == pytest.approx(easier.mean() - hard.mean())


def units(sizes: list[int]) -> Units:
    return Units("articles", np.repeat(np.arange(len(sizes)), sizes).astype(np.int32))


def test_p_is_the_share_of_all_ways_to_swap_the_two_in_some_articles_that_differ_as_much() -> None:
    difference = continuous(24) - 0.4
    of = units([1, 2, 3, 4, 5, 6, 1, 2])
    sums = [difference[of.of == one].sum() for one in range(8)]
    swapped = [abs(np.dot(signs, sums)) for signs in product((1, -1), repeat=8)]
    expected = np.mean(np.array(swapped) >= abs(sum(sums)) - 1e-12)
    assert paired_difference(difference, np.zeros(24), of).p == pytest.approx(expected, abs=0.01)


def test_p_of_many_questions_is_the_limit_of_that_of_fewer() -> None:
    difference = continuous(1_000) - 0.49
    more = np.concatenate([difference, [1e-9, -1e-9]])  # one question more than are flipped one by one
    flipped, limit = (paired_difference(one, np.zeros(len(one))).p for one in (difference, more))
    assert limit == pytest.approx(flipped, abs=0.02)


def test_p_is_never_0_and_equal_scores_give_1() -> None:
    assert paired_difference(np.ones(500), np.zeros(500)).p == pytest.approx(1 / 50_001)
    assert 0 < paired_difference(np.ones(9_000), np.zeros(9_000)).p < 1e-200
    same = continuous(500)
    assert paired_difference(same, same).p == 1


def alike(generator: np.random.Generator, articles: int) -> tuple[np.ndarray, np.ndarray, Units]:
    """Two equally good systems, each a little better at some articles than at others."""
    of = units(list(generator.integers(2, 15, size=articles)))
    first, second = (
        0.7 + generator.normal(0, 0.12, articles)[of.of] + generator.normal(0, 0.2, len(of.of)) for _ in range(2)
    )
    return first, second, of


@pytest.mark.parametrize("articles", [10, 48])
def test_equally_good_systems_are_told_apart_5_times_in_100_by_article_and_far_too_often_by_question(
    articles: int,
) -> None:
    generator = np.random.default_rng(articles)
    told, outside, by_question = [], [], []
    for seed in range(500):
        first, second, of = alike(generator, articles)
        found = paired_difference(first, second, of, seed=seed, resamples=1_000, flips=499)
        told.append(found.p < 0.05)
        outside.append(found.low > 0 or found.high < 0)
        difference = first - second
        by_question.append(abs(difference.mean()) > 1.96 * difference.std() / len(difference) ** 0.5)
    assert 0.02 < np.mean(told) < 0.08  # 0.05 give or take three standard errors
    assert 0.02 < np.mean(outside) < 0.09
    assert np.mean(by_question) > 0.2


def test_the_interval_of_articles_is_that_of_naively_drawing_articles() -> None:
    sizes = [3, 9, 1, 4, 4, 12, 2, 7, 5, 6, 3, 8] * 3
    of = units(sizes)
    values = np.round(continuous(len(of.of)) * 0.4 + (of.of % 5) / 8, 2)
    groups = [values[of.of == one] for one in range(len(sizes))]
    generator = np.random.default_rng(3)
    means = [
        np.concatenate([groups[one] for one in generator.integers(len(groups), size=len(groups))]).mean()
        for _ in range(8_000)
    ]
    found = bootstrap(values, of)
    t = 2.0301 * (36 / 35) ** 0.5  # of 35 degrees of freedom: few units make percentiles too narrow
    low, high = np.quantile(means, [NormalDist().cdf(-t), NormalDist().cdf(t)])
    spread = float(np.std(means))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * spread)
    alone = bootstrap(values)
    assert found.high - found.low > 1.5 * (alone.high - alone.low)


def test_articles_are_resampled_where_there_are_ten_else_passages_else_questions() -> None:
    tens = numbered([f"article {number // 2}" for number in range(20)])
    two = numbered(["one", "two"] * 10)
    untitled = numbered(["", *[f"article {number}" for number in range(19)]])
    assert (choose(tens, two, 20).kind, choose(tens, two, 20).count) == ("articles", 10)
    assert (choose(two, tens, 20).kind, choose(two, tens, 20).count) == ("passages", 10)
    assert choose(untitled, tens, 20).kind == "passages"
    assert (choose(two, two, 20).kind, choose(two, two, 20).count) == ("questions", 20)
    assert choose(two, two, 20).known
    assert (choose(None, None, 20).kind, choose(None, None, 20).known) == ("questions", False)


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.04, 0.01, 0.5], [0.08, 0.03, 0.5]),
        ([0.9, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_of_cases_worked_out_by_hand(p: list[float], corrected: list[float]) -> None:
    assert holm(p) == pytest.approx(corrected)


@given(pairs, st.sampled_from([1, 20]))  # repeated, few values stand for many questions
@settings(max_examples=50, deadline=None)
def test_the_other_order_mirrors_the_difference(rows: list[tuple[float, float]], repeats: int) -> None:
    a, b = np.array(rows * repeats).T
    one, other = paired_difference(a, b, resamples=300), paired_difference(b, a, resamples=300)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low), abs=1e-12)
    assert one.p == other.p


def test_scores_of_different_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="3 and of 2 questions"):
        paired_difference([0, 1, 1], [0, 1])
    with pytest.raises(ValueError, match="3 scores do not go with the units of 2 questions"):
        bootstrap([0, 1, 1], units([1, 1]))
    with pytest.raises(ValueError, match="cannot be paired"):
        mcnemar([True], [True, False])


def outcomes(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([1.0, 1.0, 0.0, 0.0], [both, only_a, only_b, neither])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [both, only_a, only_b, neither])
    return a, b


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "exact"),
    [
        (0, 0, 1.0, True),
        (5, 0, 2 / 2**5, True),
        (1, 9, 2 * (1 + 10) / 2**10, True),  # 2 P(X <= 1), X binomial (10, 1/2)
        (6, 6, 1.0, True),
        (15, 5, 0.041389, True),
        (40, 20, 0.014171, False),  # (20 - 1)² / 60 = 6.0167
        (50, 50, 1.0, False),
        (3_000, 0, 1e-300, False),  # too small for a float, and yet not 0
    ],
)
def test_mcnemar_of_known_cases(only_a: int, only_b: int, p: float, exact: bool) -> None:
    found = mcnemar(*outcomes(30, only_a, only_b, 10))
    assert (found.only_a, found.only_b, found.exact) == (only_a, only_b, exact)
    assert found.p == pytest.approx(p, rel=1e-4, abs=0)


def test_mcnemar_does_not_look_at_questions_that_both_get_right_or_wrong() -> None:
    assert mcnemar(*outcomes(0, 12, 4, 0)) == mcnemar(*outcomes(500, 12, 4, 900))
