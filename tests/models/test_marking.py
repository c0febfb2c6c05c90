"""An answer begins and ends where a reader would mark it: between graphemes, and at the edges of words."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qa_compare.data.examples import Example
from qa_compare.inference.decoding import MAX_ANSWER_TOKENS, decode, span_scores
from qa_compare.models.features import Encoded, Window, edges, encode
from tests import tiny

LATIN = ["The river", "1637–1640", "children's", "$1,200", "20%", "19th", "km²", "3.5", "a.b@sea.org", "CamelCase"]
MORE_LATIN = ["Rhône", "re\u0301sume\u0301", "co\u00adoperate", "snake_case", "İstanbul", "ﬁne", "Straße", "“quoted”"]
SPACED = [
    "река Волга",
    "ποταμός",
    "נהר גָּדוֹל",
    "النَّهْر ١٦٣٧",
    "می\u200cرود",
    "नदी हिन्दी में",
    "নদী বাংলাদেশে",
    "தமிழ் ஆறு",
    "ወንዝ",
]
UNSPACED = [
    "แม่น้ำยาว ๒๕๖๐",
    "ແມ່ນ້ຳ",
    "ទន្លេមេគង្គ",
    "မြစ်ကြီး ၁၉၄၈",
    "长江流入东海。1637年",
    "川はスーパーの前",
    "서울은 1637년에",
    "གཙང་པོ",
]
SIGNS = ["👩\u200d👩\u200d👧", "🇩🇪🇫🇷", "👍🏽", "❤\ufe0f", "1\ufe0f\u20e3", "\r\n", "\n", "\t", "\u00a0", " ", " ", "-"]
INVISIBLE = ["\u200b", "\u200e", "\x00", "\u0301", "\u0600"]
# of the characters that this Python knows by name, as the one way below to know a script does
texts = st.text(st.characters(exclude_categories=["Cn"], exclude_characters="\u2e2f\ua9cf\U00016fe3"), max_size=4)
passages = (
    st.lists(
        st.sampled_from([*LATIN, *MORE_LATIN, *SPACED, *UNSPACED, *SIGNS, *INVISIBLE]) | texts, min_size=1, max_size=8
    )
    .map("".join)
    .filter(len)
)

# By the names that Unicode gives characters: another way to know a script than the one that is tested
NAMES_OF_UNSPACED = (
    "CJK HIRAGANA KATAKANA KATAKANA-HIRAGANA HALFWIDTH BOPOMOFO YI THAI LAO KHMER MYANMAR TIBETAN TAI NEW JAVANESE "
    "BALINESE HANGUL IDEOGRAPHIC HENTAIGANA MASU VERTICAL"
).split()


def inside_a_word(before: str, after: str) -> bool:
    """Whether two graphemes are of one run of letters and digits of a script with spaces."""

    def of_a_word(grapheme: str) -> bool:
        letter = next((one for one in grapheme if unicodedata.category(one) != "Cf"), " ")
        spaced = unicodedata.name(letter, "").split(" ")[0] not in NAMES_OF_UNSPACED
        return unicodedata.category(letter)[0] == "N" or (unicodedata.category(letter)[0] == "L" and spaced)

    return of_a_word(before) and of_a_word(after)


def assert_a_mark_may_stand(passage: str, place: int) -> None:
    graphemes = regex.findall(r"\X", passage)
    ends = np.cumsum([len(one) for one in graphemes]).tolist()
    assert place in {0, *ends}, f"{passage!r} is cut within a grapheme at {place}"
    if 0 < place < len(passage):
        first = ends.index(place)
        assert not inside_a_word(graphemes[first], graphemes[first + 1]), f"{passage!r} is cut within a word at {place}"


def cut(passage: str, chance: np.random.Generator) -> Encoded:
    """The passage in pieces of any kind: of a character or more, the same twice, none between, white space alone."""
    offsets: list[tuple[int, int]] = []
    place = 0
    while place < len(passage):
        end = min(len(passage), place + int(chance.choice([1, 1, 1, 2, 3, 8])))
        kind = chance.random()
        if kind < 0.9 or not offsets:
            offsets.append((place, end))
        if kind < 0.1:
            offsets.append((place, end))
        elif kind < 0.15:
            offsets.append((end, end))
        place = end
    array = np.array(offsets, dtype=np.int32).reshape(-1, 2)
    room = int(chance.integers(3, 60))
    windows = []
    for first in range(0, len(offsets), max(1, room - 2)):
        tokens = min(room, len(offsets) - first)
        windows.append(Window(np.zeros(3 + tokens, dtype=np.int64), 2, tokens, first))
        if first + room >= len(offsets):
            break
    return Encoded(Example("", "", passage, "where"), tuple(windows), array, edges(passage, array), False)


def logits(encoded: Encoded, chance: np.random.Generator) -> list[list[np.ndarray]]:
    return [
        [chance.normal(0, 4, len(window.input_ids)).astype(np.float32) for window in encoded.windows] for _ in range(2)
    ]


def by_hand(encoded: Encoded, starts, ends) -> dict[tuple[int, int], float]:
    """Each span's score by loops: in each window the pairs of tokens that mean it are added up, and the best counts."""
    found: dict[tuple[int, int], float] = {}
    for window, start, end in zip(encoded.windows, starts, ends, strict=True):
        here: dict[tuple[int, int], list[float]] = {}
        for first in range(window.passage_tokens):
            for last in range(first, min(first + MAX_ANSWER_TOKENS, window.passage_tokens)):
                span = (
                    int(encoded.edges[window.first_token + first, 0]),
                    int(encoded.edges[window.first_token + last, 1]),
                )
                if span[0] < span[1]:
                    score = float(start[window.passage_start + first]) + float(end[window.passage_start + last])
                    here.setdefault(span, []).append(score)
        for span, scores in here.items():
            found[span] = max(found.get(span, -np.inf), float(np.logaddexp.reduce(scores)))
    return found


