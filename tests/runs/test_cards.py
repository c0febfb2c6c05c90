"""Answers as HTML, and the colours: nothing of a text is lost or run, and variants can be told apart by everyone."""

from __future__ import annotations

import html
import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate, Prediction
from qa_compare.page import theme
from qa_compare.page.compare import cards
from qa_compare.page.theme import VARIANT_COLOURS
from tests import colours

PASSAGE = "The Seine flows through Paris and Rouen."
MARK = re.compile(r'<mark class="([a-z ]+)">(.*?)</mark>', re.DOTALL)


def answered(name: str, text: str, passage: str = PASSAGE, confidence: float = 0.5) -> VariantAnswer:
    start = passage.index(text)
    candidate = Candidate(text, start, start + len(text), 1.0, confidence)
    return VariantAnswer(name, name.title(), Prediction("", (candidate,), 0.0, 1), 23.4)


def visible(markup: str) -> str:
    """What a browser would show of markup whose tags hold no `>`."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def pictured(text: str) -> str:
    """The text with what the cards put in place of characters that cannot be seen or sent."""
    shown = ""
    for character in text:
        code = ord(character)
        control = code < 32 and character not in "\t\n\r"
        same = chr(0x2400 + code) if control else character
        shown += "\u2421" if code == 0x7F else "\ufffd" if 0xD800 <= code < 0xE000 else same
    return shown


texts = st.text(st.characters() | st.sampled_from("<>&\"'\x00\x1b\x7f\ud800\udfff"), max_size=60)


@st.composite
def marked_passages(draw: st.DrawFn) -> tuple[str, tuple[int, int], list[tuple[int, int]]]:
    passage = draw(texts.filter(bool))
    ends = st.tuples(st.integers(0, len(passage)), st.integers(0, len(passage)))
    spans = ends.map(lambda pair: (min(pair), max(pair))).filter(lambda pair: pair[0] < pair[1])
    return passage, draw(spans), draw(st.lists(spans, max_size=3))


@given(marked_passages())
def test_a_highlighted_passage_shows_the_passage_and_marks_exactly_its_spans(
    case: tuple[str, tuple[int, int], list[tuple[int, int]]],
) -> None:
    passage, predicted, gold = case
    markup = cards.highlight(passage, predicted, gold)
    assert visible(markup) == pictured(passage)
    marked = {
        kind: "".join(html.unescape(piece) for kinds, piece in MARK.findall(markup) if kind in kinds.split())
        for kind in ("predicted", "gold")
    }
    assert marked["predicted"] == pictured(passage[slice(*predicted)])
    covered = sorted({place for span in gold for place in range(*span)})
    assert marked["gold"] == pictured("".join(passage[place] for place in covered))


def test_where_spans_overlap_both_are_marked() -> None:
    assert cards.highlight("abcdef", (1, 4), [(2, 6)]) == (
        'a<mark class="predicted">b</mark><mark class="predicted gold">cd</mark><mark class="gold">ef</mark>'
    )


@given(texts)
def test_no_text_can_leave_its_place(text: str) -> None:
    safe = cards.text(text)
    assert not set(safe) & set("<>\"'")
    assert html.unescape(safe) == pictured(text)
    safe.encode("utf-8")


def test_markup_in_every_place_is_escaped() -> None:
    evil = '<img src=x onerror="alert(1)">'
    broken = VariantAnswer("lora", evil, None, problem=evil)
    comparison = Comparison(evil, evil, (answered("base", evil, evil), broken), (evil,))
    gold = (Answer(evil, 0),)
    shown = cards.verdict(comparison, gold) + cards.answers(comparison, gold)
    shown += cards.failure(evil) + cards.notice(evil) + cards.waiting([(evil, evil)])
    assert "<img" not in shown
    assert shown.count("&lt;img") > 10


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0%"),
        (0.0004, "&lt;1%"),
        (0.01, "1%"),
        (0.914, "91%"),
        (0.99, "99%"),
        (0.9999, "&gt;99%"),
        (1.0, "100%"),
    ],
)
def test_percent_never_rounds_to_none_or_all(share: float, shown: str) -> None:
    assert cards.percent(share) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0.2, "0 ms"), (23.4, "23 ms"), (999.4, "999 ms"), (999.9, "1.0 s"), (12_300, "12.3 s")],
)
def test_durations_are_short(milliseconds: float, shown: str) -> None:
    assert cards.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("answer", "badge"),
    [
        ("Paris", "✓</span> Exact match"),
        ("Paris and Rouen", "≈</span> Partial match, F1 50%"),
        ("Seine", "✕</span> Wrong"),
    ],
)
def test_a_badge_says_in_words_and_a_sign_how_right_an_answer_is(answer: str, badge: str) -> None:
    gold = (Answer("Paris", PASSAGE.index("Paris")),)
    assert badge in cards.answers(Comparison(PASSAGE, "?", (answered("base", answer),)), gold)


def test_without_gold_answers_nobody_is_marked() -> None:
    comparison = Comparison(PASSAGE, "?", (answered("base", "Paris"),))
    assert "badge" not in cards.answers(comparison)
    assert "No gold answer is known" in cards.verdict(comparison)


def test_a_variant_that_cannot_answer_says_why_and_the_others_answer() -> None:
    broken = VariantAnswer("lora", "LoRA", None, problem="its weights are missing")
    wordless = VariantAnswer("prompt-tuning", "Prompt tuning", Prediction("", (), 0.0, 0))
    shown = cards.answers(Comparison(PASSAGE, "?", (answered("base", "Paris"), broken, wordless)))
    assert shown.count("<article") == 3
    assert "Its weights are missing." in shown
    assert "the passage holds no word" in shown
    assert shown.count("Cannot answer") == 2


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("the weights are missing", "The weights are missing."),
        ("Write one first.", "Write one first."),
        ("notes.json is not JSON", "notes.json is not JSON."),
        ("bert-tiny is not here", "bert-tiny is not here."),
    ],
)
def test_messages_are_sentences_and_names_stay_as_they_are(message: str, shown: str) -> None:
    assert visible(cards.failure(message)) == shown
    assert visible(cards.notice(message)) == shown


@pytest.mark.parametrize("variant", VARIANT_COLOURS)
def test_a_variants_colour_can_be_read(variant: str) -> None:
    colour = VARIANT_COLOURS[variant]
    assert min(colours.contrast(colour.light, paper) for paper in (theme.SURFACE, theme.CANVAS)) >= 4.5
    assert min(colours.contrast(colour.dark, paper) for paper in (theme.SURFACE_DARK, theme.CANVAS_DARK)) >= 4.5
    assert min(colours.contrast(colour.chart, paper) for paper in (theme.SURFACE, theme.SURFACE_DARK)) >= 3


@pytest.mark.parametrize("vision", colours.VISION)
@pytest.mark.parametrize("side", ["light", "dark", "chart"])
def test_any_two_variants_can_be_told_apart(side: str, vision: str) -> None:
    nearest = min(
        (
            colours.distance(getattr(VARIANT_COLOURS[one], side), getattr(VARIANT_COLOURS[other], side), vision),
            one,
            other,
        )
        for one, other in combinations(VARIANT_COLOURS, 2)
    )
    assert nearest[0] > 18, nearest


@pytest.mark.parametrize("kind", ["exact", "partial", "wrong"])
def test_badges_can_be_read_on_both_sides(kind: str) -> None:
    inks = re.findall(rf"--{kind}: (#[0-9a-f]{{6}});", theme.css())
    papers = re.findall(rf"--{kind}-soft: (#[0-9a-f]{{6}});", theme.css())
    assert len(inks) == len(papers) == 2
    assert all(colours.contrast(ink, paper) >= 4.5 for ink, paper in zip(inks, papers, strict=True))


def test_a_variant_of_any_name_has_a_colour_and_keeps_it() -> None:
    assert theme.colour("my-own") == theme.colour("my-own")
    assert theme.colour("my-own") in VARIANT_COLOURS.values()
    assert theme.style("lora") == f"--light:{VARIANT_COLOURS['lora'].light};--dark:{VARIANT_COLOURS['lora'].dark}"


def test_every_class_that_the_cards_use_has_a_style() -> None:
    comparison = Comparison(PASSAGE, "?", (answered("base", "Paris"),), ("Cut.",))
    gold = (Answer("Paris and Rouen", PASSAGE.index("Paris")),)
    shown = cards.verdict(comparison, gold) + cards.answers(comparison, gold) + cards.waiting([("base", "Base")])
    shown += cards.pending() + cards.failure("No.") + cards.notice("No.", failed=True)
    used = {name for names in re.findall(r'class="([^"]*)"', shown) for name in names.split()}
    styled = set(re.findall(r"\.([a-z][\w-]*)", theme.css()))
    assert len(used) > 10
    assert used - styled <= {"match"}


def test_what_changed_stands_in_its_variants_card_and_above_the_cards() -> None:
    comparison = Comparison(PASSAGE, "?", (answered("base", "Paris"), answered("lora", "Paris")))
    name = comparison.answers[-1].variant
    shown = cards.answers(comparison, changes={name: '<p class="change same">Same</p>'})
    assert shown.count('<p class="change"></p>') == len(comparison.answers) - 1
    assert shown.index(f'data-variant="{name}"') < shown.index('<p class="change same">Same</p>')
    assert '<p class="note changed">A &lt;b&gt; flips.</p>' in cards.verdict(comparison, (), "A <b> flips.")
    assert "changed" not in cards.verdict(comparison)


@pytest.mark.parametrize(("answer", "scrolls"), [("a" * 81, True), ("a" * 80, False)])
def test_an_answer_that_may_scroll_can_be_reached_by_keyboard(answer, scrolls):
    made = cards.said(answer, " longer" if scrolls else " long", 'A "B"')
    assert ('tabindex="0" role="region" aria-label="Answer of A &quot;B&quot;"' in made) == scrolls
