"""The Metrics and Training curves tabs in a real browser, over a tiny backbone with made-up scores and runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from qa_compare.inference.engine import Engine
from qa_compare.workbench.service import Service
from tests import measured, shown
from tests.conftest import HOST, OpenPage, free_port

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(shown.F1):
        measured.variant(folder, name, seed=seed)
    shown.write_all(folder)
    return folder


@pytest.fixture(scope="module")
def served(adapters: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with two backbones: one that was measured, and one that nothing is known of."""
    from qa_compare.server.serving import Settings, serve

    weights = tmp_path_factory.mktemp("weights")
    measured.backbone(weights)
    engine = Engine(str(weights / "river-bert"), adapters=adapters)
    assert engine.located  # what is asked for by its folder is at hand once it was looked for
    empty = Engine("minilm-l6", adapters=adapters)
    service = Service({"river-bert": engine, "minilm-l6": empty}, "river-bert")
    page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    yield page.local_url
    page.close(verbose=False)


def open_tab(page: Page, name: str) -> None:
    """Gradio puts tabs that find no room into a menu."""
    expect(page.get_by_role("tab", name="Compare")).to_be_visible()
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button").filter(has_text=name)
    tab.click()


def plots(page: Page) -> Any:
    return page.locator(".js-plotly-plot:visible")


def fits(page: Page, width: int) -> bool:
    charts = page.locator(".chart:visible").evaluate_all("all => all.map(one => one.getBoundingClientRect().right)")
    return page.evaluate("document.documentElement.scrollWidth") <= width and max(charts) <= width


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_both_tabs_fit_the_window_and_log_no_error(open_page: OpenPage, width: int, theme: str) -> None:
    page = open_page(width, theme)
    open_tab(page, "Metrics")
    expect(page.locator("#scores tbody tr")).to_have_count(9)
    expect(page.locator("#pairs li")).to_have_count(3)
    expect(plots(page)).to_have_count(6)
    assert fits(page, width)
    open_tab(page, "Training curves")
    expect(plots(page)).to_have_count(5)
    expect(page.locator("#settings")).to_contain_text("rank")
    assert fits(page, width)
    ink = page.locator("#curve-figures .xtick text").first.evaluate("one => getComputedStyle(one).fill")
    assert ink == ("rgb(163, 173, 187)" if theme == "dark" else "rgb(86, 96, 114)")


def test_slices_and_confidence_can_be_chosen_and_scores_be_saved(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    open_tab(page, "Metrics")
    page.get_by_role("radio", name="article").check()
    expect(page.locator("#slices")).to_contain_text("<b>Markup</b> & a title that is far too long")
    page.get_by_role("radio", name="as the model has it").check()
    expect(page.locator("#slices thead th").first).to_have_text("Article")
    with page.expect_download() as saving:
        page.get_by_role("link", name="Scores as CSV").click()
    assert saving.value.suggested_filename == "river-bert-scores.csv"
    saving.value.save_as(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().startswith("backbone,variant,label,exact_match,")


def test_runs_can_be_left_out(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Training curves")
    expect(page.locator("#runs-status")).to_contain_text("Base stopped early after 480 steps")
    page.get_by_role("checkbox", name="Base").uncheck()
    expect(page.locator("#runs-status")).not_to_contain_text("Base")
    expect(page.locator("#settings thead th")).to_have_text(["Setting", "LoRA", "Prompt tuning"])
    page.get_by_role("checkbox", name="LoRA").uncheck()
    expect(page.locator("#settings")).to_contain_text("Choose two finished runs")


def test_a_backbone_of_which_nothing_is_known_says_what_to_do(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page, "Metrics")
    expect(plots(page)).to_have_count(6)
    page.get_by_role("combobox", name="Backbone").click()
    page.get_by_role("option", name="MiniLM-L6").click()
    expect(page.locator("#scores")).to_contain_text("python -m qa_compare evaluate dev-v1.1.json --backbone minilm-l6")
    expect(page.locator(".chart:visible")).to_have_count(0)
    open_tab(page, "Training curves")
    expect(page.locator("#runs-status")).to_contain_text("python -m train.lora --backbone minilm-l6")
    expect(page.locator(".chart:visible")).to_have_count(0)


def test_a_run_that_goes_on_refreshes_by_itself_until_it_ends(open_page: OpenPage, adapters: Path) -> None:
    folder = adapters / "river-bert" / "ia3"
    shown.write_log(folder, steps=100)
    page = open_page()
    open_tab(page, "Training curves")
    status = page.locator("#runs-status")
    expect(status).to_contain_text("IA³ is not finished: 100 steps")
    page.get_by_role("checkbox", name="Base").uncheck()
    shown.write_log(folder, steps=200)
    expect(status).to_contain_text("IA³ is not finished: 200 steps")
    expect(page.get_by_role("checkbox", name="Base")).not_to_be_checked()
    shown.write_variant(folder, "IA³")
    shown.write_run(folder, best_step=160)
    expect(status).to_contain_text("IA³ ran to its end after 200 steps; its best checkpoint is that of step 160.")


def test_the_endpoint_gives_scores_and_pairs(served: str) -> None:
    from gradio_client import Client

    client = Client(served, verbose=False)
    found = client.predict(backbone="river-bert", api_name="/metrics")
    assert {one["name"]: one["metrics"]["f1"]["value"] for one in found["variants"][:3]} == shown.F1
    assert len(found["pairs"]) == 3
    assert found["problems"] == []
