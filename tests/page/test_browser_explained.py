"""How the cards came to their answers, in a real browser: by keyboard, on both sides, and nothing moves."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from qa_compare.data.sources import sample
from tests.conftest import OpenPage
from tests.page.test_browser import ask, button, expect_answers

pytestmark = pytest.mark.browser
# two windows; the answer stands in the second
LONG = "Nothing of note happened on that day in the village. " * 40 + "The Seine rises in Burgundy."
QUESTION = "Where does the Seine rise?"


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=60_000)


def places(page: Page) -> list[list[float]]:
    """Where the cards and their parts lie, counted from the page's top."""
    return page.locator(".card, .card > *").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.x, box.y + scrollY, box.width, box.height])"
    )


def view(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_each_view_comes_by_keyboard_and_nothing_moves(open_page: OpenPage, width: int, theme: str) -> None:
    page = open_page(width, theme)
    first = sample()[0]
    answers = expect_answers(page, first.passage)
    before = places(page)
    page.get_by_role("radio", name="Answer", exact=True).focus()
    for kind, name in (("Start", "Start and end probability"), ("Question", "Importance of the words")):
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(page.get_by_role("radio", name=name)).to_be_checked()
        expect(page.locator(".card dt", has_text=kind)).to_have_count(3)
        expect(page.locator(".pending")).to_have_count(0)
        assert places(page) == before
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for answer, card in zip(answers, page.locator(".card").all(), strict=True):
            passage = card.get_by_role("region", name="Passage")
            expect(passage).to_have_text(first.passage)
            assert "".join(passage.locator("mark.predicted").all_text_contents()) == answer
            expect(passage.locator(".word").first).to_be_attached()
    expect(page.locator(".card").first.get_by_role("region", name="Question")).to_have_text(first.question)


def test_of_a_long_passage_a_map_tells_which_window_won(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, LONG, QUESTION)
    button(page).click()
    [answer, *_] = expect_answers(page, LONG)
    expect(page.locator(".card .aside").first).to_contain_text("Read in 2 windows")
    before = places(page)
    view(page, "Start and end probability")
    summary = page.locator(".card summary").first
    expect(summary).to_have_text("Window 2 of 2 won")
    summary.focus()
    page.keyboard.press("Enter")
    rows = page.locator(".card").first.locator(".each li")
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("won")
    expect(rows.last.locator(".text")).to_have_text(answer)
    assert places(page) == before
    view(page, "Importance of the words")
    expect(page.locator(".card .outside").first).to_contain_text("Nothing of note happened")
    assert places(page) == before
