"""One file, with questions of every kind, has the same scores and counts wherever this project scores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from transformers import EvalPrediction

from qa_compare.__main__ import main
from qa_compare.data.readers import read_examples
from qa_compare.files import read_json, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models.backbones import Backbone, load_tokenizer
from qa_compare.models.features import encode
from qa_compare.page import batch_view, endpoints, error_list, results_tab
from qa_compare.runs import overview
from qa_compare.runs.paired import pairs, saved
from qa_compare.runs.records import Metrics
from qa_compare.runs.store import read_metrics
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.batch import Answers
from qa_compare.workbench.service import SQUAD, UPLOAD, Service
from tests import measured, tiny
from train import data as training_data
from train.data import WindowDataset
from train.held_out import logits
from train.options import Options
from train.trainer import SpanMetrics

pytestmark = pytest.mark.slow

NAMES = ("base", "warm")
ASKED, GOLD, MARKED, WORDLESS = 26, 20, 4, 2
SENTENCES = (
    "2 of 26 questions have no gold answer and are left out of the scores.",
    "4 of 26 questions are marked as unanswerable: exact match and F1 leave them out; SQuAD 2's metric counts them.",
    (
        "2 of 26 questions have only gold answers of articles or punctuation, such as “the”: F1 is then 0 even for an "
        "exact match, as in SQuAD v1.1's official script."
    ),
)


class Doors:
    """The file, what `evaluate` saved of both variants, and the engine that the other doors ask."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.adapters = folder, folder / "adapters"
        measured.backbone(folder)
        for seed, name in enumerate(NAMES):
            measured.variant(self.adapters, name, seed=seed + 3)
        self.engine = Engine(str(folder / "river-bert"), adapters=self.adapters, precision="fp32")
        assert self.engine.located
        self.file = folder / "every-kind.json"
        write_json(self.file, every_kind(self.engine))
        self.examples = read_examples(self.file)
        self.service = Service({"river-bert": self.engine}, "river-bert", self.file)
        for name in NAMES:
            options = ["--variant", name, "--backbone", str(folder / "river-bert"), "--adapters", str(self.adapters)]
            options += ["--precision", "fp32", "--no-bertscore", "--save", "--runs", str(folder / "runs")]
            assert main(["evaluate", str(self.file), *options]) == 0

    def metrics(self, name: str) -> Metrics:
        """What `evaluate` saved."""
        found = read_metrics(self.adapters / "river-bert" / name)
        assert found
        return found

    def check(self, name: str, exact_match: float, f1: float) -> None:
        """The same scores in percent."""
        found = self.metrics(name)
        assert (exact_match, f1) == pytest.approx((found.exact_match.value, found.f1.value), abs=1e-9)


def every_kind(engine: Engine) -> dict[str, Any]:
    """SQuAD JSON: golds are some of what `warm` answers, and others."""
    examples = tiny.examples(ASKED)
    given = engine.predict(examples, "warm", top=1)
    articles = []
    for number, (example, prediction) in enumerate(zip(examples, given, strict=True)):
        best = prediction.candidates[0]
        right, other = {"text": best.text, "answer_start": best.start}, {"text": "river", "answer_start": 4}
        wordless = {"text": "The", "answer_start": 0}
        answers = [right] if number % 3 == 0 else [other, right] if number % 3 == 1 else [other]
        question = {"id": example.id, "question": example.question, "answers": answers}
        if number < MARKED:
            question |= {"answers": [], "is_impossible": True}
        elif number < ASKED - GOLD:
            question["answers"] = []
        elif number < ASKED - GOLD + WORDLESS:
            question["answers"] = [wordless]
        articles.append({"title": example.title, "paragraphs": [{"context": example.passage, "qas": [question]}]})
    return {"version": "v2.0", "data": articles}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Doors:
    return Doors(tmp_path_factory.mktemp("doors"))