@given(passages, st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.7, 3.0]))
@example("1637", 0, 1.0)
@settings(deadline=None, max_examples=150)
def test_candidates_are_those_of_a_naive_count_whole_distinct_and_five_where_there_are_five(passage, seed, temperature):
    chance = np.random.default_rng(seed)
    encoded = cut(passage, chance)
    starts, ends = logits(encoded, chance)
    spans = by_hand(encoded, starts, ends)
    candidates = decode(encoded, starts, ends, temperature=temperature).candidates
    assert len(candidates) == min(5, len(spans))
    places = [(one.start, one.end) for one in candidates]
    assert len(set(places)) == len(places)
    total = np.logaddexp.reduce(np.array(list(spans.values())) / temperature) if spans else 0
    best = sorted(spans.values(), reverse=True)
    for one, score in zip(candidates, best, strict=False):
        assert one.text == passage[one.start : one.end] != ""
        assert not one.text[0].isspace() or not one.text.strip() or unicodedata.category(one.text[1])[0] == "M"
        assert_a_mark_may_stand(passage, one.start)
        assert_a_mark_may_stand(passage, one.end)
        assert one.score == pytest.approx(score, abs=1e-4)
        assert one.score == pytest.approx(spans[one.start, one.end], abs=1e-4)
        assert one.confidence == pytest.approx(np.exp(score / temperature - total), abs=1e-4)
    everything = decode(encoded, starts, ends, temperature=temperature, top=10**6).candidates
    assert {(one.start, one.end) for one in everything} == set(spans)
    assert sum(one.confidence for one in everything) == pytest.approx(1 if spans else 0, abs=1e-4)
    assert sum(one.confidence for one in candidates) <= 1 + 1e-6


@given(passages)
@example("the sea")
@settings(deadline=None, max_examples=150)
def test_every_edge_is_a_markers_and_moves_no_further_than_the_next(passage):
    characters = np.array([(place, place + 1) for place in range(len(passage))], dtype=np.int32)
    found = edges(passage, characters)
    places = set(found[:, 0].tolist()) | set(found[:, 1].tolist())
    for place in places:
        assert_a_mark_may_stand(passage, place)
    for character, (start, end) in zip(passage, found.tolist(), strict=True):
        if not character.isspace():
            text = passage[start:end]
            assert character in text
            graphemes = regex.findall(r"\X", text)
            # what was taken together is one word, or a letter and its signs
            for before, after in pairwise(graphemes):
                sign = unicodedata.category(after[0])[0] == "M"
                assert sign or "Cf" in map(unicodedata.category, before + after) or inside_a_word(before, after)


