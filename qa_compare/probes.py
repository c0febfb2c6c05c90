"""Small changes to a passage and a question that should leave the answer as it is: text -> text, the same every time.

Four are in the manner of CheckList (Ribeiro et al. 2020, "Beyond Accuracy"), one in that of AddSent (Jia and Liang
2017, "Adversarial Examples for Evaluating Reading Comprehension Systems"). None knows a language model or a parser: a
probe that does not fit a text says why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qa_compare.distraction import distraction
from qa_compare.examples import Answer

_MARKS = "?？؟"
_LETTERS = re.compile(r"[^\W\d_]+")
# "Paris", "New York", "O'Brien-Smith"; a name that opens a sentence may only be a capital letter. The first small
# letter stands near the beginning: to look for it further on takes hours in a passage of capitals alone
_CAPITALISED = r"[^\W\d_a-z][\w'’-]{0,20}?[a-z][\w'’-]*"
_NAME = re.compile(rf"(?<!\w){_CAPITALISED}(?: {_CAPITALISED})*")
_SENTENCE_END = re.compile(r"[.!?:;\n\"“”][\"”’)\]]*\s*$")
# capitalised, and no names: what a sentence opens with, dates, titles, and what comes from a country
_NO_NAMES = frozenset(
    "January February March April May June July August September October November December "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday "
    "The A An In On At By For From To Of And But Or If It He She They We You This That These Those There "
    "Who What When Where Which Why How Mr Mrs Ms Dr Sir Lady Lord King Queen President Professor "
    "American African Asian Australian Austrian Belgian Brazilian Canadian Catholic Christian Dutch Egyptian European "
    "French German Greek Hungarian Icelandic Indian Italian Latin Mexican Norwegian Persian Protestant Roman Russian "
    "Swiss Victorian Welsh Western Eastern Northern Southern".split()
)


@dataclass(frozen=True, slots=True)
class Variation:
    """A changed passage and question; `told` says what was changed, in a few words.

    `swapped` is the pair of names that took each other's place, so that an answer that is one of them ought to be the
    other now.
    """

    passage: str
    question: str
    told: str
    swapped: tuple[str, str] | None = None

    def moved(self, answer: str) -> str:
        """What an answer to the text before becomes when nothing but this was changed."""
        return swap(answer, *self.swapped) if self.swapped else answer

    def gold(self, before: str, answers: Sequence[Answer]) -> tuple[Answer, ...]:
        """The gold answers to the passage `before` as they stand in the changed one, where they do."""
        moved = [
            (Answer(self.moved(one.text), len(self.moved(before[: one.start]))))
            for one in answers
            if one.start is not None
        ]
        return tuple(one for one in moved if self.passage[one.start :].startswith(one.text))


@dataclass(frozen=True, slots=True)
class Probe:
    """`make` gives the variation of a passage and a question, or the sentence that says why there is none."""

    key: str
    label: str
    make: Callable[[str, str], Variation | str]


def change_case(passage: str, question: str) -> Variation | str:
    """The question in capitals or, where it is in capitals, in small letters."""
    capitals = question.upper()
    changed = question.lower() if question == capitals else capitals
    if changed == question:
        return "The question has no letter that comes large and small."
    return Variation(passage, changed, f"“{_short(changed)}”")


def add_typo(passage: str, question: str) -> Variation | str:
    """Two neighbouring letters change places within the question's longest word: its middle two that differ."""
    words = sorted(_LETTERS.finditer(question), key=lambda word: word.start() - 1e4 * len(word[0]))
    for word in words:
        letters = word[0]
        middle = len(letters) // 2
        # the first and the last letter stay, as in most slips of the hand
        places = sorted(range(1, len(letters) - 2), key=lambda place: (abs(place + 1 - middle), place))
        for place in places:
            if letters[place].lower() != letters[place + 1].lower():
                wrong = letters[:place] + letters[place + 1] + letters[place] + letters[place + 2 :]
                changed = question[: word.start()] + wrong + question[word.end() :]
                return Variation(passage, changed, f"“{_short(letters)}” becomes “{_short(wrong)}”")
    return "No word of the question is long enough for a slip: four letters at least."


def drop_mark(passage: str, question: str) -> Variation | str:
    """The question without the mark at its end."""
    ended = question.rstrip()
    changed = ended.rstrip(_MARKS).rstrip()
    if changed == ended or not changed:
        return "The question does not end with a question mark."
    return Variation(passage, changed, f"“…{changed[-24:]}”" if len(changed) > 24 else f"“{changed}”")


def swap_names(passage: str, question: str) -> Variation | str:
    """Two names of the passage take each other's place, in the question as well: the answer moves along.

    A name is one capitalised word or several within a sentence. The first is one that the question names, if there is
    such; the second has as many words if it can, and is the one that is named most.
    """
    counted = names(passage)
    asked = [name for name in counted if _named(name, question)]
    for one in [*asked, *counted]:
        # a name within the other would be swapped twice
        others = [name for name in counted if not _named(name, one) and not _named(one, name)]
        if others:
            size = len(one.split())
            other = min(others, key=lambda name: (abs(len(name.split()) - size), -counted[name]))
            changed = swap(passage, one, other), swap(question, one, other)
            return Variation(*changed, f"“{_short(one)}” and “{_short(other)}” change places", (one, other))
    return "The passage does not name two people, places or things within its sentences."


def distract(passage: str, question: str) -> Variation | str:
    """A sentence at the passage's end that looks like an answer and is about something else."""
    sentence = distraction(passage, question)
    if sentence is None:
        return "The question does not ask who, what, which, when, where, why or how in a form that is known."
    return Variation(f"{passage.rstrip()} {sentence}", question, f"“{sentence}”")


PROBES = (
    Probe("case", "Change case", change_case),
    Probe("typo", "Add a typo", add_typo),
    Probe("mark", "Drop the question mark", drop_mark),
    Probe("names", "Swap two names", swap_names),
    Probe("distraction", "Add a distracting sentence", distract),
)


def names(passage: str) -> Counter[str]:
    """The passage's names and how often each stands within a sentence, in their order."""
    found: Counter[str] = Counter()
    for match in _NAME.finditer(passage):
        inside = match.start() > 0 and not _SENTENCE_END.search(passage[max(0, match.start() - 8) : match.start()])
        words = match[0].split(" ")
        while words and _is_no_name(words[0]):
            words.pop(0)
            inside = True
        name = re.sub(r"['’]s$", "", " ".join(words)).rstrip("'’-")
        if inside and name[:1].isupper() and not _is_no_name(name):
            found[name] += 1
    return found


def _is_no_name(word: str) -> bool:
    return word in _NO_NAMES or word.endswith(("ish", "ese"))


def swap(text: str, one: str, other: str) -> str:
    """The text with two names in each other's place, as whole words."""
    either = re.compile(rf"(?<!\w)(?:{re.escape(one)}|{re.escape(other)})(?!\w)")
    return either.sub(lambda match: other if match[0] == one else one, text)


def _named(name: str, text: str) -> bool:
    return name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def all_of(passage: str, question: str) -> dict[str, Variation | str]:
    """Every probe's variation, or why it has none, by key."""
    return {probe.key: probe.make(passage, question) for probe in PROBES}
