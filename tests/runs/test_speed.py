"""`python -m qa_compare speed`: the variants in turns, and nothing but the speed in their metrics.json changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from qa_compare.__main__ import main
from qa_compare.data.examples import to_squad
from qa_compare.inference.engine import Engine
from qa_compare.runs import speed as module
from qa_compare.runs.speed import measure
from qa_compare.runs.store import METRICS, read_metrics, write_metrics
from tests import measured, tiny


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with questions, the backbone `river-bert` and two variants, of which one was evaluated."""
    measured.backbone(tmp_path)
    for name in ("warm", "cold"):
        measured.variant(tmp_path / "adapters", name)
    write_metrics(folder(tmp_path, "warm") / METRICS, measured.metrics(precision="fp32"))
    (tmp_path / "questions.json").write_text(json.dumps(to_squad(tiny.examples(6))), encoding="utf-8")
    return tmp_path


def folder(place: Path, name: str) -> Path:
    return place / "adapters" / "river-bert" / name


def speed(place: Path, *more: str) -> int:
    options = ["--backbone", str(place / "river-bert"), "--adapters", str(place / "adapters"), "--rounds", "2", *more]
    return main(["speed", str(place / "questions.json"), *options])


def test_the_variants_take_turns_and_the_first_turn_does_not_count(place, monkeypatch):
    engine = Engine(str(place / "river-bert"), adapters=place / "adapters", precision="fp32")
    clock = [0.0]
    asked = []

    def predict(examples, name, top):
        asked.append(name)
        clock[0] += 100 if len(asked) <= 2 else {"warm": 2, "cold": 3}[name]

    monkeypatch.setattr(engine, "predict", predict)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert measure(engine, tiny.examples(6), ["warm", "cold"], rounds=2) == {"warm": 3.0, "cold": 2.0}
    assert asked == ["warm", "cold"] * 3


def test_saving_changes_the_speed_alone_and_only_where_there_are_scores(place, capsys):
    before = read_metrics(folder(place, "warm"))
    assert speed(place, "--save", "--precision", "fp32") == 0
    after = read_metrics(folder(place, "warm"))
    assert after.questions_per_second != before.questions_per_second
    assert replace(after, questions_per_second=before.questions_per_second) == before
    assert not (folder(place, "cold") / METRICS).exists()
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown if "no metrics.json" in line] == ["Base", "cold"]
    assert f"{after.questions_per_second:,.1f} questions a second" in next(x for x in shown if x.startswith("warm"))


def test_without_save_nothing_is_written(place):
    before = (folder(place, "warm") / METRICS).read_bytes()
    assert speed(place) == 0
    assert (folder(place, "warm") / METRICS).read_bytes() == before


def test_a_speed_in_another_precision_than_that_of_the_scores_is_not_saved(place, capsys):
    write_metrics(folder(place, "warm") / METRICS, measured.metrics(precision="bf16"))
    before = (folder(place, "warm") / METRICS).read_bytes()
    assert speed(place, "--save", "--precision", "fp32") == 2
    assert "warm was evaluated in bf16: pass --precision bf16" in capsys.readouterr().err
    assert (folder(place, "warm") / METRICS).read_bytes() == before