@pytest.mark.parametrize(
    ("passage", "parts"),
    [
        ("1637–1640", "1637 – 1640"),
        ("1637 and 163", "1637 and 163"),
        ("children's don't", "children ' s don ' t"),
        ("O\u02bcahu", "O\u02bcahu"),  # a letter, which only looks like an apostrophe
        ("$1,200 or 20%", "$ 1 , 200 or 20 %"),
        ("the 19th, 5 km² of CamelCase", "the 19th , 5 km² of CamelCase"),
        ("pi is 3.14; a_b", "pi is 3 . 14 ; a _ b"),
        ("ann@sea.org e-mail", "ann @ sea . org e - mail"),
        ("re\u0301sume\u0301s", "re\u0301sume\u0301s"),
        ("हिन्दी में", "हिन्दी में"),
        ("বাংলাদেশে নদী", "বাংলাদেশে নদী"),
        ("น้ำ ๒๕๖๐", "น้ำ ๒๕๖๐"),
        ("น้ำใส", "น้ำ ใ ส"),
        ("東京は1637年", "東 京 は 1637 年"),
        ("서울은 1637년", "서 울 은 1637 년"),
        ("က\u102cက", "က\u102c က"),
        ("co\u00adop a\u200bb", "co\u00adop a \u200b b"),
        ("👩\u200d👩\u200d👧🇩🇪🇫🇷", "👩\u200d👩\u200d👧 🇩🇪 🇫🇷"),
    ],
)
def test_what_is_one_to_a_reader_stays_together(passage, parts):
    characters = np.array(
        [(place, place + 1) for place in range(len(passage)) if passage[place] != " "], dtype=np.int32
    )
    found = dict.fromkeys(map(tuple, edges(passage, characters).tolist()))
    assert [passage[start:end] for start, end in found] == parts.split(" ")


@given(st.text(st.characters(max_codepoint=0x24F), max_size=40))
@settings(deadline=None)
def test_the_short_way_for_simple_characters_comes_out_like_the_long_one(passage):
    characters = np.array([(place, place + 1) for place in range(len(passage))], dtype=np.int32).reshape(-1, 2)
    # a family of emoji, a space away, makes the same passage one that needs the long way
    longer = edges(passage + " 👩\u200d👧", characters)
    np.testing.assert_array_equal(np.minimum(longer, len(passage)), edges(passage, characters))


def test_a_token_of_white_space_alone_begins_at_the_next_word_and_ends_at_the_one_before():
    offsets = np.array([(0, 3), (3, 4), (4, 9), (3, 9)], dtype=np.int32)
    assert edges("the river", offsets).tolist() == [[0, 3], [4, 3], [4, 9], [4, 9]]


def test_wordpieces_of_one_number_are_one_candidate_with_their_probabilities_added():
    passage = "in 1637 the river"
    [encoded] = encode([Example("", "", passage, "when")], tiny.tokenizer())
    assert passage[slice(*encoded.offsets[1])] == "1"  # this vocabulary has no number of two digits
    flat = [np.zeros(len(encoded.windows[0].input_ids), np.float32)]
    candidates = decode(encoded, flat, flat, top=100).candidates
    number = next(one for one in candidates if one.text == "1637")
    assert not [one.text for one in candidates if one.text in {"1", "16", "163", "637"}]
    pairs = np.isfinite(span_scores(encoded, flat, flat).scores).sum()
    assert len(candidates) == pairs == 4 + 3 + 2 + 1
    # ten of the 28 pairs of tokens begin and end within it
    assert number.confidence == pytest.approx(10 / 28, abs=1e-6)


def test_a_passage_of_200000_characters_of_any_script_is_marked_in_a_few_seconds():
    for words in ("the river 1637 ", "नदी समुद्र में ", "naïve co\u00adoperation "):
        passage = (words * 20_000)[:200_000]
        found = edges(passage, np.array([(0, 1), (199_990, 199_991)], dtype=np.int32))
        assert found[0].tolist() == [0, len(words.split()[0])]


@pytest.mark.parametrize("passage", ["a" * 200_000, "\u0301" * 200_000, "a\u00ad" * 100_000, "👩\u200d" * 100_000])
def test_one_endless_word_or_grapheme_takes_no_longer_than_its_length(passage):
    found = edges(passage, np.array([(100_000, 100_001)], dtype=np.int32))
    assert found[0, 0] == 0
    assert found[0, 1] >= len(passage) - 1
