"""Training passages that give held-out ones away: the four ways, the edge of the rule, and plain counting beside it."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer, Example, to_squad
from qa_compare.data.readers import read_examples
from qa_compare.files import write_json
from tests.conftest import DATA
from train import data, leaks
from train.options import Options


def words(count: int, first: int = 0) -> list[str]:
    """Different words: of two stretches, those that both have are the numbers that both have."""
    return [f"w{number}" for number in range(first, first + count)]


def text(*parts: list[str]) -> str:
    return " ".join(word for part in parts for word in part)


def kinds(passage: str, *held_out: str, most: float = leaks.MOST) -> str | None:
    found = leaks.find([passage], held_out, most)
    return found[passage].kind if found else None


@pytest.mark.parametrize("length", [3, 12, 13, 14, 100], ids=lambda length: f"{length} words")
def test_a_passage_leaks_where_it_is_equal_to_inside_or_around_a_held_out_one(length: int) -> None:
    passage = text(words(length))
    longer = text(["before"], words(length), ["after"])
    assert kinds(passage, "another text", passage) == "equal"
    assert kinds(passage, "another text", longer) == "inside"
    assert kinds(longer, "another text", passage) == "around"
    assert kinds(passage, "another text") is None


def test_what_differs_in_case_spaces_punctuation_or_width_alone_is_equal() -> None:
    assert kinds("The  Rhine, which is LONG\u2026", "the rhine which is long!") == "equal"
    assert kinds("\uff32hine and caf\u00e9", "Rhine and cafe\u0301") == "equal"
    assert kinds("?!", "?!") == "equal"
    assert kinds("?!", "!!") is None


def test_a_part_begins_and_ends_with_a_word() -> None:
    assert kinds("ten", "the attendance was low") is None
    assert kinds("ten at the door", "listen at the door") is None
    assert kinds("ten", "at ten they open") == "inside"
    assert kinds("listen at the doors", "at the door") is None


def test_more_than_a_tenth_of_the_sequences_of_either_side_is_too_much() -> None:
    mine = words(112)  # 100 sequences of 13 words
    for shared, expected in ((10, None), (11, "alike")):
        run = mine[: shared + 12]
        assert kinds(text(mine), text(run, words(300, 1_000))) == expected, "its own share"
        assert kinds(text(run, words(300, 1_000)), text(mine)) == expected, "the held-out passage's share"
    assert kinds(text(mine), text(mine[:13], words(300, 1_000))) is None
    assert kinds(text(mine), text(mine[:60], words(100, 1_000)), most=0.5) is None
    assert kinds(text(mine), text(mine[:100], ["other"], words(20, 1_000)), most=1.0) is None


def test_a_passage_put_together_from_several_held_out_ones_leaks() -> None:
    held = [text(words(17, 1_000 * number), words(900, 1_000 * number + 50)) for number in range(1, 4)]
    sewn = text(*(words(17, 1_000 * number) for number in range(1, 4)), words(70, 9_000))
    assert all(kinds(sewn, one) is None for one in held)
    assert kinds(sewn, *held) == "alike"


@pytest.mark.parametrize("edits", [1, 3, 8])
def test_a_copy_with_some_words_exchanged_is_found(edits: int) -> None:
    copy = words(150)
    for place in range(edits):
        copy[(place + 1) * 150 // (edits + 1)] = "another"
    assert kinds(text(copy), text(words(150))) == "alike"


_STRETCHES = st.tuples(st.integers(0, 60), st.integers(1, 30)).map(lambda pair: words(pair[1], pair[0]))
_PASSAGES = st.lists(_STRETCHES, min_size=1, max_size=3).map(lambda some: text(*some))


@given(st.lists(_PASSAGES, min_size=1, max_size=5), st.lists(_PASSAGES, min_size=1, max_size=5))
def test_the_rule_is_what_plain_counting_says(ours: list[str], theirs: list[str]) -> None:
    found = leaks.find(ours, theirs)
    held = {sequence for passage in theirs for sequence in sequences(passage)}
    for passage in ours:
        mine = sequences(passage)
        expected = None
        if len(mine & held) > leaks.MOST * len(mine) or any(
            len(mine & sequences(other)) > leaks.MOST * len(sequences(other)) for other in theirs
        ):
            expected = "alike"
        if any(f" {other} " in f" {passage} " for other in theirs):
            expected = "around"
        if any(f" {passage} " in f" {other} " for other in theirs):
            expected = "inside"
        if passage in theirs:
            expected = "equal"
        leak = found.get(passage)
        assert (leak.kind if leak else None) == expected
        if leak and leak.kind in ("equal", "inside", "around"):
            pair = (passage, leak.held_out) if leak.kind != "around" else (leak.held_out, passage)
            assert f" {pair[0]} " in f" {pair[1]} "


def sequences(passage: str) -> set[tuple[str, ...]]:
    split = passage.split()
    return {tuple(split[place : place + 13]) for place in range(len(split) - 12)}


def test_a_passage_that_is_like_one_that_its_split_holds_out_is_left_out_and_counted(tmp_path) -> None:
    passages = [text(words(60, 1_000 * number)) for number in range(40)]
    made = [
        Example(f"q{number}{copy}", "", passage + copy, "which?", (Answer(passage[:2], 0),))
        for number, passage in enumerate(passages)
        for copy in ("", " and so on.")
    ]
    write_json(tmp_path / "pairs.json", to_squad(made))
    found = data.load(Options(train_file=(tmp_path / "pairs.json",), validation_fraction=0.2))
    trained, held = ({one.passage.split(" and")[0] for one in some} for some in (found.train, found.validation))
    assert trained.isdisjoint(held)
    assert held
    left = found.record["left_out"]["overlapping"]
    assert left > 0
    assert sum(found.record["overlapping_passages"].values()) == left  # a question a passage here
    assert len(found.train) + left + len(found.validation) == 80
    _, again = data.split_by_passage(made, 0.2)
    assert found.validation == again  # what is held out is held out of every run


def test_forty_thousand_questions_are_looked_through_in_seconds() -> None:
    """Random texts, most with a stretch of a common page: less than a second for 5,000 passages, and never minutes."""
    chance = random.Random(0)
    vocabulary = words(30_000)
    common = words(12, 50_000)
    made = [text(chance.choices(vocabulary, k=120), common[: chance.randrange(13)]) for _ in range(6_000)]
    begin = time.process_time()
    found = leaks.find(made[:5_000] * 8, made[5_000:] * 5)
    assert time.process_time() - begin < 30
    assert found == {}


def test_many_passages_of_one_pattern_take_no_longer() -> None:
    """All are alike, so that every two of them share most of their sequences."""
    pattern = words(100)
    made = [text(pattern, [f"x{number}"]) for number in range(3_000)]
    begin = time.process_time()
    found = leaks.find(made[:2_700], made[2_700:])
    assert time.process_time() - begin < 30
    assert {leak.kind for leak in found.values()} == {"alike"}
    assert len(found) == 2_700


def test_the_files_at_hand_share_no_passage_with_squads_validation(squad: list[Example]) -> None:
    path = DATA / "squadshifts" / "new_wiki_v1.0.json"
    if not path.is_file():
        pytest.skip("SQuADShifts is not on this machine")
    held = [example.passage for example in squad]
    assert leaks.find([example.passage for example in read_examples(path)], held, 0.02) == {}
    passage = next(one for one in held if len(one.split()) > 100)
    changed = " ".join("another" if place % 25 == 24 else word for place, word in enumerate(passage.split()))
    assert kinds(changed, *held) == "alike"
    assert kinds(f"It is said: {passage}", *held) == "around"
