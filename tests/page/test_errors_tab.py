"""The error inspection: counts, filters, rows and exports, its `/errors` endpoint, and the tab in a real browser."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from qa_compare.data.examples import Example, to_squad
from qa_compare.data.sources import sample
from qa_compare.files import write_json
from qa_compare.page import endpoints, error_list
from qa_compare.page import errors_tab as handlers
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.service import SAMPLE, SQUAD, UPLOAD
from tests import batch_fixture, measured, tiny
from tests.conftest import OpenPage
from tests.measured import filled, visible

asked, inspector, rivers = measured.asked, measured.inspector, batch_fixture.rivers
PLAIN = ["", "", 0.0, "", "", "", "", ""]  # the filters as they stand at the beginning


def shown(
    inspector: Inspector, upload: str, *, outcome: str = "", order: str = "", page: int = 0, row: str = "", **at: Any
) -> list[Any]:
    filters = [at.get(str(place), value) for place, value in enumerate(PLAIN)]
    values = [inspector.service.backbone, UPLOAD, upload, [], [], outcome, *filters, order, page, row]
    return handlers.show(inspector, *values)


def test_without_answers_the_tab_says_what_to_do(inspector: Inspector, rivers: str) -> None:
    outcomes, count, table, detail, button = shown(inspector, rivers)
    assert "Counted once there are answers" in outcomes
    assert count == ""
    assert visible(table) == "No variant has answered these questions yet. Answer them above."
    assert detail == handlers.NO_QUESTION
    assert button["interactive"] is False
    *_, state, answer, cancel = handlers.refresh(inspector, inspector.service.backbone, UPLOAD, rivers, [], [], "", "")
    assert visible(state) == "No answers to these 12 questions yet: Base, LoRA, Prompt tuning ."
    assert (answer["visible"], cancel["visible"]) == (True, False)


def test_the_counts_and_the_table_follow_the_filters(inspector: Inspector, rivers: str) -> None:
    filled(inspector, rivers)
    outcomes, count, table, *_ = shown(inspector, rivers)
    assert "Only Prompt tuning wrong ✓" not in outcomes
    assert re.findall(r'outcome:(\d+)".*?count">(\d+)<', outcomes)[:2] == [("111", "0"), ("110", "6")]
    assert visible(count) == "12 of 12 questions"
    assert table.count("<tr data-pick") == error_list.PAGE
    assert "1–10 of 12" in table
    outcomes, count, table, *_ = shown(inspector, rivers, outcome="010", order="worst base", page=99)
    assert visible(count) == "6 of 12 questions"
    assert 'data-pick="outcome:010" aria-pressed="true"' in outcomes
    assert table.count("<tr data-pick") == 6
    _, count, table, *_ = shown(inspector, rivers, **{"7": "no such text"})
    assert visible(table).startswith("No question meets all of these filters.")


def test_a_changed_filter_shows_the_first_page_and_no_row(inspector: Inspector, rivers: str) -> None:
    filled(inspector, rivers)
    values = [inspector.service.backbone, UPLOAD, rivers, [], [], "", *PLAIN, ""]
    *made, page, row = handlers.show_anew(inspector, *values)
    assert (page, row) == (0, "")
    assert made == shown(inspector, rivers)


def test_a_row_opens_with_every_variants_answer_in_its_passage(inspector: Inspector, rivers: str) -> None:
    filled(inspector, rivers)
    *_, table, detail, button = shown(inspector, rivers, row="q1")
    assert table.count("aria-current") == 1
    assert re.findall(r"<h3>(.*?)</h3>", detail) == ["Base", "LoRA", "Prompt tuning"]
    assert detail.count('class="predicted') == 3
    assert "Right" in detail
    assert button["interactive"] is True
    assert shown(inspector, rivers, row="gone")[3] == handlers.NO_QUESTION


def test_markup_in_every_place_is_shown_as_text(inspector: Inspector, tmp_path: Path) -> None:
    evil = "<img src=x onerror='alert(1)'> \" rises"
    one = Example(evil, evil, evil, evil, tiny.examples(1)[0].answers[:0])
    path, peer = tmp_path / "<b>.json", tmp_path / "<i>.json"
    write_json(path, to_squad([one]))
    write_json(peer, {evil: evil})
    files = [str(peer)]
    values = [inspector.service.backbone, UPLOAD, str(path), [], files, "", *PLAIN, "", 0, evil]
    made = handlers.show(inspector, *values)
    note = handlers.refresh(inspector, inspector.service.backbone, UPLOAD, str(path), [], files, evil, "")[0]
    markup = "".join(map(str, [*made[:4], note]))
    assert not re.search(r"<(img|b|i)>|<img", markup.replace("<p><b>1</b>", ""))
    assert markup.count("&lt;img") > 5


@pytest.mark.parametrize(
    ("pick", "after"),
    [
        ("outcome:010", ("010", 0, "")),
        ("outcome:111", ("", 0, "")),
        ("page:3", ("111", 3, "q7")),
        ("row:a:b", ("111", 2, "a:b")),
    ],
)
def test_a_click_picks_an_outcome_a_page_or_a_row(pick: str, after: tuple[str, int, str]) -> None:
    assert handlers.picked(pick, "111", 2, "q7") == after


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_all_rows_that_meet_the_filter_are_exported(
    inspector: Inspector, rivers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "out"))
    filled(inspector, rivers)
    values = [inspector.service.backbone, UPLOAD, rivers, [], [], "010", *PLAIN, ""]
    text = Path(handlers.export(inspector, kind, *values)).read_text(encoding="utf-8-sig")
    rows = json.loads(text) if kind == "json" else list(csv.DictReader(text.splitlines()))
    assert [row["id"] for row in rows] == ["q1", "q3", "q5", "q7", "q9", "q11"]


@pytest.fixture
def errors(inspector: Inspector) -> Callable[..., dict[str, Any]]:
    return endpoints.errors_endpoint(inspector)


def test_an_export_without_room_says_so(
    inspector: Inspector, rivers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(inspector, rivers)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "rivers.json"))  # a file, in which there is no folder
    values = [inspector.service.backbone, UPLOAD, rivers, [], [], "", *PLAIN, ""]
    with pytest.raises(gr.Error, match="Exports are off on this server"):
        handlers.export(inspector, "csv", *values)


def test_the_endpoint_gives_rows_counts_and_columns(errors: Callable[..., dict[str, Any]]) -> None:
    found = errors(SAMPLE, outcome="110", question_word="who", order="worst base", limit=2)
    assert (found["questions"], found["columns"]) == (len(sample()), ["base", "lora", "prompt-tuning"])
    assert found["missing"] == []
    assert len(found["rows"]) == 2 < found["matching"]
    assert sum(one["count"] for one in found["outcomes"]) >= found["matching"]
    assert found["rows"][0]["question"].lower().count("who")
    second = errors(SAMPLE, outcome="110", question_word="who", order="worst base", offset=1, limit=1)
    assert second["rows"] == found["rows"][1:]


@pytest.mark.parametrize(
    ("asked_for", "sentence"),
    [
        ({"source": "upload"}, "unknown source 'upload': there are sample and squad"),
        ({"source": SQUAD}, "give a SQuAD JSON file instead"),
        ({"outcome": "1"}, "the outcome '1' is not"),
        ({"kind": 5}, "is a text"),
        ({"kind": "odd"}, "unknown kind of error"),
        ({"sure": 2}, "sure is a number from 0 to 1"),
        ({"limit": 0}, "limit is a whole number from 1 to 1,000"),
        ({"offset": "x"}, "offset is a whole number from 0"),
    ],
)
def test_the_endpoint_refuses_in_a_sentence(
    errors: Callable[..., dict[str, Any]], asked_for: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Exception, match=sentence):
        errors(**asked_for)


# In the browser


@pytest.fixture
def patience() -> Iterator[None]:
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


def open_tab(page: Page) -> None:
    expect(page.locator(".card mark.predicted").first).to_be_visible()
    tab = page.get_by_role("tab", name="Error inspection")
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button", has_text="Error inspection")
    tab.click()
    expect(page.locator(".questions tbody tr")).to_have_count(error_list.PAGE)


@pytest.mark.browser
@pytest.mark.usefixtures("asked", "patience")
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_one_filters_by_outcome_opens_a_question_and_puts_it_into_compare(
    open_page: OpenPage, width: int, theme: str
) -> None:
    page = open_page(width, theme)
    open_tab(page)
    expect(page.locator("#errors-count")).to_have_text(f"{len(sample())} of {len(sample())} questions")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    some = page.locator(".outcomes button", has_text="Only LoRA right")
    some.press("Enter")  # the keyboard is enough
    expect(page.locator(".outcomes button[aria-pressed=true]")).to_have_count(1)
    expect(page.locator("#errors-count")).to_have_text(
        f"{some.locator('.count').inner_text()} of {len(sample())} questions"
    )
    expect(page.locator(".questions td .badge.exact")).to_have_count(error_list.PAGE)
    question = page.locator(".questions tbody button").nth(1)
    words = question.inner_text()
    question.press("Enter")
    expect(page.locator(".chosen h2")).to_have_text(words)
    expect(question).to_be_focused()  # the table was made anew, and the keyboard is still where it was
    expect(page.locator(".card.found:visible")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Open in Compare").click()
    expect(page.get_by_role("textbox", name="Your question")).to_have_value(words)
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#answers .card mark.predicted").first).to_be_visible()


@pytest.mark.browser
@pytest.mark.usefixtures("asked", "patience")
def test_pages_free_text_and_export_work_in_the_browser(open_page: OpenPage) -> None:
    page = open_page()
    open_tab(page)
    first = page.locator(".questions tbody button").first.inner_text()
    further = page.locator(".pager button", has_text="Next")
    further.press("Enter")
    expect(page.locator(".questions tbody button").first).not_to_have_text(first)
    expect(further).to_be_focused()
    page.get_by_label("Text in question, passage or answers").fill(first)
    expect(page.locator(".questions tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export JSON").click()
    assert [row["question"] for row in json.loads(download.value.path().read_text(encoding="utf-8"))] == [first]
    page.get_by_label("Text in question, passage or answers").fill("no such text anywhere")
    expect(page.locator(".nothing").first).to_contain_text("No question meets all of these filters.")
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator(".questions tbody tr")).to_have_count(error_list.PAGE)


def test_a_choice_that_comes_twice_begins_once(inspector: Inspector, rivers: str) -> None:
    backbone = inspector.service.backbone
    trouble, wish = handlers.open_tab(handlers.Wish(), backbone, UPLOAD, rivers, [], [])
    assert (trouble, wish.turn, wish.anew) == ("", 1, False)
    # the columns that stand there by themselves are those that nobody chose
    shown = list(inspector.service.engines[backbone].default_variants)
    assert all(
        set(one) == {"__type__"} for one in handlers.choose(inspector, wish, backbone, UPLOAD, rivers, shown, [])
    )
    _, chosen = handlers.choose(inspector, wish, backbone, SAMPLE, rivers, shown, [])
    assert (chosen.turn, chosen.anew) == (2, True)
    again = handlers.choose(inspector, chosen, backbone, SAMPLE, rivers, shown, [])
    assert all(set(one) == {"__type__"} for one in again)


def test_a_backbone_that_is_chosen_before_the_tab_is_opened_begins_nothing() -> None:
    *_, wish = handlers.turn_to(handlers.Wish(), "river-bert", SAMPLE, "", ["lora"], [])
    assert set(wish) == {"__type__"}


def test_a_filter_that_is_shown_already_leaves_page_and_row(inspector: Inspector, rivers: str) -> None:
    values = [inspector.service.backbone, UPLOAD, rivers, [], [], "", "", "", 0.0, "", "", "", "", "", ""]
    *_, seen = handlers.show_seen(inspector, *values, 0, "q1")
    assert all(set(one) == {"__type__"} for one in handlers.show_other(inspector, seen, *values))
    other = [*values[:-2], "north", ""]
    *_, seen, page, row = handlers.show_other(inspector, seen, *other)
    assert (seen, page, row) == (other, 0, "")
