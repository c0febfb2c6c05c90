"""The page as a whole: its head, the backbone picker, a tab for each room, and the endpoints for programs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.events import api

from qa_compare.page import endpoints, results_tab, theme, training_tab, your_data_tab
from qa_compare.page import errors_tab as errors
from qa_compare.page.compare import cards, compare_tab
from qa_compare.page.components import PRIVATE, html
from qa_compare.page.stopping import LOOKS, REQUESTS
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.batch import Batches
from qa_compare.workbench.service import Service

TITLE = "QA Compare"
_HEAD = f"""
<h1>{TITLE}</h1>
<p>One question about one passage, answered by the same model before and after tuning.</p>
"""
MAX_QUEUE = 64
# seconds: every five minutes, what visitors brought or took home goes once it is 55 minutes old; all at the end
TIDY = (300, 3_300)
# all that use the models take turns: two at once would only slow each other down
BUSY: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": 1}
# programs keep no session whose events must follow each other: their questions join in one forward pass
COMPARISONS: dict[str, Any] = {"concurrency_id": "comparisons", "concurrency_limit": 4}


def build_page(service: Service, inspector: Inspector | None = None) -> gr.Blocks:
    """The page; `launch_options` has the rest of its looks. Raises UserError where the built-in sample is missing."""
    inspector, batches = inspector or Inspector(service), Batches(service)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=TIDY) as page:
        with gr.Row(elem_id="head"):
            html(_HEAD, "title")
            with gr.Column(min_width=300):
                backbone = gr.Dropdown(**backbones(service), label="Backbone", filterable=False)
                about = backbone_note(service, service.backbone)
                note = html(about, "backbone-note")
        with gr.Tabs() as tabs:
            with gr.Tab("Compare", id="compare"):
                opened = compare_tab.build(page, inspector, backbone, BUSY)
            with gr.Tab("Metrics", id="metrics") as metrics_tab:
                results_tab.build(service, backbone, metrics_tab)
            with gr.Tab("Training curves", id="curves") as curves_tab:
                training_tab.build(service, backbone, curves_tab)
            with gr.Tab("Error inspection", id="errors") as errors_tab:
                errors.build(page, inspector, backbone, errors_tab, tabs, opened)
            with gr.Tab("Batch", id="batch"):
                batch_variants = your_data_tab.build(page, batches, backbone)
        backbone.change(partial(backbone_note, service), backbone, note, **PRIVATE)
        page.load(partial(listed_anew, batches, listed(batches)), None, [backbone, note, batch_variants], **PRIVATE)
        api(endpoints.compare_endpoint(service), api_name="compare", **COMPARISONS)
        api(endpoints.errors_endpoint(inspector), api_name="errors", **LOOKS)
        api(endpoints.batch_endpoint(page, service), api_name="predict_batch", **REQUESTS)
    # nobody goes past the queue: a direct call would take no turn
    return page.queue(max_size=MAX_QUEUE, api_open=False)


def listed(batches: Batches) -> list[dict[str, Any]]:
    """What the backbone picker, its note and the batch's variants hold when the page opens."""
    service = batches.service
    note = {"value": backbone_note(service, service.backbone)}
    return [backbones(service), note, your_data_tab.choices(batches, service.backbone)]


def listed_anew(batches: Batches, built: Sequence[dict[str, Any]]) -> list[Any]:
    """The same for a page that is loaded now, where folders have come or gone since it was `built`."""
    batches.service.look_again()
    now = listed(batches)
    return [gr.skip() if one == before else gr.update(**one) for one, before in zip(now, built, strict=True)]


def launch_options() -> dict[str, Any]:
    """What Gradio takes at launch rather than when the page is built."""
    return {
        "theme": theme.theme(),
        # in the head, since what is given as `css` is taken apart and put together again, and not all of it survives
        "head": f"<style>{theme.css()}</style>",
        "footer_links": ["api"],
        "run_history": False,
    }


def backbones(service: Service) -> dict[str, Any]:
    """Choices and value of the backbone picker; each says whether it is at hand."""
    ready = {True: "ready", False: "not ready"}
    choices = [
        (f"{engine.source.label} · {ready[service.readiness(name).ready]}", name)
        for name, engine in service.engines.items()
    ]
    return {"choices": choices, "value": service.backbone}


def backbone_note(service: Service, name: str) -> str:
    """What a backbone is or, where it is not at hand, what it would take."""
    availability = service.readiness(name)
    return cards.notice(availability.detail if availability.ready else f"Not ready: {availability.detail}")
