"""How a card came to its answer, as HTML: no text is lost or run, and what the bars show is told in words too."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate, Prediction
from qa_compare.inference.engine import Engine
from qa_compare.inference.explanation import Explanation, Importance, Weight, WindowAnswer, Word
from qa_compare.page import theme
from qa_compare.page.compare import cards, explained
from qa_compare.page.compare.explained import Bar
from qa_compare.workbench.service import Service
from tests import measured, tiny
from tests.conftest import BACKBONE, SHIPPED
from tests.runs.test_cards import MARK, PASSAGE, pictured, texts, visible

QUESTION = "Where is it?"
EVIL = '<img src=x onerror="alert(1)">'
WORD = re.compile(r'<span class="word" style="([^"]*)" title="([^"]*)">(.*?)</span>', re.DOTALL)
PARIS = PASSAGE.index("Paris")


def comparison(passage: str = PASSAGE, question: str = QUESTION, label: str = "Base", windows: int = 1) -> Comparison:
    """One card whose answer is the passage's fifth word, or all of it."""
    start, end = (PARIS, PARIS + 5) if passage == PASSAGE else (0, len(passage))
    candidate = Candidate(passage[start:end], start, end, 7.25, 0.5)
    return Comparison(
        passage, question, (VariantAnswer("base", label, Prediction("", (candidate,), 0.0, windows), 23.4),)
    )


def told(asked: Comparison, *, importance: bool = False, windows: int = 1) -> Explanation:
    """Made up: the answer's word is likely, the one before it less so, and all that is read is in the last window."""
    assert asked.answers[0].prediction
    best = asked.answers[0].prediction.candidates[0]
    words = (Word(best.start, best.end, 0.914, 0.004),)
    if best.start:
        words = (Word(0, 3, 0.02, 0.0), Word(4, 9, 0.003, 0.85), *words)
    half = len(asked.passage) // 2
    spans = [(0, half + 5), (half, len(asked.passage))][-windows:] if windows > 1 else [(0, len(asked.passage))]
    found = tuple(WindowAnswer(start, end, best, number == len(spans)) for number, (start, end) in enumerate(spans, 1))
    if not importance:
        return Explanation(words, found)
    weights = (Weight(best.start, best.end, 1.5), Weight(best.end, len(asked.passage), -0.75))
    return Explanation(words, found, Importance((Weight(0, 5, 0.3), Weight(6, 8, 0.01)), weights))


def shown(asked: Comparison, explanation: Explanation, gold: list[tuple[int, int]] | None = None) -> str:
    show = explained.show(asked, asked.answers[0], gold or [], explanation)
    return cards.answers(asked, (), {"base": show})


