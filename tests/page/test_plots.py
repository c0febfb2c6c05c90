"""The figures show the numbers of the tables, in the variants' colours, with labelled axes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qa_compare.models.backbones import Backbone
from qa_compare.page import plots
from qa_compare.page.theme import colour
from qa_compare.runs.curves import AXES, CURVES, trails
from qa_compare.runs.overview import Overview, Slice, read_overview, slices
from tests import shown

RIVER = Backbone("river-bert", "River", "")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    shown.write_all(folder)
    return folder


@pytest.fixture(scope="module")
def found(adapters: Path) -> Overview:
    return read_overview(RIVER, adapters)


def traces(figure: Any) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in json.loads(figure.to_json())["data"] if trace.get("showlegend", True)}


def every_figure(found: Overview, adapters: Path) -> list[Any]:
    assert found.sample_efficiency
    assert found.ablation
    variants = [one for one, _ in found.comparable]
    runs, _ = trails(RIVER, adapters)
    return [
        plots.score_bars(found),
        plots.f1_by_parameters(found),
        plots.reliability(found, calibrated=True),
        plots.slice_gaps(slices(found, "article"), variants),
        plots.sample_efficiency(found.sample_efficiency),
        plots.ablation(found.ablation),
        *(plots.curve(runs, one, axis, smoothing=0.6, logarithmic=True) for one in CURVES for axis in AXES),
    ]


def test_every_figure_is_transparent_of_plain_traces_and_has_a_labelled_axis(found: Overview, adapters: Path) -> None:
    for figure in every_figure(found, adapters):
        made = json.loads(figure.to_json())
        assert {trace["type"] for trace in made["data"]} <= {"bar", "scatter"}
        layout = made["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert layout["xaxis"]["title"]["text"] or layout["yaxis"]["title"]["text"]
        assert layout["dragmode"] is False


def test_bars_have_scores_intervals_and_the_variants_colours(found: Overview) -> None:
    bar = traces(plots.score_bars(found))["LoRA"]
    assert bar["y"] == pytest.approx([60.1, 72.1])
    assert bar["error_y"]["array"] == pytest.approx([1.2, 1.2])
    assert bar["error_y"]["arrayminus"] == pytest.approx([1.2, 1.2])
    assert bar["marker"]["color"] == colour("lora").chart


def test_f1_stands_over_the_trained_parameters_on_a_logarithmic_axis(found: Overview) -> None:
    figure = plots.f1_by_parameters(found)
    assert figure.layout.xaxis.type == "log"
    low, high = figure.layout.xaxis.range
    for name, count in (("Prompt tuning", 8_450), ("LoRA", 664_322)):
        assert traces(figure)[name]["x"] == [count]
        assert 10**low < count < 10**high


def test_reliability_is_drawn_before_or_after_calibration(found: Overview) -> None:
    after, before = (traces(plots.reliability(found, calibrated=one))["Base"] for one in (True, False))
    assert after["x"] == before["x"] == [10, 30, 50, 70, 90]
    assert after["y"] == [8, 28, 48, 68, 88]
    assert before["y"] == [1, 21, 41, 61, 81]


def test_slices_have_the_largest_gap_on_top_and_names_are_no_markup(found: Overview) -> None:
    variants = [one for one, _ in found.comparable]
    parts = [Slice(f"part {gap}", 10, {"base": 50.0, "lora": 50.0 + gap}) for gap in range(30, 0, -1)]
    figure = plots.slice_gaps(parts, variants)
    assert len(figure.layout.yaxis.ticktext) == plots.MOST_SLICES
    assert figure.layout.yaxis.ticktext[-1] == "part 30"
    assert max(traces(figure)["LoRA"]["x"]) == 80.0
    named = plots.slice_gaps(slices(found, "article"), variants).layout.yaxis.ticktext
    assert set(named) == {"Super Bowl 50", "&lt;b>Markup&lt;/b> & a tit…"}


def test_sample_efficiency_parts_the_longer_runs_and_levels_the_base(found: Overview) -> None:
    assert found.sample_efficiency
    drawn = traces(plots.sample_efficiency(found.sample_efficiency))
    assert drawn["LoRA"]["x"] == [250, 1_000, 4_000]
    assert drawn["LoRA, 1,200 steps"]["x"] == [4_000]
    assert drawn["Base"]["y"] == [61.0, 61.0]


def test_the_ablations_steps_keep_their_order_and_lack_what_means_nothing(found: Overview) -> None:
    assert found.ablation
    figure = plots.ablation(found.ablation)
    steps = ["as written", "segments", "labels", "positions", "joint spans", "all windows"]
    assert list(figure.layout.xaxis.categoryarray) == steps
    assert traces(figure)["LoRA"]["x"] == [step for step in steps if step not in ("labels", "positions")]


def test_a_smoothed_loss_keeps_its_raw_line_faint_and_evaluations_stay_as_they_are(adapters: Path) -> None:
    runs, _ = trails(RIVER, adapters)
    loss, evaluated = CURVES[0], CURVES[1]
    smoothed = json.loads(plots.curve(runs[:1], loss, "step", smoothing=0.6).to_json())["data"]
    raw = json.loads(plots.curve(runs[:1], loss, "step").to_json())["data"]
    assert len(smoothed) == len(raw) + 1 == 2
    assert smoothed[0]["opacity"] < 0.5
    assert smoothed[0]["y"] == raw[0]["y"] != smoothed[1]["y"]
    assert plots.curve(runs, evaluated, "step", smoothing=0.6) == plots.curve(runs, evaluated, "step")


def test_the_legend_of_many_runs_does_not_take_the_place_of_their_curves(adapters: Path) -> None:
    runs, _ = trails(RIVER, adapters)
    few, many = (plots.curve(chosen, CURVES[1], "step").layout.height for chosen in (runs[:1] * 3, runs[:1] * 7))
    assert many >= few + 4 * 14  # pixels


def test_the_best_checkpoint_is_a_star_and_the_early_stop_a_cross(adapters: Path) -> None:
    runs, _ = trails(RIVER, adapters)
    data = json.loads(plots.curve(runs, CURVES[3], "step").to_json())["data"]
    symbols = [(trace["name"], trace["marker"]["symbol"]) for trace in data if "symbol" in trace.get("marker", {})]
    assert symbols[:2] == [("Base, best checkpoint", "star"), ("Base, early stop", "x")]
    assert len(symbols) == 4


@pytest.mark.parametrize("one", CURVES, ids=lambda one: one.field)
def test_a_logarithmic_axis_is_for_losses_and_rates(adapters: Path, one: Any) -> None:
    runs, _ = trails(RIVER, adapters)
    figure = plots.curve(runs, one, "epoch", logarithmic=True)
    assert (figure.layout.yaxis.type == "log") is one.may_be_logarithmic
