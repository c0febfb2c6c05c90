"""The page in a real browser: what a visitor sees and does. `open_page` also refuses console errors and other hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from qa_compare.data.sources import sample
from qa_compare.workbench import chance
from tests.conftest import SHIPPED, OpenPage

pytestmark = pytest.mark.browser
PASSAGE = "The Seine rises in Burgundy and flows through Paris and Rouen to the English Channel at Le Havre."
QUESTION = "Where does the Seine rise?"
WAIT = 60_000  # the models may share their processor with a training run


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=WAIT)


def passage_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Passage", exact=True)


def question_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Your question")


def button(page: Page) -> Locator:
    return page.get_by_role("button", name="Compare answers")


def expect_answers(page: Page, passage: str) -> list[str]:
    """Wait for three cards about `passage`; each answer is a span of it, and is what is highlighted. The answers."""
    for name in SHIPPED:
        expect(page.locator(f'.card[data-variant="{name}"] .passage')).to_have_text(passage)
    expect(page.locator(".pending")).to_have_count(0)
    answers = page.locator(".card .answer").all_inner_texts()
    assert len(answers) == 3
    for answer, card in zip(answers, page.locator(".card").all(), strict=True):
        assert answer
        assert answer in passage
        assert "".join(card.locator("mark.predicted").all_text_contents()) == answer
        assert re.fullmatch(r"\d+ ms|\d+\.\d s", card.locator(".time").inner_text())
    return answers


def ask(page: Page, passage: str, question: str) -> None:
    expect(page.locator(".card mark.predicted").first).to_be_visible()  # Gradio is listening
    passage_box(page).fill(passage)
    question_box(page).fill(question)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_the_page_opens_with_a_question_that_three_cards_have_answered(open_page: OpenPage) -> None:
    page = open_page()
    first = sample()[0]
    expect_answers(page, first.passage)
    expect(question_box(page)).to_have_value(first.question)
    expect(page.locator("#verdict")).to_contain_text(first.answers[0].text)
    expect(page.locator(".card .badge")).to_have_count(3)
    expect(page.locator(".card").first.locator(".candidates li")).to_have_count(5)
    expect(page.locator(".card").first.locator("mark.gold").first).to_be_visible()


@pytest.mark.parametrize("way", ["Enter", "button"])
def test_ones_own_passage_is_answered_with_spans_of_it(open_page: OpenPage, way: str) -> None:
    page = open_page()
    ask(page, PASSAGE, QUESTION)
    question_box(page).press("Enter") if way == "Enter" else button(page).click()
    expect_answers(page, PASSAGE)
    expect(page.locator("#verdict")).to_contain_text("No gold answer is known")
    expect(page.locator(".badge")).to_have_count(0)


def test_the_keyboard_alone_is_enough(open_page: OpenPage) -> None:
    page = open_page()
    expect_answers(page, sample()[0].passage)
    for wanted, words in ((passage_box(page), PASSAGE), (question_box(page), QUESTION)):
        for _ in range(20):
            if wanted.evaluate("element => element === document.activeElement"):
                break
            page.keyboard.press("Tab")
        expect(wanted).to_be_focused()
        assert wanted.evaluate("element => getComputedStyle(element).boxShadow") != "none"
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(words)
    page.keyboard.press("Enter")
    expect_answers(page, PASSAGE)
    page.keyboard.press("Tab")
    expect(button(page)).to_be_focused()
    assert button(page).evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_choosing_an_article_and_then_a_question_asks_it(open_page: OpenPage) -> None:
    page = open_page()
    expect_answers(page, sample()[0].passage)
    wanted = next(one for one in reversed(sample()) if one.title != sample()[0].title)
    of_it = [one for one in sample() if one.title == wanted.title]
    choose(page, "Article", wanted.title)
    expect(question_box(page)).to_have_value(of_it[0].question)
    expect_answers(page, of_it[0].passage)
    choose(page, "Question", wanted.question)
    expect(question_box(page)).to_have_value(wanted.question)
    expect_answers(page, wanted.passage)
    expect(page.locator("#verdict")).to_contain_text(wanted.answers[0].text)


def test_random_asks_another_question(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page()
    expect_answers(page, sample()[0].passage)
    other = sample()[-1]
    monkeypatch.setattr(chance.random, "choice", lambda _examples: other)
    page.get_by_role("button", name="Random").click()
    expect(question_box(page)).to_have_value(other.question)
    expect_answers(page, other.passage)


def test_an_uploaded_file_becomes_a_source_and_its_first_question_is_answered(
    open_page: OpenPage, squad_file: Path
) -> None:
    from tests import tiny

    page = open_page()
    expect_answers(page, sample()[0].passage)
    page.locator("#choose input[type=file]").set_input_files(squad_file)
    first = tiny.examples(1)[0]
    expect(passage_box(page)).to_have_value(first.passage)
    expect_answers(page, first.passage)
    expect(page.get_by_role("combobox", name="Questions from")).to_have_value("rivers.json")
    expect(page.locator("#status")).to_have_text("rivers.json: 2 questions in 2 articles.")
    choose(page, "Questions from", "Built-in sample")
    expect_answers(page, sample()[0].passage)


def test_a_file_that_is_no_json_is_refused_in_a_sentence_and_the_page_stays(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page()
    expect_answers(page, sample()[0].passage)
    broken = tmp_path / "notes.json"
    broken.write_text("Dear diary", encoding="utf-8")
    page.locator("#choose input[type=file]").set_input_files(broken)
    expect(page.locator("#status [role=alert]")).to_contain_text("notes.json is not JSON")
    expect(passage_box(page)).to_have_value(sample()[0].passage)
    expect_answers(page, sample()[0].passage)


def test_a_source_that_cannot_be_reached_says_so(open_page: OpenPage) -> None:
    page = open_page()
    expect_answers(page, sample()[0].passage)
    choose(page, "Questions from", "SQuAD v1.1 validation (Hugging Face hub)")
    expect(page.locator("#status [role=alert]")).to_contain_text("give a SQuAD JSON file instead")


def test_an_empty_question_gets_a_sentence_and_nothing_moves(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, PASSAGE, " ")
    before = [card.bounding_box() for card in page.locator(".card").all()]
    button(page).click()
    expect(page.locator("#verdict").get_by_role("status")).to_have_text("The question is empty: write one first.")
    expect(page.locator(".card .answer")).to_have_text(["–"] * 3)
    assert [card.bounding_box() for card in page.locator(".card").all()] == before


def test_markup_is_shown_as_text_and_does_not_run(open_page: OpenPage) -> None:
    page = open_page()
    evil = '<script>window.ran = 1</script><img src=x onerror="window.ran = 1"> is in "Paris" & <b>Rouen</b>.'
    ask(page, evil, "<img src=x onerror='window.ran = 1'> Where is it?")
    button(page).click()
    expect_answers(page, evil)
    assert page.evaluate("window.ran") is None
    assert page.locator(".cards :is(script, img, b)").count() == 0


def test_a_long_passage_is_scrolled_to_the_answer_within_its_card(open_page: OpenPage) -> None:
    page = open_page()
    filler = "Nothing of note happened on that day in the village. " * 60
    ask(page, f"{filler}{PASSAGE} {filler}".strip(), QUESTION)
    button(page).click()
    expect(page.locator("#verdict")).to_contain_text("No gold answer is known")
    expect(page.locator(".card .passage mark.predicted")).to_have_count(3)
    for box in page.locator(".card .passage").all():
        mark = box.locator("mark.predicted").first.bounding_box()
        outside = box.bounding_box()
        assert mark
        assert outside
        assert outside["y"] <= mark["y"]
        assert mark["y"] + mark["height"] <= outside["y"] + outside["height"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_the_window_and_nothing_moves_when_answers_come(open_page: OpenPage, width: int, theme: str) -> None:
    page = open_page(width, theme)
    expect(page.locator("body.dark")).to_have_count(1 if theme == "dark" else 0)
    expect(page.locator(".card .answer")).to_have_count(3)
    expect_answers(page, sample()[0].passage)
    sizes = {(round(box["width"]), round(box["height"])) for box in boxes(page)}
    long = "Llanfairpwllgwyngyll" * 20
    ask(page, f"See https://example.org/{'a' * 400} for {long}, in Wales. שלום עולם 🌊", f"Where is {long}?")
    button(page).click()
    expect(page.locator(".card .passage").first).to_contain_text("example.org")
    expect(page.locator(".pending")).to_have_count(0)
    assert {(round(box["width"]), round(box["height"])) for box in boxes(page)} == sizes
    assert len(sizes) == 1
    tops = {round(box["y"]) for box in boxes(page)}
    assert len(tops) == (1 if width == 1440 else 3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def boxes(page: Page) -> list[dict[str, float]]:
    return page.locator(".card").evaluate_all("cards => cards.map(card => card.getBoundingClientRect().toJSON())")
