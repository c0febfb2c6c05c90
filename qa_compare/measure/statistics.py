"""How sure a score is: bootstrap intervals, paired differences with a permutation test, McNemar's test, Holm's method.

Questions about one article resemble each other, so that articles are resampled as wholes, or passages where there are
too few articles (`choose`). Values are whatever the caller measures in (0 to 1 here); results are in the same unit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

RESAMPLES = 10_000
FLIPS = 50_000  # of signs in a permutation test: its p-value is at least 1 / 50,001
_NORMAL_ABOVE = (
    1_000  # units that differ; from there on the sum of flipped signs is normal to every digit that is shown
)
FEWEST_UNITS = 10  # fewer articles or passages say too little of how much others would differ
_EXACT_BELOW = 25  # discordant pairs; from there on the chi-squared distribution is close enough
_DRAWS_AT_ONCE = 1 << 19  # bounds memory: 4 MiB of indices, whatever the number of questions
_SMALLEST_P = 1e-300  # where floats end, a p-value would come out as 0
_ROUNDING = 1e-12  # what adding floats may leave of two sums that are equal, relative to their size


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What is resampled as a whole. `kind` is "articles", "passages" or "questions"; `of` numbers the unit of each of
    N values, shape (N,). `known` is False where nobody recorded which questions share an article or a passage."""

    kind: str
    of: Ints
    known: bool = True

    @property
    def count(self) -> int:
        """How many there are."""
        return len(np.unique(self.of))


def numbered(labels: Iterable[Hashable]) -> Ints:
    """A number for each label, in the order in which they first appear, from 0; -1 for an empty one. Shape (N,)."""
    place: dict[Hashable, int] = {}
    return np.array([place.setdefault(one, len(place)) if one else -1 for one in labels], dtype=np.int32)


def choose(article: Ints | None, passage: Ints | None, count: int) -> Units:
    """What to resample of `count` questions, from the numbers of their articles (-1: it has no title) and passages.

    Articles, where every question has one and there are at least ten; else passages, where there are at least ten; else
    the questions themselves. None where it is not known.
    """
    if article is not None and (article >= 0).all() and len(np.unique(article)) >= FEWEST_UNITS:
        return Units("articles", article)
    if passage is not None and len(np.unique(passage)) >= FEWEST_UNITS:
        return Units("passages", passage)
    return Units("questions", np.arange(count, dtype=np.int32), known=passage is not None)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions with its 95 % percentile bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """mean(a) - mean(b) over the same questions, its 95 % interval, and the two-sided p-value, which is never 0."""

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


def bootstrap(values: ArrayLike, units: Units | None = None, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of one score a question, shape (N,), with its interval; without `units`, questions are resampled.

    Percentile intervals of few units are too narrow: the percentiles are moved outwards to those that a t interval of
    as many units would have ("expanded percentile interval", Hesterberg 2015): with 48 units 2.1 % of the resampled
    means lie outside on either side instead of 2.5 %, and with thousands nothing changes.

    Raises:
        ValueError: no values, more than one dimension, or a value that is not finite.
    """
    checked = _checked(values)
    sums, counts = _per_unit(checked, units)
    low, high = _interval(sums, counts, seed, resamples)
    return Interval(float(checked.mean()), low, high)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    units: Units | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    flips: int = FLIPS,
) -> PairedDifference:
    """How much better a is than b on the same questions, both of shape (N,) and in the same order.

    The interval resamples `units` (without them, questions), each with both scores. p is that of a permutation test:
    were a and b equally good, the two could change places in any unit, so that the sign of the unit's summed difference
    is flipped at random, `flips` times. p = (1 + k) / (1 + flips), where k counts the flips whose total is at least as
    far from 0 as the real one; where more than 1,000 units differ, it is the normal limit of the same. The test keeps
    its level for few units too. Close to 0.05, interval and p may disagree on whether 0 is possible.

    Raises:
        ValueError: as `bootstrap`, or a and b differ in length.
    """
    first, second = _checked(a), _checked(b)
    if len(first) != len(second):
        raise ValueError(f"scores of {len(first)} and of {len(second)} questions cannot be paired")
    differences = first - second
    sums, counts = _per_unit(differences, units)
    low, high = _interval(sums, counts, seed, resamples)
    return PairedDifference(float(differences.mean()), low, high, _flipped(sums, seed, flips))


def holm(p: Sequence[float]) -> list[float]:
    """The p-values of several tests, corrected for their number by Holm's method, in the same order."""
    corrected, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = highest
    return corrected


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> McNemar:
    """Whether a and b get the same share of questions right, from which ones each gets right (truthy), shape (N,).

    Raises:
        ValueError: a and b differ in shape.
    """
    from scipy.special import bdtr, chdtrc  # scipy.stats takes seconds to import

    a, b = np.asarray(a_correct, dtype=bool), np.asarray(b_correct, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"answers of shape {a.shape} and of shape {b.shape} cannot be paired")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    if discordant < _EXACT_BELOW:
        p = min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5)))
        return McNemar(only_a, only_b, p, exact=True)
    statistic = max(0, abs(only_a - only_b) - 1) ** 2 / discordant
    p = max(float(chdtrc(1, statistic)), _SMALLEST_P)
    return McNemar(only_a, only_b, p, exact=False)


