"""What files of questions may look like, and what is said, with the place, of one that looks otherwise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from qa_compare.data.examples import MAX_PASSAGE, MAX_QUESTION, Answer, Example
from qa_compare.data.readers import Problem, check_file, read_examples
from qa_compare.errors import UserError

PASSAGE = "The Nile flows north, and the Nile is long."
NILE = Answer("Nile", 4)
NILES = Answer("Nile", 4, (30,))  # where no start is told
QUESTION = "Which river flows north?"
GOLD = {"text": "Nile", "answer_start": 4}
MISSING = object()


def qa(**change: Any) -> dict[str, Any]:
    """A good question; `change` replaces fields, `MISSING` drops one."""
    whole = {"id": "q", "question": QUESTION, "answers": [GOLD], **change}
    return {key: value for key, value in whole.items() if value is not MISSING}


def squad(*questions: Any, **paragraph: Any) -> bytes:
    whole = {"context": PASSAGE, "qas": list(questions) or [qa()], **paragraph}
    kept = {key: value for key, value in whole.items() if value is not MISSING}
    return json.dumps({"data": [{"title": "Rivers", "paragraphs": [kept]}]}).encode()


def answered(text: Any, start: Any = MISSING) -> bytes:
    return squad(qa(answers=[{"text": text} if start is MISSING else {"text": text, "answer_start": start}]))


def lines(*rows: Any) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


FLAT = {"passage": PASSAGE, "question": QUESTION}
ROW = "data[0].paragraphs[0].qas[0]: "
NO_PASSAGE = ROW + "its passage (context) is "
NO_QUESTION = ROW + "its question is "
HEAD = b"passage,question,answers\n"

BAD: dict[str, tuple[str, bytes, str]] = {
    "empty file": ("f.json", b"", " is not JSON: Expecting value (line 1, column 1)"),
    "not JSON": ("f.json", b'{"data":\n [}', " is not JSON: Expecting value (line 2, column 3)"),
    "not UTF-8": ("f.json", b'{"data": "\xe9"}', " is not UTF-8 text (byte 10)"),
    "deeply nested": ("f.json", b'{"data":' + b"[" * 100_000, " is not read: its JSON is nested too deeply"),
    "long number": ("f.json", b'{"data": ' + b"7" * 5_000 + b"}", " is not read: Exceeds the limit"),
    "a list": ("f.json", b"[1]", ' is not SQuAD JSON: it has no "data" list'),
    "a text": ("f.json", b'"data"', ' is not SQuAD JSON: it has no "data" list'),
    "no data": ("f.json", b'{"version": "1.1"}', ' is not SQuAD JSON: it has no "data" list'),
    "no question": ("f.json", b'{"data": []}', " holds no question"),
    "no paragraphs": ("f.json", b'{"data": [{"title": "x"}]}', ': data[0]: has no "paragraphs" list'),
    "article is null": ("f.json", b'{"data": [null]}', ': data[0]: has no "paragraphs" list'),
    "no qas": ("f.json", squad(qas=MISSING), ': data[0].paragraphs[0]: has no "qas" list'),
    "question is a list": ("f.json", squad([]), ROW + "is not an object"),
    "passage missing": ("f.json", squad(context=MISSING), NO_PASSAGE + "missing or not a text"),
    "passage a number": ("f.json", squad(context=7), NO_PASSAGE + "missing or not a text"),
    "passage empty": ("f.json", squad(context=""), NO_PASSAGE + "empty"),
    "passage blank": ("f.json", squad(context=" \n\u3000"), NO_PASSAGE + "empty"),
    "passage long": (
        "f.json",
        squad(context="x" * (MAX_PASSAGE + 1)),
        ROW + "its passage (context) has 200,001 characters; at most 200,000 are read",
    ),
    "half a character": ("f.json", squad(context="a\ud83d"), ROW + "its passage (context) holds half a character"),
    "question missing": ("f.json", squad(qa(question=MISSING)), NO_QUESTION + "missing or not a text"),
    "question null": ("f.json", squad(qa(question=None)), NO_QUESTION + "missing or not a text"),
    "question empty": ("f.json", squad(qa(question="")), NO_QUESTION + "empty"),
    "question blank": ("f.json", squad(qa(question=" \t")), NO_QUESTION + "empty"),
    "question long": (
        "f.json",
        squad(qa(question="x" * (MAX_QUESTION + 1))),
        ROW + "its question has 2,001 characters; at most 2,000 are read",
    ),
    "title a number": ("f.json", squad().replace(b'"Rivers"', b"7"), ROW + "its title is not a text"),
    "id a list": ("f.json", squad(qa(id=[])), ROW + "its id is not a text"),
    "id true": ("f.json", squad(qa(id=True)), ROW + "its id is not a text"),
    "id empty": ("f.json", squad(qa(id="")), ROW + "its id is not a text"),
    "id half a character": ("f.json", squad(qa(id="a\ud83d")), ROW + "its id holds half a character"),
    "id twice": (
        "f.json",
        squad(qa(id=1), qa(id="1")),
        ": data[0].paragraphs[0].qas[1]: the id '1' is that of an earlier question, too",
    ),
    "impossible unclear": (
        "f.json",
        squad(qa(is_impossible="perhaps")),
        ROW + "its 'is_impossible' is 'perhaps', which is neither true nor false",
    ),
    "a list in a cell": (
        "f.csv",
        HEAD + b"a,b,\"['a', 'b']\"\n",
        ": line 2: its gold answers are a list or an object (\"['a', 'b']\"): write their texts",
    ),
    "two bad rows": ("f.json", squad(qa(question=""), qa(id=[])), NO_QUESTION + "empty (and 1 more)"),
    "JSONL broken": (
        *("f.jsonl", lines(FLAT, "", '{"passage": }')),
        ": line 3: is not JSON: Expecting value (column 13)",
    ),
    "JSONL not UTF-8": ("f.jsonl", b'"\xe9"', ": line 1: is not UTF-8 text (byte 1)"),
    "JSONL a list": ("f.NDJSON", lines(FLAT, []), ": line 2: is not an object"),
    "JSONL empty": ("f.jsonl", b"\n \n", " holds no question"),
    "CSV empty": ("f.csv", b"", ' needs the columns "passage" (or "context") and "question" in its first line'),
    "CSV of other columns": ("f.csv", b"text;question\na;b\n", " needs the columns"),
    "CSV without rows": ("f.csv", HEAD, " holds no question"),
    "CSV too many cells": ("f.csv", HEAD + b"a,b,,c\n", ": line 2: has more cells than the first line"),
    "CSV too few cells": ("f.csv", HEAD + b"a\n", ": line 2: its question is missing or not a text"),
    "CSV open quote": (
        "f.csv",
        HEAD + b'a,"b\nc\n',
        " is not CSV: unexpected end of data (in the row that begins in line 2)",
    ),
    "CSV stray quote": ("f.csv", b'"passage"x,question', "(in the row that begins in line 1)"),
    "CSV in Windows-1252": (
        "f.CSV",
        HEAD + b"the caf\xe9 there,b\n",
        " is not UTF-8 text (byte 32); it looks like Windows-1252 ('caf\xe9'): save it as UTF-8",
    ),
    "CSV in nothing known": ("f.csv", HEAD + b"caf\x9d,b\n", " is not UTF-8 text (byte 28): save it as UTF-8"),
    "UTF-16 cut off": ("f.csv", b"\xff\xfea", " is not UTF-16 text (byte 2): save it as UTF-8"),
    "a workbook": ("f.xlsx", b"PK\x03\x04more", " is a spreadsheet's own file: save it as CSV (in UTF-8)"),
    "a renamed workbook": ("f.csv", b"PK\x03\x04  xl/workbook.xml", " is a spreadsheet's own file: save it as CSV"),
    "an old workbook": ("f.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", " is a spreadsheet's own file: save it as CSV"),
    "an archive": ("f.json", b"PK\x03\x04  f.json", " is packed (ZIP): unpack it first"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_its_name_the_place_and_the_fault(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(UserError) as error:
        read_examples(path)
    text = str(error.value)
    assert text.startswith(name)
    assert message in text
    text.encode()  # a page has to be able to send it


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.csv cannot be read: there is no such file"):
        check_file(tmp_path / "nowhere.csv")


GOOD = Example("q", "Rivers", PASSAGE, QUESTION, (NILE,))
UNTITLED = dataclasses.replace(GOOD, id="row-1", title="")
UNPLACED = dataclasses.replace(UNTITLED, answers=(NILES,))
IMPOSSIBLE = dataclasses.replace(GOOD, answers=(), unanswerable=True)
UNANSWERED = dataclasses.replace(UNTITLED, answers=())
TWO = dataclasses.replace(UNTITLED, answers=(NILES, Answer("long", 38)))
WITH_BOM = b"\xef\xbb\xbf"
CSV_ROW = f'"{PASSAGE}",{QUESTION},'.encode()
GOOD_FILES: dict[str, tuple[str, bytes, Example]] = {
    "SQuAD v1.1": ("f.json", squad(), GOOD),
    "another suffix": ("f.txt", squad(), GOOD),
    "byte order mark": ("f.json", WITH_BOM + squad(), GOOD),
    "SQuAD v2 without an answer": (
        "f.json",
        squad(qa(is_impossible=True, answers=[], plausible_answers=[GOLD])),
        IMPOSSIBLE,
    ),
    "SQuAD v2 with a false one": ("f.json", squad(qa(is_impossible=True)), IMPOSSIBLE),
    "SQuAD v2 with an answer": ("f.json", squad(qa(is_impossible=False)), GOOD),
    "the hub's columns": ("f.json", squad(qa(answers={"text": ["Nile"], "answer_start": [4]})), GOOD),
    "the second of two places": (
        "f.json",
        answered("Nile", PASSAGE.rindex("Nile")),
        dataclasses.replace(GOOD, answers=(Answer("Nile", 30),)),
    ),
    "no answers": ("f.json", squad(qa(answers=MISSING)), dataclasses.replace(GOOD, answers=())),
    "an id that is a number": ("f.json", squad(qa(id=12)), dataclasses.replace(GOOD, id="12")),
    "no title": ("f.json", squad(qa(id=None)).replace(b'"title": "Rivers", ', b""), UNTITLED),
    "the longest texts": (
        "f.json",
        squad(qa(question="w" * MAX_QUESTION, answers=[]), context="x" * MAX_PASSAGE),
        Example("q", "Rivers", "x" * MAX_PASSAGE, "w" * MAX_QUESTION),
    ),
    "JSONL, passage and answer": ("f.jsonl", lines("", {**FLAT, "answer": "Nile"}, ""), UNPLACED),
    "JSONL, context and answers": (
        "f.jsonl",
        WITH_BOM + lines({"context": PASSAGE, "question": QUESTION, "answers": ["Nile", GOLD], "title": None, "id": 3}),
        dataclasses.replace(UNTITLED, id="3", answers=(NILES, NILE)),
    ),
    "JSONL, hub's row": (
        "f.ndjson",
        lines({**FLAT, "id": "q", "title": "Rivers", "answers": {"text": ["Nile"], "answer_start": [4]}}),
        GOOD,
    ),
    "JSONL, nulls": ("f.jsonl", lines({**FLAT, "answer": None, "id": None}), UNANSWERED),
    "JSONL, CRLF": ("f.jsonl", lines({**FLAT, "answer": "Nile"}) + b"\r\n", UNPLACED),
    "CSV, two answers": ("f.csv", HEAD + CSV_ROW + b"Nile | long\n", TWO),
    "CSV, byte order mark and CRLF": (
        "f.csv",
        WITH_BOM + (HEAD + CSV_ROW + b"Nile | long").replace(b"\n", b"\r\n"),
        TWO,
    ),
    "CSV, no answer": ("f.csv", HEAD + CSV_ROW + b"\n\n", UNANSWERED),
    "CSV, other columns": (
        "f.csv",
        f'note,Context, QUESTION ,id,answer,title\nx,"{PASSAGE}",{QUESTION},12,Nile,Rivers\n'.encode(),
        dataclasses.replace(GOOD, id="12", answers=(NILES,)),
    ),
    "CSV in UTF-16": ("f.csv", (HEAD + CSV_ROW + b"Nile\n").decode().encode("utf-16"), UNPLACED),
    "JSON in UTF-16": ("f.json", squad().decode().encode("utf-16"), GOOD),
    "JSONL in UTF-16": ("f.jsonl", lines({**FLAT, "answer": "Nile"}, "").decode().encode("utf-16"), UNPLACED),
    "CSV of tabs": ("f.tsv", (HEAD + CSV_ROW + b"Nile\n").replace(b",", b"\t").replace(b"\t and", b", and"), UNPLACED),
    "CSV of semicolons": (
        "f.csv",
        b"passage;question;answers\na, b;q;a, b\n",
        Example("row-1", "", "a, b", "q", (Answer("a, b", 0),)),
    ),
    "CSV, a long passage": (
        "f.csv",
        HEAD + f'"{"x" * MAX_PASSAGE}",q,\n'.encode(),
        Example("row-1", "", "x" * MAX_PASSAGE, "q"),
    ),
}


@pytest.mark.parametrize(("name", "content", "example"), GOOD_FILES.values(), ids=GOOD_FILES.keys())
def test_a_good_file_is_read(tmp_path: Path, name: str, content: bytes, example: Example) -> None:
    assert read_examples(written(tmp_path, name, content)) == [example]


def test_good_rows_are_kept_beside_the_problems(tmp_path: Path) -> None:
    content = lines({**FLAT, "id": "row-2"}, "{", {**FLAT, "question": ""}, FLAT, FLAT, {**FLAT, "id": "row-2"})
    check = check_file(written(tmp_path, "f.jsonl", content))
    assert [example.id for example in check.examples] == ["row-2", "row-3", "row-4"]
    assert [problem.row for problem in check.problems] == ["line 2", "line 3", "line 6"]
    assert check.problems[1:] == [
        Problem("line 3", "its question is empty"),
        Problem("line 6", "the id 'row-2' is that of an earlier question, too"),
    ]


def test_a_row_of_csv_over_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    check = check_file(written(tmp_path, "f.csv", HEAD + b'"a\nb",,\n\n"a\nb",q,b\n"a\n\nb",,\n'))
    assert [problem.row for problem in check.problems] == ["line 2", "line 7"]
    assert check.examples[0].answers == (Answer("b", 2),)
