"""How sure a score is: bootstrap intervals over questions, paired differences, McNemar's test.

Everything resamples questions, each as often as chance has it: passages and articles are not kept together.
Values are whatever the caller measures in (0 to 1 here); results are in the same unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
_TAIL = 0.025  # on either side of a 95 % interval
_EXACT_BELOW = 25  # discordant pairs; from there on the chi-squared distribution is close enough
_DRAWS_AT_ONCE = 1 << 19  # bounds memory: 4 MiB of indices, whatever the number of questions
_SMALLEST_P = 1e-300  # where floats end, a p-value would come out as 0
_ROUNDING = 1e-12  # what adding floats may leave of a mean that is exactly 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions with its 95 % percentile bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """mean(a) - mean(b) over the same questions, its 95 % interval, and the two-sided bootstrap p-value.

    `p` is at least 2 / (resamples + 1), never 0: so many resamples cannot show less.
    """

    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test: questions that only a, or only b, got right, and the two-sided p-value.

    `exact` says that p is binomial; otherwise it is from the chi-squared distribution with continuity correction.
    """

    only_a: int
    only_b: int
    p: float
    exact: bool


def bootstrap(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of one score a question, shape (N,), with its interval.

    Raises:
        ValueError: no values, more than one dimension, or a value that is not finite.
    """
    checked = _checked(values)
    means = _resampled_means(checked, seed, resamples)
    low, high = np.quantile(means, (_TAIL, 1 - _TAIL))
    return Interval(float(checked.mean()), float(low), float(high))


def paired_difference(a: ArrayLike, b: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> PairedDifference:
    """How much better a is than b on the same questions, both of shape (N,) and in the same order.

    p counts the resampled differences on the far side of 0 (k), on the side that has fewer: 2 (k + 1) / (n + 1), at
    most 1. It goes with the interval: below 0.05 where 0 is outside, up to the one resample that is added.

    Raises:
        ValueError: as `bootstrap`, or a and b differ in length.
    """
    first, second = _checked(a), _checked(b)
    if len(first) != len(second):
        raise ValueError(f"scores of {len(first)} and of {len(second)} questions cannot be paired")
    differences = first - second
    means = _resampled_means(differences, seed, resamples)
    low, high = np.quantile(means, (_TAIL, 1 - _TAIL))
    fewer = min(int((means <= _ROUNDING).sum()), int((means >= -_ROUNDING).sum()))
    p = min(1.0, 2 * (fewer + 1) / (resamples + 1))
    return PairedDifference(float(differences.mean()), float(low), float(high), p)


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> McNemar:
    """Whether a and b get the same share of questions right, from which ones each gets right (truthy), shape (N,).

    Raises:
        ValueError: a and b differ in shape.
    """
    from scipy.stats import binomtest, chi2

    a, b = np.asarray(a_correct, dtype=bool), np.asarray(b_correct, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"answers of shape {a.shape} and of shape {b.shape} cannot be paired")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    if discordant < _EXACT_BELOW:
        p = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
        return McNemar(only_a, only_b, p, exact=True)
    statistic = max(0, abs(only_a - only_b) - 1) ** 2 / discordant
    p = max(float(chi2.sf(statistic, df=1)), _SMALLEST_P)
    return McNemar(only_a, only_b, p, exact=False)


def _checked(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"one score a question is needed, not an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a score is not a finite number")
    return array


def _resampled_means(values: Floats, seed: int, resamples: int) -> Floats:
    """Means of `resamples` samples of N values with replacement, shape (resamples,)."""
    distinct, first, counts = np.unique(values, return_index=True, return_counts=True)
    generator = np.random.default_rng(seed)
    if 16 * len(distinct) < len(values):
        # How often each distinct value is drawn is multinomial: the same distribution, far fewer draws. In order of
        # appearance, so that a - b and b - a are resampled alike and mirror each other exactly.
        order = np.argsort(first)
        distinct, chances = distinct[order], counts[order] / len(values)
        parts = [
            generator.multinomial(len(values), chances, size=rows) @ distinct / len(values)
            for rows in _chunks(resamples, len(distinct))
        ]
    else:
        parts = [
            values.take(generator.integers(len(values), size=(rows, len(values)))).mean(axis=1)
            for rows in _chunks(resamples, len(values))
        ]
    return np.concatenate(parts)


def _chunks(resamples: int, width: int) -> Iterator[int]:
    rows = max(1, _DRAWS_AT_ONCE // width)
    for done in range(0, resamples, rows):
        yield min(rows, resamples - done)
