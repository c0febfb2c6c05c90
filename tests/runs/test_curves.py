"""The curves of a run, the marks on them, and in what runs differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.models.backbones import Backbone
from qa_compare.runs.curves import Trail, described, differences, marks, points, signature, smooth, trails
from qa_compare.runs.records import Event
from tests import shown

RIVER = Backbone("river-bert", "River", "")
values = st.floats(0, 1e6, allow_subnormal=False)


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    shown.write_all(tmp_path)
    return tmp_path


def trail(adapters: Path, name: str) -> Trail:
    return next(one for one in trails(RIVER, adapters)[0] if one.name == name)


def test_runs_come_in_the_pages_order_the_one_that_goes_on_among_them(adapters: Path) -> None:
    shown.write_log(adapters / "river-bert" / "ia3", steps=100)
    found, problems = trails(RIVER, adapters)
    assert [(one.name, one.label, one.going) for one in found] == [
        ("base", "Base", False),
        ("lora", "LoRA", False),
        ("prompt-tuning", "Prompt tuning", False),
        ("ia3", "IA³", True),
    ]
    assert problems == ()
    assert described(found)[-1] == "IA³ is not finished: 100 steps in 190 s so far."


@pytest.mark.parametrize("file", ["log.jsonl", "run.json"])
def test_a_damaged_file_is_named_and_the_other_runs_stay(adapters: Path, file: str) -> None:
    (adapters / "river-bert" / "lora" / file).write_text("{\n")
    found, problems = trails(RIVER, adapters)
    assert len(problems) == 1
    assert f"lora/{file}" in problems[0]
    assert {"base", "prompt-tuning"} <= {one.name for one in found}
    assert not any(one.going for one in found)


def test_the_signature_changes_when_something_is_logged(adapters: Path) -> None:
    before = signature(RIVER, adapters)
    assert signature(RIVER, adapters) == before
    with (adapters / "river-bert" / "lora" / "log.jsonl").open("a") as log:
        log.write('{"step": 490, "epoch": 1.1, "seconds": 900, "loss": 1.5}\n')
    assert signature(RIVER, adapters) != before


def test_points_are_the_events_that_have_the_quantity(adapters: Path) -> None:
    lora = trail(adapters, "lora")
    steps, losses = points(lora, "eval_loss", "step")
    assert steps == [0, 80, 160, 240, 320, 400, 480]
    assert len(losses) == 7
    assert points(lora, "eval_loss", "epoch")[0][-1] == 1.0
    assert points(lora, "eval_loss", "seconds")[0][1] == pytest.approx(152.0)


@given(st.lists(values, max_size=30))
def test_no_smoothing_changes_nothing(raw: list[float]) -> None:
    assert smooth(raw, 0.0) == raw


@given(st.lists(values, min_size=1, max_size=30), st.floats(0, 0.95))
def test_a_smoothed_curve_begins_where_it_does_and_stays_between_its_extremes(raw: list[float], amount: float) -> None:
    smoothed = smooth(raw, amount)
    assert smoothed[0] == pytest.approx(raw[0])
    slack = 1e-9 * (1 + max(raw))
    assert all(min(raw) - slack <= one <= max(raw) + slack for one in smoothed)


def test_the_best_checkpoint_and_the_early_stop_are_marked(adapters: Path) -> None:
    found = marks(trail(adapters, "base"), "eval_f1", "step")
    assert [(mark.x, mark.meaning) for mark in found] == [(400, "best checkpoint"), (480, "early stop")]
    steps, scores = points(trail(adapters, "base"), "eval_f1", "step")
    assert found[0].y == scores[steps.index(400)]
    assert [mark.meaning for mark in marks(trail(adapters, "lora"), "eval_f1", "step")] == ["best checkpoint"]


def test_a_continued_runs_marks_count_the_steps_before(tmp_path: Path) -> None:
    folder = tmp_path / "river-bert" / "lora"
    shown.write_variant(folder, "LoRA")
    shown.write_log(folder)
    earlier = {"steps": 200, "continued_from": {"steps": 40}}
    shown.write_run(folder, best_step=160, continued_from=earlier)
    assert [mark.x for mark in marks(trail(tmp_path, "lora"), "eval_f1", "step")] == [400]
    assert described([trail(tmp_path, "lora")])[0].endswith("its best checkpoint is that of step 400.")


def test_a_continued_run_that_copied_nonsense_counts_from_nought(tmp_path: Path) -> None:
    folder = tmp_path / "river-bert" / "lora"
    shown.write_variant(folder, "LoRA")
    shown.write_log(folder)
    shown.write_run(folder, best_step=160, continued_from={"steps": "many", "continued_from": "the base"})
    assert [mark.x for mark in marks(trail(tmp_path, "lora"), "eval_f1", "step")] == [160]


def test_a_run_that_goes_on_has_no_marks() -> None:
    going = Trail("ia3", "IA³", (Event(0, 0.0, 0.0, eval_f1=5.0),), None, True)
    assert marks(going, "eval_f1", "step") == ()


def test_only_settings_that_differ_are_told(adapters: Path) -> None:
    found = differences(trails(RIVER, adapters)[0])
    assert found
    assert found.columns == ("Setting", "Base", "LoRA", "Prompt tuning")
    assert [row.cells for row in found.rows] == [("rank", "–", "16", "–")]


def test_values_are_told_in_words(adapters: Path) -> None:
    root = adapters / "river-bert"
    settings = {"learning_rate": 0.0003, "seed": 0, "drop_overlap": True, "targets": ["query", "value"], "rank": None}
    shown.write_run(root / "lora", hyperparameters=settings)
    found = differences([trail(adapters, "base"), trail(adapters, "lora")])
    assert found
    assert {row.cells[0]: row.cells[2] for row in found.rows} == {
        "learning rate": "0.0003",
        "drop overlap": "yes",
        "targets": "query, value",
    }


def test_one_finished_run_differs_from_nothing(adapters: Path) -> None:
    shown.write_log(adapters / "river-bert" / "ia3")
    assert differences([trail(adapters, "base"), trail(adapters, "ia3")]) is None
