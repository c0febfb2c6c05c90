"""Gold answers in whatever form people bring them: where they stand, what is told of them, and that none is lost."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import example as given_example
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer, Example
from qa_compare.data.readers import FileCheck, Problem, check
from qa_compare.data.rows import KINDS, MOST_PLACES, Passage, read_start
from tests.cases import cases

MILL = "The mill of 1820 burnt down in 1874. In 1820 a weir was built beside the milling house."
OPENED = "In 1950 the inn had 50 beds, 5 of them kept often by ten men."


def table(*rows: str, head: str = "passage,question,answers") -> FileCheck:
    return check("\n".join([head, *rows]).encode(), "mills.csv")


def one_row(**row: Any) -> FileCheck:
    """A line of JSONL about the mill; `row` is added to it."""
    return check(json.dumps({"passage": MILL, "question": "When?", **row}).encode(), "mills.jsonl")


def golds(found: FileCheck) -> list[tuple[Answer, ...]]:
    return [example.answers for example in found.examples]


def squad(qa: dict[str, Any], title: Any = "Mills", passage: str = MILL) -> FileCheck:
    paragraph = {"context": passage, "qas": [{"question": "When?", "id": "m", **qa}]}
    return check(json.dumps({"data": [{"title": title, "paragraphs": [paragraph]}]}).encode(), "mills.json")


SECOND = MILL.rindex("1820")


@pytest.mark.parametrize("start", [SECOND, float(SECOND), str(SECOND), f"{SECOND}.0", f" {SECOND} "])
@pytest.mark.parametrize(
    "row",
    [
        lambda start: {"answers": ["1820"], "answer_starts": [start]},
        lambda start: {"answers": "1820", "answer_start": start},
        lambda start: {"answer": 1820, "Answer Start": [start]},
        lambda start: {"answer_text": "1820", "answer-start": start},
        lambda start: {"answers": {"text": "1820", "answer_start": start}},
        lambda start: {"answers": [{"text": "1820", "answer_start": start}]},
        lambda start: {"answers": {"text": ["1820"], "answer_start": [start]}},
        lambda start: {"answers": {"text": ["1820"]}, "answer_start": start},
    ],
)
def test_the_files_own_start_is_taken_in_every_spelling_and_shape(row: Any, start: Any) -> None:
    for found in (one_row(**row(start)), squad(row(start))):
        assert golds(found) == [(Answer("1820", SECOND),)]
        assert found.notes == []


@pytest.mark.parametrize("cell", [f"{SECOND}", f"{SECOND}.0", f"[{SECOND}]", f" {SECOND}"])
def test_a_column_of_starts_is_read(cell: str) -> None:
    found = table(f'"{MILL}",When?,1820,{cell}', head="context,question,answer,answer_start")
    assert golds(found) == [(Answer("1820", SECOND),)]


@pytest.mark.parametrize("cell", [f"{SECOND} | 31", f'"[{SECOND}, 31]"', f'"{SECOND},31"', f"{SECOND}|31"])
def test_several_gold_answers_of_a_cell_have_their_starts_in_another(cell: str) -> None:
    found = table(f'"{MILL}",When?,1820 | 1874,{cell}', head="context,question,answers,answer_starts")
    assert golds(found) == [(Answer("1820", SECOND), Answer("1874", 31))]


def test_starts_of_another_number_than_the_gold_answers_are_not_used_and_said() -> None:
    found = one_row(answers=["1820", "1874"], answer_starts=[12])
    assert golds(found) == [(Answer("1820", 12, (SECOND,)), Answer("1874", 31))]
    assert found.notes == [Problem("line 1", "it has 1 starts for 2 gold answers: they were not used")]
    assert "2 gold answers are in rows that have another number of starts" in found.told


@pytest.mark.parametrize("value", [None, "", float("nan"), "nan", "None", [], "null"])
def test_a_start_that_is_empty_is_not_told(value: Any) -> None:
    assert golds(one_row(answers="1874", answer_start=value)) == [(Answer("1874", 31),)]


@pytest.mark.parametrize("value", ["4", "4.0", 4, 4.0, " 4 ", "+4"])
def test_a_start_has_many_spellings(value: Any) -> None:
    assert read_start(value) == 4


@pytest.mark.parametrize("value", [True, 4.5, float("inf"), "four", "4e0", {}, [4]])
def test_what_is_no_start_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        read_start(value)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("50", (20,)),  # not within 1950
        ("5", (29,)),
        ("ten", (53,)),  # not within often or kept often
        ("In 1950", (0,)),
        ("men.", (57,)),
    ],
)
def test_a_gold_answer_is_found_as_whole_words_before_it_is_found_inside_one(
    text: str, places: tuple[int, ...]
) -> None:
    found = table(f'"{OPENED}",What?,{text}')
    assert golds(found) == [(Answer(text, places[0], places[1:]),)]
    assert found.reading.kinds == {}


@pytest.mark.parametrize(
    ("passage", "text", "start"),
    [
        ("It weighs 1,000 kg or 3.5 stone, says 5 of 1 men.", "5", 38),
        ("It weighs 1,000 kg or 3.5 stone, says 5 of 1 men.", "1", 43),
        ("It weighs 1,000 kg, and has 000 on it.", "000", 28),
        ("Cafe\u0301 or Cafe?", "Cafe", 9),
        ("snake_case and case", "case", 15),
        ("他住在北京的家。", "北京", 3),
        ("The river's 5% rise", "5", 12),
        ("ต้นไม้อยู่ที่นี่", "อยู่", 6),
    ],
)
def test_numbers_marks_and_scripts_without_spaces_have_words_too(passage: str, text: str, start: int) -> None:
    found = one_row(passage=passage, answer=text)
    assert golds(found) == [(Answer(text, start),)]
    assert found.reading.kinds == {}


def test_several_places_are_all_kept_and_counted_in_the_line() -> None:
    found = table(f'"{MILL}",When?,1820', f'"{MILL}",When did it burn?,1874')
    assert golds(found) == [(Answer("1820", 12, (SECOND,)),), (Answer("1874", 31),)]
    assert "1 gold answer stands at several places in its passage" in found.told
    assert "(line 2)" in found.told


def test_a_gold_answer_inside_words_only_is_taken_from_there_and_counted() -> None:
    found = table(f'"{MILL}",What?,urn')
    assert golds(found) == [(Answer("urn", MILL.index("urn")),)]
    assert "1 gold answer is found only inside a longer word" in found.told


def test_the_places_of_one_answer_are_few_however_many_there_are() -> None:
    [(answer,)] = golds(one_row(passage="a " * 1_000, answer="a"))
    assert len(answer.spans) == MOST_PLACES


def test_spaces_around_a_gold_answer_move_it_nowhere() -> None:
    found = table(f'"{OPENED}",What?," ten "', f'"{OPENED}",What?,"50 beds "', f'"{OPENED}",What?,"  | ten"')
    assert golds(found) == [(Answer("ten", 53),), (Answer("50 beds", 20),), (Answer("ten", 53),)]
    assert golds(one_row(answers=[" 1874"], answer_starts=[31])) == [(Answer("1874", 31),)]
    assert golds(one_row(answers=["  1874"], answer_starts=[29])) == [(Answer("1874", 31),)]


def test_a_published_answer_with_a_space_at_its_edge_stays_as_published() -> None:
    assert golds(squad({"answers": [{"text": "1874. ", "answer_start": 31}]})) == [(Answer("1874. ", 31),)]


@pytest.mark.parametrize("name", ["is_impossible", "Is Impossible", "isImpossible", "unanswerable"])
@pytest.mark.parametrize("value", [True, "true", "True", "TRUE", 1, 1.0, "1", "yes", " Yes "])
def test_a_question_is_marked_as_unanswerable_in_every_spelling(name: str, value: Any) -> None:
    row = {name: value, "answers": ["1874"], "plausible_answers": [{"text": "1820", "answer_start": 12}]}
    found = [one_row(**row), squad(row), table(f'"{MILL}",When?,1874,{value}', head=f"passage,question,answers,{name}")]
    for one in found:
        assert [(example.answers, example.unanswerable) for example in one.examples] == [((), True)]
        assert "1 marked as unanswerable" in one.told


@pytest.mark.parametrize("value", [False, "false", "False", 0, "0", "no", "", None])
def test_a_question_that_is_not_marked_keeps_its_gold_answers(value: Any) -> None:
    for one in (one_row(is_impossible=value, answer="1874"), squad({"is_impossible": value, "answer": "1874"})):
        assert [(example.answers, example.unanswerable) for example in one.examples] == [((Answer("1874", 31),), False)]


def test_the_hubs_empty_columns_mark_a_question_and_an_empty_list_does_not() -> None:
    empty = {"text": [], "answer_start": []}
    assert [one.unanswerable for one in one_row(answers=empty).examples] == [True]
    assert [one.unanswerable for one in one_row(answers=empty, is_impossible=False).examples] == [False]
    assert [one.unanswerable for one in one_row(answers=[]).examples] == [False]


def test_an_empty_gold_answer_is_none_counted_and_the_question_kept() -> None:
    found = squad({"answers": [{"text": "", "answer_start": -1}, {"text": " ", "answer_start": 3}]})
    assert [(one.answers, one.unanswerable) for one in found.examples] == [((), False)]
    assert "2 gold answers hold no text and were not taken" in found.told


@pytest.mark.parametrize(
    ("answers", "kept", "said"),
    [
        (["1874", "in 1874 or so"], ("1874", "in 1874 or so"), 'the gold answer "in 1874 or so" is not in its passage'),
        (["1874", ["x"]], ("1874",), "a gold answer is missing or not a text: it was not taken"),
        (["1874", "\ud83d"], ("1874",), "a gold answer holds half a character"),
        (["1874", {"answer_start": 4}], ("1874",), "a gold answer has no text: it was not taken"),
        (["1874", True], ("1874",), "a gold answer is missing or not a text: it was not taken"),
        ([{"text": "weir", "answer_start": 3}], ("weir",), '"weir" is not at character 3 of its passage (it stands at'),
        ([{"text": "weir", "answer_start": -1}], ("weir",), '"weir" is not at character -1 of its passage'),
        ([{"text": "weir", "answer_start": 10**30}], ("weir",), "'a number that is too large'"[1:-1]),
        ([{"text": "weir", "answer_start": "x"}], ("weir",), "\"weir\" is not at character 'x' of its passage"),
    ],
)
def test_a_bad_gold_answer_costs_itself_or_its_place_and_never_the_question(
    answers: list[Any], kept: tuple[str, ...], said: str
) -> None:
    found = squad({"answers": answers})
    [example] = found.examples
    assert found.problems == []
    assert tuple(one.text for one in example.answers) == kept
    assert [one.start for one in example.answers] == [31 if one == "1874" else None for one in kept]
    [note] = found.notes
    assert note.row == "data[0].paragraphs[0].qas[0]"
    assert said in note.message
    assert "data[0].paragraphs[0].qas[0]" in found.told


def test_many_bad_gold_answers_of_one_row_are_one_note() -> None:
    [note] = one_row(answers=["nowhere"] * 50).notes
    assert note.message.endswith("(and 47 more)")


DECOMPOSED = unicodedata.normalize("NFD", "Zoë ging über die Brücke.")


@pytest.mark.parametrize("gold", ["Brücke", "Zoë", "über die"])
@pytest.mark.parametrize("start", [True, False])
def test_a_gold_answer_in_another_unicode_form_is_the_passages_own_characters_and_said(gold: str, start: bool) -> None:
    own = unicodedata.normalize("NFD", gold)
    place = DECOMPOSED.index(own)
    found = one_row(passage=DECOMPOSED, answers=gold, **({"answer_start": place} if start else {}))
    assert golds(found) == [(Answer(own, place),)]
    assert "1 gold answer is in its passage in another Unicode form" in found.told
    composed = unicodedata.normalize("NFC", DECOMPOSED)
    assert golds(one_row(passage=composed, answers=own)) == [(Answer(gold, composed.index(gold)),)]


def test_half_of_a_letter_with_its_mark_is_not_found_by_its_decomposition() -> None:
    assert Passage("Zoë").spelling("Zoe") is None
    assert Passage("한국").spelling(unicodedata.normalize("NFD", "국")) == "국"
    assert Passage("한국").spelling("\u1112") is None


def test_a_cell_that_stands_in_the_passage_as_a_whole_is_one_gold_answer() -> None:
    passage = "Type a | b to choose a or b."
    assert golds(table(f"{passage},What?,a | b")) == [(Answer("a | b", 5),)]
    assert golds(table(f"{passage},What?,choose | b.")) == [(Answer("choose", 14), Answer("b.", 26))]
    starts = table(f"{passage},What?,a | b,5 | 26", head="passage,question,answers,answer_start")
    assert golds(starts) == [(Answer("a", 5), Answer("b", 26))]


@pytest.mark.parametrize("title", [None, ""])
def test_a_null_title_is_none_in_every_form(title: str | None) -> None:
    for found in (squad({"answer": "1874"}, title=title), one_row(answer="1874", title=title)):
        assert [one.title for one in found.examples] == [""]
        assert found.problems == []


@pytest.mark.parametrize("passage", ["passage", "Context", " CONTEXT ", "paragraph"])
@pytest.mark.parametrize("question", ["question", "Query"])
@pytest.mark.parametrize("answers", ["answers", "answer", "Answer_Text", "answer text", "text", "gold"])
def test_columns_have_the_names_that_people_use_and_the_line_says_which(
    passage: str, question: str, answers: str
) -> None:
    found = table(f'"{MILL}",When?,1874,x', head=f"{passage},{question},{answers},remark")
    assert golds(found) == [(Answer("1874", 31),)]
    assert found.told == (
        f"mills.csv: passages from {passage.strip()!r}; questions from {question!r}; gold answers from {answers!r}; "
        "not used: 'remark'. Read: 1 question, all with gold answers."
    )


def test_a_file_whose_gold_answers_have_no_known_name_says_so() -> None:
    found = table(f'"{MILL}",When?,1874', head="passage,question,solution")
    assert golds(found) == [()]
    assert "no gold answers, which would be in 'answers', 'answer_text'" in found.told
    assert "not used: 'solution'. Read: 1 question, none with gold answers." in found.told


def test_fields_of_json_that_were_not_used_are_named_too() -> None:
    for found in (one_row(solution="1874"), squad({"solution": "1874"})):
        assert "not used: 'solution'. Read: 1 question, none with gold answers." in found.told


def test_the_first_name_that_holds_something_is_taken() -> None:
    assert golds(one_row(answers=None, answer="1874")) == [(Answer("1874", 31),)]
    found = table(f'"{MILL}",When?,,1874', f'"{MILL}",When?,1820 a weir,1874', head="passage,question,answers,answer")
    assert golds(found) == [(Answer("1874", 31),), (Answer("1820 a weir", SECOND),)]
    assert "gold answers from 'answers', 'answer'" in found.told


def test_a_file_without_a_good_row_says_that_no_question_can_be_used() -> None:
    found = table(",When?,", f'"{MILL}",,')
    assert found.held == "no usable question"
    assert "Read: no usable question." in found.told


texts = st.text(alphabet="ab é e\u0301한1,.|\u0e31", max_size=6)


@given(
    passage=texts.filter(str.strip), gold=texts, start=st.none() | st.integers(-2, 8) | texts, impossible=st.booleans()
)
@given_example(passage="e\u0301a", gold="é", start=0, impossible=False)
@cases(300)
def test_every_gold_answer_is_in_the_example_or_counted(passage: str, gold: str, start: Any, impossible: bool) -> None:
    row = {
        "passage": passage,
        "question": "q",
        "answers": [gold],
        "answer_starts": [start],
        "is_impossible": impossible,
    }
    found = check(json.dumps(row).encode(), "f.jsonl")
    [example] = found.examples
    kinds = found.reading.kinds
    assert set(kinds) <= set(KINDS)
    if impossible:
        assert (example.answers, kinds) == ((), {})
    elif not example.answers:
        assert set(kinds) == {"empty"}
    else:
        _holds(example, kinds)


def _holds(example: Example, kinds: dict[str, tuple[int, str]]) -> None:
    [answer] = example.answers
    assert all(example.passage[first:last] == answer.text for first, last in answer.spans)
    assert (answer.start is None) == bool({"absent", "misplaced"} & set(kinds))
    assert ("ambiguous" in kinds) == answer.ambiguous
