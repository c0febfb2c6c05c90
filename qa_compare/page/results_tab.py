"""The Metrics tab: what was measured of a backbone's variants. Components and wiring only."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import api

from qa_compare.errors import quoted
from qa_compare.measure.slices import SLICE_KINDS
from qa_compare.page import components, plots
from qa_compare.page.compare import cards
from qa_compare.page.components import PRIVATE, chart, html, section
from qa_compare.runs import overview
from qa_compare.runs.overview import Overview
from qa_compare.runs.records import intervals
from qa_compare.workbench.service import Service

CALIBRATED, UNCALIBRATED = "calibrated", "as the model has it"
SHOWN = 11  # components that `show` fills
_COMPARING = '<p class="notice">Comparing every two variants…</p>'


def build(service: Service, backbone: gr.Dropdown, tab: gr.Tab) -> None:
    """Lay it out inside `tab`. Files are read when the tab is opened, and for each backbone chosen after that."""
    opened = gr.State(False)
    scores = html("", "scores")
    with gr.Column(visible=False, elem_classes="measured") as measured:
        with gr.Row(elem_classes="charts", equal_height=True):
            bars = chart("Scores", "With the 95 % intervals of the table.")
            parameters = chart("What the parameters buy", "F1 against the number of trained parameters.")
        section("Who is ahead", "Every two variants on the same questions.")
        pairs = html("", "pairs")
        with gr.Row(elem_classes="charts", equal_height=True):
            confidence, reliability, calibration = _sureness()
            kind, gaps, slices = _kinds()
        with gr.Row(elem_classes="charts", equal_height=True):
            note = "F1 on the same questions, after equally many steps; diamonds: more steps."
            efficiency = chart("How much data each method needs", note)
            ablation = chart("What each repair is worth", "The report's procedure, and one repair after another added.")

    fill: dict[str, Any] = {
        "fn": partial(show, service),
        "inputs": [backbone, confidence, kind],
        "outputs": [
            scores, measured, bars, parameters, reliability, calibration, gaps, slices, efficiency, ablation, pairs,
        ],
        **PRIVATE,
    }  # fmt: skip
    compare: dict[str, Any] = {"fn": partial(show_pairs, service), "inputs": backbone, "outputs": pairs, **PRIVATE}
    tab.select(lambda: True, None, opened, **PRIVATE)
    tab.select(**fill).then(**compare)
    chosen = backbone.change(partial(show_again, service), [opened, *fill["inputs"]], fill["outputs"], **PRIVATE)
    chosen.then(partial(show_pairs_again, service), [opened, backbone], pairs, **PRIVATE)
    confidence.input(partial(show_reliability, service), [backbone, confidence], reliability, **PRIVATE)
    kind.input(partial(show_slices, service), [backbone, kind], [gaps, slices], **PRIVATE)
    api(endpoint(service), api_name="metrics")


def _sureness() -> tuple[gr.Radio, gr.Plot, gr.HTML]:
    with gr.Column(elem_classes="chart"):
        section("Is it as right as it is sure?", "Bins of equally many questions. On the dotted line, it is.")
        confidence = gr.Radio([CALIBRATED, UNCALIBRATED], value=CALIBRATED, label="Confidence")
        return confidence, gr.Plot(show_label=False, container=False), html("", "calibration")


def _kinds() -> tuple[gr.Radio, gr.Plot, gr.HTML]:
    with gr.Column(elem_classes="chart"):
        section("Where they differ", "F1 by kind of question, the largest gap between variants first.")
        kind = gr.Radio(list(SLICE_KINDS), value=SLICE_KINDS[0], label="Slices by")
        return kind, gr.Plot(show_label=False, container=False), html("", "slices")


def _read(service: Service, backbone: str) -> Overview:
    """What lies on disk now of the backbone's variants."""
    engine = service.engines[backbone]
    return overview.read_overview(engine.source, engine.adapters)


def show(service: Service, backbone: str, confidence: str, kind: str) -> list[Any]:
    """Everything but the pairs, which take longer. Charts that there are no figures for stay empty, and hidden."""
    found = _read(service, backbone)
    shown = bool(found.comparable)
    efficiency = plots.sample_efficiency(found.sample_efficiency) if found.sample_efficiency else None
    steps = plots.ablation(found.ablation) if found.ablation else None
    if not shown:
        gone = [None] * 3 + [""]
        return [head(found), gr.update(visible=bool(efficiency or steps)), *gone, None, "", efficiency, steps, ""]
    return [
        head(found),
        gr.update(visible=True),
        plots.score_bars(found),
        plots.f1_by_parameters(found),
        plots.reliability(found, calibrated=confidence == CALIBRATED),
        components.table(overview.calibration(found), "Calibration error by variant"),
        *_slices(found, kind),
        efficiency,
        steps,
        _COMPARING,
    ]


