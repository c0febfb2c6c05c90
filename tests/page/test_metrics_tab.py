"""What the controls of the Metrics tab do, and its `/metrics` endpoint; `test_browser_tabs.py` walks the tab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare.inference.engine import Engine
from qa_compare.page import results_tab
from qa_compare.page.results_tab import CALIBRATED, UNCALIBRATED
from qa_compare.workbench.service import Service
from tests import shown

NAME = "minilm-l6"
LABELS = ["Base", "LoRA", "Prompt tuning"]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    shown.write_all(tmp_path, NAME)
    return Service({name: Engine(name, adapters=tmp_path, precision="fp32") for name in (NAME, "bert-tiny")}, NAME)


def skipped(updates: list[Any]) -> bool:
    return all(isinstance(one, dict) and set(one) == {"__type__"} for one in updates)


def names(figure: Any) -> list[str]:
    return [trace.name for trace in figure.data if trace.name]


def test_everything_that_was_measured_is_shown_and_the_pairs_follow(service: Service) -> None:
    head, box, bars, parameters, reliability, calibration, gaps, slices, efficiency, steps, pairs = results_tab.show(
        service, NAME, CALIBRATED, "question word"
    )
    assert box["visible"] is True
    assert "river.json: 200 questions. Scores in percent" in head
    assert names(bars) == names(parameters) == LABELS
    assert names(reliability) == ["as sure as right", *LABELS]
    assert "Calibration error" in calibration
    assert "why" in slices
    assert gaps.data
    assert efficiency.data
    assert steps.data
    assert "Comparing every two variants" in pairs
    assert results_tab.show_pairs(service, NAME).count("<li>") == 3


def test_a_backbone_that_was_not_measured_says_which_command_does_it(service: Service) -> None:
    head, box, *rest = results_tab.show(service, "bert-tiny", CALIBRATED, "question word")
    assert "No variant of bert-tiny has been measured yet: python -m qa_compare evaluate" in head
    assert box["visible"] is False
    assert not any(rest)
    assert "No two variants have left predictions" in results_tab.show_pairs(service, "bert-tiny")


def test_confidence_and_the_kind_of_slices_change_their_own_parts(service: Service) -> None:
    before, after = (results_tab.show_reliability(service, NAME, how) for how in (UNCALIBRATED, CALIBRATED))
    assert before.data[1].y != after.data[1].y
    gaps, slices = results_tab.show_slices(service, NAME, "article")
    assert "&lt;b&gt;Markup&lt;/b&gt; &amp; a title that is far too long" in slices
    assert "<b>Markup" not in slices
    assert len(gaps.data) > len(LABELS)


def test_another_backbone_is_read_only_once_the_tab_was_opened(service: Service) -> None:
    inputs = (NAME, CALIBRATED, "article")
    assert len(results_tab.show_again(service, False, *inputs)) == results_tab.SHOWN
    assert skipped(results_tab.show_again(service, False, *inputs))
    assert "200 questions" in results_tab.show_again(service, True, *inputs)[0]
    assert skipped([results_tab.show_pairs_again(service, False, NAME)])
    assert "<li>" in results_tab.show_pairs_again(service, True, NAME)


def test_the_endpoint_gives_all_of_it_as_json_and_knows_its_backbones(service: Service) -> None:
    ask = results_tab.endpoint(service)
    found = ask(NAME)
    assert [one["label"] for one in found["variants"]] == LABELS
    assert found["variants"][0]["metrics"]["f1"]["value"] == shown.F1["base"]
    assert len(found["pairs"]) == 3
    assert found["problems"] == []
    json.dumps(found, allow_nan=False)
    for other in ("river", 5, None):
        with pytest.raises(gr.Error, match="There is no backbone"):
            ask(other)
