"""The error inspection: what its controls do, its `/errors` endpoint, and the tab in a real browser."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from qa_compare import runs
from qa_compare.analysis import Filter, select
from qa_compare.engine import Cancelled, Engine
from qa_compare.errors import UserError
from qa_compare.examples import Example, fingerprint, to_squad
from qa_compare.files import write_json
from qa_compare.inspection import AT_ONCE, Inspector, Wanted
from qa_compare.predictions import Candidate, Prediction
from qa_compare.service import SAMPLE, SQUAD, UPLOAD, Service
from qa_compare.sources import sample
from qa_compare.ui import errors_api, errors_view
from qa_compare.ui import errors_handlers as handlers
from qa_compare.ui.errors import _answering, _stop
from qa_compare.ui.stopping import Tasks
from tests import measured, tiny
from tests.conftest import OpenPage

PLAIN = ["", "", 0.0, "", "", "", "", ""]  # the filters as they stand at the beginning


def never() -> bool:
    return False


def predicted(examples: Sequence[Example], variant: str) -> list[Prediction]:
    """LoRA is always right; the base is on every second question, and prompt tuning never."""
    made = []
    for number, one in enumerate(examples):
        start, text = one.answers[0].start, one.answers[0].text
        if variant == "prompt-tuning" or (variant == "base" and number % 2):
            start, text = 0, one.passage[: max(1, len(one.passage) // 2)]
        made.append(Prediction(one.id, (Candidate(text, start, start + len(text), 1.0, 0.9),), 0.0, 1))
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What the engines were asked, as (variant, questions): they answer as `predicted`, at once."""
    found: list[tuple[str, int]] = []

    def predict(_engine: Engine, examples: Sequence[Example], variant: str, **_options: Any) -> list[Prediction]:
        found.append((variant, len(examples)))
        return predicted(examples, variant)

    monkeypatch.setattr(Engine, "predict", predict)
    return found


@pytest.fixture
def inspector(tmp_path: Path, asked: list[tuple[str, int]]) -> Inspector:
    """A river's backbone with a base, LoRA and prompt tuning, none of which has answered anything."""
    source = measured.backbone(tmp_path)
    for seed, name in enumerate(("base", "lora", "prompt-tuning")):
        measured.variant(tmp_path / "adapters", name, seed=seed)
    engine = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters", precision="fp32")
    assert engine.backbone == source.name
    assert engine.located
    return Inspector(Service({source.name: engine}, source.name))


@pytest.fixture
def rivers(tmp_path: Path) -> str:
    """An uploaded file of 12 questions."""
    write_json(tmp_path / "rivers.json", to_squad(tiny.examples(12)))
    return str(tmp_path / "rivers.json")


def wanted(inspector: Inspector, upload: str, **changes: Any) -> Wanted:
    return Wanted(**{"backbone": inspector.service.backbone, "source": UPLOAD, "upload": upload, **changes})


def filled(inspector: Inspector, upload: str) -> None:
    for _ in inspector.compute(wanted(inspector, upload), never):
        pass


def shown(
    inspector: Inspector, upload: str, *, outcome: str = "", order: str = "", page: int = 0, row: str = "", **at: Any
) -> list[Any]:
    filters = [at.get(str(place), value) for place, value in enumerate(PLAIN)]
    values = [inspector.service.backbone, UPLOAD, upload, [], [], outcome, *filters, order, page, row]
    return handlers.show(inspector, *values)


def refreshed(inspector: Inspector, upload: str, trouble: str = "", source: str = UPLOAD) -> list[Any]:
    return handlers.refresh(inspector, inspector.service.backbone, source, upload, [], [], trouble, "")