def _checked(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"one score a question is needed, not an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a score is not a finite number")
    return array


def _per_unit(values: Floats, units: Units | None) -> tuple[Floats, Floats]:
    """The sum of each unit's values, and how many they are, both of shape (units,)."""
    if units is None or units.kind == "questions":
        return values, np.ones_like(values)
    if len(units.of) != len(values):
        raise ValueError(f"{len(values)} scores do not go with the units of {len(units.of)} questions")
    _, place = np.unique(units.of, return_inverse=True)
    return np.bincount(place, weights=values).astype(np.float64), np.bincount(place).astype(np.float64)


def _interval(sums: Floats, counts: Floats, seed: int, resamples: int) -> tuple[float, float]:
    tail = _tail(len(sums))
    low, high = np.quantile(_resampled_means(sums, counts, seed, resamples), (tail, 1 - tail))
    return float(low), float(high)


def _tail(units: int) -> float:
    """The share of resampled means on either side of the interval: 2.5 %, less for few units."""
    from scipy.special import ndtr, stdtrit

    if units < 2:
        return 0.0
    return float(ndtr(stdtrit(units - 1, 0.025) * (units / (units - 1)) ** 0.5))


def _resampled_means(sums: Floats, counts: Floats, seed: int, resamples: int) -> Floats:
    """Means of `resamples` samples of the units with replacement, shape (resamples,)."""
    number = len(sums)
    _, first, times = np.unique(sums + 1j * counts, return_index=True, return_counts=True)
    generator = np.random.default_rng(seed)
    parts = []
    if 16 * len(first) < number:
        # How often each distinct unit is drawn is multinomial: the same distribution, far fewer draws. In order of
        # appearance, so that a - b and b - a are resampled alike and mirror each other exactly.
        order = np.argsort(first)
        kinds, chances = first[order], times[order] / number
        for rows in _chunks(resamples, len(kinds)):
            drawn = generator.multinomial(number, chances, size=rows)
            parts.append((drawn @ sums[kinds]) / (drawn @ counts[kinds]))
    else:
        for rows in _chunks(resamples, number):
            drawn = generator.integers(number, size=(rows, number))
            parts.append(sums.take(drawn).sum(axis=1) / counts.take(drawn).sum(axis=1))
    return np.concatenate(parts)


def _flipped(sums: Floats, seed: int, flips: int) -> float:
    """The two-sided p-value of the sign-flip test that `paired_difference` describes."""
    from scipy.special import ndtr

    sums = sums[sums != 0]  # a flip changes nothing in them
    total = sums.sum()
    if len(sums) > _NORMAL_ABOVE:
        return max(2 * float(ndtr(-abs(total) / np.sqrt((sums**2).sum()))), _SMALLEST_P)
    generator = np.random.default_rng(seed)
    least = abs(total) - _ROUNDING * np.abs(sums).sum()
    beyond = 0
    for rows in _chunks(flips, max(1, len(sums))):
        flipped = generator.integers(0, 2, size=(rows, len(sums)), dtype=np.int8)
        beyond += int((np.abs(total - 2 * (flipped @ sums)) >= least).sum())
    return (1 + beyond) / (1 + flips)


def _chunks(resamples: int, width: int) -> Iterator[int]:
    rows = max(1, _DRAWS_AT_ONCE // width)
    for done in range(0, resamples, rows):
        yield min(rows, resamples - done)
