"""One question as a file has it, or a program -> an `Example`; or the sentence that says what is wrong with it.

What is wrong with a gold answer costs that answer, or its place, and never the question: a `Row` counts what was made
of its gold answers, and says it.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qa_compare.data.examples import MAX_PASSAGE, MAX_QUESTION, Answer, Example
from qa_compare.errors import quoted

# What people call the fields, the preferred name first; capitals, spaces, "_" and "-" make no difference
NAMES: dict[str, tuple[str, ...]] = {
    "passage": ("passage", "context", "paragraph"),
    "question": ("question", "query"),
    "answers": ("answers", "answer_text", "answer_texts", "answer", "gold", "text"),
    "starts": ("answer_start", "answer_starts", "start", "starts"),
    "id": ("id", "qid", "question_id"),
    "title": ("title",),
    "is_impossible": ("is_impossible", "impossible", "unanswerable", "is_unanswerable"),
}
# What can be told of a gold answer, in the order in which it is told, for one of them and for several
KINDS: dict[str, tuple[str, str]] = {
    "empty": ("holds no text and was not taken", "hold no text and were not taken"),
    "unreadable": ("is not a text and was not taken", "are not texts and were not taken"),
    "absent": (
        "is not in its passage: it is scored by its text and not trained on",
        "are not in their passages: they are scored by their text and not trained on",
    ),
    "misplaced": (
        "is not where the file says: it is scored by its text and not trained on",
        "are not where the file says: they are scored by their text and not trained on",
    ),
    "unpaired": (
        "is in a row that has another number of starts: they were not used",
        "are in rows that have another number of starts: they were not used",
    ),
    "respelt": (
        "is in its passage in another Unicode form: the passage's own characters were taken",
        "are in their passages in another Unicode form: the passages' own characters were taken",
    ),
    "inside": (
        "is found only inside a longer word, and was taken from there",
        "are found only inside longer words, and were taken from there",
    ),
    "ambiguous": (
        "stands at several places in its passage, and the file does not say which is meant",
        "stand at several places in their passages, and the file does not say which are meant",
    ),
}
MOST_PLACES = 20  # of one gold answer; more would fill the memory for passages such as "a a a a …"
_MOST_TRIED = 100_000  # characters compared at places inside words, before the first of these is taken
_MOST_NOTES = 3  # of one row
_TRUE, _FALSE = {"true", "yes", "y", "t", "1", "1.0"}, {"false", "no", "n", "f", "0", "0.0", "", "none", "null", "nan"}
# scripts that part no words by spaces: every character may begin one
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class BadRow(Exception):
    """What is wrong with a row, on its way to the list of problems."""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


_FIELDS = {
    spelt: (what, rank)
    for what, names in NAMES.items()
    for rank, name in enumerate(names)
    for spelt in (name, _plain(name))
}


def fields(names: Iterable[str]) -> dict[str, list[str]]:
    """Which of the names stand for which field of `NAMES`, the preferred first; "" has those that stand for none."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        what, rank = _FIELDS.get(name) or _FIELDS.get(_plain(name)) or ("", 0)
        found.setdefault(what, []).append((rank, name))
    return {what: [name for _, name in sorted(ranked, key=lambda one: one[0])] for what, ranked in found.items()}


