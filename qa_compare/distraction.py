"""A sentence that looks like the answer to a question and is about something else, in AddSent's manner.

Jia and Liang (2017) change the question's names and numbers, make up an answer of the same kind, and turn both into a
statement. People then correct its grammar. Here nobody does, so only turns are used that need no knowledge of a
sentence's parts: "Who wrote Hamlet?" keeps its order ("Tom Brack wrote Ludlow."), and a question that puts its verb
first keeps that after "only" ("Only in 1934 did the Ludlow rise.").
"""

from __future__ import annotations

import re

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
_CAPITALISED = r"[^\W\d_a-z](?:[\w-]|['’](?!s\b))*[a-z][\w-]*"
_NAME = re.compile(rf"(?<!\w){_CAPITALISED}(?: {_CAPITALISED})*")
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
        return _NAME.sub(lambda name: name[0] if name[0] in _MONTHS else self.place(), text)
