"""What tabs are made of: places for HTML, headings, figures, and how events that are the page's own are declared."""

from __future__ import annotations

from typing import Any

import gradio as gr

from qa_compare.ui import tables

# an event of the page itself: no endpoint for programs, and nothing that shifts while it goes on. One that comes while
# one like it is under way follows it, with the values of then; by itself Gradio would drop it
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
# the same for a click that brings a value of its own, such as a row: each follows, or Gradio would repeat the first
PICKED: dict[str, Any] = {**PRIVATE, "trigger_mode": "multiple"}


# the same, for a handler that checks what is chosen itself. Gradio would refuse, in words for programmers, what was
# chosen from a list that the server has exchanged since
CHECKED: dict[str, Any] = {**PRIVATE, "preprocess": False}


def html(value: str, name: str, script: str | None = None) -> gr.HTML:
    """HTML that events may fill anew; `script` runs in the browser beside it."""
    return gr.HTML(value, elem_id=name, js_on_load=script, apply_default_css=False)


def section(title: str, note: str = "") -> None:
    """A heading."""
    gr.HTML(tables.heading(title, note), elem_classes="section", apply_default_css=False)


def chart(title: str, note: str = "") -> gr.Plot:
    """A heading with a figure below it; the style sheet hides both as long as there is no figure."""
    with gr.Column(elem_classes=["chart", "optional"]):
        section(title, note)
        return gr.Plot(show_label=False, container=False)
