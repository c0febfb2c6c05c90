"""Tables and curves -> plotly figures: transparent, in the variants' colours, with labelled axes.

Only plain scatter and bar traces, which plotly.js 3 draws too. The colours of text and grid are the style sheet's,
since the figures do not know whether the page is light or dark; what stands here is for a figure that is shown alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from qa_compare.models.variants import LABELS
from qa_compare.page.theme import colour
from qa_compare.runs.curves import AXES, Curve, Trail, marks, points, smooth
from qa_compare.runs.overview import Measured, Overview, Slice
from qa_compare.runs.records import Estimate, Experiment, Result

INK, LINE = "#7C8695", "rgba(124, 134, 149, 0.25)"
MOST_SLICES = 16  # in the chart; the table has them all
_LONGEST_NAME = 22
_SYMBOLS = {"best checkpoint": "star", "early stop": "x"}


def _figure(x: str, y: str, height: int = 340, **layout: Any) -> go.Figure:
    """An empty figure with its axes' titles. Nothing is dragged or zoomed: a finger scrolls the page."""
    titles = [{"text": text, "font": {"size": 13}} for text in (x, y)]
    axis = {"gridcolor": LINE, "linecolor": LINE, "zeroline": False, "automargin": True, "fixedrange": True}
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        dragmode=False,
        xaxis={"title": titles[0], **axis},
        yaxis={"title": titles[1], **axis},
        **layout,
    )
    return figure


