"""One question as a file has it, or a program -> an `Example`; or the sentence that says what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from qa_compare.examples import MAX_PASSAGE, MAX_QUESTION, Answer, Example


class BadRow(Exception):
    """What is wrong with a row, on its way to the list of problems."""


def read_row(data: Any, passage: Any, title: Any, *, default_id: str) -> Example:
    """The question in `data` about `passage`; `default_id` is its id where it brings none.

    `answers` are texts, objects with `text` and perhaps `answer_start` (characters of the passage), or the hub's two
    columns; where no start is told, the answer's first place in the passage counts.

    Raises:
        BadRow: a text is missing, empty, too long or half a character, or an answer does not stand where it should.
    """
    if not isinstance(data, dict):
        raise BadRow("is not an object")
    passage = _text(passage, "passage (context)", MAX_PASSAGE)
    question = _text(data.get("question"), "question", MAX_QUESTION)
    identifier = data.get("id")
    if identifier is None:
        identifier = default_id
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or not str(identifier):
        raise BadRow("its id is not a text")
    if not isinstance(title, str):
        raise BadRow("its title is not a text")
    identifier, title = _whole(str(identifier), "id"), _whole(title, "title")
    answers = data.get("answers") or []
    if isinstance(answers, dict):  # the hub's columns: {"text": [...], "answer_start": [...]}
        answers = _columns(answers)
    if not isinstance(answers, list):
        raise BadRow('its "answers" are not a list')
    unanswerable = data.get("is_impossible") is True
    golds = () if unanswerable else tuple(_answer(answer, passage) for answer in answers)
    return Example(identifier, title, passage, question, golds, unanswerable)


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


def _columns(answers: dict[str, Any]) -> list[Any]:
    texts, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise BadRow('its "answers" are not a list')
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def _answer(answer: Any, passage: str) -> Answer:
    start = None
    if isinstance(answer, dict):
        start = answer.get("answer_start")
        answer = answer.get("text")
    if not isinstance(answer, str) or not answer.strip():
        raise BadRow("an answer is missing, empty or not a text")
    answer = _whole(answer, "answer")
    shown = json.dumps(answer if len(answer) <= 60 else answer[:57] + "…", ensure_ascii=False)
    found = passage.find(answer)
    if start is None:
        if found < 0:
            raise BadRow(f"the answer {shown} does not stand in its passage")
        return Answer(answer, found)
    if isinstance(start, bool) or not isinstance(start, int):
        raise BadRow(f"the answer {shown} has an answer_start that is not a whole number")
    if start < 0 or passage[start : start + len(answer)] != answer:
        where = f"it stands at {found}" if found >= 0 else "it stands nowhere in it"
        raise BadRow(f"the answer {shown} is not at character {start} of its passage ({where})")
    return Answer(answer, start)
