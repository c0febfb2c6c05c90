"""Answers that several ask for at once: found once, and never in the way of those who compare."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare import answer_columns, answering
from qa_compare.engine import Engine
from qa_compare.examples import Example, to_squad
from qa_compare.files import write_json
from qa_compare.inspection import Inspector, Wanted
from qa_compare.models import Loaded
from qa_compare.predictions import Prediction
from qa_compare.service import SAMPLE, UPLOAD, Questions, Service
from qa_compare.ui import errors_api
from tests import measured, tiny

NAMES = ("base", "lora", "prompt-tuning")


def never() -> bool:
    return False


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    measured.backbone(tmp_path)
    for seed, name in enumerate(NAMES):
        measured.variant(tmp_path / "adapters", name, seed=seed)
    engine = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters", precision="fp32")
    assert engine.located
    return Inspector(Service({engine.backbone: engine}, engine.backbone))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each (variant, question) was answered; a step of four takes a while."""
    found: Counter[tuple[str, str]] = Counter()
    works = Engine.predict

    def predict(self: Engine, examples: Sequence[Example], variant: str | Loaded, **options: Any) -> list[Prediction]:
        time.sleep(0.01)
        found.update((str(variant), one.id) for one in examples)
        return works(self, examples, variant, **options)

    monkeypatch.setattr(answering, "LEAST_STEP", 4)
    monkeypatch.setattr(answering, "MOST_STEP", 4)
    monkeypatch.setattr(Engine, "predict", predict)
    return found


def rivers(folder: Path, count: int) -> Wanted:
    path = folder / f"rivers{count}.json"
    write_json(path, to_squad(tiny.examples(count)))
    return Wanted("river-bert", UPLOAD, str(path))


def warm_up() -> threading.Thread:
    """What goes before the sample; it takes a moment."""
    thread = threading.Thread(target=time.sleep, args=(0.05,))
    thread.start()
    return thread


def fill(inspector: Inspector, wanted: Wanted) -> int:
    return [now.done for now in inspector.compute(wanted, never)][-1]


def test_whoever_asks_for_the_same_at_the_same_time_shares_the_work(
    inspector: Inspector, asked: Counter[tuple[str, str]], tmp_path: Path
) -> None:
    wanted = rivers(tmp_path, 40)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: fill(inspector, wanted), range(6)))
    assert set(asked.values()) == {1}
    assert len(asked) == 3 * 40
    view = inspector.view(wanted)
    assert view.missing == ()
    assert view.table
    predicted = inspector.service.engines["river-bert"].predict(view.questions.examples, "lora", top=1)
    assert list(view.table.columns[1].answers) == [one.answer for one in predicted]  # each its own


def test_one_who_leaves_does_not_take_the_work_of_another_along(
    inspector: Inspector, asked: Counter[tuple[str, str]], tmp_path: Path
) -> None:
    wanted = rivers(tmp_path, 40)
    leaving = inspector.compute(wanted, never)
    for _ in range(3):
        next(leaving)
    leaving.close()
    fill(inspector, wanted)
    assert set(asked.values()) == {1}


@pytest.fixture
def small(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> int:
    """A sample of fewer questions than the built-in one; how many."""
    few = Questions("Built-in sample", tuple(tiny.examples(60)))
    monkeypatch.setattr(inspector.service, "questions", lambda *_asked: few)
    return len(few.examples)


def test_the_sample_is_answered_before_anybody_asks(
    inspector: Inspector, asked: Counter[tuple[str, str]], small: int
) -> None:
    beside = inspector.answer_sample_beside(after=warm_up())
    with pytest.raises(gr.Error, match=r"Busy: the variants are still answering .* Try again in 10 s\."):
        errors_api.endpoint(inspector)(source=SAMPLE, limit=1)
    beside.join(60)
    before = asked.total()
    assert before == 3 * small
    found = errors_api.endpoint(inspector)(source=SAMPLE, limit=1)
    assert (found["questions"], found["missing"], asked.total()) == (small, [], before)


@pytest.mark.usefixtures("small")
def test_a_comparison_waits_for_a_batch_of_the_sample_and_not_for_all_of_it(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = inspector.service
    service.warm_up("river-bert", NAMES)
    passes: list[str] = []
    works = Engine._pass

    def slow(self: Engine, variant: str, windows: Any) -> Any:
        time.sleep(0.05)
        passes.append(variant)
        return works(self, variant, windows)

    monkeypatch.setattr(Engine, "_pass", slow)
    answering_all = inspector.answer_sample_beside(after=warm_up())
    until = time.monotonic() + 30
    while len(passes) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    before = len(passes)
    assert service.compare("The river rises in the north.", "Where rises it?").answers
    assert len(passes) - before <= 2 * len(NAMES) + 1  # its own, and one of the sample's before each
    assert answering_all.is_alive()
    answering_all.join(120)


def test_a_folder_without_answers_to_these_questions_is_read_once(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(answer_columns, "saved", lambda variant, *_: looked.append(variant.name))
    wanted = rivers(tmp_path, 3)
    for _ in range(3):
        inspector.view(wanted)
    assert looked == [*NAMES]


def test_the_same_questions_in_another_order_keep_their_own_answers(inspector: Inspector, tmp_path: Path) -> None:
    wanted = rivers(tmp_path, 6)
    write_json(tmp_path / "turned.json", to_squad(tiny.examples(6)[::-1]))
    turned = replace(wanted, upload=str(tmp_path / "turned.json"))
    for one in (wanted, turned):
        fill(inspector, one)
    view = inspector.view(turned)
    assert view.table
    assert view.table.examples == view.questions.examples
    assert [one.id for one in view.table.examples] == ["q5", "q4", "q3", "q2", "q1", "q0"]
    answers = inspector.service.engines["river-bert"].predict(view.questions.examples, "lora", top=1)
    assert list(view.table.columns[1].answers) == [one.answer for one in answers]
