"""Whatever a program or a visitor sends, what comes back is a result or one sentence: predictions files, texts of any
Unicode, and the functions behind the endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Example
from qa_compare.data.sources import sample
from qa_compare.errors import UserError
from qa_compare.inference.decoding import decode
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones
from qa_compare.models.features import encode
from qa_compare.page import endpoints as batch_api
from qa_compare.page import endpoints as compare_api
from qa_compare.page import endpoints as errors_api
from qa_compare.page import results_tab
from qa_compare.page.compare import opening
from qa_compare.workbench import session, table
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.service import SAMPLE, SQUAD, Questions, Service
from tests import measured, tiny
from tests.cases import cases

pytestmark = pytest.mark.slow

MANY = cases(100)
# every character there is, halves of surrogate pairs too, and more often those that are taken apart or put together
odd = st.sampled_from("\u0301\u200d\ufe0f\U0001f469\u00df\u0130\ufb01\u202e\x00\ufeff\u0e33\uac01\ud83d\udc69 a.")
any_text = st.text(odd | st.characters(exclude_categories=()), max_size=60)
plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.sampled_from([10**400, -1, "x" * 10_000])
)
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3))


def deep(depth: int) -> list[Any]:
    """Lists within lists, as JSON can bring them."""
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """A tiny backbone with two variants, and a built-in sample that is answered in a moment."""
    folder = tmp_path_factory.mktemp("any")
    measured.backbone(folder)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(folder / "adapters", name, seed=seed)
    engine = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    made = Service({engine.backbone: engine}, engine.backbone)
    few, others = Questions("Built-in sample", tuple(sample()[:20])), made.questions
    made.questions = lambda source, upload="": few if source == SAMPLE else others(source, upload)  # type: ignore[method-assign]
    return Inspector(made)


def expect_json(outcome: Any) -> None:
    """What goes out over HTTP."""
    json.dumps(outcome, allow_nan=False)


def expect_sentence(refused: gr.Error) -> None:
    assert isinstance(refused.message, str)
    assert 0 < len(refused.message) < 1_000
    assert refused.print_exception is False


def asked(endpoint: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """The endpoint's result, or None where it refused in a sentence."""
    try:
        found = endpoint(**arguments)
    except gr.Error as refused:
        expect_sentence(refused)
        return None
    expect_json(found)
    return found


answers = st.dictionaries(st.sampled_from(["q0", "q1", "x"]) | any_text, any_text | plain, max_size=4)


@given(content=st.binary(max_size=40) | (answers | anything).map(lambda value: json.dumps(value).encode()))
@MANY
def test_any_predictions_file_is_a_column_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "answers.json"
    path.write_bytes(content)
    try:
        column = table.from_file(path, tiny.examples(2))
    except UserError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.startswith("answers.json ")
        return
    assert len(column.answers) == 2
    "".join(column.answers).encode()
    assert np.isfinite(column.f1).all()


