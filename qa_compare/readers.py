"""SQuAD JSON, JSONL and CSV -> examples. Every problem is collected with its place; good rows are kept beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa_compare.errors import OverLimit, UserError, quoted
from qa_compare.examples import Answer, Example
from qa_compare.files import parse_json, read_bytes

MAX_QUESTION, MAX_PASSAGE = 2_000, 200_000
ANSWER_SEPARATOR = " | "  # between gold answers in one CSV cell


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row; `row` is its place, such as `line 3` or `data[0].paragraphs[2].qas[1]`."""

    row: str
    message: str


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The good rows of a file and the problems of the others."""

    examples: list[Example]
    problems: list[Problem]


class _BadRow(Exception):
    """A row's problem, on its way to the list."""


@dataclass(slots=True)
class _Collector:
    name: str
    most: int | None = None
    examples: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    number: int = 1

    def room(self) -> None:
        """Stop at once where a row would be one too many: the rest of a huge file is not worth its time."""
        if self.most is not None and len(self.examples) + len(self.problems) >= self.most:
            raise OverLimit(f"{self.name} holds more than {self.most:,} questions: split it into smaller files")

    def refuse(self, row: str, message: str) -> None:
        """Keep a row's problem."""
        self.room()
        self.problems.append(Problem(row, message))

    def _free(self) -> str:
        """An id that no row has yet. The number never falls: names that were taken stay so, and are not tried again."""
        self.number = max(self.number, len(self.ids) + 1)
        while f"row-{self.number}" in self.ids:
            self.number += 1
        return f"row-{self.number}"

    def add(self, row: str, data: Any, passage: Any, title: Any) -> None:
        """Check one question and keep it, or its problem."""
        self.room()
        try:
            example = _example(data, passage, title, default_id=self._free())
            if example.id in self.ids:
                raise _BadRow(f"the id {quoted(example.id)} stands twice")
        except _BadRow as problem:
            self.problems.append(Problem(row, str(problem)))
            return
        self.ids.add(example.id)
        self.examples.append(example)


def check_file(path: Path) -> FileCheck:
    """Read a file by its suffix (`.csv`, `.jsonl`) or, with any other, as SQuAD JSON.

    Raises:
        UserError: the file as a whole cannot be read: missing, not UTF-8, not JSON, of another shape.
    """
    return check(read_bytes(path), path.name)


def check(data: bytes, name: str, *, most: int | None = None) -> FileCheck:
    """The same for the bytes of a file of that name, and of `most` questions, the bad ones counted too.

    Raises:
        UserError: as above.
        OverLimit: it holds more questions.
    """
    collector = _Collector(name, most)
    suffix = Path(name).suffix.lower()
    if suffix == ".csv":
        _read_csv(data, name, collector)
    elif suffix in {".jsonl", ".ndjson"}:
        _read_jsonl(data, collector)
    else:
        _read_squad(parse_json(data, name), name, collector)
    if not collector.examples and not collector.problems:
        raise UserError(f"{name} holds no question")
    return FileCheck(collector.examples, collector.problems)


def check_rows(rows: Iterable[Any], name: str) -> FileCheck:
    """Objects as JSONL has them, which a program brought under this name; problems have rows like `name[3]`, from 0."""
    collector = _Collector(name)
    for number, row in enumerate(rows):
        _add_flat(collector, f"{name}[{number}]", row)
    return FileCheck(collector.examples, collector.problems)


def read_examples(path: Path) -> list[Example]:
    """All questions of a file. Raises UserError that names the file, the first bad row, and what is wrong with it."""
    found = check_file(path)
    if found.problems:
        first, more = found.problems[0], len(found.problems) - 1
        rest = f" (and {more:,} more)" if more else ""
        raise UserError(f"{path.name}: {first.row}: {first.message}{rest}")
    return found.examples


def _read_squad(data: Any, name: str, collector: _Collector) -> None:
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise UserError(f'{name} is not SQuAD JSON: it has no "data" list')
    for row, qa, passage, title in _squad_rows(data["data"], collector):
        collector.add(row, qa, passage, title)


def _squad_rows(articles: list[Any], collector: _Collector) -> Iterator[tuple[str, Any, Any, Any]]:
    for a, article in enumerate(articles):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            collector.refuse(f"data[{a}]", 'has no "paragraphs" list')
            continue
        for p, paragraph in enumerate(paragraphs):
            row = f"data[{a}].paragraphs[{p}]"
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(questions, list):
                collector.refuse(row, 'has no "qas" list')
                continue
            for q, qa in enumerate(questions):
                yield f"{row}.qas[{q}]", qa, paragraph.get("context"), article.get("title", "")


def _read_jsonl(data: bytes, collector: _Collector) -> None:
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"line {number}")
        except UserError as error:
            message = str(error).removeprefix(f"line {number} ").replace("(line 1, ", "(")
            collector.refuse(f"line {number}", message)
            continue
        _add_flat(collector, f"line {number}", row)