def _errors(found: Sequence[Estimate], ink: str = INK) -> dict[str, Any]:
    """95 % intervals, which need not be symmetric. On a bar they are in ink, at a point in its own colour."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [one.high - one.value for one in found],
        "arrayminus": [one.value - one.low for one in found],
        "color": ink,
        "thickness": 1.5,
        "width": 4,
    }


def score_bars(found: Overview) -> go.Figure:
    """Exact match and F1 of every comparable variant, with intervals."""
    figure = _figure("", "Score, %", barmode="group", bargap=0.3, bargroupgap=0.08)
    for one, scored in found.comparable:
        both = [scored.exact_match, scored.f1]
        figure.add_bar(
            name=one.label,
            x=["Exact match", "F1"],
            y=[score.value for score in both],
            error_y=_errors(both),
            marker={"color": colour(one.name).chart},
            customdata=[[score.low, score.high] for score in both],
            hovertemplate="%{y:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]",
        )
    figure.update_yaxes(range=[0, 100])
    return figure


def f1_by_parameters(found: Overview) -> go.Figure:
    """F1 against the number of trained parameters, for the variants whose training is recorded."""
    figure = _figure("Trained parameters (logarithmic)", "F1, %")
    for one, scored in found.comparable:
        if one.run:
            figure.add_scatter(
                name=one.label,
                x=[one.run.trainable_parameters],
                y=[scored.f1.value],
                error_y=_errors([scored.f1], colour(one.name).chart),
                mode="markers",
                marker={"color": colour(one.name).chart, "size": 13},
                hovertemplate="%{x:,} parameters: F1 %{y:.1f} %",
            )
    counts = [one.run.trainable_parameters for one, _ in found.comparable if one.run]
    figure.update_xaxes(type="log", dtick=1, exponentformat="SI")
    if counts:  # a single count would be drawn on an axis without a tick
        figure.update_xaxes(range=[len(str(min(counts))) - 1.2, len(str(max(counts))) + 0.2])
    return figure


def reliability(found: Overview, *, calibrated: bool) -> go.Figure:
    """Accuracy against confidence in bins of equally many questions; on the diagonal, confidence means what it says."""
    figure = _figure("Confidence, %", "Exact match, %")
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": INK, "dash": "dot", "width": 1.5}, hoverinfo="skip",
        name="as sure as right",
    )  # fmt: skip
    for one, scored in found.comparable:
        error = scored.calibration.after if calibrated else scored.calibration.before
        figure.add_scatter(
            name=one.label,
            x=[part.confidence for part in error.reliability],
            y=[part.accuracy for part in error.reliability],
            customdata=[part.count for part in error.reliability],
            mode="lines+markers",
            line={"color": colour(one.name).chart, "width": 2},
            hovertemplate="%{x:.0f} % sure, %{y:.0f} % right (%{customdata:,} questions)",
        )
    figure.update_xaxes(range=[-2, 102], dtick=20)
    figure.update_yaxes(range=[-2, 102], dtick=20)
    return figure


def slice_gaps(parts: Sequence[Slice], shown: Sequence[Measured]) -> go.Figure:
    """F1 by slice, a dot a variant, those with the largest gap on top; at most `MOST_SLICES`."""
    drawn = list(reversed(parts[:MOST_SLICES]))
    figure = _figure("F1, %", "", height=110 + 30 * len(drawn))
    places = list(range(len(drawn)))  # two long names may be cut to the same
    for place, part in zip(places, drawn, strict=True):
        ends = [min(part.f1.values()), max(part.f1.values())]
        figure.add_scatter(
            x=ends, y=[place] * 2, mode="lines", line={"color": LINE, "width": 5}, hoverinfo="skip", showlegend=False
        )
    for one in shown:
        had = [(place, part) for place, part in zip(places, drawn, strict=True) if one.name in part.f1]
        figure.add_scatter(
            name=one.label,
            x=[part.f1[one.name] for _, part in had],
            y=[place for place, _ in had],
            customdata=[[_plain(part.name), part.questions] for _, part in had],
            mode="markers",
            marker={"color": colour(one.name).chart, "size": 11},
            hovertemplate="%{customdata[0]}: %{x:.1f} % (%{customdata[1]:,} questions)",
        )
    names = [_cut(part.name) for part in drawn]
    figure.update_yaxes(tickvals=places, ticktext=names, range=[-0.6, len(drawn) - 0.4], showgrid=False)
    return figure


def _cut(name: str) -> str:
    short = name.replace("_", " ")
    short = short if len(short) <= _LONGEST_NAME else f"{short[: _LONGEST_NAME - 1]}…"
    return _plain(short)


def _plain(text: str) -> str:
    """Plotly reads a little HTML in any text."""
    return text.replace("<", "&lt;")


def sample_efficiency(found: Experiment) -> go.Figure:
    """F1 against the number of training questions, a line a method at its usual steps, longer runs as open diamonds;
    the base as a level line."""
    figure = _figure("Training questions (logarithmic)", "F1, %")
    trained = [row for row in found.results if row.train_questions and row.steps]
    counts = [row.train_questions for row in trained if row.train_questions]
    usual = min((row.steps for row in trained if row.steps), default=0)
    for method in found.methods:
        rows = sorted(
            (row for row in trained if row.method == method and row.steps == usual),
            key=lambda row: row.train_questions or 0,
        )
        if rows:
            figure.add_scatter(mode="lines+markers", **_efficiency(rows, method, LABELS.get(method, method)))
        longer = [row for row in trained if row.method == method and row.steps != usual]
        if longer:
            named = _efficiency(longer, method, f"{LABELS.get(method, method)}, {longer[0].steps:,} steps")
            diamond = {"symbol": "diamond-open", "size": 12, "color": colour(method).chart}
            figure.add_scatter(mode="markers", marker=diamond, **named)
    for row in found.results:
        if not row.train_questions and counts:
            figure.add_scatter(
                name=LABELS.get(row.method, row.method),
                x=[min(counts), max(counts)],
                y=[row.f1.value] * 2,
                mode="lines",
                line={"color": colour(row.method).chart, "dash": "dash", "width": 2},
                hovertemplate="not trained further: %{y:.1f} %",
            )
    figure.update_xaxes(type="log", tickvals=sorted(set(counts)), ticktext=[f"{n:,}" for n in sorted(set(counts))])
    return figure


def _efficiency(rows: Sequence[Result], method: str, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "x": [row.train_questions for row in rows],
        "y": [row.f1.value for row in rows],
        "error_y": _errors([row.f1 for row in rows], colour(method).chart),
        "line": {"color": colour(method).chart, "width": 2},
        "hovertemplate": "%{x:,} questions: F1 %{y:.1f} %",
    }


def ablation(found: Experiment) -> go.Figure:
    """F1 after each repair, added to those before it; a step that means nothing to a method has no bar of it."""
    figure = _figure("", "F1, %", barmode="group", bargap=0.25)
    for method in found.methods:
        rows = [row for row in found.results if row.method == method]
        figure.add_bar(
            name=LABELS.get(method, method),
            x=[row.step for row in rows],
            y=[row.f1.value for row in rows],
            error_y=_errors([row.f1 for row in rows]),
            marker={"color": colour(method).chart},
            hovertemplate="%{x}: F1 %{y:.1f} %",
        )
    figure.update_xaxes(categoryorder="array", categoryarray=found.steps)
    return figure


def curve(
    chosen: Sequence[Trail], shown: Curve, axis: str, *, smoothing: float = 0.0, logarithmic: bool = False
) -> go.Figure:
    """One quantity of several runs; where it is noisy it is smoothed, and the raw line stays, faint."""
    title = f"{shown.title}, {shown.unit}" if shown.unit else shown.title
    figure = _figure(AXES[axis], title, height=300 + 16 * max(0, len(chosen) - 3))  # room for the legend's lines
    for trail in chosen:
        x, y = points(trail, shown.field, axis)
        ink = colour(trail.name).chart
        named = {"name": trail.label, "showlegend": bool(x), "line": {"color": ink, "width": 2}}
        amount = smoothing if shown.noisy else 0.0
        if amount:
            faint = {"color": ink, "width": 1}
            figure.add_scatter(x=x, y=y, mode="lines", line=faint, opacity=0.4, hoverinfo="skip", showlegend=False)
        mode = "lines+markers" if shown.evaluated else "lines"
        figure.add_scatter(x=x, y=smooth(y, amount), mode=mode, hovertemplate="%{y:.4~g}", **named)
        for mark in marks(trail, shown.field, axis) if shown.evaluated else ():
            figure.add_scatter(
                x=[mark.x], y=[mark.y], mode="markers", name=f"{trail.label}, {mark.meaning}", showlegend=False,
                marker={"color": ink, "size": 12, "symbol": _SYMBOLS[mark.meaning], "line": {"color": INK, "width": 1}},
                hovertemplate="%{y:.4~g}",
            )  # fmt: skip
    if shown.field == "learning_rate":
        figure.update_yaxes(tickformat="~e")
    if logarithmic and shown.may_be_logarithmic:
        figure.update_yaxes(type="log", dtick="D2")
    return figure
