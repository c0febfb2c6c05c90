"""The Batch tab in a real browser: a file is brought, checked, run and taken home; what ends a run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from qa_compare.data.examples import Example, to_squad
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.decoding import Prediction
from qa_compare.inference.engine import Cancelled, Engine
from qa_compare.workbench import answers
from tests import batch_fixture, tiny
from tests.batch_fixture import BAD, NAMES, written
from tests.conftest import OpenPage
from tests.patience import LONG, until

service, served = batch_fixture.service, batch_fixture.served
pytestmark = pytest.mark.browser


@pytest.fixture
def patience() -> Iterator[None]:
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Engines that answer four questions at a time, the first step at once, the rest only when they are cancelled.

    What became of each step: "answered" or "cancelled".
    """
    found: list[str] = []
    works = Engine.predict

    def predict(self: Engine, examples: Sequence[Example], variant: str, **options: Any) -> list[Prediction]:
        if len(found) < len(NAMES):
            made = works(self, examples, variant, **options)
            found.append("answered")
            return made
        end = time.monotonic() + LONG
        while not options["cancelled"]():
            if time.monotonic() > end:
                raise UserError("nobody cancelled")
            time.sleep(0.1)
        found.append("cancelled")
        raise Cancelled

    monkeypatch.setattr(answers, "LEAST_STEP", 4)
    monkeypatch.setattr(Engine, "predict", predict)
    return found


def open_tab(page: Page) -> None:
    expect(page.locator(".card mark.predicted").first).to_be_visible()  # Gradio is listening
    tab = page.get_by_role("tab", name="Batch", exact=True)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button", has_text="Batch")
    tab.click()
    expect(page.locator("#batch-check")).to_contain_text("No file yet")


def bring(page: Page, path: str) -> None:
    page.locator("#batch-choose input[type=file]").set_input_files(path)
    expect(page.locator("#batch-check")).to_contain_text(Path(path).name)


def button(page: Page, name: str) -> Any:
    return page.locator("#batch-buttons").get_by_role("button", name=re.compile(name))


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_file_is_brought_checked_run_and_taken_home(
    open_page: OpenPage, tmp_path: Path, width: int, theme: str
) -> None:
    page = open_page(width, theme)
    open_tab(page)
    if width == 1440:  # with less room, some are in a menu
        expect(page.get_by_role("tab")).to_have_text(
            ["Compare", "Metrics", "Training curves", "Error inspection", "Batch"]
        )
    expect(button(page, "Run")).to_be_disabled()
    bring(page, written(tmp_path, f"towns-{width}-{theme}.csv", BAD))
    expect(page.locator(".problems tbody tr")).to_have_count(2)
    expect(button(page, "Run")).to_be_disabled()
    page.get_by_role("checkbox", name="Leave these rows out").check()
    expect(button(page, "Run 3 variants on 1 question")).to_be_enabled()
    before = page.locator("#batch-scores").bounding_box()
    button(page, "Run").press("Enter")  # the keyboard is enough
    expect(page.locator("#batch-scores tbody tr")).to_have_count(3)
    after = page.locator("#batch-scores").bounding_box()
    assert before
    assert after
    assert before["y"] == after["y"]  # nothing above it has moved
    expect(page.locator("#batch-state")).to_contain_text("Done in")
    page.locator("#batch-answers tbody button").first.press("Enter")
    expect(page.locator("#batch-question .card.found")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    with page.expect_download() as download:
        page.get_by_role("button", name="LoRA as SQuAD JSON").press("Enter")
    assert download.value.suggested_filename == f"towns-{width}-{theme}-lora.json"
    assert set(json.loads(download.value.path().read_text(encoding="utf-8"))) == {"row-1"}
    with page.expect_download() as download:
        page.get_by_role("link", name="Template (CSV)").click()
    assert download.value.path().read_text(encoding="utf-8").startswith("id,title,passage,question,answers")


@pytest.mark.usefixtures("patience")
def test_cancel_stops_the_engine_and_shows_what_was_answered(
    open_page: OpenPage, tmp_path: Path, slow: list[str]
) -> None:
    write_json(tmp_path / "cancelled.json", to_squad(tiny.examples(12)))
    page = open_page()
    open_tab(page)
    bring(page, str(tmp_path / "cancelled.json"))
    button(page, "Run").click()
    expect(page.locator("#batch-state")).to_contain_text("12 of 36 answers, about")
    expect(button(page, "Run")).to_be_disabled()
    button(page, "Cancel").click()
    expect(page.locator("#batch-state")).to_contain_text("Cancelled. What was answered is kept")
    expect(page.locator("#batch-scores")).to_contain_text("Partial: the first 4 of 12 questions.")
    expect(button(page, "Run")).to_be_enabled()
    assert slow == ["answered"] * 3 + ["cancelled"]


@pytest.mark.usefixtures("patience")
def test_a_closed_page_stops_the_engine(open_page: OpenPage, tmp_path: Path, slow: list[str]) -> None:
    write_json(tmp_path / "closed.json", to_squad(tiny.examples(12)))
    page = open_page()
    open_tab(page)
    bring(page, str(tmp_path / "closed.json"))
    button(page, "Run").click()
    expect(page.locator("#batch-state")).to_contain_text("12 of 36 answers, about")
    page.close()
    until(lambda: slow[-1] == "cancelled")
    assert slow == ["answered"] * 3 + ["cancelled"]
