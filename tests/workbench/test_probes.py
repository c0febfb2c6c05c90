"""What each probe makes of a text, when it says that it does not fit, and that it is the same every time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer
from qa_compare.data.sources import sample
from qa_compare.workbench import probes
from qa_compare.workbench.probes import PROBES, Variation, all_of, distraction, names, swap

PASSAGE = "In 1610 Galileo wrote to Kepler from Padua. He had seen four moons. Kepler answered Galileo from Prague."
QUESTION = "Who answered Galileo?"


def made(key: str, question: str = QUESTION, passage: str = PASSAGE) -> Variation:
    variation = all_of(passage, question)[key]
    assert isinstance(variation, Variation)
    return variation


def refused(key: str, question: str = QUESTION, passage: str = PASSAGE) -> str:
    reason = all_of(passage, question)[key]
    assert isinstance(reason, str)
    return reason


@pytest.mark.parametrize(
    ("key", "question", "changed"),
    [
        ("case", "Who was Kepler?", "WHO WAS KEPLER?"),
        ("case", "WHO WAS KEPLER?", "who was kepler?"),
        ("typo", "Who answered Galileo?", "Who ansewred Galileo?"),
        ("typo", "Is it seen here?", "Is it seen hree?"),
        ("mark", "Who answered? ", "Who answered"),
        ("mark", "Wer antwortete？", "Wer antwortete"),
    ],
)
def test_the_question_is_changed_by_one_thing(key: str, question: str, changed: str) -> None:
    variation = made(key, question)
    assert (variation.passage, variation.question) == (PASSAGE, changed)
    assert variation.moved("Kepler") == "Kepler"


@pytest.mark.parametrize(
    ("key", "question", "passage", "sentence"),
    [
        ("case", "1610?", PASSAGE, "no letter"),
        ("typo", "Who is it?", PASSAGE, "long enough"),
        ("typo", "Ooooo aaaa?", PASSAGE, "long enough"),
        ("mark", "Who answered Galileo", PASSAGE, "does not end with a question mark"),
        ("mark", "?", PASSAGE, "does not end with a question mark"),
        ("names", QUESTION, "Galileo wrote. He had seen four moons.", "does not name two"),
        ("names", QUESTION, "In May the English and the Dutch met.", "does not name two"),
        ("distraction", "Name the astronomer.", PASSAGE, "does not ask who"),
        ("distraction", "How come?", PASSAGE, "does not ask who"),
    ],
)
def test_a_probe_that_does_not_fit_says_why(key: str, question: str, passage: str, sentence: str) -> None:
    assert sentence in refused(key, question, passage)


def test_names_change_places_in_both_texts_and_the_answer_moves_along() -> None:
    variation = made("names")
    assert variation.swapped == ("Galileo", "Kepler")
    assert variation.passage.startswith("In 1610 Kepler wrote to Galileo from Padua.")
    assert variation.question == "Who answered Kepler?"
    assert variation.moved("Kepler") == "Galileo"
    assert variation.moved("four moons") == "four moons"


def test_names_within_names_are_not_swapped() -> None:
    passage = "Near York lies New York House; in Leeds and York it rains, says Ann Lee of Leeds."
    variation = made("names", "What rains in New York House?", passage)
    assert variation.swapped
    assert "York" not in variation.swapped or "New York House" not in variation.swapped
    assert swap("York and New Yorkers", "York", "Leeds") == "Leeds and New Yorkers"


def test_a_capital_at_a_sentences_beginning_makes_no_name() -> None:
    assert names("Rivers flow. Seas wait. The Seine meets the Marne. Marne is a name.") == {"Seine": 1, "Marne": 1}


def test_gold_answers_move_with_swapped_names() -> None:
    start = PASSAGE.index("Galileo from Prague")
    variation = made("names")
    [gold] = variation.gold(PASSAGE, [Answer("Galileo", start)])
    assert gold.text == "Kepler"
    assert variation.passage[gold.start :] == "Kepler from Prague."
    assert made("case").gold(PASSAGE, [Answer("Galileo", start)]) == (Answer("Galileo", start),)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Who wrote Hamlet?", "Tom Brack wrote Ludlow."),
        ("Who answered him?", "Tom Brack answered him in Ludlow."),
        ("When was Hamlet first played?", "Only in 1934 was Ludlow first played."),
        ("In what year was the play written?", "In Ludlow, only in 1934 was the play written."),
        ("Where does the Seine rise?", "Only in Ludlow does the Karsholm rise."),
        ("What is the capital of France?", "A copper lantern is the capital of Ludlow."),
        ("What did the king's men find?", "In Ludlow, only a copper lantern did the king's men find."),
        ("Which river flows through Paris?", "The other river flows through Ludlow."),
        ("Which city did the war of 1870 reach?", "Only the city of Ludlow did the war of 1934 reach."),
        ("How many people lived there?", "47 people lived there in Ludlow."),
        ("How many people did they save?", "In Ludlow, only 47 people did they save."),
        ("Why did Galileo's plan fail?", "Only because of a wager did Ludlow's plan fail."),
        ("How was it sent?", "In Ludlow, only by chance was it sent."),
        ("What happened in May 1940?", "A copper lantern happened in May 1934."),
    ],
)
def test_a_distracting_sentence_looks_like_an_answer_and_is_about_something_else(question: str, sentence: str) -> None:
    assert distraction("", question) == sentence


def test_made_up_names_are_none_of_the_passage() -> None:
    assert distraction("Tom Brack of Ludlow.", "Who wrote Hamlet?") == "Ada Quill wrote Karsholm."


def test_the_distracting_sentence_stands_at_the_passages_end_and_moves_no_answer() -> None:
    variation = made("distraction", passage=PASSAGE + "\n")
    assert variation.passage == f"{PASSAGE} Tom Brack answered Ludlow."
    assert variation.question == QUESTION


def test_every_question_of_the_sample_can_be_probed() -> None:
    for example in sample():
        found = all_of(example.passage, example.question)
        assert [key for key, one in found.items() if isinstance(one, str)] == [], example.question


@given(st.text(max_size=300), st.text(max_size=80))
def test_any_text_is_changed_or_refused_and_the_same_every_time(passage: str, question: str) -> None:
    found = all_of(passage, question)
    assert found == all_of(passage, question)
    assert list(found) == [probe.key for probe in PROBES]
    for variation in found.values():
        if isinstance(variation, Variation):
            assert (variation.passage, variation.question) != (passage, question)
            assert variation.told


@given(st.lists(st.sampled_from(["Ann", "Bob", "saw", "Cid Lee", "and", "."]), max_size=12))
def test_swapping_twice_gives_the_text_back(words: list[str]) -> None:
    text = " ".join(words)
    assert swap(swap(text, "Ann", "Cid Lee"), "Ann", "Cid Lee") == text


def test_no_probe_is_slow_on_the_longest_passage() -> None:
    passage = "aa Bb cc Dd. " * 15_000
    assert isinstance(probes.swap_names(passage, QUESTION), Variation)
    assert re.match("Tom", distraction(passage, QUESTION) or "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A" * 200_000, 0),
        ("A-" * 100_000, 0),
        (" ".join(f"saw {one}{two}a{three}" for one in "ABCDEFG" for two in range(40) for three in range(60)), 16_800),
    ],
    ids=["one word of capitals", "many capitals", "thousands of names"],
)
def test_names_are_found_and_swapped_within_a_second_whatever_the_passage(text: str, found: int) -> None:
    begin = time.process_time()
    assert len(names(text)) == found
    assert isinstance(probes.swap_names(text, QUESTION), Variation) == bool(found)
    assert time.process_time() - begin < 1


def test_a_capital_within_a_word_begins_no_name() -> None:
    assert names("They used the iPhone in Paris.") == {"Paris": 1}