@pytest.fixture(scope="module", params=["tiny", "minilm"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "minilm":
        return backbones.load_tokenizer(backbones.locate(backbones.get("minilm-l6")))
    folder = tiny.checkpoint(tmp_path_factory.mktemp("tokenizer") / "river")
    return backbones.load_tokenizer(backbones.locate(backbones.get(str(folder))))


@given(passage=any_text, question=any_text, repeat=st.sampled_from([1, 1, 1, 40]), seed=st.integers(0, 9))
@MANY
def test_any_text_is_windowed_and_decoded_to_spans_of_it(
    tokenizer: Any, passage: str, question: str, repeat: int, seed: int
) -> None:
    passage = passage * repeat
    [encoded] = encode([Example("", "", passage, question)], tokenizer, max_length=96, stride=32)
    assert encoded.windows
    assert all(len(window.input_ids) <= 96 for window in encoded.windows)
    assert (np.diff(encoded.offsets) >= 0).all()
    random = np.random.default_rng(seed)
    starts, ends = (
        [random.normal(0, 5, len(window.input_ids)).astype(np.float32) for window in encoded.windows] for _ in range(2)
    )
    found = decode(encoded, starts, ends, temperature=1.5)
    for one in found.candidates:
        assert one.text == passage[one.start : one.end] != ""
    scores = [one.score for one in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert sum(one.confidence for one in found.candidates) <= 1 + 1e-6


names = st.lists(st.sampled_from(["base", "lora", "odd"]) | any_text, max_size=8) | anything


@given(passage=any_text | anything, question=any_text | anything, variants=st.none() | names)
@cases(50)
def test_the_compare_endpoint_answers_or_refuses(
    inspector: Inspector, passage: Any, question: Any, variants: Any
) -> None:
    asked_for = {"passage": passage, "question": question, "variants": variants}
    found = asked(compare_api.compare_endpoint(inspector.service), asked_for)
    if found:
        for column in found["variants"]:
            assert column["problem"] is None
            start, end = column["start"], column["end"]
            # a text of control characters alone holds no token, and so no answer
            assert column["answer"] == ("" if start is None else passage[start:end])
    elif variants is None and isinstance(passage, str) and isinstance(question, str):
        assert not (passage.strip() and question.strip()) or max(map(len, (passage, question))) > 2_000


texts = st.sampled_from(["a b", "b", "b \ud83d", ""]) | any_text | anything
question_rows = st.fixed_dictionaries(
    {"passage": texts, "question": texts}, optional={"id": anything, "title": anything, "answers": anything}
)
batch = st.fixed_dictionaries(
    {"questions": st.lists(question_rows | anything, max_size=3) | anything},
    optional={
        "file": anything | st.fixed_dictionaries({"path": st.sampled_from(["/etc/passwd", "\0", "."]) | anything}),
        "backbone": st.just("river-bert") | anything,
        "variants": names,
    },
)


@pytest.fixture(scope="module")
def predict_batch(inspector: Inspector) -> Callable[..., Any]:
    """The endpoint as a caller sees it: Gradio gives the request."""
    with gr.Blocks() as blocks:
        endpoint = batch_api.batch_endpoint(blocks, inspector.service)
    return partial(endpoint, gr.Request(session_hash="one"))


@given(given=batch)
@cases(60)
def test_the_batch_endpoint_answers_or_refuses(predict_batch: Callable[..., Any], given: dict[str, Any]) -> None:
    found = asked(predict_batch, given)
    if found:
        assert found["questions"] == len(found["predictions"]) > 0


parameters = st.dictionaries(st.sampled_from([*session.PARAMETERS, "__theme", "tab"]) | any_text, any_text, max_size=6)
known_link = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from([SAMPLE, SQUAD, "upload"]) | any_text,
        "id": st.sampled_from([sample()[0].id, "odd"]) | any_text,
        "passage": any_text,
        "question": any_text,
        "backbone": st.sampled_from(["river-bert", "odd"]) | any_text,
        "variants": st.sampled_from(["base,lora", "lora,base", "base", ",", "odd,lora"]) | any_text,
    },
)


@given(parameters=parameters | known_link)
@MANY
def test_any_link_opens_a_question_or_says_why_it_does_not(inspector: Inspector, parameters: dict[str, str]) -> None:
    updates = opening.open_address(inspector.service, opening.Opened("river-bert"), parameters)
    assert len(updates) == opening.CONTROLS
    told = updates[-2]
    if isinstance(told, str) and "This link cannot be opened" in told:
        assert told.count("<p") == 1
        assert len(told) < 1_000


known = {
    "source": [SAMPLE, SQUAD],
    "outcome": ["", "10", "111"],
    "kind": ["", "right", "too long"],
    "variant": ["", "base", "lora"],
    "sure": [0, 0.5, 1],
    "question_word": ["", "who"],
    "answer_length": ["", "1"],
    "passage_length": ["", "under 100"],
    "article": ["", "Rivers"],
    "text": ["", "the"],
    "order": ["", "worst lora", "difference"],
    "offset": [0, 3, 10**30],
    "limit": [1, 1000],
}
wrong = st.fixed_dictionaries({}, optional={name: st.sampled_from(some) | anything for name, some in known.items()})


@given(arguments=wrong)
@cases(60)
def test_the_errors_endpoint_finds_rows_or_refuses(inspector: Inspector, arguments: dict[str, Any]) -> None:
    found = asked(errors_api.errors_endpoint(inspector), arguments)
    if found:
        assert found["columns"] == ["base", "lora"]
        assert len(found["rows"]) <= found["matching"] <= found["questions"]


@given(backbone=st.just("river-bert") | anything)
@MANY
def test_the_metrics_endpoint_tells_or_refuses(inspector: Inspector, backbone: Any) -> None:
    found = asked(results_tab.endpoint(inspector.service), {"backbone": backbone})
    assert (found is not None) == (backbone == "river-bert")


Endpoints = dict[str, Callable[..., Any]]


@pytest.fixture(scope="module")
def endpoints(inspector: Inspector, predict_batch: Callable[..., Any]) -> Endpoints:
    return {
        "compare": compare_api.compare_endpoint(inspector.service),
        "errors": errors_api.errors_endpoint(inspector),
        "metrics": results_tab.endpoint(inspector.service),
        "predict_batch": predict_batch,
    }


SOUND: dict[str, dict[str, Any]] = {
    "compare": {"passage": "The river rises in the north.", "question": "Where rises it?"},
    "errors": {"source": SAMPLE, "limit": 1},
    "metrics": {"backbone": "river-bert"},
    "predict_batch": {"questions": [{"passage": "a b", "question": "b"}]},
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_answered(endpoints: Endpoints, name: str) -> None:
    """Or whoever refuses everything would pass all of the above."""
    assert asked(endpoints[name], SOUND[name])


@pytest.mark.parametrize(
    ("name", "argument"),
    [("compare", "passage"), ("errors", "source"), ("metrics", "backbone"), ("predict_batch", "backbone")],
)
def test_what_is_nested_deeply_is_refused(endpoints: Endpoints, name: str, argument: str) -> None:
    assert asked(endpoints[name], {**SOUND[name], argument: deep(100_000)}) is None
