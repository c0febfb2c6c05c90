"""Intervals and tests against naive resampling, against scipy, and in the cases that have one right answer."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_compare.statistics import Interval, bootstrap, mcnemar, paired_difference

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


def test_the_p_value_is_the_share_of_resamples_beyond_zero_twice() -> None:
    difference = continuous(80) - 0.45
    means = naive_means(difference, 20_000)
    expected = 2 * min((means <= 0).mean(), (means >= 0).mean())
    assert paired_difference(difference, np.zeros(80)).p == pytest.approx(expected, abs=0.02)


def test_p_is_never_0_and_equal_scores_give_1() -> None:
    assert paired_difference(np.ones(500), np.zeros(500)).p == pytest.approx(2 / 10_001)
    same = continuous(500)
    assert paired_difference(same, same).p == 1


@given(pairs, st.sampled_from([1, 20]))  # repeated, few values stand for many questions
@settings(max_examples=50, deadline=None)
def test_the_other_order_mirrors_the_difference(rows: list[tuple[float, float]], repeats: int) -> None:
    a, b = np.array(rows * repeats).T
    one, other = paired_difference(a, b, resamples=300), paired_difference(b, a, resamples=300)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low), abs=1e-12)
    assert one.p == other.p


@given(pairs)
@settings(max_examples=50, deadline=None)
def test_p_is_below_a_twentieth_where_zero_is_outside_the_interval(rows: list[tuple[float, float]]) -> None:
    a, b = np.array(rows).T
    found = paired_difference(a, b, resamples=1_999)
    assert 0 < found.p <= 1
    if found.low > 1e-12 or found.high < -1e-12:
        assert found.p <= 0.052
    else:
        assert found.p > 0.048


def test_scores_of_different_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="3 and of 2 questions"):
        paired_difference([0, 1, 1], [0, 1])
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