def test_evaluate_scores_the_questions_with_gold_answers_and_says_so(
    doors: Doors, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        found = doors.metrics(name)
        assert (found.dataset.questions, found.dataset.scored, found.dataset.unanswerable) == (ASKED, GOLD, MARKED)
        assert found.dataset.sentences == SENTENCES
        assert (found.f1.resampled, found.f1.units) == ("articles", GOLD)
        assert found.squad2
        assert (found.squad2.total, found.squad2.no_ans_total) == (GOLD + MARKED, MARKED)
    warm = doors.metrics("warm")
    assert 0 < warm.exact_match.value < 100
    assert 0 < warm.f1.value < 100
    options = ["--backbone", str(doors.folder / "river-bert"), "--adapters", str(doors.adapters)]
    assert main(["evaluate", str(doors.file), "--variant", "warm", *options, "--from-predictions"]) == 0
    told = capsys.readouterr().out
    assert all(sentence in told.splitlines() for sentence in SENTENCES)
    assert f"95 % intervals over {GOLD} articles." in told.splitlines()
    assert f"exact match        {warm.exact_match.value:>6.2f}" in told
    assert warm.squad2
    assert f"unanswerable       {warm.squad2.no_ans_exact:>6.2f}" in told


def test_answers_that_were_saved_are_scored_anew_to_the_same(doors: Doors, tmp_path: Path) -> None:
    out = tmp_path / "again.json"
    options = ["--backbone", str(doors.folder / "river-bert"), "--adapters", str(doors.adapters), "--output", str(out)]
    assert main(["evaluate", str(doors.file), "--variant", "warm", *options, "--from-predictions"]) == 0
    assert read_json(out) == read_json(doors.adapters / "river-bert" / "warm" / "metrics.json")


def test_paired_differences_are_those_of_the_scores(doors: Doors) -> None:
    [pair] = pairs(saved(Backbone("river-bert", "", ""), doors.adapters))
    base, warm = (doors.metrics(name) for name in NAMES)
    assert (pair.questions, pair.left_out, pair.units) == (GOLD, ASKED - GOLD, GOLD)
    assert pair.f1.difference == pytest.approx(warm.f1.value - base.f1.value)
    assert pair.exact_match.difference == pytest.approx(warm.exact_match.value - base.exact_match.value)


def test_a_batch_has_them(doors: Doors) -> None:
    answers = Answers(doors.engine, doors.examples)
    list(answers.find(NAMES, measured.never))
    result = answers.result(NAMES)
    assert result
    assert (result.done, result.counts.scored, result.counts.sentences) == (ASKED, GOLD, SENTENCES)
    for one in result.scores:
        assert one.exact_match
        assert one.f1
        doors.check(one.variant, one.exact_match.value, one.f1.value)
        found = doors.metrics(one.variant)
        assert (one.f1.low, one.f1.high) == pytest.approx((found.f1.low, found.f1.high))
        assert one.squad2 == pytest.approx(found.squad2)
    shown = measured.visible(batch_view.scores(result))
    assert f"{GOLD} questions with gold answers, 95 % intervals over {GOLD} articles." in shown
    assert all(sentence in shown for sentence in (*SENTENCES, overview.SQUAD2_NOTE))


def test_predict_batch_has_them(doors: Doors) -> None:
    with gr.Blocks() as page:
        ask = endpoints.batch_endpoint(page, doors.service)
    rows = [
        {**question, "passage": paragraph["context"], "title": article["title"]}
        for article in read_json(doors.file)["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    found = ask(gr.Request(session_hash="one"), rows, variants=list(NAMES))
    assert (found["questions"], found["gold"], found["unanswerable"]) == (ASKED, GOLD, MARKED)
    assert found["notes"] == list(SENTENCES)
    for one in found["scores"]:
        doors.check(one["variant"], one["exact_match"]["value"], one["f1"]["value"])
        assert one["squad2"]["total"] == GOLD + MARKED
    marked = [row["variants"]["warm"]["f1"] for row in found["predictions"]]
    assert sum(value is not None for value in marked) == GOLD


def test_the_error_inspection_and_its_endpoint_have_them(doors: Doors) -> None:
    inspector = Inspector(doors.service)
    found = endpoints.errors_endpoint(inspector)(source=SQUAD)
    assert (found["questions"], found["gold"], found["notes"]) == (ASKED, GOLD, list(SENTENCES))
    assert sum(one["count"] for one in found["outcomes"]) == GOLD
    for name in found["columns"]:
        scores = [(row["variants"][name]["exact_match"], row["variants"][name]["f1"]) for row in found["rows"]]
        known = [both for both in scores if both[1] is not None]
        assert len(known) == GOLD
        exact, f1 = 100 * np.mean(known, axis=0)
        assert exact == pytest.approx(doors.metrics(name).exact_match.value)
        assert f1 == pytest.approx(doors.metrics(name).f1.value, abs=0.01)  # rows are rounded to four digits
    table = inspector.view(Wanted("river-bert", SQUAD)).table
    assert table
    shown = measured.visible(error_list.matching(len(found["rows"]), table.counts))
    assert shown == f"{ASKED} of {ASKED} questions {' '.join(SENTENCES)}"
    for column in table.columns:
        doors.check(column.name, 100 * np.nanmean(column.exact_match), 100 * np.nanmean(column.f1))


def test_another_systems_answers_are_scored_alike(doors: Doors, tmp_path: Path) -> None:
    given = doors.engine.predict(doors.examples, "warm", top=1)
    write_json(tmp_path / "other.json", {one.id: one.answer for one in given})
    asked = Wanted("river-bert", UPLOAD, str(doors.file), ("warm",), (str(tmp_path / "other.json"),))
    table = Inspector(doors.service).view(asked).table
    assert table
    other = table.columns[-1]
    doors.check("warm", 100 * np.nanmean(other.exact_match), 100 * np.nanmean(other.f1))


def test_the_metrics_tab_shows_them_and_says_it(doors: Doors) -> None:
    found = overview.read_overview(Backbone("river-bert", "", ""), doors.adapters)
    for row in overview.scores(found).rows[:2]:
        assert row.variant
        assert row.cells[2] == str(doors.metrics(row.variant).f1)
    head = measured.visible(results_tab.head(found))
    assert all(sentence in head for sentence in (*SENTENCES, f"95 % intervals over {GOLD} articles."))
    assert overview.SQUAD2_NOTE in head
    warm = results_tab.endpoint(doors.service)("river-bert")["variants"][1]["metrics"]
    assert (warm["dataset"]["scored"], warm["squad2"]["total"]) == (GOLD, GOLD + MARKED)


def test_a_trainings_own_evaluation_has_them_and_says_what_it_leaves_out(doors: Doors, tmp_path: Path) -> None:
    question = {"id": "h", "question": "What?", "answers": [{"text": "hill", "answer_start": 2}]}
    elsewhere = {"title": "Hill", "paragraphs": [{"context": "A hill.", "qas": [question]}]}
    write_json(tmp_path / "train.json", {"data": [elsewhere]})
    loaded = training_data.load(Options(train_file=(tmp_path / "train.json",), validation_file=doors.file))
    assert len(loaded.validation) == GOLD
    left_out = loaded.record["held_out_left_out"]
    assert (left_out["unanswerable"], left_out["without_gold"]) == (MARKED, ASKED - GOLD - MARKED)
    tokenizer = load_tokenizer(doors.engine.located)
    dataset = WindowDataset(encode(loaded.validation, tokenizer, max_length=384))
    for name in NAMES:
        found = logits(doors.engine.model(name), dataset.encoded, tokenizer.pad_token_id)
        starts, ends = (np.stack([windows[0][side] for windows in found]) for side in (0, 1))
        scores = SpanMetrics(dataset)(EvalPrediction((starts, ends), np.zeros(1)))
        doors.check(name, scores["exact_match"], scores["f1"])


def test_the_offline_metric_has_them(doors: Doors, tmp_path: Path) -> None:
    from qa_compare.measure.squad_metric import SquadMetric

    references = [
        {
            "id": one.id,
            "answers": {
                "text": [gold.text for gold in one.answers],
                "answer_start": [gold.start for gold in one.answers],
            },
        }
        for one in doors.examples
    ]
    given = doors.engine.predict(doors.examples, "warm", top=1)
    predictions = [{"id": one.id, "prediction_text": one.answer} for one in given]
    found = SquadMetric(cache_dir=str(tmp_path)).compute(predictions=predictions, references=references)
    assert found
    assert (found["scored"], found["left_out"]) == (GOLD, ASKED - GOLD)
    doors.check("warm", found["exact_match"], found["f1"])