@st.composite
def strips(draw: st.DrawFn) -> tuple[str, list[Bar], tuple[int, int], list[tuple[int, int]], tuple[int, int]]:
    passage = draw(texts.filter(bool))
    places = st.integers(0, len(passage))
    spans = st.tuples(places, places).map(lambda pair: (min(pair), max(pair))).filter(lambda pair: pair[0] < pair[1])
    read = draw(spans)
    cuts = sorted(draw(st.sets(st.integers(*read), max_size=6)))
    bars = [Bar(start, end, 0.5, 0.25, "50%") for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    return passage, bars, draw(spans), draw(st.lists(spans, max_size=2)), read


@given(strips())
def test_a_strip_shows_the_text_marks_its_spans_and_puts_bars_at_its_words(case) -> None:
    passage, bars, predicted, gold, read = case
    markup = explained.strip(passage, bars, predicted, gold, read)
    assert visible(markup) == pictured(passage)
    for kind, spans in (("predicted", [predicted]), ("gold", gold)):
        marked = "".join(html.unescape(piece) for kinds, piece in MARK.findall(markup) if kind in kinds.split())
        covered = sorted({place for span in spans for place in range(*span)})
        assert marked == pictured("".join(passage[place] for place in covered))
    assert [visible(word) for _, _, word in WORD.findall(markup)] == [
        pictured(passage[bar.start : bar.end]) for bar in bars
    ]
    faint = "".join(visible(part) for part in re.findall(r'<span class="outside">(.*?)</span>', markup, re.DOTALL))
    assert faint == pictured(passage[: read[0]] + passage[read[1] :])


def test_chances_stand_as_bars_and_in_words() -> None:
    asked = comparison()
    markup = shown(asked, told(asked), [(PARIS, PARIS + 5)])
    assert [(style, says, visible(word)) for style, says, word in WORD.findall(markup)] == [
        ("--up:0.20;", "start 2%, end 0%", "The"),
        ("--down:0.85;", "start &lt;1%, end 85%", "Seine"),
        ("--up:0.91;", "start 91%, end &lt;1%", "Paris"),
    ]
    assert visible(re.findall(r"<dl.*?</dl>", markup)[0]) == "StartParis 91%The 2%EndSeine 85%"
    assert '<mark class="predicted gold">Paris</mark>' in markup
    assert "details" not in markup


def test_importance_is_shown_by_its_size_on_one_scale_and_faint_text_is_what_was_not_read() -> None:
    asked = comparison(windows=2)
    markup = shown(asked, told(asked, importance=True, windows=2))
    question, passage = re.findall(r'class="passage.*?(?=</p>|</div>)', markup, re.DOTALL)
    assert [word[:2] for word in WORD.findall(question)] == [("--up:0.20;", "importance 0.30")]
    assert [word[:2] for word in WORD.findall(passage)] == [
        ("--up:1.00;", "importance 1.50"),
        ("--up:0.50;", "importance 0.75"),
    ]
    words = visible(re.findall(r"<dl.*?</dl>", markup)[0])
    assert words == "QuestionWhere 0.30is 0.01PassageParis 1.50 and Rouen. 0.75"
    assert f'<span class="outside">{PASSAGE[: len(PASSAGE) // 2]}</span>' in markup


def test_the_windows_map_names_the_winner_and_unfolds_to_each_windows_answer() -> None:
    asked = comparison(windows=2)
    found = told(asked, windows=2).windows
    markup = explained.windows((*found, WindowAnswer(39, 40, None, False)))
    assert "Window 2 of 3 won" in markup
    assert [visible(row) for row in re.findall(r"<li.*?</li>", markup)] == [
        "1 · characters 1–25Paris7.2",
        "2 · characters 21–40 · wonParis7.2",
        "3 · characters 40–40––",
    ]
    assert re.findall(r'<i( class="won")? style="left:([\d.]+)%;width:([\d.]+)%', markup) == [
        ("", "0.00", "62.50"),
        (' class="won"', "50.00", "50.00"),
        ("", "97.50", "2.50"),
    ]
    assert explained.windows(found[:1]) == ""


@pytest.mark.parametrize("importance", [False, True])
def test_markup_in_every_place_is_escaped(importance: bool) -> None:
    asked = comparison(EVIL, EVIL, EVIL)
    markup = shown(asked, told(asked, importance=importance, windows=2))
    assert "<img" not in markup
    assert markup.count("&lt;img") > 5


def test_where_every_word_is_unlikely_the_likeliest_is_named() -> None:
    asked = comparison()
    words = tuple(Word(place, place + 1, 0.004 - place / 10_000, 0.003) for place in range(0, 8, 2))
    markup = shown(asked, Explanation(words, told(asked).windows))
    assert "<dt>Start</dt><dd><bdi>T</bdi> &lt;1%</dd></div>" in markup
    assert not WORD.search(markup)


def test_long_words_are_told_apart_since_they_give_way_where_there_is_no_room() -> None:
    asked = comparison("Llanfairpwllgwyngyll is there")
    words = (Word(0, 20, 0.5, 0.5), Word(21, 23, 0.4, 0.4))
    markup = shown(asked, Explanation(words, told(asked).windows))
    assert markup.count('<dd class="long"><bdi>Llanfairpwllgwyngyll</bdi> 50%</dd><dd><bdi>is</bdi> 40%</dd>') == 2


def test_a_card_without_a_word_that_counts_says_so() -> None:
    asked = comparison()
    nothing = Importance((), (Weight(0, 3, 0.0),))
    markup = shown(asked, Explanation((), told(asked).windows, nothing))
    assert "<dt>Question</dt><dd>–</dd>" in markup
    assert "<dt>Passage</dt><dd>–</dd>" in markup
    assert "word" not in [name for names in re.findall(r'class="([^"]*)"', markup) for name in names.split()]


@pytest.mark.parametrize("view", [name for _, name in explained.VIEWS])
def test_every_view_has_a_legend_and_the_others_keep_their_place_unseen(view: str) -> None:
    lines = re.findall(r"<p( aria-hidden=\"true\")?>", explained.legend(view))
    assert [bool(hidden) for hidden in lines] == [name != view for _, name in explained.VIEWS]


def test_every_class_that_is_used_has_a_style() -> None:
    asked = comparison(windows=2)
    markup = "".join(explained.legend(name) for _, name in explained.VIEWS) + cards.answers(asked)
    for importance in (False, True):
        markup += shown(asked, told(asked, importance=importance, windows=2))
    used = {name for names in re.findall(r'class="([^"]*)"', markup) for name in names.split()}
    styled = set(re.findall(r"\.([a-z][\w-]*)", theme.css()))
    assert len(used) > 10
    assert used - styled <= {"match"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("explained")
    measured.backbone(folder)
    (folder / "adapters" / "river-bert" / "broken").mkdir(parents=True)
    return Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")


def test_only_what_is_asked_for_is_computed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    example = tiny.examples(1)[0]
    found = engine.compare(example.passage, example.question, ["base"])
    asked: list[bool] = []

    def fail(*_args: object, importance: bool) -> dict[str, Explanation]:
        asked.append(importance)
        return {}

    monkeypatch.setattr(explained, "explain", fail)
    for view in (explained.ANSWER, explained.CHANCES, explained.IMPORTANCE):
        explained.answers(engine, found, example.answers, view)
    assert asked == [False, True]


@pytest.mark.parametrize("view", [explained.CHANCES, explained.IMPORTANCE])
def test_a_variant_that_cannot_answer_keeps_its_reason_beside_those_that_are_explained(
    engine: Engine, view: str
) -> None:
    example = tiny.examples(1)[0]
    found = engine.compare(example.passage, example.question, ["base", "broken"])
    markup = explained.answers(engine, found, example.answers, view)
    assert markup.count("<dl") == 1
    assert "broken/variant.json is missing" in markup


@pytest.mark.slow
@pytest.mark.parametrize("view", [explained.CHANCES, explained.IMPORTANCE])
def test_the_shipped_variants_tell_how_they_came_to_the_answers_they_give(service: Service, view: str) -> None:
    found = service.compare(PASSAGE, "Which river flows through Paris?")
    markup = explained.answers(service.engines[BACKBONE], found, [Answer("Seine", 4)], view)
    assert markup.count("<dl") == len(SHIPPED)
    for answer, card in zip(found.answers, markup.split("<article")[1:], strict=True):
        strip = card.partition("<dl")[0]
        assert "".join(piece for kinds, piece in MARK.findall(strip) if "predicted" in kinds) == answer.answer
        assert WORD.search(strip)
