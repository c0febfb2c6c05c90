"""Folders that come, go or are trained anew while the page is served; and what goes on meanwhile."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare.data.examples import to_squad
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.page.shell import listed, listed_anew
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.batch import Answers, Batches
from qa_compare.workbench.service import UPLOAD, Service
from tests import measured, tiny
from tests.conftest import HOST, free_port
from tests.measured import never
from tests.visiting import Visitor

pytestmark = pytest.mark.slow

PASSAGE, QUESTION = "The river rises in the north and flows to the sea.", "Where flows the river to?"
NAMES = ("base", "lora")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    measured.backbone(tmp_path)
    for seed, name in enumerate(NAMES):
        measured.variant(tmp_path / "adapters", name, seed=seed)
    made = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters", precision="fp32")
    assert made.located
    return made


def retrain(engine: Engine, name: str, seed: int = 7) -> None:
    """The folder as another training run leaves it."""
    shutil.rmtree(engine.adapters / "river-bert" / name, ignore_errors=True)
    measured.variant(engine.adapters, name, seed=seed)


def scores(engine: Engine, name: str) -> list[float]:
    """What tells one model's answer from another's."""
    [answer] = engine.compare(PASSAGE, QUESTION, [name]).answers
    assert answer.prediction, answer.problem
    return [one.score for one in answer.prediction.candidates]


def fresh(engine: Engine) -> Engine:
    """As after a restart."""
    return Engine(str(engine.located.folder), adapters=engine.adapters, precision="fp32")


def test_a_folder_that_was_dropped_in_is_a_variant_after_another_look(engine: Engine) -> None:
    assert [one.name for one in engine.variants] == ["base", "lora"]
    measured.variant(engine.adapters, "ia3", seed=3)
    assert [one.name for one in engine.variants] == ["base", "lora"]
    assert engine.look_again()
    assert [one.name for one in engine.variants] == ["base", "lora", "ia3"]
    assert scores(engine, "ia3") == scores(fresh(engine), "ia3")


def test_a_look_at_folders_that_are_as_they_were_reads_none_of_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine.variants
    monkeypatch.setattr("qa_compare.models.variants.read_json", lambda path: pytest.fail(f"read {path}"))
    assert not engine.look_again()
    assert engine.variants is before


def test_a_variant_that_was_trained_anew_answers_with_its_new_weights_and_not_from_memory(engine: Engine) -> None:
    old = scores(engine, "lora")
    retrain(engine, "lora")
    assert engine.look_again()
    new = scores(engine, "lora")
    assert new != old
    assert new == scores(fresh(engine), "lora")


def test_a_base_that_was_trained_anew_changes_all_that_stands_on_it(engine: Engine) -> None:
    before = {one.name: engine.key(one) for one in engine.variants}
    old = scores(engine, "base")
    assert scores(engine, "lora")
    retrain(engine, "base")
    assert engine.look_again()
    assert all(engine.key(one) != before[one.name] for one in engine.variants)
    assert engine._loaded == {}
    assert scores(engine, "base") == scores(fresh(engine), "base") != old


def test_a_model_of_a_folder_that_is_no_longer_so_is_let_go(engine: Engine) -> None:
    gone = weakref.ref(engine.model("lora"))
    retrain(engine, "lora")
    engine.look_again()
    gc.collect()
    assert gone() is None


def test_weights_that_are_exchanged_before_they_were_loaded_are_not_called_damaged(engine: Engine) -> None:
    assert engine.variant("lora").sha256
    retrain(engine, "lora")
    assert scores(engine, "lora") == scores(fresh(engine), "lora")


def test_a_variant_whose_folder_is_gone_is_unknown_and_the_others_answer(engine: Engine) -> None:
    assert scores(engine, "lora")
    shutil.rmtree(engine.adapters / "river-bert" / "lora")
    engine.look_again()
    with pytest.raises(UserError, match="unknown variant"):
        engine.compare(PASSAGE, QUESTION, ["lora"])
    assert scores(engine, "base")


@pytest.mark.parametrize("how", ["retrained", "removed"])
def test_work_that_goes_on_keeps_the_weights_with_which_it_began(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("qa_compare.workbench.answers.LEAST_STEP", 4)
    monkeypatch.setattr("qa_compare.workbench.answers.MOST_STEP", 4)
    examples = tiny.examples(12)
    expected = [one.candidates for one in fresh(engine).predict(examples, "lora", top=1)]
    answers = Answers(engine, examples)
    run = answers.find(["lora"], never)
    next(run)
    next(run)
    if how == "retrained":
        retrain(engine, "lora")
    else:
        shutil.rmtree(engine.adapters / "river-bert" / "lora")
    engine.look_again()
    assert list(run)[-1].done == 12
    found = answers.result(["lora"])
    assert found
    [column] = found.table.columns
    assert list(column.answers) == [candidates[0].text if candidates else "" for candidates in expected]
    assert found.done == 12


def test_a_run_of_a_file_after_the_training_begins_with_the_new_weights(engine: Engine) -> None:
    examples = tiny.examples(5)
    answers = Answers(engine, examples)
    assert list(answers.find(["lora"], never))
    retrain(engine, "lora")
    engine.look_again()
    first, *_ = answers.find(["lora"], never)
    assert first.done == 0
    found = answers.result(["lora"])
    assert found
    expected = fresh(engine).predict(examples, "lora", top=1)
    confidence = found.table.columns[0].confidence
    assert list(confidence) == pytest.approx([one.confidence for one in expected], abs=1e-6)


def test_the_error_inspection_asks_the_new_weights_and_shows_no_answers_of_the_old_ones(
    engine: Engine, tmp_path: Path
) -> None:
    write_json(tmp_path / "rivers.json", to_squad(tiny.examples(5)))
    inspector = Inspector(Service({engine.backbone: engine}, engine.backbone))
    wanted = Wanted(engine.backbone, UPLOAD, str(tmp_path / "rivers.json"))
    assert list(inspector.compute(wanted, never))
    assert inspector.view(wanted).missing == ()
    retrain(engine, "lora")
    engine.look_again()
    assert [one.name for one in inspector.view(wanted).missing] == ["lora"]
    assert list(inspector.compute(wanted, never))
    view = inspector.view(wanted)
    assert view.table
    expected = fresh(engine).predict(view.questions.examples, "lora", top=1)
    confidence = next(one.confidence for one in view.table.columns if one.name == "lora")
    assert list(confidence) == pytest.approx([one.confidence for one in expected], abs=1e-6)


def test_what_the_page_lists_follows_the_folders(engine: Engine) -> None:
    batches = Batches(Service({engine.backbone: engine}, engine.backbone))
    built = listed(batches)
    assert listed_anew(batches, built) == [gr.skip()] * 3
    measured.variant(engine.adapters, "prompt-tuning", seed=4)
    *same, variants = listed_anew(batches, built)
    assert same == [gr.skip()] * 2
    assert [name for _, name in variants["choices"]] == ["base", "lora", "prompt-tuning"]


@pytest.fixture
def page(engine: Engine, tmp_path: Path) -> Iterator[gr.Blocks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
        service = Service({engine.backbone: engine}, engine.backbone)
        made = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield made
        made.close(verbose=False)


def test_the_next_load_of_a_served_page_offers_the_new_variant_and_it_answers(page: gr.Blocks, engine: Engine) -> None:
    opening = "open the address"
    with closing(Visitor(page)) as before:
        assert "ia3" not in json.dumps(before.begin(opening, None))
    measured.variant(engine.adapters, "ia3", seed=5)
    with closing(Visitor(page)) as visitor:
        visitor.stay()
        variants: Any = visitor.begin(opening, None)[1]
        assert ["IA³", "ia3"] in [list(one) for one in variants["choices"]]
        asked = ("river-bert", ["lora", "ia3"], "sample", None, None, PASSAGE, QUESTION, None, "answer")
        shown = json.dumps(visitor.run("ask", *asked))
    assert 'data-variant=\\"ia3\\"' in shown
    assert "unknown variant" not in shown
