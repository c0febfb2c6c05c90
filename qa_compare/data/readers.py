"""SQuAD JSON, JSONL and CSV -> examples, for files of one's own and for those that visitors upload.

Every problem is collected with its place, and good rows are kept beside it. What is wrong with a gold answer costs no
question: it is told beside them, as is which column was taken for what. An upload has limits that are checked before it
costs memory, and nothing is ever unpacked.
"""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa_compare.data.examples import Example
from qa_compare.data.rows import KINDS, NAMES, BadRow, Passage, Row, fields, read_row, take
from qa_compare.errors import OverLimit, UserError, quoted
from qa_compare.files import as_utf8, decoded, parse_json, read_bytes, refuse_packed

ANSWER_SEPARATOR = " | "  # between gold answers in one CSV cell
_DELIMITERS = {",": "", ";": "semicolons", "\t": "tabs"}
_MOST_NAMES = 8  # of fields that are told
_WHAT = {
    "passage": "passages",
    "question": "questions",
    "answers": "gold answers",
    "starts": "their places",
    "is_impossible": "what is unanswerable",
}
_LIST_IN_CELL = re.compile(r"\s*(\{.*\}|\[.*\])\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row; `row` is its place, such as `line 3` or `data[0].paragraphs[2].qas[1]`."""

    row: str
    message: str


@dataclass(slots=True)
class Reading:
    """How a file was read: the names that its fields bear, and how often something is to be told of a gold answer.

    `names` has those of each field in `rows.NAMES`, "" the unused ones; `kinds` the number and the first row of each
    kind in `rows.KINDS`; `cells` says what parts the cells of a table that commas do not part.
    """

    name: str
    names: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)
    cells: str = ""

    def named(self, what: str, name: str) -> None:
        """Note that the field is called so in the file."""
        known = self.names.setdefault(what, [])
        if name not in known and len(known) <= _MOST_NAMES:
            known.append(name)

    def add(self, place: str, row: Row) -> None:
        """Note what a row bears and tells."""
        for what, name in row.names.items():
            self.named(what, name)
        for name in row.unused:
            self.named("", name)
        for kind, count in row.counts.items():
            before, first = self.kinds.get(kind, (0, place))
            self.kinds[kind] = (before + count, first)

    @property
    def columns(self) -> str:
        """Which columns were taken for what, in one sentence."""
        parts = [f"{what} from {_listed(self.names[key])}" for key, what in _WHAT.items() if key in self.names]
        if "answers" not in self.names and "question" in self.names:
            names = [quoted(name) for name in NAMES["answers"]]
            parts.append(f"no gold answers, which would be in {', '.join(names[:-1])} or {names[-1]}")
        if self.cells:
            parts.append(f"cells parted by {self.cells}")
        if unused := self.names.get(""):
            parts.append(f"not used: {_listed(unused)}")
        return f"{self.name}: {'; '.join(parts) or 'nothing was read'}."

    @property
    def golds(self) -> list[str]:
        """What there is to tell of gold answers, a sentence for each kind."""
        told = []
        for kind, (one, several) in KINDS.items():
            if kind in self.kinds:
                count, first = self.kinds[kind]
                what = f"1 gold answer {one}" if count == 1 else f"{count:,} gold answers {several}"
                told.append(f"{what} ({'' if count == 1 else 'first: '}{first}).")
        return told


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(quoted, names[:_MOST_NAMES])) + more


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The good rows of a file, the problems that cost the others, and `notes`: what cost a gold answer or its place."""

    examples: list[Example]
    problems: list[Problem]
    notes: list[Problem] = field(default_factory=list)
    reading: Reading = field(default_factory=lambda: Reading(""), compare=False)

    @property
    def held(self) -> str:
        """How many questions were read, and how many gold answers."""
        asked = len(self.examples)
        if not asked:
            return "no usable question"
        golds = [len(example.answers) for example in self.examples]
        answered, impossible = sum(map(bool, golds)), sum(example.unanswerable for example in self.examples)
        with_golds = "all" if answered == asked else f"{answered:,} of them" if answered else "none"
        told = f"{asked:,} question{'s' * (asked != 1)}, {with_golds} with gold answers"
        told += f" ({sum(golds):,} in all)" if sum(golds) > answered else ""
        return told + (f", {impossible:,} marked as unanswerable" if impossible else "")

    @property
    def told(self) -> str:
        """One line: which columns were taken for what, how many gold answers were read, and what became of others."""
        return " ".join([self.reading.columns, f"Read: {self.held}.", *self.reading.golds])


@dataclass(slots=True)
class _Collector:
    name: str
    most: int | None = None
    examples: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    number: int = 1
    passage: Passage | None = None
    numbers: dict[int, int] = field(default_factory=dict)
    reading: Reading = field(init=False)

    def __post_init__(self) -> None:
        self.reading = Reading(self.name)

    @property
    def check(self) -> FileCheck:
        """What was collected."""
        return FileCheck(self.examples, self.problems, self.notes, self.reading)

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

    def add(self, place: str, data: Any, passage: Any, title: Any) -> None:
        """Check one question and keep it, or its problem."""
        self.room()
        try:
            if not isinstance(data, dict):
                raise BadRow("is not an object")
            row = read_row(data, self._passage(passage), title, default_id=self._free())
            if row.example.id in self.ids:
                raise BadRow(f"the id {quoted(row.example.id)} is that of an earlier question, too")
        except BadRow as problem:
            self.problems.append(Problem(place, str(problem)))
            return
        self.ids.add(row.example.id)
        self.examples.append(row.example)
        self.reading.add(place, row)
        if row.note:
            self.notes.append(Problem(place, row.note))

    def _passage(self, text: Any) -> Passage:
        """The passage of a question; that of the last one again where it is the same, with what is known of it."""
        if self.passage is None or self.passage.text != text:
            self.passage = Passage(text, self.numbers)
        return self.passage


def check_file(path: Path) -> FileCheck:
    """Read a file by its suffix (`.csv`, `.tsv`, `.jsonl`) or, with any other, as SQuAD JSON.

    Raises:
        UserError: the file as a whole cannot be read: missing, packed, not UTF-8, not JSON, of another shape.
    """
    return check(read_bytes(path), path.name)


def check(data: bytes, name: str, *, most: int | None = None) -> FileCheck:
    """The same for the bytes of a file of that name, and of `most` questions, the bad ones counted too.

    Raises:
        UserError: as above.
        OverLimit: it holds more questions.
    """
    collector = _Collector(name, most)
    refuse_packed(data, name)
    suffix = Path(name).suffix.lower()
    if suffix in {".csv", ".tsv"}:
        _read_csv(data, name, collector)
    elif suffix in {".jsonl", ".ndjson"}:
        _read_jsonl(data, name, collector)
    else:
        _read_squad(parse_json(data, name), name, collector)
    if not collector.examples and not collector.problems:
        raise UserError(f"{name} holds no question")
    return collector.check


def check_rows(rows: Iterable[Any], name: str) -> FileCheck:
    """Objects as JSONL has them, which a program brought under this name; problems have rows like `name[3]`, from 0."""
    collector = _Collector(name)
    for number, row in enumerate(rows):
        _add_flat(collector, f"{name}[{number}]", row)
    return collector.check


def read_file(path: Path) -> FileCheck:
    """A file whose rows are all good. Raises UserError that names the file, the first bad row, and what is wrong."""
    found = check_file(path)
    refuse_problems(found.problems, path.name)
    return found


def refuse_problems(problems: Sequence[Problem], name: str = "") -> None:
    """Raise a UserError with the first of the problems, and how many more there are; nothing where there is none."""
    if problems:
        rest = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise UserError(f"{name}{': ' if name else ''}{problems[0].row}: {problems[0].message}{rest}")


def read_examples(path: Path) -> list[Example]:
    """All questions of a file, as `read_file` has them. Their gold answers may have no place in their passage."""
    return read_file(path).examples


def _read_squad(data: Any, name: str, collector: _Collector) -> None:
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise UserError(f'{name} is not SQuAD JSON: it has no "data" list')
    for place, qa, passage, title in _squad_rows(data["data"], collector):
        collector.add(place, qa, passage, "" if title is None else title)


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
            values, names, _ = take(paragraph)
            collector.reading.named("passage", names.get("passage", "context"))
            for q, qa in enumerate(questions):
                yield f"{row}.qas[{q}]", qa, values.get("passage"), article.get("title")


def _read_jsonl(data: bytes, name: str, collector: _Collector) -> None:
    for number, line in enumerate(as_utf8(data, name).splitlines(), 1):
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
    text = decoded(data, name)
    csv.field_size_limit(2**31 - 1)  # not the default: our passages have a limit of their own, of more characters
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    begins = 1  # the line in which the next row begins
    try:
        columns = [column.strip() for column in next(reader, [])]
        known = fields(columns)
        if "question" not in known or "passage" not in known:
            raise UserError(f'{name} needs the columns "passage" (or "context") and "question" in its first line')
        collector.reading.cells = _DELIMITERS[delimiter]
        for what, ones in known.items():
            for column in ones:
                collector.reading.named(what, column)
        places = {column: columns.index(column) for what, ones in known.items() if what for column in ones}
        begins = reader.line_num + 1
        for cells in reader:
            place, begins = f"line {begins}", reader.line_num + 1
            if len(cells) > len(columns):
                collector.refuse(place, "has more cells than the first line")
            elif cells:
                _add_cells(collector, place, {name: cells[at] for name, at in places.items() if at < len(cells)})
    except csv.Error as error:
        raise UserError(f"{name} is not CSV: {error} (in the row that begins in line {begins})") from error


def _delimiter(text: str) -> str:
    """What parts the cells of the first line: a comma, unless its columns are only found with another."""
    head = text[: text.find("\n")] if "\n" in text else text
    for delimiter in _DELIMITERS:
        known = fields(column.strip(' "\r') for column in head.split(delimiter)) if delimiter in head else {}
        if "question" in known and "passage" in known:
            return delimiter
    return ","


def _add_cells(collector: _Collector, place: str, cells: dict[str, str]) -> None:
    """One row of CSV, by the names of its columns."""
    values, names, _ = take(cells)
    data: dict[str, Any] = {**cells}
    if values.get("answers"):
        try:
            data[names["answers"]] = _golds(values["answers"], values.get("passage", ""), values.get("starts", ""))
        except BadRow as problem:
            collector.refuse(place, str(problem))
            return
    if "id" in names:
        data[names["id"]] = values["id"] or None
    _add_flat(collector, place, data)


def _golds(cell: str, passage: str, starts: str) -> list[str]:
    """The gold answers of a cell, parted by " | "; all of it is one where it stands in the passage like that."""
    if cell.strip() in passage and len(re.findall(r"-?[0-9]+", starts)) < 2:
        return [cell]
    if _LIST_IN_CELL.fullmatch(cell):
        raise BadRow(f"its gold answers are a list or an object ({quoted(cell)}): write their texts, parted by ' | '")
    return [answer for answer in cell.split(ANSWER_SEPARATOR) if answer.strip()]


def _add_flat(collector: _Collector, place: str, data: Any) -> None:
    """One row of JSONL or CSV, which carries its own passage."""
    if not isinstance(data, dict):
        collector.refuse(place, "is not an object")
        return
    values, _, _ = take(data)
    title = values.get("title")
    collector.add(place, data, values.get("passage"), "" if title is None else title)


MAX_UPLOAD = 20 * 2**20  # bytes
MAX_QUESTIONS = 20_000
# commas, brackets, line ends: 20 MB of `[],[],…` would be 1 GB of lists. SQuAD's 10,570 questions have 0.2 million
MAX_PARTS = 2_000_000
_one_at_a_time = threading.Lock()  # so that many large files at once cost what one does


def check_upload(path: Path) -> FileCheck:
    """As `readers.check_file`, within the limits of an upload.

    Raises:
        UserError: the file as a whole cannot be read, or is over a limit.
    """
    with _one_at_a_time:
        return check(read_upload(path), path.name, most=MAX_QUESTIONS)


def read_upload(path: Path) -> bytes:
    """The bytes of a text file. Raises UserError for one that is missing, too large, packed, or of too many parts."""
    if not path.is_file():  # it lies for an hour; and nobody needs to know where it lay
        raise UserError(f"{path.name} is no longer here: upload it again")
    data = read_bytes(path, MAX_UPLOAD)
    refuse_packed(data, path.name)
    if sum(data.count(part) for part in b",[{\r\n") > MAX_PARTS:
        raise UserError(f"{path.name} holds more than {MAX_PARTS:,} commas, brackets and line ends: it is not read")
    return data
