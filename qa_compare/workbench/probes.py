"""Small changes to a passage and a question that should leave the answer as it is: text -> text, the same every time.

Four are in the manner of CheckList (Ribeiro et al. 2020, "Beyond Accuracy"), one in that of AddSent (Jia and Liang
2017, "Adversarial Examples for Evaluating Reading Comprehension Systems"). None knows a language model or a parser: a
probe that does not fit a text says why.

AddSent adds a sentence that looks like the answer and is about something else. Jia and Liang change the question's
names and numbers, make up an answer of the same kind, and turn both into a statement, whose grammar people then
correct. Here nobody does, so only turns are used that need no knowledge of a sentence's parts: "Who wrote Hamlet?"
keeps its order ("Tom Brack wrote Ludlow."), and a question that puts its verb first keeps that after "only" ("Only in
1934 did the Ludlow rise.").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qa_compare.data.examples import Answer

_PEOPLE = ("Tom Brack", "Ada Quill", "Hugo Fenn", "Nora Pike")
_PLACES = ("Ludlow", "Karsholm", "Ostravar", "Dunmere", "Velby", "Tarnow", "Quorn", "Ebrach")
_THINGS = ("a copper lantern", "a wooden flute", "an iron gate", "a woollen glove")
_YEARS = ("1934", "1871", "1652", "1907")
_NUMBERS = ("47", "83", "19", "126")
_VERBS = "was were is are am did does do can could has have had will would should may might must"
_FORM = re.compile(
    rf"""\s*(?P<before>(?:in|on|at|for|to|by|from|of|with|during|after|under|into|through)\s+)?
    (?P<word>who|whom|whose|what|which|when|where|why|how)\b
    (?P<noun>(?:\s+(?!(?-i:{_VERBS.replace(" ", "|")})\b)[\w'’-]+){{0,6}}?)
    \s+(?P<verb>(?-i:{_VERBS.replace(" ", "|")}))\b
    (?P<rest>[^?？]*)[?？]?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)
_IN_ORDER = re.compile(
    r"\s*(?P<word>who|which|what|how(?=\s+many\b))\s+(?P<rest>[^\W\d_][^?？]*)[?？]?\s*$", re.IGNORECASE
)
_TIMES = re.compile(r"\b(year|date|day|month|decade|century|time)s?\b", re.IGNORECASE)
_COUNTED = re.compile(r"(many|much|long|far|old|tall|high|deep|large|big|often|fast)\b", re.IGNORECASE)
# without an "'s" at its end
_CAPITALISED_RUN = r"[^\W\d_a-z](?:[\w-]|['’](?!s\b))*[a-z][\w-]*"
_PROPER_NAME = re.compile(rf"(?<!\w){_CAPITALISED_RUN}(?: {_CAPITALISED_RUN})*")
_NUMBER = re.compile(r"\d+")
_MONTHS = frozenset("January February March April May June July August September October November December".split())
_BE = frozenset("was were is are".split())


def distraction(passage: str, question: str) -> str | None:
    """The sentence, with names and numbers that the passage does not hold; None for a question of an unknown form."""
    fake = _Fake(passage + question)
    if not (form := _FORM.match(question)):
        return _in_order(fake, question)
    word, noun, verb = form["word"].lower(), form["noun"].strip(), form["verb"].lower()
    if word == "how" and noun and not _COUNTED.match(noun):
        return None
    answer = fake.answer(word, noun, (form["before"] or "").strip().lower())
    rest = fake.elsewhere(form["rest"].strip())
    # what is asked for can stand before "is" as it is; "only" lets it stand before any verb
    named = word in {"who", "what", "which"} and not form["before"] and not _TIMES.search(noun)
    direct = (verb in _BE and named) or word == "whose"
    told = f"{answer} {verb} {rest}".rstrip() if direct else f"only {answer} {verb} {rest}".rstrip()
    if (
        rest == form["rest"].strip() and " of " not in answer
    ):  # nothing in it was changed: it must be about another place
        told = f"In {fake.place()}, {told}"
    return f"{told[0].upper()}{told[1:]}."


def _in_order(fake: _Fake, question: str) -> str | None:
    """For "Who wrote …" and "Which river flows …": the question's own order with a made-up answer."""
    if not (form := _IN_ORDER.match(question)):
        return None
    asked = form["rest"].strip()
    rest = fake.elsewhere(asked)
    where = f" in {fake.place()}" if rest == asked else ""
    word = form["word"].lower()
    if word == "how":
        return f"{fake.count(rest)}{where}."
    if word == "who":
        first = fake.person()
    elif word == "what" and asked.split()[0].endswith(("s", "ed")):  # a verb, far more often than a noun
        first = fake.thing().capitalize()
    else:
        first = "The other"
    return f"{first} {rest}{where}."


class _Fake:
    """Made-up names and numbers, none of which stands in the text, none twice."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()

    def _next(self, known: tuple[str, ...]) -> str:
        chosen = next((one for one in known if one.casefold() not in self._text), known[-1])
        self._text += f" {chosen.casefold()}"
        return chosen

    def person(self) -> str:
        return self._next(_PEOPLE)

    def place(self) -> str:
        return self._next(_PLACES)

    def thing(self) -> str:
        return self._next(_THINGS)

    def answer(self, word: str, noun: str, before: str) -> str:
        """What is said to be the answer, in the form that the question asks for."""
        if word == "how":
            return self.count(noun) if _COUNTED.match(noun) else "by chance"
        if _TIMES.search(noun) or word == "when":
            return f"{before or 'in'} {self._next(_YEARS)}"
        if word == "why":
            return "because of a wager"
        if word == "where":
            return f"in {self.place()}"
        if word in {"who", "whom"}:
            return f"{before} {self.person()}".strip()
        if word == "whose":
            return f"{self.person()}’s {noun}".strip()
        named = f"the {noun} of {self.place()}" if noun else self.thing()
        return f"{before} {named}".strip()

    def count(self, noun: str) -> str:
        """ "many mice" -> "47 mice", "long" -> "47"."""
        return f"{self._next(_NUMBERS)} {_COUNTED.sub('', noun, count=1).strip()}".strip()

    def elsewhere(self, text: str) -> str:
        """The text with every name and number in it exchanged for a made-up one."""
        text = _NUMBER.sub(lambda number: self._next(_YEARS if len(number[0]) == 4 else _NUMBERS), text)
        return _PROPER_NAME.sub(lambda name: name[0] if name[0] in _MONTHS else self.place(), text)


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
