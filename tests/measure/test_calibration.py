"""Temperature and calibration error on answers whose true chances are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_compare.inference.decoding import log_normaliser
from qa_compare.measure.calibration import confidence_at, expected_calibration_error, fit_temperature, reliability_table

answers = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60)


def calibrated(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and answers that are right just as often."""
    generator = np.random.default_rng(seed)
    confidence = generator.random(count)
    return confidence, (generator.random(count) < confidence).astype(float)


def questions(count: int, temperature: float, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Span scores, some invalid, and answers that are right as often as a softmax at `temperature` says."""
    generator = np.random.default_rng(seed)
    scores, right = [], []
    for _ in range(count):
        one = generator.normal(0, 3 * temperature, (generator.integers(2, 9), 3)).astype(np.float32)
        valid = one.copy()
        valid[0, 2] = -np.inf
        finite = valid[np.isfinite(valid)] / temperature
        chance = np.exp(finite.max()) / np.exp(finite).sum()
        scores.append(valid)
        right.append(generator.random() < chance)
    return scores, np.array(right, dtype=float)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_answers_is_found(temperature: float) -> None:
    scores, right = questions(3_000, temperature)
    confidence = confidence_at(scores)
    fit = fit_temperature(confidence, right)
    assert fit.temperature == pytest.approx(temperature, rel=0.1)
    assert fit.loss <= fit.loss_before
    assert expected_calibration_error(confidence(fit.temperature), right) < 0.03
    if temperature != 1:
        assert expected_calibration_error(confidence(1.0), right) > 0.05


def test_no_other_temperature_explains_the_answers_better() -> None:
    scores, right = questions(400, 2.0, seed=4)
    confidence = confidence_at(scores)
    fit = fit_temperature(confidence, right)

    def loss(temperature: float) -> float:
        sure = confidence(temperature)
        return float(-np.mean(np.where(right == 1, np.log(sure), np.log1p(-sure))))

    assert fit.loss == pytest.approx(loss(fit.temperature))
    assert fit.loss_before == pytest.approx(loss(1.0))
    assert fit.loss <= min(loss(temperature) for temperature in np.geomspace(0.8, 10, 60)) + 1e-9


@pytest.mark.parametrize(("right", "temperature"), [(1.0, 0.1), (0.0, 10.0)])
def test_answers_all_right_or_all_wrong_end_at_the_bounds(right: float, temperature: float) -> None:
    confidence = confidence_at([np.array([4.0, 1.0, 0.0]), np.array([3.0, 2.9])])
    assert fit_temperature(confidence, [right, right]).temperature == pytest.approx(temperature, rel=0.02)


def test_confidence_is_the_best_spans_share_of_all_spans() -> None:
    confidence = confidence_at([np.array([[2.0, -np.inf], [1.0, 0.0]]), np.array([-np.inf]), np.array([7.0])])
    weights = np.exp(np.array([2.0, 1.0, 0.0]) / 4)
    np.testing.assert_allclose(confidence(4.0), [weights[0] / weights.sum(), 0, 1], rtol=1e-6)
    assert confidence_at([])(1.0).shape == (0,)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_confidence_is_the_one_that_decoding_shows(temperature: float) -> None:
    [scores], _ = questions(1, 1.0)
    shown = np.exp(scores.max() / temperature - log_normaliser(scores, temperature))
    assert confidence_at([scores])(temperature) == pytest.approx([shown], rel=1e-5)


def test_confidence_of_enormous_scores_does_not_overflow() -> None:
    np.testing.assert_allclose(confidence_at([np.array([9e4, 9e4, -9e4])])(0.1), [0.5])


def test_calibrated_answers_have_next_to_no_error_and_overconfident_ones_have_theirs() -> None:
    confidence, right = calibrated(30_000)
    assert expected_calibration_error(confidence, right) < 0.015
    assert expected_calibration_error(np.full(1_000, 0.9), np.repeat([1.0, 0.0], [600, 400])) == pytest.approx(0.3)


def test_the_error_is_that_of_a_case_done_by_hand() -> None:
    confidence, right = [0.1, 0.2, 0.6, 1.0], [0, 1, 1, 0]
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(0.5 * 0.35 + 0.5 * 0.3)
    first, second = reliability_table(confidence, right, bins=2)
    assert (first.low, first.high, first.accuracy, first.count) == (0.1, 0.2, 0.5, 2)
    assert (second.low, second.high, second.confidence) == (0.6, 1.0, pytest.approx(0.8))


@given(answers, st.integers(1, 20), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_bins_have_equal_mass_and_do_not_depend_on_the_order(rows: list[tuple[float, bool]], bins: int, random) -> None:
    confidence, right = np.array(rows).T
    table = reliability_table(confidence, right, bins)
    counts = [row.count for row in table]
    assert sum(counts) == len(rows)
    assert len(table) == min(bins, len(rows))
    assert max(counts) - min(counts) <= 1
    assert sum(row.count * row.accuracy for row in table) == pytest.approx(right.sum())
    assert all(row.low <= row.confidence + 1e-12 and row.confidence <= row.high + 1e-12 for row in table)
    shuffled = random.sample(rows, len(rows))
    again = reliability_table(*np.array(shuffled).T, bins)
    for one, other in zip(table, again, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy)
        assert (one.low, one.high, one.count) == (other.low, other.high, other.count)


@pytest.mark.parametrize(
    ("confidence", "right", "says"),
    [([], [], "do not go with"), ([0.5], [1, 0], "do not go with"), ([1.2], [1], "between 0 and 1")],
)
def test_what_cannot_be_measured_is_refused(confidence: list[float], right: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        expected_calibration_error(confidence, right)
    with pytest.raises(ValueError, match=says):
        fit_temperature(lambda _: confidence, right)


def test_less_than_one_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bins"):
        reliability_table([0.5], [1], bins=0)
