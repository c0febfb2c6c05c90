"""What a visitor did last is what holds, in a real browser: events that come twice, late, or without a cause."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from qa_compare.inference.engine import Engine
from qa_compare.page.compare import opening
from qa_compare.workbench import chance
from qa_compare.workbench.service import Service
from tests import measured
from tests.conftest import HOST, OpenPage, free_port

pytestmark = pytest.mark.browser
PASSAGE, QUESTION = "The ferry crosses the lake twice a day, at nine and at five.", "When does the ferry cross?"
OTHER = "Which lake is it?"
WATCH = """
window.toasts = new Set();
const look = () => document.querySelectorAll('.toast-body').forEach(one => window.toasts.add(one.innerText));
new MutationObserver(look).observe(document.body, {subtree: true, childList: true});
"""
LISTS = ("Backbone", "Questions from", "Article", "Question", "At random")


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with two backbones: one with three variants, and BERT-tiny, which has the base alone."""
    from qa_compare.page.shell import build_page, launch_options

    folder = tmp_path_factory.mktemp("last-word")
    for seed, name in enumerate(("base", "lora", "prompt-tuning")):
        measured.variant(folder / "adapters", name, seed=seed)
    measured.backbone(folder)
    engine = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    engines = {"river-bert": engine, "bert-tiny": Engine("bert-tiny", adapters=folder / "adapters")}
    options: dict[str, Any] = launch_options()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "files"))
        page = build_page(Service(engines, "river-bert"))
        page.launch(server_name=HOST, server_port=free_port(), prevent_thread_lock=True, quiet=True, **options)
        yield page.local_url
        page.close(verbose=False)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`held(module, name)` has that function wait until `release()`; `begun` is set once it was called."""
    let_go, begun = threading.Event(), threading.Event()

    def hold(module: Any, name: str) -> tuple[threading.Event, Any]:
        works = getattr(module, name)

        def waiting(*args: Any, **options: Any) -> Any:
            begun.set()
            assert let_go.wait(120)
            return works(*args, **options)

        monkeypatch.setattr(module, name, waiting)
        return begun, let_go.set

    yield hold
    let_go.set()


def boxes(page: Page) -> tuple[Locator, Locator]:
    return page.get_by_role("textbox", name="Passage", exact=True), page.get_by_role("textbox", name="Your question")


def write(page: Page, passage: str, question: str) -> None:
    for box, words in zip(boxes(page), (passage, question), strict=True):
        box.fill(words)


def expect_answered(page: Page, passage: str, question: str) -> None:
    """The cards and the boxes are about that text, and stay so once all that was asked for has come."""
    expect(page.locator(".card .passage").first).to_have_text(passage)
    expect(page.locator(".pending")).to_have_count(0)
    page.evaluate("new Promise(done => requestIdleCallback(done))")
    expect(page.locator(".card .passage").first).to_have_text(passage)
    for box, words in zip(boxes(page), (passage, question), strict=True):
        expect(box).to_have_value(words)


def opened(page: Page) -> Page:
    """Once its own question is answered; from then on, `toasts` are noted."""
    expect(page.locator(".card mark.predicted").first).to_be_visible()
    page.evaluate(WATCH)
    return page


def toasts(page: Page) -> Any:
    """What was complained of, though it may be gone again."""
    return page.evaluate("[...window.toasts]")


def choose(page: Page, label: str, option: str, way: str = "mouse") -> None:
    box = page.get_by_role("combobox", name=label, exact=True)
    if way == "mouse":
        box.click()
        page.get_by_role("option", name=option).click()
        return
    box.focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("option").first).to_be_visible()
    names = [re.sub(r"\s+", " ", one).strip() for one in page.get_by_role("option").all_inner_texts()]
    [place] = [place for place, name in enumerate(names) if option in name]
    for number in range(place + 1):
        page.keyboard.press("ArrowDown" if number else "Home")
        expect(box).to_have_attribute("aria-activedescendant", re.compile(f"-option-{number}$"))
    page.keyboard.press("Enter")


def test_a_list_that_is_only_passed_with_the_keyboard_opens_and_asks_nothing(open_page: OpenPage) -> None:
    page = opened(open_page())
    write(page, PASSAGE, QUESTION)
    for label in LISTS:
        page.get_by_role("combobox", name=label, exact=True).focus()
        page.keyboard.press("Tab")
    boxes(page)[1].press("Enter")
    expect_answered(page, PASSAGE, QUESTION)
    expect(page.locator("#tools .label-wrap").filter(has_text="History (2)")).to_be_visible()


@pytest.mark.parametrize("link", [False, True], ids=["the page", "a link"])
def test_what_is_typed_while_the_page_opens_is_what_is_answered(open_page: OpenPage, held: Any, link: bool) -> None:
    begun, release = held(opening, "open_address")
    there = {"passage": "The mill stands by the weir.", "question": "Where does the mill stand?"}
    page = open_page(query=urlencode(there) if link else "")
    expect(boxes(page)[1]).to_be_visible()
    assert begun.wait(60)
    write(page, PASSAGE, QUESTION)
    boxes(page)[1].press("Enter")
    expect(page.locator(".card .passage").first).to_have_text(PASSAGE)
    release()
    boxes(page)[1].fill(OTHER)
    boxes(page)[1].press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Against the run before")
    expect_answered(page, PASSAGE, OTHER)


def test_what_is_typed_while_a_random_question_is_looked_for_is_not_replaced(open_page: OpenPage, held: Any) -> None:
    page = opened(open_page())
    begun, release = held(chance, "pick")
    page.get_by_role("button", name="Random").click()
    assert begun.wait(60)
    write(page, PASSAGE, QUESTION)
    boxes(page)[1].press("Enter")
    release()
    expect_answered(page, PASSAGE, QUESTION)


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_another_backbone_takes_its_own_variants_without_a_complaint(open_page: OpenPage, way: str) -> None:
    page = opened(open_page())
    choose(page, "Backbone", "BERT-tiny", way)
    expect(page.locator("#verdict")).to_contain_text("bert-tiny")
    expect(page.locator(".card")).to_have_count(1)
    page.locator("#tools .label-wrap").filter(has_text="Variants").click()
    expect(page.locator("#variants").get_by_role("checkbox")).to_have_count(1)
    choose(page, "Backbone", "river-bert", way)
    expect(page.locator(".card mark.predicted")).to_have_count(3)
    expect(page.locator("#variants").get_by_role("checkbox")).to_have_count(3)
    assert toasts(page) == []


@pytest.mark.parametrize("tab", ["Metrics", "Training curves", "Error inspection", "Batch"])
def test_another_backbone_can_be_chosen_from_any_tab(open_page: OpenPage, tab: str) -> None:
    page = opened(open_page())
    page.get_by_role("tab", name=tab, exact=True).click()
    choose(page, "Backbone", "BERT-tiny")
    expect(page.locator("#backbone-note")).to_contain_text("Not ready")
    choose(page, "Backbone", "river-bert")
    expect(page.locator("#backbone-note")).not_to_contain_text("Not ready")
    page.get_by_role("tab", name="Compare", exact=True).click()
    expect(page.locator(".card mark.predicted")).to_have_count(3)
    assert toasts(page) == []


def test_a_filter_that_is_only_passed_keeps_the_page_and_the_chosen_question(open_page: OpenPage) -> None:
    page = opened(open_page())
    page.get_by_role("tab", name="Error inspection").click()
    expect(page.locator("#errors-count")).to_contain_text("questions")
    page.locator("#errors-table tbody button").nth(2).click()
    expect(page.locator("#errors-detail .chosen")).to_be_visible()
    title = page.locator("#errors-detail .chosen").inner_text()
    for label in ("Backbone", "Kind of error", "Question word", "Article", "Sort"):
        page.get_by_role("combobox", name=label, exact=True).locator("visible=true").focus()
        page.keyboard.press("Tab")
    choose_again = page.locator("#errors-filters").get_by_role("combobox", name="Question word", exact=True)
    choose_again.click()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Compare", exact=True).click()
    page.get_by_role("tab", name="Error inspection").click()
    expect(page.locator("#errors-state")).to_contain_text("have their answers")
    assert page.locator("#errors-detail .chosen").inner_text() == title
