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

from qa_compare.__main__ import main
from qa_compare.data.examples import Example, to_squad
from qa_compare.data.sources import sample
from qa_compare.files import write_json
from qa_compare.inference.decoding import Prediction
from qa_compare.inference.engine import Engine
from qa_compare.models.registry import Loaded
from qa_compare.page import endpoints
from qa_compare.workbench import answers as answering
from qa_compare.workbench import table
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.service import SAMPLE, UPLOAD, Questions, Service
from tests import measured, tiny
from tests.patience import LONG, until

pytestmark = pytest.mark.slow

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


def warm_up(ends: threading.Event) -> threading.Thread:
    """What goes before the sample; it takes until then."""
    thread = threading.Thread(target=ends.wait, args=(LONG,), daemon=True)
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
    warm = threading.Event()
    beside = inspector.answer_sample_beside(after=warm_up(warm))
    with pytest.raises(gr.Error, match=r"Busy: the variants are still answering .* Try again in 10 s\."):
        endpoints.errors_endpoint(inspector)(source=SAMPLE, limit=1)
    warm.set()
    beside.join(LONG)
    before = asked.total()
    assert before == 3 * small
    found = endpoints.errors_endpoint(inspector)(source=SAMPLE, limit=1)
    assert (found["questions"], found["missing"], asked.total()) == (small, [], before)


@pytest.mark.usefixtures("small")
def test_a_comparison_waits_for_a_batch_of_the_sample_and_not_for_all_of_it(
    inspector: Inspector, asked: Counter[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, engine = inspector.service, inspector.service.engines["river-bert"]
    service.warm_up("river-bert", NAMES)
    passage, question = "The river rises in the north.", "Where rises it?"
    mine = engine.encode([Example("", "", passage, question)])[0].windows[0].input_ids.tolist()
    of_the_sample: list[str] = []
    going, ended = threading.Event(), threading.Event()
    works = Engine._pass

    def in_step(self: Engine, variant: str, windows: Any) -> Any:
        """From its third pass on, each of the sample's lasts until the comparison is waiting for it, or has ended."""
        if mine not in [one.input_ids.tolist() for one in windows]:
            of_the_sample.append(variant)
            if len(of_the_sample) >= 3:
                going.set()
                until(lambda: self._turns._waiting or ended.is_set(), every=0.001)
        return works(self, variant, windows)

    monkeypatch.setattr(Engine, "_pass", in_step)
    warm = threading.Event()
    warm.set()
    answering_all = inspector.answer_sample_beside(after=warm_up(warm))
    assert going.wait(LONG)
    assert service.compare(passage, question).answers
    assert 3 <= len(of_the_sample) <= 3 + len(NAMES)  # that under way, one before each further variant, the next one
    assert answering_all.is_alive()
    ended.set()
    answering_all.join(LONG)
    assert len(asked) == len(NAMES) * 60


def test_a_folder_without_answers_to_these_questions_is_read_once(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(table, "saved", lambda variant, *_: looked.append(variant.name))
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


def assert_as_in_compare(inspector: Inspector, wanted: Wanted) -> None:
    """The confidences of a table are those that Compare gives, to the percent that is shown."""
    view = inspector.view(wanted)
    assert view.table
    assert not view.missing
    assert not view.warnings
    for row, example in enumerate(view.table.examples):
        compared = inspector.service.compare(example.passage, example.question, wanted.backbone)
        shown = {column.name: column for column in view.table.columns}
        assert [answer.variant for answer in compared.answers] == list(shown)
        for answer in compared.answers:
            column = shown[answer.variant]
            assert answer.answer == column.answers[row]
            assert answer.prediction.confidence == pytest.approx(column.confidence[row], abs=1e-3)


def test_the_confidence_of_a_sample_question_is_the_same_in_compare_and_in_error_inspection(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "some.json"
    write_json(path, to_squad(sample()[::20]))
    inspector, wanted = Inspector(service), Wanted(service.backbone, UPLOAD, str(path))
    fill(inspector, wanted)
    assert_as_in_compare(inspector, wanted)


def test_the_confidence_of_a_saved_answer_is_the_one_that_compare_gives(tmp_path: Path) -> None:
    measured.backbone(tmp_path)
    path = tmp_path / "some.json"
    write_json(path, to_squad(sample()[:8]))
    place = ["--backbone", str(tmp_path / "river-bert"), "--adapters", str(tmp_path / "adapters")]
    for seed, name in enumerate(NAMES):
        measured.variant(tmp_path / "adapters", name, seed=seed, temperature=1.5)
        command = ["evaluate", str(path), "--variant", name, *place, "--runs", str(tmp_path / "runs"), "--no-bertscore"]
        assert main([*command, "--save"]) == 0
    engine = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters")
    assert engine.located
    inspector = Inspector(Service({engine.backbone: engine}, engine.backbone))
    assert_as_in_compare(inspector, Wanted("river-bert", UPLOAD, str(path)))