def _read_csv(data: bytes, name: str, collector: _Collector) -> None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start})") from error
    csv.field_size_limit(2**31 - 1)  # not the default: our passages have a limit of their own, of more characters
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [(column or "").strip().lower() for column in reader.fieldnames or []]
        if "question" not in columns or not {"passage", "context"} & set(columns):
            raise UserError(f'{name} needs the columns "passage" (or "context") and "question" in its first line')
        reader.fieldnames = columns
        for row in reader:
            if None in row:
                collector.refuse(f"line {reader.line_num}", "has more cells than the first line")
                continue
            cells = {key: value for key, value in row.items() if value is not None}
            answers = cells.pop("answers", None) or cells.pop("answer", None) or ""
            golds = [answer for answer in answers.split(ANSWER_SEPARATOR) if answer]
            _add_flat(collector, f"line {reader.line_num}", {**cells, "answers": golds, "id": cells.get("id") or None})
    except csv.Error as error:
        raise UserError(f"{name} is not CSV: {error} (in the row that begins in line {reader.line_num + 1})") from error


def _add_flat(collector: _Collector, row: str, data: Any) -> None:
    """One row of JSONL or CSV, which carries its own passage."""
    if not isinstance(data, dict):
        collector.refuse(row, "is not an object")
        return
    if "answers" not in data and "answer" in data:
        data = {**data, "answers": [] if data["answer"] is None else [data["answer"]]}
    collector.add(row, data, data.get("passage", data.get("context")), data.get("title") or "")


def _example(data: Any, passage: Any, title: Any, *, default_id: str) -> Example:
    if not isinstance(data, dict):
        raise _BadRow("is not an object")
    passage = _text(passage, "passage (context)", MAX_PASSAGE)
    question = _text(data.get("question"), "question", MAX_QUESTION)
    identifier = data.get("id")
    if identifier is None:
        identifier = default_id
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or not str(identifier):
        raise _BadRow("its id is not a text")
    if not isinstance(title, str):
        raise _BadRow("its title is not a text")
    identifier, title = _whole(str(identifier), "id"), _whole(title, "title")
    answers = data.get("answers") or []
    if isinstance(answers, dict):  # the hub's columns: {"text": [...], "answer_start": [...]}
        answers = _columns(answers)
    if not isinstance(answers, list):
        raise _BadRow('its "answers" are not a list')
    if data.get("is_impossible") is True:
        answers = []
    golds = tuple(_answer(answer, passage) for answer in answers)
    return Example(identifier, title, passage, question, golds)


def _text(value: Any, name: str, limit: int) -> str:
    if not isinstance(value, str):
        raise _BadRow(f"its {name} is missing or not a text")
    if not value.strip():
        raise _BadRow(f"its {name} is empty")
    if len(value) > limit:
        raise _BadRow(f"its {name} has {len(value):,} characters; at most {limit:,} are read")
    return _whole(value, name)


def _whole(text: str, name: str) -> str:
    """Refuse half of a surrogate pair: JSON can escape one, but no page could show it and no file take it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _BadRow(f"its {name} holds half a character ({text[error.start]!a} at {error.start})") from None
    return text


def _columns(answers: dict[str, Any]) -> list[Any]:
    texts, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise _BadRow('its "answers" are not a list')
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def _answer(answer: Any, passage: str) -> Answer:
    start = None
    if isinstance(answer, dict):
        start = answer.get("answer_start")
        answer = answer.get("text")
    if not isinstance(answer, str) or not answer.strip():
        raise _BadRow("an answer is missing, empty or not a text")
    answer = _whole(answer, "answer")
    shown = json.dumps(answer if len(answer) <= 60 else answer[:57] + "…", ensure_ascii=False)
    found = passage.find(answer)
    if start is None:
        if found < 0:
            raise _BadRow(f"the answer {shown} does not stand in its passage")
        return Answer(answer, found)
    if isinstance(start, bool) or not isinstance(start, int):
        raise _BadRow(f"the answer {shown} has an answer_start that is not a whole number")
    if start < 0 or passage[start : start + len(answer)] != answer:
        where = f"it stands at {found}" if found >= 0 else "it stands nowhere in it"
        raise _BadRow(f"the answer {shown} is not at character {start} of its passage ({where})")
    return Answer(answer, start)


def check_question(passage: str, question: str) -> None:
    """Refuse, with one sentence, what no model can answer. Raises UserError."""
    for name, text, limit in (("passage", passage, MAX_PASSAGE), ("question", question, MAX_QUESTION)):
        if not text.strip():
            raise UserError(f"The {name} is empty: write one first.")
        if len(text) > limit:
            raise UserError(f"The {name} has {len(text):,} characters; at most {limit:,} are read.")