def show_again(service: Service, opened: bool, *inputs: str) -> list[Any]:
    """The same for a newly chosen backbone, or nothing as long as the tab was never opened."""
    return show(service, *inputs) if opened else [gr.skip()] * SHOWN


def head(found: Overview) -> str:
    """The table of scores with what to know of it; before anything was measured, the command that does it."""
    dataset = found.dataset
    if dataset:
        intro = f"{dataset.name}: {dataset.questions:,} questions. Scores in percent."
    else:
        command = f"python -m qa_compare evaluate dev-v1.1.json --backbone {found.backbone} --variant lora --save"
        intro = f"No variant of {found.backbone} has been measured yet: {command} writes its scores into its folder."
    charted = [one for one, _ in found.comparable]
    others = [one.label for one in found.variants if one.metrics and one not in charted]
    lines = [intro, *(dataset.sentences if dataset else ())]
    lines += intervals([(one.label, scored.f1) for one, scored in found.comparable])
    lines += [f"BERTScore {name}: {words}" for name, words in overview.bertscorers(found).items()]
    if others:
        lines.append(f"Measured on other questions, and so in no chart: {', '.join(others)}")
    saved = components.download(f"{found.backbone}-scores.csv", "Scores as CSV", overview.scores_csv(found))
    return (
        f'<div class="title">{components.heading("Scores of all variants")}{saved}</div>'
        f"{components.table(overview.scores(found), 'Scores of all variants and of others')}"
        f"{components.notes(lines)}{_squad2(found)}{components.notes(found.problems, failed=True)}"
    )


def _squad2(found: Overview) -> str:
    rows = [(one.label, one.name, scored.squad2) for one, scored in found.comparable if scored.squad2]
    if not rows:
        return ""
    return components.table(overview.squad2(rows), "SQuAD 2's metric") + components.notes([overview.SQUAD2_NOTE])


def show_reliability(service: Service, backbone: str, confidence: str) -> Any:
    """The reliability diagram, before or after calibration."""
    return plots.reliability(_read(service, backbone), calibrated=confidence == CALIBRATED)


def show_slices(service: Service, backbone: str, kind: str) -> list[Any]:
    """The chart and the table of one kind of slices."""
    return _slices(_read(service, backbone), kind)


def _slices(found: Overview, kind: str) -> list[Any]:
    made = components.table(overview.slice_table(found, kind), f"F1 by {kind}", tall=True)
    saved = components.download(f"{found.backbone}-slices.csv", "All slices as CSV", overview.slices_csv(found))
    parts = overview.slices(found, kind)
    return [plots.slice_gaps(parts, [one for one, _ in found.comparable]), f"{made}{saved}"]


def show_pairs(service: Service, backbone: str) -> str:
    """Who is ahead of whom, in words."""
    made, problems = overview.pairs(_read(service, backbone))
    rows = []
    for pair in made:
        f1, *rest = pair.sentences
        rows.append(f"<li><p>{cards.text(f1)}</p>{components.notes(rest)}</li>")
    if not rows:
        nothing = "No two variants have left predictions on the same questions: evaluate them with --save"
        return components.notes([nothing]) + components.notes(problems, failed=True)
    basis = components.notes(dict.fromkeys(pair.basis for pair in made))
    return f'{basis}<ul class="pairs">{"".join(rows)}</ul>{components.notes(problems, failed=True)}'


def show_pairs_again(service: Service, opened: bool, backbone: str) -> Any:
    """The same for a newly chosen backbone, or nothing as long as the tab was never opened."""
    return show_pairs(service, backbone) if opened else gr.skip()


def endpoint(service: Service) -> Any:
    """The function behind `/metrics`."""

    def metrics(backbone: str) -> dict[str, Any]:
        """What was measured of a backbone's variants, in percent, with 95 % intervals.

        Parameters:
            backbone: its name, such as minilm-l6-qa
        Returns:
            backbone, variants (each with name, label, metrics and run, null where there is none; metrics' intervals are
            over what resampled and units say), pairs (differences with intervals and p-values, those of corrected by
            Holm's method for the number of pairs, and in words) and problems (a sentence for each damaged file)
        """
        if not isinstance(backbone, str) or backbone not in service.engines:  # whatever JSON brings
            raise gr.Error(f"There is no backbone {quoted(backbone)}.", print_exception=False)
        found = _read(service, backbone)
        pairs, problems = overview.pairs(found)
        variants = [
            {
                "name": one.name,
                "label": one.label,
                "metrics": asdict(one.metrics) if one.metrics else None,
                "run": asdict(one.run) if one.run else None,
            }
            for one in found.variants
        ]
        differences = [pair.as_dict() for pair in pairs]
        return {
            "backbone": backbone,
            "variants": variants,
            "pairs": differences,
            "problems": [*found.problems, *problems],
        }

    return metrics
