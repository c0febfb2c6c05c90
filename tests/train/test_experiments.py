"""Ablation and sample efficiency on the tiny model: which trainings are run, what is written, and going on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qa_compare.data.examples import to_squad
from qa_compare.files import write_json
from qa_compare.models.features import encode
from qa_compare.models.modeling import Repairs
from tests import tiny, training_fixture
from tests.training_fixture import read, refused
from train import ablation, experiment, loop, sample_efficiency

pytestmark = pytest.mark.slow

files = training_fixture.files


@pytest.fixture
def common(tmp_path: Path, files: tuple[Path, Path]) -> list[str]:
    """The options of an experiment; it scores on questions of rivers that no training file names."""
    tiny.checkpoint(tmp_path / "checkpoint")
    write_json(tmp_path / "test.json", to_squad(tiny.examples(30)[16:]))
    return [
        "--backbone", str(tmp_path / "checkpoint"), "--adapters", str(tmp_path / "adapters"),
        "--runs", str(tmp_path / "runs"), "--batch-size", "4", "--precision", "fp32", "--device", "cpu",
        "--train-file", str(files[0]), "--validation-fraction", "0.3", "--validation-file", str(tmp_path / "test.json"),
        "--questions", "10", "--max-steps", "4",
    ]  # fmt: skip


@pytest.fixture
def trainings(monkeypatch) -> list:
    """Grows by (method, options, repairs) with each training that is really run."""
    seen: list = []
    original = experiment.run

    def run(method, options, own, *, repairs=None):
        seen.append((method.name, options, repairs))
        return original(method, options, own, repairs=repairs)

    monkeypatch.setattr(experiment, "run", run)
    return seen


def test_each_step_adds_one_repair_and_prompt_tuning_has_all_of_them():
    steps = ablation.plan("prompt-tuning")
    assert [step.name for step in steps] == list(ablation.STEPS)
    switched = [(*map(bool, step.training.replace("none", "")), step.joint, step.all_windows) for step in steps]
    assert [sum(one) for one in switched] == [0, 1, 2, 3, 4, 5]
    assert steps[0].repairs == Repairs(segments=False, labels=False, positions=False)
    assert steps[3].repairs == Repairs()
    assert [step.name for step in ablation.plan("lora")] == ["as written", "segments", "joint spans", "all windows"]


def test_start_and_end_taken_apart_can_miss_each_other_and_stay_inside_the_first_window():
    [encoded] = encode(tiny.examples(1), tiny.tokenizer(), max_windows=1)
    window = encoded.windows[0]
    length = len(window.input_ids)

    def answer(start: int, end: int) -> str:
        starts, ends = np.zeros(length + 5, dtype=np.float32), np.zeros(length + 5, dtype=np.float32)
        starts[start], ends[end] = 1, 1
        return ablation.apart(encoded, [(starts, ends)])

    at = window.passage_start
    assert answer(at, at + 1) == "The river"
    assert answer(0, at + 1) == "The river"  # the question's part of the span is no passage text
    assert answer(at + 1, at) == ""
    assert answer(0, 1) == ""
    assert answer(at + 1, length + 3) == encoded.example.passage[4:]


def test_the_ablation_trains_what_differs_once_scores_every_step_and_goes_on(common, tmp_path, trainings):
    ablation.main(common)
    path = tmp_path / "adapters" / "checkpoint" / "ablation.json"
    found = read(path)
    steps = {method: [step.name for step in ablation.plan(method)] for method in ("base", "lora", "prompt-tuning")}
    assert [(row["method"], row["step"]) for row in found["results"]] == [
        (method, step) for method, names in steps.items() for step in names
    ]
    assert [(name, repairs.segments, repairs.labels, repairs.positions) for name, _, repairs in trainings] == [
        ("lora", False, False, False),
        ("lora", True, False, False),
        ("prompt-tuning", False, False, False),
        ("prompt-tuning", True, False, False),
        ("prompt-tuning", True, True, False),
        ("prompt-tuning", True, True, True),
    ]
    assert found["scored_on"]["questions"] == 10
    assert found["hyperparameters"]["lora"]["max_steps"] == 4
    assert all(0 <= row["f1"]["low"] <= row["f1"]["value"] <= 100 for row in found["results"])
    # a machine that went away before the last two results were written
    write_json(path, {**found, "results": found["results"][:-2]})
    trainings.clear()
    ablation.main(common)
    assert read(path)["results"][:-2] == found["results"][:-2]
    assert [row["f1"] for row in read(path)["results"]] == [row["f1"] for row in found["results"]]
    assert not trainings


def test_a_prompt_is_scored_with_the_repairs_it_was_trained_with(common, monkeypatch):
    scored = []
    original = experiment.Experiment.score

    def score(self, model, *args, **options):
        scored.append((getattr(model, "repairs", None), options["segments"], options["max_windows"]))
        return original(self, model, *args, **options)

    monkeypatch.setattr(experiment.Experiment, "score", score)
    ablation.main([*common, "--max-steps", "1"])
    prompts = [one for one in scored if one[0]]
    assert [repairs for repairs, _, _ in prompts] == [step.repairs for step in ablation.plan("prompt-tuning")]
    assert [segments for _, segments, _ in scored] == [False, True, True, True] * 2 + [
        False,
        True,
        True,
        True,
        True,
        True,
    ]
    assert [windows for _, _, windows in prompts] == [1, 1, 1, 1, 1, None]


def test_results_of_other_options_are_not_mixed(common, tmp_path, capsys):
    (tmp_path / "adapters" / "checkpoint").mkdir(parents=True)
    write_json(tmp_path / "adapters" / "checkpoint" / "ablation.json", {"backbone": "checkpoint", "results": []})
    line = refused(capsys, ablation.main, common)
    assert "was made with other data or options: train_files (none, now train.json); " in line
    assert "pass --overwrite" in line
    line = refused(capsys, ablation.main, [*common, "--output", "elsewhere"])
    assert "--output has no meaning here" in line


def test_partial_results_are_gone_on_with_only_in_their_own_settings(common, tmp_path, capsys, monkeypatch):
    path = tmp_path / "adapters" / "checkpoint" / "sample_efficiency.json"
    command = [*common, "--sizes", "2", "--max-steps", "1"]
    given = command.index("--precision")
    monkeypatch.setattr(loop, "fastest_precision", lambda device: "fp32")
    measured = [*command[:given], "--precision", "auto", *command[given + 2 :]]
    sample_efficiency.main(measured)
    whole = read(path)
    write_json(path, {**whole, "results": whole["results"][:2]})
    for change, said in (
        (["--learning-rate", "0.5"], "hyperparameters: lora: learning_rate (0.001, now 0.5)"),
        (["--validation-fraction", "0.4"], "split: validation_fraction (0.3, now 0.4)"),
        (["--drop-overlap"], "split: drop_overlap (False, now True)"),
        (["--questions", "9"], "scored_on: questions (10, now 9)"),
    ):
        line = refused(capsys, sample_efficiency.main, [*measured, *change])
        assert said in line
        assert "Give the same again, or pass --overwrite to begin anew" in line
    tiny.checkpoint(tmp_path / "checkpoint", seed=1)
    assert "start: backbone (of other content)" in refused(capsys, sample_efficiency.main, measured)
    tiny.checkpoint(tmp_path / "checkpoint")
    monkeypatch.setattr(loop, "fastest_precision", lambda device: "bf16")
    sample_efficiency.main(measured)  # another machine, or another minute, multiplies otherwise
    assert read(path)["precision"] == "fp32"
    assert [row["f1"] for row in read(path)["results"]] == [row["f1"] for row in whole["results"]]


def test_results_from_before_the_base_was_recorded_are_gone_on_with_and_that_is_said(common, tmp_path, capsys):
    path = tmp_path / "adapters" / "checkpoint" / "ablation.json"
    ablation.main([*common, "--max-steps", "1"])
    whole = read(path)
    write_json(path, {key: value for key, value in whole.items() if key not in ("start", "split", "precision")})
    capsys.readouterr()
    ablation.main([*common, "--max-steps", "1"])
    assert "does not say its precision, start, split: these are taken to be those of now" in capsys.readouterr().err
    assert read(path)["results"] == whole["results"]


def test_the_questions_scored_on_are_kept_out_of_training(common, tmp_path, files, capsys):
    write_json(tmp_path / "test.json", to_squad(tiny.examples(12)))
    assert "overlap held-out ones: 12 equal to one" in refused(capsys, sample_efficiency.main, common)


def test_more_questions_take_the_same_steps_and_the_most_of_them_four_times_as_many(common, tmp_path, trainings):
    sample_efficiency.main([*common, "--sizes", "2,4"])
    path = tmp_path / "adapters" / "checkpoint" / "sample_efficiency.json"
    rows = read(path)["results"]
    assert rows[0]["method"] == "base"
    per_method = [(2, 4), (4, 4), ("all", 4), (4, 16)]
    assert [(row["method"], row["questions_asked"], row["steps"]) for row in rows[1:]] == [
        (method, *point) for method in ("lora", "prompt-tuning") for point in per_method
    ]
    assert [row["train_questions"] for row in rows[1:4]] == [2, 4, max(row["train_questions"] for row in rows[1:])]
    assert [options.max_steps for _, options, _ in trainings] == [4, 4, 4, 16] * 2
    trainings.clear()
    sample_efficiency.main([*common, "--sizes", "2,4"])
    assert not trainings
    assert read(path)["results"] == rows
