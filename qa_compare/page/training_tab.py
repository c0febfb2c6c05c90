"""The Training curves tab: what the runs of a backbone have logged. Components and wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from qa_compare.page import components, plots
from qa_compare.page.components import PRIVATE, chart, html, section
from qa_compare.runs import curves
from qa_compare.runs.curves import AXES, CURVES, Curve, Trail
from qa_compare.workbench.service import Service

REFRESH = 5.0  # seconds between two looks at a run that is still going
_FAINT, _MARKED, _SCHEDULED = "Faint: as logged.", "★ best checkpoint, ✕ early stop.", "As scheduled."
SHOWN = len(CURVES) + 5  # components that `open_runs` fills
_AXES = [(words.split(" ", 1)[0], axis) for axis, words in AXES.items()]


def build(service: Service, backbone: gr.Dropdown, tab: gr.Tab) -> None:
    """Lay it out inside `tab`. Logs are read when the tab is opened, and again while a run goes on."""
    seen = gr.State(None)
    timer = gr.Timer(REFRESH, active=False)
    with gr.Row(elem_id="curve-controls"):
        runs = gr.CheckboxGroup([], label="Runs", elem_id="runs")
        axis = gr.Radio(_AXES, value="step", label="Against")
        smoothing = gr.Slider(0, 0.95, value=0.6, step=0.05, label="Smoothing of training loss")
        logarithmic = gr.Checkbox(False, label="Logarithmic losses, learning rate")
    status = html("", "runs-status")
    with gr.Row(elem_classes="charts", equal_height=True, elem_id="curve-figures"):
        figures = [chart(curve.title, _note(curve)) for curve in CURVES]
    section("In what the runs differ", "Only the settings that are not the same in all of the chosen runs.")
    settings = html("", "settings")

    drawn = [status, *figures, settings]
    controls = [backbone, runs, axis, smoothing, logarithmic]
    everything = [runs, timer, seen, *drawn]
    tab.select(partial(open_runs, service), [backbone, axis, smoothing, logarithmic], everything, **PRIVATE)
    backbone.change(partial(reopen, service), [seen, backbone, axis, smoothing, logarithmic], everything, **PRIVATE)
    for changed in (runs.input, axis.input, smoothing.release, logarithmic.input):
        changed(partial(draw, service), controls, drawn, **PRIVATE)
    timer.tick(partial(refresh, service), [seen, *controls], everything, **PRIVATE)


def _note(curve: Curve) -> str:
    if curve.noisy:
        return _FAINT
    return _MARKED if curve.evaluated else _SCHEDULED


Updates = list[Any]


def _trails(service: Service, backbone: str) -> tuple[tuple[Trail, ...], tuple[str, ...]]:
    engine = service.engines[backbone]
    return curves.trails(engine.source, engine.adapters)


def _signature(service: Service, backbone: str) -> Any:
    engine = service.engines[backbone]
    return [backbone, curves.signature(engine.source, engine.adapters)]


def open_runs(service: Service, backbone: str, axis: str, smoothing: float, logarithmic: bool) -> Updates:
    """All runs of a backbone, all chosen."""
    signature = _signature(service, backbone)
    found, problems = _trails(service, backbone)
    choices = gr.update(choices=[(one.label, one.name) for one in found], value=[one.name for one in found])
    timer = gr.Timer(active=any(one.going for one in found))
    return [choices, timer, signature, *_draw(backbone, found, found, problems, axis, smoothing, logarithmic)]


def reopen(service: Service, seen: Any, *controls: Any) -> Updates:
    """The runs of a newly chosen backbone, unless the tab was never opened."""
    return open_runs(service, *controls) if seen else [gr.skip()] * SHOWN


def draw(service: Service, backbone: str, runs: list[str], axis: str, smoothing: float, logarithmic: bool) -> Updates:
    """The chosen runs' curves."""
    found, problems = _trails(service, backbone)
    chosen = [one for one in found if one.name in runs]
    return _draw(backbone, found, chosen, problems, axis, smoothing, logarithmic)


def refresh(service: Service, seen: Any, backbone: str, runs: list[str], *controls: Any) -> Updates:
    """The curves anew where something was logged since they were drawn; a run that has just begun joins them."""
    signature = _signature(service, backbone)
    if signature == seen:
        return [gr.skip()] * SHOWN
    found, _ = _trails(service, backbone)
    known = {str(entry[0]).split("/")[-2] for entry in seen[1]} if seen else set()
    chosen = [one.name for one in found if one.name in runs or one.name not in known]
    choices = gr.update(choices=[(one.label, one.name) for one in found], value=chosen)
    timer = gr.Timer(active=any(one.going for one in found))
    return [choices, timer, signature, *draw(service, backbone, chosen, *controls)]


def _draw(
    backbone: str,
    found: Sequence[Trail],
    chosen: Sequence[Trail],
    problems: Sequence[str],
    axis: str,
    smoothing: float,
    logarithmic: bool,
) -> Updates:
    lines = curves.described(chosen)
    if not found:
        command = f"python -m train.lora --backbone {backbone} --train-file wiki.json"
        lines = [f"No training run of {backbone} is recorded here: {command} makes one, and its curves appear here"]
    elif not chosen:
        lines = ["No run is chosen"]
    figures = [
        plots.curve(chosen, one, axis, smoothing=smoothing, logarithmic=logarithmic)
        if any(getattr(event, one.field) is not None for trail in chosen for event in trail.events)
        else None
        for one in CURVES
    ]
    status = components.notes(lines) + components.notes(problems, failed=True)
    return [status, *figures, _settings(chosen)]


def _settings(chosen: Sequence[Trail]) -> str:
    made = curves.differences(chosen)
    if made is None:
        return components.notes(["Choose two finished runs to see in what they differ"])
    if not made.rows:
        return components.notes(["These runs have the same settings"])
    return components.table(made, "Settings in which the runs differ")
