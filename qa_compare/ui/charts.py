"""The parts that tabs with charts are made of."""

from __future__ import annotations

import gradio as gr

from qa_compare.ui import tables


def section(title: str, note: str = "") -> None:
    """A heading."""
    gr.HTML(tables.heading(title, note), elem_classes="section", apply_default_css=False)


def text(name: str) -> gr.HTML:
    """A place for HTML that an event fills."""
    return gr.HTML("", elem_id=name, apply_default_css=False)


def chart(title: str, note: str = "") -> gr.Plot:
    """A heading with a figure below it; the style sheet hides both as long as there is no figure."""
    with gr.Column(elem_classes=["chart", "optional"]):
        section(title, note)
        return gr.Plot(show_label=False, container=False)