def visible(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def test_without_answers_the_tab_says_what_to_do(inspector: Inspector, rivers: str) -> None:
    outcomes, count, table, detail, button = shown(inspector, rivers)
    assert "Counted once there are answers" in outcomes
    assert count == ""
    assert visible(table) == "No variant has answered these questions yet. Answer them above."
    assert detail == handlers.NO_QUESTION
    assert button["interactive"] is False
    *_, state, answer, cancel = refreshed(inspector, rivers)
    assert visible(state) == "No answers to these 12 questions yet: Base, LoRA, Prompt tuning ."
    assert (answer["visible"], cancel["visible"]) == (True, False)


def test_missing_answers_are_found_with_progress_and_once(
    inspector: Inspector, rivers: str, asked: list[tuple[str, int]]
) -> None:
    told = list(inspector.compute(wanted(inspector, rivers), never))
    assert [(one.done, one.total, one.label) for one in told[:3]] == [
        (0, 36, "Base"),
        (12, 36, "Base"),
        (12, 36, "LoRA"),
    ]
    assert told[-1].done == 36
    assert told[0].left is None
    assert asked == [("base", 12), ("lora", 12), ("prompt-tuning", 12)]
    view = inspector.view(wanted(inspector, rivers))
    assert view.missing == ()
    assert view.table
    assert [one.name for one in view.table.columns] == ["base", "lora", "prompt-tuning"]
    filled(inspector, rivers)
    assert len(asked) == 3
    assert inspector.view(wanted(inspector, rivers)).table is view.table


def test_cancelling_keeps_what_was_answered_and_goes_on_from_there(
    inspector: Inspector, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    write_json(tmp_path / "many.json", to_squad(tiny.examples(150)))
    want = wanted(inspector, str(tmp_path / "many.json"))
    with pytest.raises(Cancelled):
        for _ in inspector.compute(want, lambda: len(asked) == 2):
            pass
    assert asked == [("base", 16), ("base", 32)]
    rest = list(inspector.compute(want, never))
    assert (rest[0].done, rest[-1].done) == (48, 450)
    assert sum(count for variant, count in asked if variant == "base") == 150


def test_choosing_other_questions_ends_the_answers_to_these_without_a_word(
    inspector: Inspector, rivers: str, asked: list[tuple[str, int]]
) -> None:
    visitor = gr.Request(session_hash="one")
    tasks = Tasks()
    run = _answering(inspector, tasks, at_once=True)
    answering = run(inspector.service.backbone, UPLOAD, rivers, [], [], visitor)
    next(answering)
    next(answering)
    _stop(tasks, quiet=True)(visitor)
    rest = list(answering)
    assert len(asked) <= 1
    assert all(one == gr.skip() for update in rest for one in update)
    *_, last = run(inspector.service.backbone, UPLOAD, rivers, [], [], visitor)
    assert "36 of 36" in visible(last[0])


def test_few_questions_are_answered_at_once_and_many_when_asked(inspector: Inspector, tmp_path: Path) -> None:
    write_json(tmp_path / "many.json", to_squad(tiny.examples(AT_ONCE + 1)))
    where = (inspector, inspector.service.backbone, UPLOAD, str(tmp_path / "many.json"), [], [], never)
    assert len(list(handlers.answer(*where, at_once=True))) == 1
    steps = list(handlers.answer(*where, at_once=False))
    assert "Loading the models" in steps[0][0]
    assert visible(steps[-1][0]) == "Prompt tuning: 771 of 771 answers, about 0 s left"
    assert len(list(handlers.answer(*where, at_once=False))) == 1


def test_a_cancelled_or_failed_pass_says_so(inspector: Inspector, rivers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where = (inspector, inspector.service.backbone, UPLOAD, rivers, [], [])
    *_, last = handlers.answer(*where, lambda: True, at_once=True)
    assert last[3].startswith("Cancelled: what was answered is kept")

    def broken(_engine: Engine, _examples: Any, variant: str, **_options: Any) -> list[Prediction]:
        raise UserError(f"{variant} is <broken>")

    monkeypatch.setattr(Engine, "predict", broken)
    *_, last = handlers.answer(*where, never, at_once=True)
    assert last[3] == "base is <broken>; lora is <broken>; prompt-tuning is <broken>"
    note = refreshed(inspector, rivers, last[3])[0]
    assert 'role="alert"' in note
    assert "base is &lt;broken&gt;" in note


def test_saved_answers_are_shown_without_asking_a_model(
    inspector: Inspector, rivers: str, asked: list[tuple[str, int]]
) -> None:
    rows = tiny.examples(12)
    engine = inspector.service.engines[inspector.service.backbone]
    folder = engine.variant("lora").folder
    assert folder
    starts = np.array([one.answers[0].start for one in rows], dtype=np.int32)
    same = {name: np.full(12, 0.5) for name in ("score", "confidence", "exact_match", "f1")}
    table = measured.table(
        fingerprint=fingerprint(rows),
        ids=tuple(one.id for one in rows),
        start=starts,
        end=starts + np.array([len(one.answers[0].text) for one in rows], dtype=np.int32),
        windows=np.ones(12, dtype=np.int32),
        **same,
    )
    runs.write_predictions(folder / runs.PREDICTIONS, table)
    view = inspector.view(wanted(inspector, rivers))
    assert view.table
    assert [(one.name, one.exact_match.sum()) for one in view.table.columns] == [("lora", 12.0)]
    assert [one.name for one in view.missing] == ["base", "prompt-tuning"]
    assert asked == []
    (folder / runs.PREDICTIONS).write_bytes(b"nonsense")
    assert "is damaged" in inspector.view(wanted(inspector, rivers)).problems[0]


def test_the_counts_and_the_table_follow_the_filters(inspector: Inspector, rivers: str) -> None:
    filled(inspector, rivers)
    outcomes, count, table, *_ = shown(inspector, rivers)
    assert "Only Prompt tuning wrong ✓" not in outcomes
    assert re.findall(r'outcome:(\d+)".*?count">(\d+)<', outcomes)[:2] == [("111", "0"), ("110", "6")]
    assert visible(count) == "12 of 12 questions"
    assert table.count("<tr data-pick") == errors_view.PAGE
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


def test_predictions_of_another_system_become_a_column_or_are_refused(
    inspector: Inspector, rivers: str, tmp_path: Path
) -> None:
    here = (inspector.service.backbone, UPLOAD, rivers, [])
    good, bad = tmp_path / "peer.json", tmp_path / "bad.json"
    write_json(good, {one.id: one.answers[0].text for one in tiny.examples(12)})
    write_json(bad, ["q0"])
    assert handlers.add_file(inspector, str(good), *here, []) == ["", [str(good)]]
    assert handlers.add_file(inspector, str(good), *here, [str(good)]) == ["", [str(good)]]
    trouble, files = handlers.add_file(inspector, str(bad), *here, [str(good)])
    assert trouble.startswith("bad.json is not a predictions file")
    assert set(files) == {"__type__"}
    view = inspector.view(wanted(inspector, rivers, files=(str(good),)))
    assert view.table
    assert [one.label for one in view.table.columns] == ["peer.json"]
    assert len(select(view.table, Filter(outcome="1"))) == 12
    with pytest.raises(UserError, match="at most 6 columns"):
        inspector.view(wanted(inspector, rivers, files=(str(good),) * 4))


def test_a_source_that_cannot_be_had_says_why(inspector: Inspector, tmp_path: Path) -> None:
    assert "give a SQuAD JSON file instead" in refreshed(inspector, "", source=SQUAD)[0]
    broken = tmp_path / "notes.json"
    broken.write_text("Dear diary", encoding="utf-8")
    trouble, source, uploaded = handlers.open_file(inspector, str(broken))
    assert "notes.json is not JSON" in trouble
    assert set(source) == set(uploaded) == {"__type__"}


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
    return errors_api.endpoint(inspector)


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
    expect(page.locator(".questions tbody tr")).to_have_count(errors_view.PAGE)


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
    expect(page.locator(".questions td .badge.exact")).to_have_count(errors_view.PAGE)
    question = page.locator(".questions tbody button").nth(1)
    words = question.inner_text()
    question.press("Enter")
    expect(page.locator(".chosen h2")).to_have_text(words)
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
    page.locator(".pager button", has_text="Next").click()
    expect(page.locator(".questions tbody button").first).not_to_have_text(first)
    page.get_by_label("Text in question, passage or answers").fill(first)
    expect(page.locator(".questions tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export JSON").click()
    assert [row["question"] for row in json.loads(download.value.path().read_text(encoding="utf-8"))] == [first]
    page.get_by_label("Text in question, passage or answers").fill("no such text anywhere")
    expect(page.locator(".nothing").first).to_contain_text("No question meets all of these filters.")
    page.get_by_role("button", name="Clear all filters").click()
    expect(page.locator(".questions tbody tr")).to_have_count(errors_view.PAGE)
