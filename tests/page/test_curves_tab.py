"""What the controls of the Training curves tab do; `test_browser_tabs.py` walks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qa_compare.inference.engine import Engine
from qa_compare.page import training_tab
from qa_compare.runs.curves import CURVES
from qa_compare.workbench.service import Service
from tests import shown

NAME = "minilm-l6"
CONTROLS: tuple[str, float, bool] = ("step", 0.6, False)
RUNS = ["base", "lora", "prompt-tuning"]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    shown.write_all(tmp_path, NAME)
    return Service({name: Engine(name, adapters=tmp_path, precision="fp32") for name in (NAME, "bert-tiny")}, NAME)


def skipped(updates: list[Any]) -> bool:
    return all(isinstance(one, dict) and set(one) == {"__type__"} for one in updates)


def lines(figure: Any) -> list[str]:
    """The runs that a figure names in its legend."""
    return [trace.name for trace in figure.data if trace.showlegend is not False]


def test_all_runs_are_chosen_and_drawn_when_the_tab_is_opened(service: Service) -> None:
    choices, timer, signature, status, *figures, settings = training_tab.open_runs(service, NAME, *CONTROLS)
    assert choices["value"] == RUNS
    assert timer.active is False
    assert signature[0] == NAME
    assert "Base stopped early after 480 steps" in status
    assert [lines(figure) for figure in figures] == [["Base", "LoRA", "Prompt tuning"]] * len(CURVES)
    assert "rank" in settings


def test_only_the_runs_that_are_chosen_are_drawn(service: Service) -> None:
    status, *figures, settings = training_tab.draw(service, NAME, ["lora"], "epoch", 0.0, True)
    assert "LoRA" in status
    assert "Base" not in status
    assert lines(figures[0]) == ["LoRA"]
    assert figures[0].layout.yaxis.type == "log"
    assert "Choose two finished runs" in settings
    status, *figures, _settings = training_tab.draw(service, NAME, [], *CONTROLS)
    assert "No run is chosen." in status
    assert figures == [None] * len(CURVES)


def test_a_run_that_goes_on_is_looked_at_again_and_one_that_begins_joins_what_is_chosen(
    service: Service, tmp_path: Path
) -> None:
    _, _, seen, *_ = training_tab.open_runs(service, NAME, *CONTROLS)
    assert skipped(training_tab.refresh(service, seen, NAME, ["lora"], *CONTROLS))
    shown.write_log(tmp_path / NAME / "ia3", steps=100)
    choices, timer, signature, status, *_ = training_tab.refresh(service, seen, NAME, ["lora"], *CONTROLS)
    assert choices["value"] == ["lora", "ia3"]  # what had been taken away does not come back
    assert timer.active is True
    assert signature != seen
    assert "IA³ is not finished: 100 steps" in status


def test_a_backbone_without_runs_says_which_command_makes_one(service: Service) -> None:
    status, *figures, _ = training_tab.open_runs(service, "bert-tiny", *CONTROLS)[3:]
    assert "python -m train.lora --backbone bert-tiny --train-file wiki.json" in status
    assert figures == [None] * len(CURVES)


def test_another_backbone_is_read_only_once_the_tab_was_opened(service: Service) -> None:
    unseen = training_tab.reopen(service, None, NAME, *CONTROLS)
    assert len(unseen) == training_tab.SHOWN
    assert skipped(unseen)
    assert training_tab.reopen(service, [NAME, []], NAME, *CONTROLS)[0]["value"] == RUNS
