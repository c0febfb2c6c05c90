"""The Compare tab's seldom used parts in a real browser: probes, history, links, variants; over a tiny backbone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from qa_compare.data.sources import sample
from qa_compare.inference.engine import Engine
from qa_compare.workbench.service import Service
from tests import measured
from tests.conftest import HOST, OpenPage, free_port

pytestmark = pytest.mark.browser
FIRST = sample()[0]


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page whose backbone has four variants, of which three are shown by default."""
    from qa_compare.server.serving import Settings, serve

    folder = tmp_path_factory.mktemp("what-if")
    for seed, name in enumerate(("base", "ia3", "lora", "prompt-tuning")):
        measured.variant(folder / "adapters", name, seed=seed)
    measured.backbone(folder)
    engine = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    service = Service({"river-bert": engine}, "river-bert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "files"))
        page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield page.local_url
        page.close(verbose=False)


def expect_cards(page: Page, *variants: str) -> list[str]:
    """The answers, once these variants' cards stand there."""
    for place, name in enumerate(variants):
        expect(page.locator(".card").nth(place)).to_have_attribute("data-variant", name)
        expect(page.locator(".card").nth(place).locator("mark.predicted").first).to_be_visible()
    expect(page.locator(".card")).to_have_count(len(variants))
    expect(page.locator(".pending")).to_have_count(0)
    return page.locator(".card .answer").all_inner_texts()


def open_panel(page: Page, name: str) -> None:
    panel = page.locator("#tools .label-wrap").filter(has_text=name)
    panel.click()
    expect(panel).to_have_attribute("aria-expanded", "true")


def top(page: Page) -> float:
    """Where the cards begin in the document, in pixels."""
    return page.locator("#answers").evaluate("one => one.getBoundingClientRect().top + window.scrollY")


def question(page: Page) -> Any:
    return page.get_by_role("textbox", name="Your question")


def test_a_probe_shows_which_variants_flip_and_nothing_moves(open_page: OpenPage) -> None:
    page = open_page()
    asked = expect_cards(page, "base", "lora", "prompt-tuning")
    open_panel(page, "What if")
    expect(page.locator(".probes")).to_be_visible()
    before = top(page)
    page.get_by_role("button", name="Add a distracting sentence").click()
    expect(page.locator("#verdict .changed")).to_contain_text("Add a distracting sentence: ")
    row = page.locator(".probes tr", has_text="Add a distracting sentence")
    expect(row.locator(".badge")).to_have_count(3)
    now = expect_cards(page, "base", "lora", "prompt-tuning")
    flips = [old != new for old, new in zip(asked, now, strict=True)]
    assert [one.split()[-1] for one in row.locator(".badge").all_inner_texts()] == [
        "Flips" if flip else "Keeps" for flip in flips
    ]
    expect(page.locator(".card .change b")).to_have_text(["Flipped" if flip else "Same answer" for flip in flips])
    page.get_by_role("button", name="Run all five").click()
    expect(page.locator(".probes .badge")).to_have_count(15)
    expect(page.locator(".actions [role=status]")).to_contain_text("of 5 probes")
    assert top(page) == before
    page.get_by_role("button", name="Back to the text as asked").click()
    expect(page.get_by_role("textbox", name="Passage", exact=True)).to_have_value(FIRST.passage)
    expect(page.get_by_role("button", name="Back to the text as asked")).to_be_disabled()


def test_an_edit_is_compared_with_the_run_before(open_page: OpenPage) -> None:
    page = open_page()
    expect_cards(page, "base", "lora", "prompt-tuning")
    expect(page.locator(".card .change b")).to_have_count(0)
    question(page).fill("What was the stone?")
    question(page).press("Enter")
    expect(page.locator("#verdict .changed")).to_contain_text("Against the run before: ")
    expect(page.locator(".card .change b")).to_have_count(3)


def test_the_history_is_reopened_exported_and_removed(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    asked = expect_cards(page, "base", "lora", "prompt-tuning")
    question(page).fill("=What was the stone?")
    question(page).press("Enter")
    expect(page.locator("#tools .label-wrap", has_text="History (2)")).to_be_visible()
    open_panel(page, "History")
    expect(page.locator(".runs tbody tr")).to_have_count(2)
    for kind in ("csv", "json"):
        with page.expect_download() as saving:
            page.get_by_role("button", name=f"Export {kind.upper()}").click()
        assert saving.value.suggested_filename == f"qa-compare-history.{kind}"
        saving.value.save_as(tmp_path / f"history.{kind}")
    rows = csv.DictReader((tmp_path / "history.csv").read_text(encoding="utf-8-sig").splitlines())
    assert [row["question"] for row in rows] == [FIRST.question, "'=What was the stone?"]
    runs = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert [runs[0]["variants"][name]["answer"] for name in ("base", "lora", "prompt-tuning")] == asked
    page.locator(".runs").get_by_role("button", name=FIRST.question).click()
    expect(question(page)).to_have_value(FIRST.question)
    expect(page.locator(".runs tr[aria-current]")).to_contain_text(FIRST.question)
    assert expect_cards(page, "base", "lora", "prompt-tuning") == asked
    page.get_by_role("button", name="Remove run 2").click()
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#history")).to_contain_text("Nothing is kept here")


def test_a_link_shows_the_same_answers_of_the_chosen_variants_in_another_browser(open_page: OpenPage) -> None:
    page = open_page()
    expect_cards(page, "base", "lora", "prompt-tuning")
    open_panel(page, "Variants")
    page.get_by_role("checkbox", name="IA³").check()
    expect_cards(page, "base", "lora", "prompt-tuning", "ia3")
    page.get_by_role("checkbox", name="Base").uncheck()
    page.get_by_role("checkbox", name="LoRA").uncheck()
    expect_cards(page, "prompt-tuning", "ia3")
    page.get_by_role("checkbox", name="IA³").click()  # it is checked again at once, which `uncheck` takes for a failure
    expect(page.locator("#variants-note")).to_contain_text("At least 2 variants are compared")
    expect(page.get_by_role("checkbox", name="IA³")).to_be_checked()
    question(page).fill("Wo liegt der Stein, 你好 & so?")
    question(page).press("Enter")
    expect(page.locator("#verdict .changed")).to_be_visible()
    answers = expect_cards(page, "prompt-tuning", "ia3")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#link [role=status]")).to_have_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(anew=True)
    other.goto(link)
    expect(question(other)).to_have_value("Wo liegt der Stein, 你好 & so?")
    assert expect_cards(other, "prompt-tuning", "ia3") == answers


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_broken_link_gets_a_sentence_and_the_usual_opening(
    open_page: OpenPage, served: str, width: int, theme: str
) -> None:
    page = open_page(width, theme)
    page.goto(f"{served}?{urlencode({'source': 'sample', 'id': '<b>gone', '__theme': theme})}")
    expect(page.locator("#status [role=alert]")).to_have_text(
        "This link cannot be opened: there is no question '<b>gone' in “Built-in sample”."
    )
    expect(question(page)).to_have_value(FIRST.question)
    expect_cards(page, "base", "lora", "prompt-tuning")
    for name in ("What if", "Variants", "History"):
        open_panel(page, name)
    page.get_by_role("button", name="Run all five").click()
    expect(page.locator(".probes .badge")).to_have_count(15)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
