"""Whatever the bytes of a file, reading it ends in questions, problems, or one sentence."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example as given_example
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.readers import FileCheck, check_file
from qa_compare.errors import UserError
from tests.cases import cases

pytestmark = pytest.mark.slow

NAMES = ["data", "title", "paragraphs", "context", "passage", "qas", "id", "question", "answers", "answer", "text"]
keys = st.sampled_from([*NAMES, "answer_start", "Answer_Starts", "is_impossible", "answer_text"]) | st.text(max_size=3)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud83d")
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))


def evenly(*kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of `kinds`, each as often; `|` would count all that `values` is made of, and rarely give a whole file."""
    return st.sampled_from(kinds).flatmap(lambda kind: kind)


def mostly(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return evenly(kind, kind, kind, values)


texts = mostly(st.sampled_from(["a b", "b a b", "b \ud83d"]))
golds = st.fixed_dictionaries(
    {"text": mostly(st.sampled_from("ab"))}, optional={"answer_start": mostly(st.integers(-1, 4))}
)
more = {"id": values, "title": values, "answers": mostly(st.lists(mostly(golds), max_size=2)), "is_impossible": values}
more["answer_starts"] = mostly(st.integers(-1, 4))
questions = st.fixed_dictionaries({"question": texts, "passage": texts}, optional=more)
paragraphs = st.fixed_dictionaries({"context": texts, "qas": mostly(st.lists(mostly(questions), max_size=3))})
articles = st.fixed_dictionaries(
    {"paragraphs": mostly(st.lists(mostly(paragraphs), max_size=2))}, optional={"title": values}
)
squad = st.fixed_dictionaries({"data": st.lists(mostly(articles), max_size=2)})
tables = st.lists(st.text(alphabet='ab,"\n\r\0 |\ufeff', max_size=20), max_size=3)
contents = evenly(
    st.binary(max_size=60),
    tables.map(lambda rows: b"passage,question,answers,id,title,answer_start\n" + "\n".join(rows).encode()),
    st.lists(mostly(questions), max_size=3).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    squad.map(lambda value: json.dumps(value).encode()),
    values.map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.parametrize("name", ["f.json", "f.jsonl", "f.csv"])
@given(content=contents)
@cases(120)
@given_example(content=b"[" * 100_000)
@given_example(content=b"\xef\xbb\xbf")
@given_example(content=b"passage,question\r\rp,q")
@given_example(content=b"\xff\xfea\x00")
@given_example(content=b'{"passage": "a b", "question": "a b", "answers": "a", "answer_start": 1e999}')
@given_example(content=b'passage,question,question\n"\0",\0,\n')
def test_any_file_is_read_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    found = checked(path)
    if isinstance(found, str):
        assert found.startswith(name)
        assert found.encode()
        return
    assert found.examples or found.problems
    assert len({example.id for example in found.examples}) == len(found.examples)
    for example in found.examples:
        golds = [(one.text, span) for one in example.answers for span in one.spans]
        assert all(example.passage[start:end] == text for text, (start, end) in golds)
        assert not (example.unanswerable and example.answers)
    # what a page cannot send is half of a surrogate pair
    assert json.dumps(
        [asdict(one) for one in (*found.examples, *found.problems, *found.notes)], ensure_ascii=False
    ).encode()
    assert found.told.encode()
    assert "\n" not in found.told
    assert len(found.told) < 10_000


def checked(path: Path) -> FileCheck | str:
    try:
        return check_file(path)
    except UserError as error:
        return str(error)
