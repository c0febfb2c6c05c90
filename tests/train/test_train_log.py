"""The curves of a run are one line an event, whether it was cut and resumed or goes on from another variant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from qa_compare.errors import UserError
from qa_compare.runs.records import Event
from qa_compare.runs.store import read_log
from train.log import Log

EVENTS = (Event(0, 0.0, 2.0, eval_loss=3.0, eval_f1=9.5), Event(5, 0.5, 4.0, loss=2.5), Event(10, 1.0, 6.0, loss=2.0))


def log(log: Log, step: int, **logs: Any) -> None:
    """Let Trainer say something."""
    arguments = TrainingArguments(output_dir="runs", use_cpu=True)
    log.on_log(arguments, TrainerState(global_step=step, epoch=step / 10), TrainerControl(), logs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Log(tmp_path / "lora" / "log.jsonl", None, EVENTS, write=True)
    return tmp_path / "lora" / "log.jsonl"


def test_a_new_run_clears_what_an_earlier_one_left(path: Path) -> None:
    log(Log(path, None, (), write=True), 1, loss=4.0, learning_rate=0.1)
    assert [(one.step, one.epoch, one.loss, one.learning_rate) for one in read_log(path.parent)] == [(1, 0.1, 4.0, 0.1)]


def test_a_resumed_run_drops_what_was_logged_behind_its_checkpoint_and_counts_seconds_on(path: Path) -> None:
    resumed = Log(path, 5, (), write=True)
    assert read_log(path.parent) == EVENTS[:2]
    log(resumed, 10, loss=1.5)
    assert [(one.step, one.loss) for one in read_log(path.parent)] == [(0, None), (5, 2.5), (10, 1.5)]
    assert read_log(path.parent)[-1].seconds >= 4.0


def test_a_run_that_continues_another_begins_with_its_events_and_counts_on_also_when_resumed(path: Path) -> None:
    second = path.parents[1] / "lora-2" / "log.jsonl"
    log(Log(second, None, EVENTS, write=True), 5, loss=1.5)
    log(Log(second, 5, EVENTS, write=True), 6, loss=1.4)
    assert read_log(second.parent)[:3] == EVENTS
    assert [(one.step, one.epoch) for one in read_log(second.parent)[3:]] == [(15, 1.5), (16, 1.6)]


def test_what_says_neither_a_loss_nor_an_evaluation_is_not_logged_and_a_norm_that_overflowed_is_left_out(
    path: Path,
) -> None:
    made = Log(path, None, (), write=True)
    log(made, 1, train_runtime=3.0)
    log(made, 2, loss=4.0, grad_norm=float("inf"))
    assert [json.loads(line).keys() for line in path.read_text().splitlines()] == [{"step", "epoch", "seconds", "loss"}]


@pytest.mark.parametrize("key", ["loss", "eval_loss"])
def test_a_loss_that_is_not_a_number_ends_the_run_with_a_sentence(path: Path, key: str) -> None:
    with pytest.raises(
        UserError, match=f"the {key.replace('_', ' ')} is not a number at step 3: lower --learning-rate"
    ):
        log(Log(path, None, (), write=True), 3, **{key: float("nan")})


def test_only_the_main_process_writes(path: Path) -> None:
    before = path.read_bytes()
    log(Log(path, 5, (), write=False), 6, loss=1.0)
    assert path.read_bytes() == before
