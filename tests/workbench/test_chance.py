"""A random question with a purpose: found where answers are known, found by answering, and told when there is none."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa_compare.data.examples import to_squad
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.decoding import Candidate, Prediction
from qa_compare.inference.engine import Engine
from qa_compare.runs.store import write_predictions
from qa_compare.workbench import chance
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.chance import ANY, pick
from qa_compare.workbench.service import UPLOAD, Service
from tests import measured, tiny

EXAMPLES = tiny.examples(6)
# which of base, LoRA and prompt tuning answers each of the six questions right
RIGHT = {"base": "111010", "lora": "110111", "prompt-tuning": "110010"}


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same random choices in each run: forty of them could leave out one of six."""
    monkeypatch.setattr(chance, "random", random.Random(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.checkpoint(tmp_path_factory.mktemp("chance") / "river-bert"))


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    for seed, name in enumerate(RIGHT):
        measured.variant(tmp_path / "adapters", name, seed=seed)
    return tmp_path / "adapters"


@pytest.fixture
def inspector(weights: str, adapters: Path) -> Inspector:
    engine = Engine(weights, adapters=adapters, precision="fp32")
    assert engine.located
    return Inspector(Service({"river-bert": engine}, "river-bert"))


def source(folder: Path, rows: slice = slice(None), *, gold: bool = True) -> Wanted:
    path = folder / f"river {rows.start} {rows.stop} {gold}.json"  # what was read of a path is remembered
    data = to_squad(EXAMPLES[rows])
    if not gold:
        for article in data["data"]:
            article["paragraphs"][0]["qas"][0]["answers"] = []
    write_json(path, data)
    return Wanted("river-bert", UPLOAD, str(path))


def answer(one: Any, right: str) -> Prediction:
    text = one.answers[0].text if one.answers and right == "1" else "The"
    start = one.passage.index(text)
    return Prediction(one.id, (Candidate(text, start, start + len(text), 1.0, 0.5),), 0.0, 1)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engine's answers are those of RIGHT; the ids of the questions it was asked, one list for all variants."""
    asked: list[str] = []

    def predict(_engine: Engine, examples: Any, variant: str, **_options: Any) -> list[Prediction]:
        asked.extend(one.id for one in examples)
        return [answer(one, RIGHT[variant][int(one.id[1:])]) for one in examples]

    monkeypatch.setattr(Engine, "predict", predict)
    return asked


@pytest.mark.parametrize(
    ("purpose", "found"),
    [
        (ANY, {"q0", "q1", "q2", "q3", "q4", "q5"}),
        ("disagree", {"q2", "q3", "q5"}),
        ("only", {"q3", "q5"}),
    ],
)
def test_a_question_that_meets_the_purpose_is_found_by_answering(
    inspector: Inspector, answered: list[str], tmp_path: Path, purpose: str, found: set[str]
) -> None:
    wanted = source(tmp_path)
    assert {pick(inspector, wanted, purpose).id for _ in range(40)} == found
    assert bool(answered) is (purpose != ANY)


@pytest.mark.parametrize(("purpose", "found"), [("disagree", {"q2", "q3", "q5"}), ("only", {"q3", "q5"})])
def test_saved_answers_are_looked_through_without_a_model(
    inspector: Inspector, adapters: Path, answered: list[str], tmp_path: Path, purpose: str, found: set[str]
) -> None:
    wanted = source(tmp_path)
    fingerprint = inspector.view(wanted).questions.fingerprint
    for name, marks in RIGHT.items():
        given = [answer(one, right).candidates[0] for one, right in zip(EXAMPLES, marks, strict=True)]
        right = np.array([float(mark) for mark in marks])
        table = measured.table(
            fingerprint=fingerprint,
            ids=tuple(one.id for one in EXAMPLES),
            start=np.array([one.start for one in given], dtype=np.int32),
            end=np.array([one.end for one in given], dtype=np.int32),
            score=np.ones(6),
            confidence=np.full(6, 0.5),
            exact_match=right,
            f1=right,
            windows=np.ones(6, dtype=np.int32),
        )
        write_predictions(adapters / "river-bert" / name / "predictions.parquet", table)
    assert {pick(inspector, wanted, purpose).id for _ in range(40)} == found
    assert answered == []
    with pytest.raises(UserError, match="There is no question that every variant shown gets wrong among all 6"):
        pick(inspector, wanted, "nobody")


def test_the_question_shown_is_not_found_again_unless_there_is_no_other(
    inspector: Inspector, answered: list[str], tmp_path: Path
) -> None:
    wanted = source(tmp_path)
    assert {pick(inspector, wanted, "only", "q3").id for _ in range(20)} == {"q5"}
    assert pick(inspector, source(tmp_path, slice(3, 5)), "only", "q3").id == "q3"
    assert pick(inspector, source(tmp_path, slice(3, 4)), ANY, "q3").id == "q3"
    assert {pick(inspector, source(tmp_path, slice(3, 5)), ANY, "q3").id for _ in range(20)} == {"q4"}


def test_only_lora_is_right_whatever_its_place_among_the_columns(
    inspector: Inspector, answered: list[str], tmp_path: Path
) -> None:
    upload = source(tmp_path).upload
    for variants in (("lora", "base"), ("base", "lora")):
        wanted = Wanted("river-bert", UPLOAD, upload, variants)
        assert {pick(inspector, wanted, "only").id for _ in range(20)} == {"q3", "q5"}


def test_where_there_is_none_it_says_among_how_many(
    inspector: Inspector, answered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="There is no question that every variant shown gets wrong among all 6"):
        pick(inspector, source(tmp_path), "nobody")
    monkeypatch.setattr(chance, "AT_ONCE", 2)
    monkeypatch.setattr(chance, "MOST", 4)
    with pytest.raises(UserError, match="was found among 4 tried at random, of 6: try again"):
        pick(inspector, source(tmp_path), "nobody")


def test_nobody_is_right_where_every_variant_shown_is_wrong(
    inspector: Inspector, answered: list[str], tmp_path: Path
) -> None:
    wanted = Wanted("river-bert", UPLOAD, source(tmp_path).upload, ("base", "prompt-tuning"))
    assert {pick(inspector, wanted, "nobody").id for _ in range(20)} == {"q3", "q5"}


@pytest.mark.parametrize("purpose", ["only", "nobody"])
def test_without_gold_answers_nobody_is_right_or_wrong(
    inspector: Inspector, answered: list[str], tmp_path: Path, purpose: str
) -> None:
    with pytest.raises(UserError, match="None of these questions has a gold answer"):
        pick(inspector, source(tmp_path, gold=False), purpose)


@pytest.mark.parametrize(
    ("purpose", "variants", "sentence"),
    [
        ("only", ("base", "prompt-tuning"), "LoRA is not among the variants that are shown here"),
        ("disagree", ("base",), "takes two variants"),
        ("only", ("lora",), "takes two variants"),
    ],
)
def test_too_few_variants_for_a_purpose_are_told(
    inspector: Inspector, tmp_path: Path, purpose: str, variants: tuple[str, ...], sentence: str
) -> None:
    wanted = source(tmp_path)
    with pytest.raises(UserError, match=sentence):
        pick(inspector, Wanted(wanted.backbone, wanted.source, wanted.upload, variants), purpose)


def test_the_real_answers_to_what_was_found_differ(inspector: Inspector, tmp_path: Path) -> None:
    found = pick(inspector, source(tmp_path), "disagree")
    given = inspector.service.compare(found.passage, found.question)
    assert len({one.answer.lower() for one in given.answers}) > 1
