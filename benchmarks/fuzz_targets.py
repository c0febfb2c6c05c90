"""What is fuzzed: everything that reads what a visitor or a program sends. A target takes a source of choices, and
returns where the outcome is a result or a documented error; whatever it raises is a fault.
"""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

KEYS = (
    "data title paragraphs context passage qas id question answers answer text answer_start is_impossible path meta "
    "_type q0 q1"
).split()
TEXTS = (
    "", "a", "a b", "The river rises in the north.", "Where rises the river?", "base", "lora", "base,lora",
    "river-bert", "sample", "squad", "upload", "gradio.FileData", "/etc/passwd", "https://example.org", "\0", "\ud83d",
    "é", "İ", "=1+1",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (0, 1, -1, 0.5, 2**31, 2**63, 10**400, float("nan"), float("inf"), -0.0, True, False, None)
PARAMETERS = ("source", "id", "passage", "question", "backbone", "variants")


class Source:
    """Choices made by bytes: the same bytes choose the same. What comes after their end is the first of its kind."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def number(self, below: int) -> int:
        """0 to `below` - 1, from one byte."""
        self.place += 1
        return self.data[self.place - 1] % below if self.place <= len(self.data) else 0

    def pick(self, some: Sequence[Any]) -> Any:
        """One of them."""
        return some[self.number(len(some))]

    def rest(self) -> bytes:
        """All bytes that are left."""
        found, self.place = self.data[self.place :], len(self.data)
        return found

    def text(self) -> str:
        """A known text, or any characters there are, halves of surrogate pairs too."""
        if self.number(2) == 0:
            return str(self.pick(TEXTS))
        count = self.number(12)
        piece = self.data[self.place : self.place + 4 * count]
        self.place += 4 * count
        points = struct.unpack(f"<{len(piece) // 4}I", piece[: len(piece) // 4 * 4])
        return "".join(chr(one % 0x110000) for one in points)

    def value(self, depth: int = 4) -> Any:
        """Anything that JSON can bring."""
        kind = self.number(8 if depth else 6)
        if kind < 3:
            return self.text()
        if kind < 5:
            return self.pick(NUMBERS)
        if kind == 5:
            return self.pick(("a", [])) if depth else "a" * (1 + 400 * self.number(256))
        some = range(self.number(4))
        if kind == 6:
            return [self.value(depth - 1) for _ in some]
        return {self.pick(KEYS) if self.number(4) else self.text(): self.value(depth - 1) for _ in some}

    def question(self) -> dict[str, Any]:
        """A row of a file as it should be, but for what is not."""
        made = {"passage": self.text(), "question": self.text(), "answers": [self.text()]}
        for _ in range(self.number(4)):
            made[self.pick(KEYS)] = self.value(3)
        return made


Target = Callable[[Source], None]


def targets() -> dict[str, Target]:
    """Every target by its name. The models behind are tiny."""
    house = Path(tempfile.mkdtemp(prefix="qa-compare-fuzz-"))
    return {**_questions(), **_answers(house), **_texts(), **_endpoints(house)}


def _questions() -> dict[str, Target]:
    from qa_compare.data.readers import check
    from qa_compare.errors import UserError

    def read(name: str, data: bytes) -> None:
        try:
            found = check(data, name, most=1_000)
        except UserError as error:
            sentence(str(error))
            return
        for example in found.examples:
            golds = [(one.text, span) for one in example.answers for span in one.spans]
            assert all(example.passage[start:end] == text for text, (start, end) in golds)
            example.passage.encode()
        for problem in found.problems:
            sentence(problem.message)

    def squad(source: Source) -> None:
        if source.number(2):
            read("f.json", source.rest())
            return
        rows = [source.question() for _ in range(source.number(3))]
        paragraph = {"context": source.value(2), "qas": [*rows, source.value(2)]}
        read("f.json", dumped({"data": [{"title": source.value(1), "paragraphs": [paragraph]}, source.value(2)]}))

    def jsonl(source: Source) -> None:
        whole = source.number(2)
        read("f.jsonl", source.rest() if whole else b"\n".join(dumped(source.question()) for _ in range(3)))

    def csv(source: Source) -> None:
        head = b"passage,question,answers,id,title\n" if source.number(4) else b""
        read("f.csv", head + source.rest())

    return {"SQuAD JSON": squad, "JSONL": jsonl, "CSV": csv}


def _answers(house: Path) -> dict[str, Target]:
    from qa_compare.errors import UserError
    from qa_compare.workbench import table
    from tests import tiny

    def predictions(source: Source) -> None:
        path = house / "answers.json"
        path.write_bytes(source.rest() if source.number(2) else dumped({"q0": source.text(), **source.question()}))
        try:
            column = table.from_file(path, tiny.examples(2))
        except UserError as error:
            sentence(str(error))
            return
        "".join(column.answers).encode()
        assert np.isfinite(column.f1).all()

    return {"predictions": predictions}


def _texts() -> dict[str, Target]:
    from qa_compare.data.examples import Example
    from qa_compare.inference.decoding import decode
    from qa_compare.models import backbones
    from qa_compare.models.features import encode

    tokenizer = backbones.load_tokenizer(backbones.locate(backbones.get("minilm-l6"), offline=True))

    def tokens(source: Source) -> None:
        passage = source.text() * (1 + 20 * source.number(3)) + source.text()
        [encoded] = encode([Example("", "", passage, source.text())], tokenizer, max_length=96, stride=32)
        random = np.random.default_rng(source.number(256))
        starts, ends = (
            [random.normal(0, 5, len(window.input_ids)).astype(np.float32) for window in encoded.windows]
            for _ in range(2)
        )
        found = decode(encoded, starts, ends, temperature=1.5)
        assert all(one.text == passage[one.start : one.end] != "" for one in found.candidates)
        assert sum(one.confidence for one in found.candidates) <= 1 + 1e-6

    return {"tokenising and decoding": tokens}


_FILTERS = ("outcome", "kind", "variant", "sure", "question_word", "article", "text", "order", "offset", "limit")


def _service(house: Path) -> Any:
    """A small random backbone with two variants."""
    from qa_compare.inference.engine import Engine
    from qa_compare.workbench.service import Service
    from tests import measured

    measured.backbone(house)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(house / "adapters", name, seed=seed)
    engine = Engine(str(house / "river-bert"), adapters=house / "adapters", precision="fp32")
    _ = engine.located
    return Service({engine.backbone: engine}, engine.backbone)


def _endpoints(house: Path) -> dict[str, Target]:
    import gradio as gr

    from qa_compare.page import endpoints, results_tab
    from qa_compare.page.compare import opening
    from qa_compare.workbench.answers import Inspector

    service = _service(house)
    with gr.Blocks() as blocks:
        batch = endpoints.batch_endpoint(blocks, service)
    errors = endpoints.errors_endpoint(Inspector(service))

    def asked(endpoint: Callable[..., Any], **given: Any) -> None:
        try:
            json.dumps(endpoint(**given), allow_nan=False)
        except gr.Error as refused:
            sentence(None if refused.print_exception else refused.message)

    def compare(source: Source) -> None:
        asked(
            endpoints.compare_endpoint(service),
            passage=source.value(),
            question=source.value(),
            variants=source.value(2),
        )

    def predict_batch(source: Source) -> None:
        some = [source.question() if source.number(4) else source.value() for _ in range(source.number(4))]
        given = {"questions": source.pick((some, some, None)), "file": source.pick((None, None, source.value()))}
        more = {"backbone": source.pick(("", "", source.value())), "variants": source.pick((None, source.value(2)))}
        asked(batch, request=gr.Request(session_hash="one"), **given, **more)

    def all_errors(source: Source) -> None:
        asked(errors, source=source.pick(("sample", "sample", source.value())), **{
            source.pick(_FILTERS): source.value() for _ in range(source.number(4))
        })  # fmt: skip

    def links(source: Source) -> None:
        found = {source.pick(PARAMETERS): source.text() for _ in range(source.number(6))}
        with suppress(ValueError):  # what no server makes of an address
            found |= dict(parse_qsl(source.rest().decode("utf-8", "replace"), keep_blank_values=True))
        updates = opening.open_address(service, opening.Opened(service.backbone), found)
        assert len(updates) == opening.CONTROLS

    return {
        "links": links,
        "/compare": compare,
        "/predict_batch": predict_batch,
        "/errors": all_errors,
        "/metrics": lambda source: asked(results_tab.endpoint(service), backbone=source.value()),
    }


def dumped(value: Any) -> bytes:
    """JSON as a program could send it: with NaN, and with halves of characters escaped."""
    return json.dumps(value).encode()


def sentence(said: Any) -> None:
    """Hold an error to be one that can be shown."""
    assert isinstance(said, str)
    assert said
    said.encode()
    assert len(said) < 5_000