def take(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """(value, name) of each field that `data` holds, and the names that stand for none.

    Of several names for one field, the first one that holds something is taken.
    """
    best: dict[str, tuple[tuple[bool, int], str]] = {}
    unused = []
    for name, value in data.items():
        field_of = _FIELDS.get(name) or _FIELDS.get(_plain(name))
        if field_of is None:
            unused.append(name)
            continue
        what, rank = field_of
        if what not in best or (_blank(value), rank) < best[what][0]:
            best[what] = ((_blank(value), rank), name)
    names = {what: name for what, (_, name) in best.items()}
    return {what: data[name] for what, name in names.items()}, names, unused


def _blank(value: Any) -> bool:
    return value is None or value in ("", []) or (isinstance(value, float) and math.isnan(value))


class Passage:
    """A passage, and where texts stand in it; what was looked up is remembered.

    `numbers` are shared by the passages of a file: a number for each of millions of places would fill the memory.

    Raises:
        BadRow: it is no text, empty, too long, or holds half a character.
    """

    def __init__(self, text: Any, numbers: dict[int, int] | None = None) -> None:
        self.text = _text(text, "passage (context)", MAX_PASSAGE)
        self._numbers = {} if numbers is None else numbers
        self._known: dict[str, tuple[tuple[int, ...], bool]] = {}
        self._decomposed: tuple[str, dict[int, int]] | None = None

    def places(self, text: str) -> tuple[tuple[int, ...], bool]:
        """Where the text stands as whole words, up to 20 places, and True; else its first place inside a word."""
        if text not in self._known:
            self._known[text] = self._places(text)
        return self._known[text]

    def _places(self, text: str) -> tuple[tuple[int, ...], bool]:
        whole: list[int] = []
        tried, first = 0, self.text.find(text)
        at = first
        while at >= 0 and len(whole) < MOST_PLACES and tried < _MOST_TRIED:
            tried += len(text)
            inside = _inside(self.text, at) or _inside(self.text, at + len(text))
            if not inside:
                whole.append(self._numbers.setdefault(at, at))
            at = self.text.find(text, at + (1 if inside else len(text)))
        return (tuple(whole), True) if whole else ((first,), False)

    def spelling(self, text: str) -> str | None:
        """The passage's own characters for the text, which may be in another Unicode form; None where it has none."""
        if text in self.text:
            return text
        if self.text.isascii():
            return None
        wanted = unicodedata.normalize("NFD", text)
        own, origins = self._decomposition()
        at = own.find(wanted)
        while at >= 0:
            if at in origins and at + len(wanted) in origins:
                return self.text[origins[at] : origins[at + len(wanted)]]
            at = own.find(wanted, at + 1)
        return None

    def _decomposition(self) -> tuple[str, dict[int, int]]:
        """The passage in NFD, and where the places before whole characters, with all their marks, stand in itself."""
        if self._decomposed is None:
            parts: list[str] = []
            origins, length, begin = {0: 0}, 0, 0
            for end in range(1, len(self.text) + 1):
                if end < len(self.text) and unicodedata.combining(self.text[end]):
                    continue
                parts.append(unicodedata.normalize("NFD", self.text[begin:end]))
                length, begin = length + len(parts[-1]), end
                origins[length] = end
            self._decomposed = "".join(parts), origins
        return self._decomposed


def _inside(text: str, at: int) -> bool:
    """Whether the place before character `at` lies inside a word, or a number such as 1,000 or 3.5."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if before == " " or after == " ":
        return False
    if unicodedata.category(after).startswith("M"):
        return True
    if _of_word(before) and _of_word(after):
        return True
    left, right = text[max(0, at - 2) : at], text[at : at + 2]
    return (left[:-1].isdigit() and before in ".," and after.isdigit()) or (
        before.isdigit() and after in ".," and right[1:].isdigit()
    )


def _of_word(character: str) -> bool:
    if _UNSPACED.match(character):
        return False
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


@dataclass(slots=True)
class _Golds:
    """The gold answers of one row as they are read, and what is to be said of them."""

    passage: Passage
    answers: list[Answer] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    more: int = 0

    def say(self, kind: str, message: str = "", count: int = 1) -> None:
        """Count gold answers of that kind, and keep what is to be said of them."""
        self.counts[kind] += count
        if message and len(self.notes) < _MOST_NOTES:
            self.notes.append(message)
        elif message:
            self.more += 1

    @property
    def note(self) -> str:
        """What was lost, in one sentence; "" where nothing was."""
        return "; ".join(self.notes) + (f" (and {self.more:,} more)" if self.more else "")

    def add(self, text: Any, start: Any) -> None:
        """Take one gold answer; `start` is what the row tells of its place."""
        if isinstance(text, int) and not isinstance(text, bool) and abs(text) < 2**63:
            text = str(text)  # a year, mostly: what writes JSON takes it for a number
        if _blank(text) or (isinstance(text, str) and not text.strip()):
            self.say("empty")
            return
        try:
            text = _text(text, "gold answer", MAX_PASSAGE)
        except BadRow as problem:
            self.say("unreadable", f"{str(problem).replace('its ', 'a ', 1)}: it was not taken")
            return
        self._add(text, start)

    def _add(self, text: str, start: Any) -> None:
        shown = json.dumps(text if len(text) <= 60 else text[:57] + "…", ensure_ascii=False)
        try:
            told = read_start(start)
        except ValueError:
            told = -1
        if told is not None and told >= 0 and self.passage.text.startswith(text, told):
            self.answers.append(Answer(text, told))
            return
        stripped = text.strip()
        own = self.passage.spelling(stripped)
        if own is None:
            self.say("absent", f"the gold answer {shown} is not in its passage")
            self.answers.append(Answer(stripped, None))
            return
        if own != stripped:
            self.say("respelt")
        places, whole = self.passage.places(own)
        if told is not None:
            self._told(own, told, text, f"the gold answer {shown} is not at {_where(start)}", places[0])
            return
        if not whole:
            self.say("inside")
        elif len(places) > 1:
            self.say("ambiguous")
        self.answers.append(Answer(own, places[0], places[1:]))

    def _told(self, own: str, told: int, text: str, message: str, found: int) -> None:
        """Take an answer whose place is told, and is not that of its text as it was written."""
        for start in (told + len(text) - len(text.lstrip()), told):
            if told >= 0 and self.passage.text.startswith(own, start):
                self.answers.append(Answer(own, start))
                return
        remedy = "correct its answer_start, or leave it out to have the place looked up"
        self.say("misplaced", f"{message} of its passage (it stands at {found}): {remedy}")
        self.answers.append(Answer(own, None))


def _where(start: Any) -> str:
    return f"character {start}" if isinstance(start, int) and abs(start) < 2**63 else f"character {quoted(start)}"


@dataclass(frozen=True, slots=True)
class Row:
    """A question, and of how many of its gold answers there is something to tell, by its kind in `KINDS`.

    `names` are those that its fields bear in the file, and `unused` the others. `note` says what was lost.
    """

    example: Example
    counts: Mapping[str, int]
    note: str
    names: Mapping[str, str]
    unused: Sequence[str]


def read_row(data: Mapping[str, Any], passage: Passage, title: Any, *, default_id: str) -> Row:
    """The question in `data` about `passage`; `default_id` is its id where it brings none.

    Answers are a text, an object with `text` and perhaps `answer_start` (characters of the passage), a list of those,
    or the hub's two columns. Where no start is told, an answer's first place as a whole word counts, and further ones
    are its `other_starts`; where it stands only inside words, its first place there. An answer that is not in the
    passage, or not where the row says, has no place.

    Raises:
        BadRow: question, id or title is missing, no text, too long or half a character, or it is not clear whether
            the question is marked as unanswerable.
    """
    values, names, unused = take(data)
    question = _text(values.get("question"), "question", MAX_QUESTION)
    identifier = values.get("id")
    if identifier is None:
        identifier = default_id
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or not str(identifier):
        raise BadRow("its id is not a text")
    if not isinstance(title, str):
        raise BadRow("its title is not a text")
    identifier, title = _whole(str(identifier), "id"), _whole(title, "title")
    marked = _marked(values.get("is_impossible"), names.get("is_impossible", ""))
    answers = values.get("answers")
    if marked is None:
        marked = _hub_marks(answers)
    golds = _Golds(passage)
    if not marked:
        _read_golds(golds, answers, values.get("starts"), names)
    example = Example(identifier, title, passage.text, question, tuple(golds.answers), marked)
    return Row(example, golds.counts, golds.note, names, unused)


def _marked(value: Any, name: str) -> bool | None:
    """Whether `is_impossible`, in any spelling, is true; None where the row does not say."""
    if value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and value != value):
        return None
    plain = str(value).strip().lower() if isinstance(value, (str, bool, int, float)) else None
    if plain in _TRUE:
        return True
    if plain in _FALSE:
        return False
    raise BadRow(f"its {quoted(name)} is {quoted(value)}, which is neither true nor false")


def _hub_marks(answers: Any) -> bool:
    """Whether these are the hub's columns of a question that SQuAD 2 marks as unanswerable: both are empty lists."""
    return isinstance(answers, dict) and take(answers)[0].get("answers") == []


def _read_golds(golds: _Golds, answers: Any, starts: Any, names: dict[str, str]) -> None:
    if _blank(answers):
        return
    some = answers if isinstance(answers, list) else [answers]
    beside = _paired(golds, starts, len(some))
    for answer, start in zip(some, beside, strict=True):
        if not isinstance(answer, dict):
            golds.add(answer, start)
            continue
        values, inner, _ = take(answer)
        if "starts" in inner:
            names.setdefault("starts", inner["starts"])
        if "answers" not in values:
            golds.say("unreadable", "a gold answer has no text: it was not taken")
            continue
        texts = values["answers"] if isinstance(values["answers"], list) else [values["answers"]]
        for text, place in zip(texts, _paired(golds, values.get("starts", start), len(texts)), strict=True):
            golds.add(text, place)


def _paired(golds: _Golds, starts: Any, count: int) -> Sequence[Any]:
    """As many starts as there are answers; none, and a word, where their number differs."""
    if isinstance(starts, str):  # a cell of CSV
        starts = [one for one in re.split(r"[\[\](){}|,;\s]+", starts) if one]
    if _blank(starts):
        return [None] * count
    some = starts if isinstance(starts, list) else [starts]
    if len(some) == count:
        return some
    golds.say("unpaired", f"it has {len(some):,} starts for {count:,} gold answers: they were not used", count)
    return [None] * count


def read_start(value: Any) -> int | None:
    """An answer's start in any spelling: 63, 63.0, "63"; None where none is told. Raises ValueError for others."""
    if _blank(value) or (isinstance(value, str) and value.strip().lower() in {"", "nan", "none", "null"}):
        return None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}(\.0*)?\s*", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value == value // 1):
        raise ValueError("no whole number")
    return int(value)


def _text(value: Any, name: str, limit: int) -> str:
    if not isinstance(value, str):
        raise BadRow(f"its {name} is missing or not a text")
    if not value.strip():
        raise BadRow(f"its {name} is empty")
    if len(value) > limit:
        raise BadRow(f"its {name} has {len(value):,} characters; at most {limit:,} are read")
    return _whole(value, name)


def _whole(text: str, name: str) -> str:
    """Refuse half of a surrogate pair: JSON can escape one, but no page could show it and no file take it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"its {name} holds half a character ({text[error.start]!a} at {error.start})") from None
    return text
