"""What is made of a pass: every score against what its part gives by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa_compare.data.examples import Answer, Example, fingerprint
from qa_compare.errors import UserError
from qa_compare.measure import calibration
from qa_compare.measure.bertscore import BertScorer
from qa_compare.measure.scoring import units
from qa_compare.measure.slices import slices
from qa_compare.measure.statistics import bootstrap
from qa_compare.runs.evaluate import Answered, Evaluation, Pass, again, evaluate
from qa_compare.runs.records import Bounds, Dataset, Estimate
from tests import tiny

pytestmark = pytest.mark.slow

PASSAGE = "The river rises in the north and flows to sea 7."
EXAMPLES = [
    Example("right", "River", PASSAGE, "Where to?", (Answer("sea 7", 42),)),
    Example("half", "River", PASSAGE, "Who rises?", (Answer("river", 4), Answer("The river", 0))),
    Example("silent", "River", PASSAGE, "When?", (Answer("north", 23),)),
    Example("no gold", "River", PASSAGE, "Why?"),
]
ROWS = (
    Answered("right", 42, 47, 9.5, 0.8, 0.7, 1, -2.0),
    Answered("half", 4, 15, 3.25, 0.4, 0.6, 3, 4.0),
    Answered("silent", None, None, None, 0.0, 0.0, 1, 0.5),
    Answered("no gold", 0, 3, 1.0, 0.3, 0.2, 2, 3.5),
)


def scored(rows: tuple[Answered, ...] = ROWS, scorer: BertScorer | None = None) -> Evaluation:
    options: dict[str, Any] = {"name": "river.json", "temperature": 0.8, "precision": "bf16", "scorer": scorer}
    return evaluate(EXAMPLES, Pass(rows, 2.0), **options)


def test_an_interval_lies_around_its_mean() -> None:
    examples = tiny.examples(60)
    rows = [Answered(one.id, one.answers[0].start, len(one.passage) - 1, *(1.0, 0.5, 0.5), 1, 0.0) for one in examples]
    rows[40:] = [Answered(one.id, 0, 3, 1.0, 0.5, 0.5, 1, 0.0) for one in examples[40:]]
    found = evaluate(examples, Pass(tuple(rows), 1.0), name="", temperature=1.0, precision="fp32").metrics
    expected = bootstrap([1] * 40 + [0] * 20)
    assert (found.f1.resampled, found.f1.units, found.f1.over) == ("articles", 60, "60 articles")
    assert 50 < found.f1.low < found.f1.value < found.f1.high < 80
    assert (found.f1.low, found.f1.high) == pytest.approx((100 * expected.low, 100 * expected.high))


def test_intervals_are_over_articles_with_those_over_questions_beside_them() -> None:
    examples = [replace(one, title=f"River {number // 5}") for number, one in enumerate(tiny.examples(60))]
    starts = [one.answers[0].start if number // 5 % 3 else 0 for number, one in enumerate(examples)]
    rows = [
        Answered(one.id, start, len(one.passage) - 1 if start else 3, 1.0, 0.5, 0.5, 1, 0.0)
        for one, start in zip(examples, starts, strict=True)
    ]
    found = evaluate(examples, Pass(tuple(rows), 1.0), name="", temperature=1.0, precision="fp32").metrics
    right = np.array([float(start > 0) for start in starts])
    by_article, by_question = bootstrap(right, units(examples)), bootstrap(right)
    for estimate in (found.exact_match, found.f1):
        assert (estimate.resampled, estimate.units) == ("articles", 12)
        assert (estimate.low, estimate.high) == pytest.approx((100 * by_article.low, 100 * by_article.high))
        assert estimate.by_question == Bounds(100 * by_question.low, 100 * by_question.high)
        assert estimate.high - estimate.low > 2 * (estimate.by_question.high - estimate.by_question.low)


def test_means_are_in_percent_with_a_seeded_bootstrap_interval() -> None:
    found = scored().metrics
    exact, f1 = [1, 0, 0], [1, 2 / 3, 0]  # "river rises" shares one of two words with "river", one of one back
    assert (found.exact_match.value, found.f1.value) == pytest.approx((100 / 3, 100 * sum(f1) / 3))
    for estimate, values in ((found.exact_match, exact), (found.f1, f1)):
        interval = bootstrap(values, resamples=10_000)
        assert (estimate.low, estimate.high) == pytest.approx((100 * interval.low, 100 * interval.high))
        assert estimate.over == "3 questions of fewer than 10 passages (too few for an interval to say much)"
        assert estimate.by_question is None
    assert found.slices == tuple(slices(EXAMPLES[:3], np.array(exact, dtype=float), np.array(f1)))
    assert found.dataset.fingerprint == fingerprint(EXAMPLES)
    assert (found.dataset.name, found.dataset.questions, found.dataset.scored) == ("river.json", 4, 3)
    assert found.dataset.sentences == ("1 of 4 questions has no gold answer and is left out of the scores.",)
    assert found.squad2 is None
    assert (found.questions_per_second, found.precision, found.bertscore) == (2.0, "bf16", None)


def test_every_question_is_a_row_with_its_span_and_scores() -> None:
    rows = scored().predictions
    assert rows.ids == ("right", "half", "silent", "no gold")
    assert rows.start.tolist() == [42, 4, -1, 0]
    assert rows.end.tolist() == [47, 15, -1, 3]
    np.testing.assert_array_equal(rows.score, [9.5, 3.25, np.nan, 1.0])
    assert rows.confidence.tolist() == [0.8, 0.4, 0.0, 0.3]
    assert rows.windows.tolist() == [1, 3, 1, 2]
    np.testing.assert_array_equal(rows.exact_match, [1, 0, 0, np.nan])
    np.testing.assert_allclose(rows.f1, [1, 2 / 3, 0, np.nan])
    assert (rows.bertscore, rows.bertscore_hash, rows.null) == (None, None, None)
    assert rows.article is not None
    assert rows.passage is not None
    assert rows.article.tolist() == rows.passage.tolist() == [0, 0, 0, 0]


def test_calibration_is_before_and_after_the_temperature_and_by_windows() -> None:
    found = scored().metrics.calibration
    correct = np.array([1.0, 0.0, 0.0])  # whether the answer to the last one is right, nobody knows
    for error, confidence in ((found.before, [0.7, 0.6, 0.0]), (found.after, [0.8, 0.4, 0.0])):
        sure = np.array(confidence)
        assert error.overall == pytest.approx(100 * calibration.expected_calibration_error(sure, correct))
        one = [0, 2]
        assert error.one_window == pytest.approx(100 * calibration.expected_calibration_error(sure[one], correct[one]))
        many = [1]
        assert error.many_windows == pytest.approx(
            100 * calibration.expected_calibration_error(sure[many], correct[many])
        )
        assert [row.confidence for row in error.reliability] == pytest.approx(sorted(100 * sure))
        assert sum(row.count for row in error.reliability) == 3
        assert error.reliability[-1].accuracy == 100
    assert found.temperature == 0.8


def test_without_a_many_window_passage_its_calibration_error_is_none() -> None:
    rows = tuple(Answered(row.id, row.start, row.end, row.score, 0.5, 0.5, 1, 0.0) for row in ROWS)
    found = scored(rows).metrics.calibration.after
    assert found.many_windows is None
    assert found.one_window == found.overall


def test_bertscore_goes_with_its_hash_and_its_encoder_in_words(tmp_path: Path) -> None:
    scorer = BertScorer(tiny.checkpoint(tmp_path / "river-bert"))
    evaluation = scored(scorer=scorer)
    golds = [["sea 7"], ["river", "The river"], ["north"], []]
    expected = scorer.score(["sea 7", "river rises", "", "The"], golds)
    assert evaluation.predictions.bertscore is not None
    np.testing.assert_array_equal(evaluation.predictions.bertscore, [*expected[:3], np.nan])
    assert expected[2] == 0
    found = evaluation.metrics.bertscore
    assert found is not None
    assert found.value == pytest.approx(100 * expected[:3].mean())
    assert found.hash == evaluation.predictions.bertscore_hash == scorer.hash
    assert found.encoder == "river-bert, last layer, no rescaling, best over the gold answers"
    assert BertScorer(scorer.folder, 1).encoder.startswith("river-bert, layer 1 of 2, ")


UNANSWERABLE = [*EXAMPLES[:3], replace(EXAMPLES[3], unanswerable=True)]
DECLINABLE = (*ROWS[:3], Answered("no gold", 4, 9, 1.0, 0.3, 0.2, 2, 3.5))


def test_a_data_set_with_unanswerable_questions_also_has_squad_2s_metric() -> None:
    examples = UNANSWERABLE
    options: dict[str, Any] = {"name": "river.json", "temperature": 0.8, "precision": "bf16"}
    found = evaluate(examples, Pass(DECLINABLE, 2.0), **options)
    assert found.metrics.f1.value == scored().metrics.f1.value  # of the questions with gold answers, as before
    assert found.predictions.null is not None
    assert found.predictions.null.tolist() == [-2.0, 4.0, 0.5, 3.5]
    two = found.metrics.squad2
    assert two
    assert (two.total, two.has_ans_total, two.no_ans_total) == (4, 3, 1)
    assert (two.exact, two.has_ans_exact, two.no_ans_exact) == pytest.approx((25, 100 / 3, 0))
    # "right" at -11.5, "half" at 0.75, "no gold" at 2.5: all but the first two are better declined
    assert (two.best_exact, two.best_exact_threshold) == (50, -11.5)
    assert (two.best_f1, two.best_f1_threshold) == pytest.approx((100 * (2 + 2 / 3) / 4, 0.75))
    told = found.metrics.dataset.sentences
    assert told == (
        "1 of 4 questions is marked as unanswerable: exact match and F1 leave it out; SQuAD 2's metric counts it.",
    )


def test_saved_answers_are_scored_anew_without_a_model_as_a_pass_scores_them() -> None:
    examples = UNANSWERABLE
    options: dict[str, Any] = {"name": "river.json", "temperature": 0.8, "precision": "bf16"}
    whole = evaluate(examples, Pass(DECLINABLE, 2.0), **options)
    order = [2, 0, 3, 1]
    mixed = [examples[row] for row in order]
    found = again(mixed, whole.predictions, whole.metrics)
    assert found.metrics == evaluate(mixed, Pass(tuple(DECLINABLE[row] for row in order), 2.0), **options).metrics
    assert found.predictions.ids == tuple(one.id for one in mixed)


def test_what_an_earlier_version_saved_gets_its_intervals_by_article_and_keeps_the_rest() -> None:
    examples = tiny.examples(12)
    rows = [Answered(one.id, one.answers[0].start, len(one.passage) - 1, *(1.0, 0.5, 0.5), 1, 0.0) for one in examples]
    rows[5:] = [Answered(one.id, 0, 3, 1.0, 0.5, 0.5, 1, 0.0) for one in examples[5:]]
    whole = evaluate(examples, Pass(tuple(rows), 1.0), name="r", temperature=1.0, precision="fp32")
    old = replace(whole.predictions, article=None, passage=None)
    f1 = Estimate(whole.metrics.f1.value, 1.0, 99.0)
    before = replace(whole.metrics, f1=f1, dataset=Dataset("r", old.fingerprint, 12))
    assert again(examples, old, before).metrics == whole.metrics
    with pytest.raises(UserError, match="the saved scores are not those of the saved answers"):
        again(examples, old, replace(before, f1=replace(f1, value=50.0)))
    with pytest.raises(UserError, match="made for other questions"):
        again(examples[:11], old, before)
    without = [replace(examples[0], answers=()), *examples[1:]]
    unscored = replace(old, fingerprint=fingerprint(without))
    with pytest.raises(UserError, match=r"1 of 12 questions has no gold answer.*counted them as wrong"):
        again(without, unscored, before)


def test_a_pass_over_other_questions_is_refused() -> None:
    with pytest.raises(ValueError, match="'half' stands where that to 'right'"):
        scored((ROWS[1], ROWS[0], *ROWS[2:]))
