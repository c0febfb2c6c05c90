"""Paired differences of saved predictions: which are paired, which way round, and in which words."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa_compare.__main__ import main
from qa_compare.measure.statistics import Units, mcnemar, paired_difference
from qa_compare.models.backbones import Backbone
from qa_compare.runs.paired import pairs, saved
from qa_compare.runs.records import PredictionTable
from qa_compare.runs.store import write_predictions
from tests import measured

COUNT = 400
RIVER = Backbone("river-bert", "river-bert", "")


def predictions(seed: int, share: float, fingerprint: str = "f" * 64) -> PredictionTable:
    """COUNT questions, that share of them right and the others half so."""
    right = (np.random.default_rng(seed).random(COUNT) < share).astype(float)
    return measured.table(
        fingerprint=fingerprint,
        ids=tuple(f"q{number}" for number in range(COUNT)),
        exact_match=right,
        f1=np.where(right, 1.0, 0.5),
        **{name: np.zeros(COUNT) for name in ("score", "confidence")},
        **{name: np.full(COUNT, value, dtype=np.int32) for name, value in (("start", 0), ("end", 1), ("windows", 1))},
    )


def test_every_two_are_paired_in_percent_with_the_later_first() -> None:
    tables = {"Base": predictions(0, 0.2), "LoRA": predictions(1, 0.8), "Prompt tuning": predictions(2, 0.5)}
    found = pairs(tables)
    assert [(pair.a, pair.b) for pair in found] == [
        ("LoRA", "Base"),
        ("Prompt tuning", "Base"),
        ("Prompt tuning", "LoRA"),
    ]
    base, lora = tables["Base"], tables["LoRA"]
    assert found[0].f1 == paired_difference(100 * lora.f1, 100 * base.f1)
    assert found[0].exact_match == paired_difference(100 * lora.exact_match, 100 * base.exact_match)
    assert found[0].exact_match.difference > 50
    assert found[0].mcnemar == mcnemar(lora.exact_match, base.exact_match)
    assert found[0].questions == COUNT


def test_questions_are_paired_by_id_not_by_row() -> None:
    table = predictions(0, 0.5)
    order = np.random.default_rng(1).permutation(COUNT)
    mixed = measured.table(
        **{name: getattr(table, name)[order] for name in ("exact_match", "f1", "start", "end", "score", "confidence")},
        windows=table.windows,
        ids=tuple(table.ids[row] for row in order),
    )
    [pair] = pairs({"a": table, "b": mixed})
    assert (pair.f1.difference, pair.mcnemar.only_a, pair.mcnemar.only_b) == (0, 0, 0)


def placed(table: PredictionTable, articles: int, **changes: Any) -> PredictionTable:
    """The same answers, to questions of so many articles of one passage each."""
    place = (np.arange(COUNT) % articles).astype(np.int32)
    return replace(table, article=place, passage=place, **changes)


def test_articles_are_resampled_where_the_files_know_them_whatever_the_order_of_their_rows() -> None:
    one = placed(predictions(0, 0.5), 20)
    ahead = np.arange(COUNT) % 20 < 12  # the articles that the other one is better at
    other = replace(one, f1=np.where(ahead, 1.0, 0.5))
    order = np.random.default_rng(1).permutation(COUNT)
    arrays = [field.name for field in fields(one) if isinstance(getattr(one, field.name), np.ndarray)]
    mixed = replace(
        other, ids=tuple(other.ids[row] for row in order), **{name: getattr(other, name)[order] for name in arrays}
    )
    units = Units("articles", one.article)
    expected = paired_difference(100 * other.f1, 100 * one.f1, units)
    alone = paired_difference(100 * other.f1, 100 * one.f1)
    assert expected.high - expected.low > 2 * (alone.high - alone.low)
    forgetful = replace(other, article=None, passage=None)  # one file that knows the articles is enough
    for second in (other, mixed, forgetful):
        [pair] = pairs({"a": one, "b": second})
        assert (pair.resampled, pair.units) == ("articles", 20)
        assert pair.f1.difference == pytest.approx(expected.difference)
        assert (pair.f1.low, pair.f1.high) == pytest.approx((expected.low, expected.high), abs=1.0)
        assert pair.basis == "95 % intervals and p-values over 20 articles."


def test_questions_without_a_gold_answer_are_in_no_difference() -> None:
    gone = np.arange(COUNT) < 150
    one, other = (
        replace(table, **{name: np.where(gone, np.nan, getattr(table, name)) for name in ("exact_match", "f1")})
        for table in (placed(predictions(0, 0.5), 20), placed(predictions(1, 0.6), 20))
    )
    [pair] = pairs({"a": one, "b": other})
    kept = slice(150, COUNT)
    assert (pair.questions, pair.left_out) == (250, 150)
    assert pair.exact_match.difference == pytest.approx(100 * (other.exact_match[kept] - one.exact_match[kept]).mean())
    assert pair.mcnemar == mcnemar(other.exact_match[kept], one.exact_match[kept])
    assert pair.basis.endswith("Left out, since they have no gold answer: 150 of 400 questions.")


def test_a_difference_that_only_one_pair_would_show_is_none_among_many_pairs() -> None:
    base = placed(predictions(0, 0.5), 40)
    nudged = [
        placed(replace(base, f1=np.where(np.arange(COUNT) % 40 < count, base.f1 + 0.01, base.f1)), 40)
        for count in (6, 6, 6, 6)
    ]
    alone, *_ = pairs({"Base": base, "A": nudged[0]})
    assert alone.f1.p == alone.corrected.f1 < 0.05
    assert alone.sentences[0].startswith("A is ahead of Base by 0.15 F1")
    found = pairs({"Base": base, **dict(zip("ABCD", nudged, strict=True))})
    assert {pair.corrected.pairs for pair in found} == {10}
    first = found[0]
    assert (first.f1.p, first.a, first.b) == (alone.f1.p, "A", "Base")
    assert first.corrected.f1 == pytest.approx(10 * alone.f1.p)
    assert first.sentences[0].startswith("A and Base cannot be told apart in F1: 0.15")
    assert "corrected for 10 pairs (Holm's method)" in first.basis


def test_predictions_on_other_data_are_not_paired() -> None:
    other = predictions(1, 0.5, "e" * 64)
    found = pairs({"a": predictions(0, 0.5), "b": other, "c": predictions(2, 0.5), "d": other})
    assert [(pair.a, pair.b, pair.fingerprint[0]) for pair in found] == [("c", "a", "f"), ("d", "b", "e")]


def test_whoever_is_ahead_is_named_first() -> None:
    worse, better = predictions(0, 0.2), predictions(1, 0.8)
    for tables in ({"Base": worse, "LoRA": better}, {"LoRA": better, "Base": worse}):
        [pair] = pairs(tables)
        found = pair.exact_match
        low, high = sorted((abs(found.low), abs(found.high)))
        f1, exact, _ = pair.sentences
        interval = f"{abs(found.difference):.1f} exact match [{low:.1f}, {high:.1f}], p < 0.001."
        assert exact == f"LoRA is ahead of Base by {interval}"
        assert f1.startswith(f"LoRA is ahead of Base by {abs(pair.f1.difference):.1f} F1 [")


def test_what_cannot_be_told_apart_is_not_called_ahead() -> None:
    table = predictions(0, 0.5)
    [same] = pairs({"Base": table, "Head only": table})
    assert same.sentences == (
        "Head only and Base cannot be told apart in F1: 0.00 [0.00, 0.00], p = 1.000.",
        "Head only and Base cannot be told apart in exact match: 0.00 [0.00, 0.00], p = 1.000.",
        (
            "Only Head only matches 0 of 400 questions exactly, only Base 0 (McNemar's test, each question by itself: "
            "p = 1.000)."
        ),
    )
    nudged = measured.table(
        **{name: getattr(table, name) for name in ("ids", "start", "end", "score", "confidence", "windows", "f1")},
        exact_match=np.where(np.arange(COUNT) == 7, 1 - table.exact_match, table.exact_match),
    )
    [pair] = pairs({"Base": table, "Head only": nudged})
    assert "cannot be told apart in exact match: 0.25 [0.00, 0.75], p = " in pair.sentences[1]


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    for name, seed, share in (("prompt-tuning", 2, 0.5), ("lora", 1, 0.8), ("base", 0, 0.2)):
        folder = measured.variant(tmp_path, name)
        write_predictions(folder / "predictions.parquet", predictions(seed, share))
    measured.variant(tmp_path, "unmeasured")
    measured.backbone(tmp_path)
    return tmp_path


def test_saved_predictions_come_in_the_order_of_the_page(adapters: Path) -> None:
    assert list(saved(RIVER, adapters)) == ["Base", "LoRA", "Prompt tuning"]


def test_two_variants_of_one_label_are_both_there(adapters: Path) -> None:
    folder = measured.variant(adapters, "twin")
    write_predictions(folder / "predictions.parquet", predictions(3, 0.5))
    described = (folder / "variant.json").read_text().replace('"label": "twin"', '"label": "LoRA"')
    (folder / "variant.json").write_text(described)
    assert list(saved(RIVER, adapters)) == ["Base", "LoRA", "Prompt tuning", "LoRA (twin)"]


def test_the_command_prints_the_sentences_or_json(adapters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["paired", "--backbone", str(adapters / "river-bert"), "--adapters", str(adapters)]
    expected = pairs(saved(RIVER, adapters))
    assert main(arguments) == 0
    basis = (
        "95 % intervals and p-values over questions, each taken by itself. The p-values are corrected for 3 pairs "
        "(Holm's method), the intervals not."
    )
    assert capsys.readouterr().out == "\n\n".join(["\n".join(pair.sentences) for pair in expected] + [basis]) + "\n"
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [pair.as_dict() for pair in expected]
    assert found[0]["f1"]["difference"] == expected[0].f1.difference


def test_less_than_two_measured_variants_get_a_sentence(adapters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("base", "lora"):
        (adapters / "river-bert" / name / "predictions.parquet").unlink()
    arguments = ["paired", "--backbone", str(adapters / "river-bert"), "--adapters", str(adapters)]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "no two variants of river-bert have predictions on the same questions (found: Prompt tuning)" in captured.err
    assert captured.out == ""
    (adapters / "river-bert" / "lora" / "predictions.parquet").write_bytes(b"x")
    assert main(arguments) == 2
    assert "lora/predictions.parquet is damaged" in capsys.readouterr().err
