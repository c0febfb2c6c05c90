"""Is a confidence of 70 % right seven times in ten? Fitting a temperature, and measuring how far off it leaves things.

The temperature divides the span scores before the softmax: it moves every confidence and leaves every answer alone.
Fit it on passages the model was not trained on and that nothing is reported on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BINS = 15
LOWEST, HIGHEST = 0.1, 10.0  # temperatures that are tried
_GRID = 41  # odd: a temperature of 1 is among them
_CERTAIN = 1e-9  # keeps the logarithm of a wrong answer's doubt finite


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """The best temperature and the mean negative log-likelihood (nats a question) at 1 and at the temperature."""

    temperature: float
    loss_before: float
    loss: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Questions of like confidence: from `low` to `high`, their mean confidence, the share answered right (0 to 1)."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


def confidence_at(span_scores: Sequence[NDArray[np.floating]]) -> Callable[[float], Floats]:
    """A function from temperature to the best span's confidence for each question, shape (N,), 0 to 1.

    `span_scores` has for each question the scores of all spans, of any shape, minus infinity where there is no valid
    span; a question without any valid span has confidence 0. Some 4,500 float32 a question of 150 passage tokens are
    kept.
    """
    below_best = [_below_best(np.asarray(scores)) for scores in span_scores]
    lengths = np.array([len(one) for one in below_best], dtype=np.int64)
    filled = lengths > 0
    flat = np.concatenate([*below_best, np.zeros(0, dtype=np.float32)])
    starts = (np.cumsum(lengths) - lengths)[filled]

    def at(temperature: float) -> Floats:
        confidence = np.zeros(len(lengths))
        if starts.size:
            weights = np.exp(flat / np.float32(temperature))
            confidence[filled] = 1 / np.add.reduceat(weights, starts, dtype=np.float64)
        return confidence

    return at


def _below_best(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    finite = scores[np.isfinite(scores)].astype(np.float32)
    return finite - finite.max() if finite.size else finite


def fit_temperature(confidence: Callable[[float], ArrayLike], correct: ArrayLike) -> TemperatureFit:
    """The temperature in [0.1, 10] under which `confidence(temperature)` best predicts `correct` (0 or 1), shape (N,).

    Minimises the binary cross-entropy: a grid on the logarithm first, since there can be several minima, then a
    bounded search around its best point.

    Raises:
        ValueError: no questions, or as many confidences as answers are not given.
    """
    from scipy.optimize import minimize_scalar

    right = np.asarray(correct, dtype=np.float64)

    def loss(logarithm: float) -> float:
        sure, _ = _checked(confidence(float(np.exp(logarithm))), right)
        sure = np.clip(sure, _CERTAIN, 1 - _CERTAIN)
        return float(-np.mean(right * np.log(sure) + (1 - right) * np.log1p(-sure)))

    grid = np.linspace(np.log(LOWEST), np.log(HIGHEST), _GRID)
    losses = [loss(point) for point in grid]
    best = int(np.argmin(losses))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-4})
    logarithm, lowest = (found.x, found.fun) if found.fun < losses[best] else (grid[best], losses[best])
    return TemperatureFit(float(np.exp(logarithm)), losses[_GRID // 2], float(lowest))


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over equal-mass bins, weighted by their counts, 0 to 1.

    Raises:
        ValueError: as `reliability_table`.
    """
    table = reliability_table(confidence, correct, bins)
    total = sum(row.count for row in table)
    return sum(row.count * abs(row.confidence - row.accuracy) for row in table) / total


def reliability_table(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Equal-mass bins by rising confidence: their counts differ by one at most; fewer bins where there are fewer
    questions. `confidence` is 0 to 1, `correct` 0 or 1, both of shape (N,).

    Questions of the very same confidence that a bin's edge parts count with their common accuracy on both sides, so
    that the table does not depend on the questions' order.

    Raises:
        ValueError: no questions, different lengths, confidences outside 0 to 1, or less than one bin.
    """
    sure, right = _checked(confidence, np.asarray(correct, dtype=np.float64))
    if bins < 1:
        raise ValueError(f"{bins} bins are too few")
    levels, level = np.unique(sure, return_inverse=True)
    accuracy = (np.bincount(level, weights=right, minlength=len(levels)) / np.bincount(level))[level]
    order = np.argsort(sure, kind="stable")
    return tuple(
        ReliabilityBin(
            low=float(sure[part[0]]),
            high=float(sure[part[-1]]),
            confidence=float(sure[part].mean()),
            accuracy=float(accuracy[part].mean()),
            count=len(part),
        )
        for part in np.array_split(order, min(bins, len(order)))
    )


def _checked(confidence: ArrayLike, correct: Floats) -> tuple[Floats, Floats]:
    sure = np.asarray(confidence, dtype=np.float64)
    if sure.ndim != 1 or sure.shape != correct.shape or not sure.size:
        raise ValueError(f"confidences of shape {sure.shape} do not go with answers of shape {correct.shape}")
    if not ((sure >= 0) & (sure <= 1 + _CERTAIN)).all():
        raise ValueError("a confidence is not between 0 and 1")
    return sure, correct
