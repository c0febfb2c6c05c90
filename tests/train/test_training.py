"""Training from the command line on a tiny model: what it writes, refuses, stops at and resumes from."""

from __future__ import annotations

import json
import math
import shutil

import pytest

from qa_compare.data.examples import Answer, Example, to_squad
from qa_compare.files import sha256, write_json
from qa_compare.inference.engine import Engine
from qa_compare.measure.scoring import score
from qa_compare.models import backbones
from qa_compare.models.variants import ADAPTER_FILE
from qa_compare.runs.store import read_log
from tests import tiny, training_fixture
from tests.training_fixture import read, refused
from train import base, full, held_out, ia3, loop, lora, options, prefix_tuning, prompt_tuning, record
from train.checkpoints import MANIFEST, Sealed, last_checkpoint, settings_of
from train.data import Data
from train.loop import Method
from train.trainer import ByLength

pytestmark = pytest.mark.slow

files, train = training_fixture.files, training_fixture.train
HEAD = base.head()


METHODS = [lora.METHOD, prompt_tuning.METHOD, HEAD, ia3.METHOD, prefix_tuning.METHOD]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_trained_folder_is_a_variant_that_answers(train, tmp_path, method):
    folder = train(method)
    engine = Engine(str(tmp_path / "checkpoint"), adapters=tmp_path / "adapters")
    assert engine.variant(method.name).problem is None
    [prediction] = engine.predict(tiny.examples(1), method.name)
    assert prediction.candidates
    run = read(folder / "run.json")
    assert run["method"] == method.name
    assert run["data"]["train_questions"] == 12
    assert run["data"]["train_files"][0]["name"] == "train.json"
    assert len(run["data"]["train_files"][0]["sha256"]) == 64
    assert 0 < run["trainable_parameters"] < run["total_parameters"]
    assert str(tmp_path) not in (folder / "run.json").read_text().replace(str(tmp_path / "checkpoint"), "")
    assert read(folder / "variant.json")["merged_at_load"] == (method.name in {"lora", "ia3"})
    assert "question-answering" in (folder / "README.md").read_text()


def test_the_log_holds_loss_and_validation_scores_by_step(train):
    folder = train(lora.METHOD)
    events = read_log(folder)
    assert [event.step for event in events] == sorted(event.step for event in events)
    assert any(event.loss is not None and event.learning_rate is not None for event in events)
    evaluations = [event for event in events if event.eval_loss is not None]
    assert evaluations[0].step == 0
    assert all(None not in (event.eval_exact_match, event.eval_f1) for event in evaluations)
    best = min(evaluations[1:], key=lambda event: event.eval_loss)
    assert read(folder / "run.json")["best_step"] == best.step


def test_training_lowers_the_loss_of_what_it_is_trained_on(train):
    folder = train(lora.METHOD, "--epochs", "20", "--learning-rate", "0.01", "--patience", "50")
    losses = [event.loss for event in read_log(folder) if event.loss is not None]
    assert losses[-1] < losses[0] / 2


def test_training_stops_when_the_loss_on_held_out_passages_no_longer_falls_and_keeps_the_best(train):
    folder = train(lora.METHOD, "--epochs", "60", "--learning-rate", "0.1", "--patience", "2")
    run = read(folder / "run.json")
    losses = [event.eval_loss for event in read_log(folder) if event.eval_loss is not None]
    assert run["stopped"] == "early: no lower evaluation loss"
    assert len(losses) < 60
    assert min(losses) == losses[-3] == pytest.approx(run["best_eval_loss"])
    assert run["best_step"] < run["steps"]


def test_full_fine_tuning_keeps_its_record_and_not_its_weights(train, tmp_path):
    folder = train(full.METHOD)
    assert read(folder / "variant.json")["weights"] == "not shipped"
    assert not list(folder.glob("*.safetensors"))
    kept = tmp_path / "runs" / "checkpoint" / "full" / "model"
    assert (kept / "model.safetensors").is_file()
    loaded = [backbones.load_tokenizer(backbones.Weights(place, "")) for place in (kept, tmp_path / "checkpoint")]
    assert loaded[0].get_vocab() == loaded[1].get_vocab()
    asked = tiny.examples(1)[0]
    own = Engine(str(kept), adapters=tmp_path / "nothing", precision="fp32").compare(asked.passage, asked.question)
    brought = Engine(str(tmp_path / "checkpoint"), adapters=tmp_path / "adapters", precision="fp32")
    brought.bring("full", kept)
    [prediction] = brought.predict([asked], "full")
    assert own.answers[0].answer == prediction.answer != ""
    run = read(folder / "run.json")
    assert run["trainable_parameters"] == run["total_parameters"]


def test_the_head_control_leaves_the_encoder_frozen(train):
    run = read(train(HEAD) / "run.json")
    assert run["trainable_parameters"] == 2 * 16 + 2


def test_a_finished_run_is_not_overwritten_unless_asked_and_then_put_aside(train, tmp_path, capsys):
    folder = train(lora.METHOD)
    kept = (folder / "adapter_model.safetensors").read_bytes()
    assert "already holds a finished run" in refused(capsys, train, lora.METHOD)
    assert (folder / "adapter_model.safetensors").read_bytes() == kept
    train(lora.METHOD, "--overwrite", "--seed", "1")
    assert (folder / "adapter_model.safetensors").read_bytes() != kept
    [aside] = (tmp_path / "runs" / "replaced").iterdir()
    assert (aside / "adapter_model.safetensors").read_bytes() == kept


def test_a_run_may_take_the_place_of_the_variant_that_it_continues(train, tmp_path):
    folder = train(lora.METHOD, "--epochs", "1")
    first = read(folder / "run.json")
    weights = (folder / "adapter_model.safetensors").read_bytes()
    for name in ("metrics.json", "predictions.parquet"):
        (folder / name).write_text("{}")
    train(lora.METHOD, "--epochs", "1", "--init-from", str(folder), "--overwrite")
    run = read(folder / "run.json")
    assert run["continued_from"] == first
    assert (folder / "adapter_model.safetensors").read_bytes() != weights
    assert sha256(folder / "adapter_model.safetensors") == read(folder / "variant.json")["sha256"][ADAPTER_FILE]
    assert sorted(path.name for path in folder.iterdir()) == WHOLE  # no scores of the old weights
    assert Engine(str(tmp_path / "checkpoint"), adapters=tmp_path / "adapters").predict(tiny.examples(1), "lora")
    [aside] = (tmp_path / "runs" / "replaced").iterdir()
    assert (aside / "adapter_model.safetensors").read_bytes() == weights
    assert {"metrics.json", "predictions.parquet", *WHOLE} == {path.name for path in aside.iterdir()}


def test_the_old_column_stays_until_the_new_run_is_finished_whatever_cuts_that(train, tmp_path, monkeypatch):
    folder = train(lora.METHOD, "--epochs", "1")
    (folder / "metrics.json").write_text("{}")
    old = contents(folder)
    cut(train, monkeypatch, 4, "--epochs", "4", "--overwrite", "--seed", "1")
    assert contents(folder) == old
    for name in ("calibration", "save", "put_in_place"):
        with monkeypatch.context() as patched:
            patched.setattr(held_out if name == "calibration" else record, name, interrupted)
            with pytest.raises(Interrupted):
                train(lora.METHOD, "--epochs", "4", "--seed", "1", "--resume")
        assert contents(folder) == old
    with monkeypatch.context() as patched:
        patched.setattr(record, "replace_folder", interrupted)
        with pytest.raises(Interrupted):
            train(lora.METHOD, "--epochs", "4", "--seed", "1", "--resume")
    assert contents(folder) == old
    train(lora.METHOD, "--epochs", "4", "--seed", "1", "--resume")
    assert sorted(path.name for path in folder.iterdir()) == WHOLE
    assert read(folder / "run.json")["hyperparameters"]["seed"] == 1
    steps = [event.step for event in read_log(folder) if event.eval_loss is None]
    assert steps == sorted(set(steps))
    assert read_log(folder)[-1].step == read(folder / "run.json")["steps"]
    assert not (tmp_path / "runs" / "checkpoint" / "lora" / "log.jsonl").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["lora"]
    with pytest.raises(SystemExit):  # finished: nothing is replaced by chance
        train(lora.METHOD, "--epochs", "4", "--seed", "1", "--resume")


WHOLE = ["README.md", "adapter_config.json", "adapter_model.safetensors", "log.jsonl", "run.json", "variant.json"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupted(*args, **kwargs):
    raise Interrupted


def test_the_model_of_a_full_fine_tuning_stays_until_there_is_another(train, tmp_path, monkeypatch):
    train(full.METHOD, "--epochs", "1")
    model = tmp_path / "runs" / "checkpoint" / "full" / "model" / "model.safetensors"
    old = model.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(record, "put_in_place", interrupted)
        with pytest.raises(Interrupted):
            train(full.METHOD, "--epochs", "1", "--seed", "1", "--overwrite")
    assert model.read_bytes() == old
    train(full.METHOD, "--epochs", "1", "--seed", "1", "--resume")
    assert model.read_bytes() != old
    [aside] = (tmp_path / "runs" / "replaced").iterdir()
    assert (aside / "model" / "model.safetensors").read_bytes() == old


@pytest.mark.parametrize("more", [(), ("--overwrite",)], ids=["", "overwriting"])
def test_a_folder_that_is_no_variant_is_never_replaced(train, tmp_path, capsys, more):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    line = refused(capsys, train, lora.METHOD, "--output", str(tmp_path / "mine"), *more)
    assert "holds something else than a variant: choose another --output" in line
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_a_variant_that_came_without_its_run_is_not_overwritten_unasked_and_can_be_continued(train, capsys):
    folder = train(lora.METHOD, "--epochs", "1")
    (folder / "run.json").unlink()
    assert "already holds a finished run" in refused(capsys, train, lora.METHOD)
    hashes = read(folder / "variant.json")["sha256"]
    train(lora.METHOD, "--epochs", "1", "--init-from", str(folder), "--overwrite")
    assert read(folder / "run.json")["continued_from"]["sha256"] == hashes


def test_an_overwriting_run_that_is_refused_leaves_the_finished_one(train, tmp_path, capsys):
    folder = train(lora.METHOD)
    (tmp_path / "broken.json").write_text('{"data": [{"title": 3}]}')
    line = refused(capsys, train, lora.METHOD, "--overwrite", "--train-file", str(tmp_path / "broken.json"))
    assert "broken.json" in line
    assert (folder / "run.json").is_file()


def test_a_run_goes_on_from_another_variant_and_counts_its_steps_on(train, tmp_path):
    first = train(lora.METHOD)
    second = tmp_path / "adapters" / "checkpoint" / "lora-2"
    train(lora.METHOD, "--init-from", str(first), "--output", str(second))
    run = read(second / "run.json")
    assert run["continued_from"]["steps"] == read(first / "run.json")["steps"]
    events = read_log(second)
    before = read_log(first)
    assert events[: len(before)] == before
    assert events[-1].step == before[-1].step + run["steps"]
    start = events[len(before)]
    best = min(event.eval_loss for event in before if event.eval_loss is not None)
    assert math.isclose(start.eval_loss, best, rel_tol=1e-3)


def test_the_adapter_that_a_base_is_merged_from_is_a_first_stage_of_the_bare_encoder_s(
    train, tmp_path, monkeypatch, capsys
):
    digest = sha256(tmp_path / "checkpoint" / "model.safetensors")
    for name, merges in (("bare", False), ("bare-qa", True)):
        made = backbones.Backbone(name, name, name, folder=tmp_path / "checkpoint", sha256=digest, merges=merges)
        monkeypatch.setitem(backbones.BACKBONES, name, made)
    adapters = tmp_path / "adapters"
    train(base.LORA, "--backbone", "bare-qa", "--epochs", "1")
    train(base.head("base"), "--backbone", "bare", "--epochs", "1")
    stage = ["--init-from", str(adapters / "bare-qa" / "base"), "--alpha", "64", "--epochs", "1"]
    train(lora.METHOD, "--backbone", "bare", *stage)
    events = read_log(adapters / "bare" / "lora")
    before = read_log(adapters / "bare-qa" / "base")
    best = min(event.eval_loss for event in before if event.eval_loss is not None)
    assert events[: len(before)] == before
    assert math.isclose(events[len(before)].eval_loss, best, rel_tol=1e-3)
    assert read(adapters / "bare" / "lora" / "run.json")["continued_from"]["backbone"] == "bare-qa"
    line = refused(capsys, train, lora.METHOD, "--backbone", "bare-qa", *stage)
    assert "was made by base: lora cannot continue it" in line


class Interrupted(Exception):
    pass


def cut(train, monkeypatch, step: int, *options: str) -> None:
    """Begin a LoRA with these options, and end it once the checkpoint of that step is written."""
    original = Sealed.on_save

    def interrupt(self, args, state, control, **kwargs):
        original(self, args, state, control, **kwargs)
        if state.global_step >= step:
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(Sealed, "on_save", interrupt)
        with pytest.raises(Interrupted):
            train(lora.METHOD, *options)


def test_an_interrupted_run_resumes_from_its_checkpoint_and_ends_as_an_uninterrupted_one(train, tmp_path, monkeypatch):
    whole = train(lora.METHOD, "--epochs", "4", "--patience", "99")
    expected = (whole / "adapter_model.safetensors").read_bytes()
    events = (whole / "log.jsonl").read_text().splitlines()
    shutil.rmtree(whole)

    cut(train, monkeypatch, 4, "--epochs", "4", "--patience", "99")
    resumed = train(lora.METHOD, "--epochs", "4", "--patience", "99", "--resume")
    assert (resumed / "adapter_model.safetensors").read_bytes() == expected
    steps = [json.loads(line)["step"] for line in (resumed / "log.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == sorted({json.loads(line)["step"] for line in events})


CHANGES = [
    (["--learning-rate", "0.002"], "--learning-rate (0.001, now 0.002)"),
    (["--seed", "1"], "--seed (0, now 1)"),
    (["--epochs", "5"], "--epochs (4.0, now 5.0)"),
    (["--batch-size", "2"], "--batch-size of all processes (4, now 2)"),
    (["--rank", "8"], "--rank (16, now 8)"),
    (["--alpha", "8"], "--alpha (32, now 8)"),
    (["--targets", "query"], "--targets (all-linear, now query)"),
    (["--precision", "bf16"], "--precision (fp32, now bf16)"),
    (["--max-examples", "6"], "--max-examples (none, now 6)"),
    (["--answers", "sampled"], "--answers (first, now sampled)"),
    (["--keep-out", "other.json"], "--keep-out (none, now other.json)"),
    (["--drop-overlap"], "--drop-overlap (False, now True)"),
    (["--max-overlap", "0.5"], "--max-overlap (0.1, now 0.5)"),
    (["--train-file", "other.json"], "--train-file (train.json, now train.json, other.json)"),
]


@pytest.fixture
def half(train, tmp_path, monkeypatch):
    """A LoRA that was cut after its fourth step; and `other.json`, questions that nobody has seen."""
    cut(train, monkeypatch, 4, *HALF)
    write_json(tmp_path / "other.json", to_squad(tiny.examples(20)[16:]))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "checkpoint" / "lora"


HALF = ("--epochs", "4", "--patience", "99")


def resumed(train, tmp_path, *more):
    """Go on with that LoRA; files are named once more, since they are lists."""
    files = ["--train-file", str(tmp_path / "train.json"), "--validation-file", str(tmp_path / "validation.json")]
    return train(lora.METHOD, *HALF, *files, *more, "--resume")


def test_a_run_is_not_gone_on_with_in_other_settings_and_each_that_differs_is_named(train, tmp_path, half, capsys):
    before = sorted(half.rglob("*"))
    for change, said in CHANGES:
        line = refused(capsys, resumed, train, tmp_path, *change)
        assert said in line, change
        assert "was made with other settings or data: " in line
        assert line.endswith("Give the same again, or leave --resume out to begin anew")
    everything = [option for change, _ in CHANGES[:5] for option in change]
    line = refused(capsys, resumed, train, tmp_path, *everything)
    assert all(said in line for _, said in CHANGES[:5])
    assert sorted(half.rglob("*")) == before
    assert read(resumed(train, tmp_path) / "run.json")["hyperparameters"]["learning_rate"] == 0.001


def test_a_run_is_not_gone_on_with_on_other_data_of_the_same_name(train, tmp_path, half, files, capsys):
    for path, option in ((files[0], "--train-file"), (files[1], "--validation-file")):
        kept = path.read_text()
        path.write_text(kept.replace("Where flows", "Whither flows"))
        line = refused(capsys, resumed, train, tmp_path)
        assert f"{option} ({path.name} of other content)" in line or f"{option} (of other content)" in line
        path.write_text(kept)
    resumed(train, tmp_path)


def test_a_run_is_not_gone_on_with_from_another_base_encoder_or_variant(train, tmp_path, half, capsys):
    checkpoint = tmp_path / "checkpoint"
    kept = (checkpoint / "model.safetensors").read_bytes()
    tiny.checkpoint(checkpoint, seed=1)
    assert "backbone (of other content)" in refused(capsys, resumed, train, tmp_path)
    (checkpoint / "model.safetensors").write_bytes(kept)
    train(HEAD, "--epochs", "1", "--output", str(tmp_path / "adapters" / "checkpoint" / "base"))
    assert "base (none, now head.safetensors)" in refused(capsys, resumed, train, tmp_path)
    shutil.rmtree(tmp_path / "adapters" / "checkpoint" / "base")
    other = train(lora.METHOD, "--epochs", "1", "--output", str(tmp_path / "other"))
    assert other
    line = refused(capsys, resumed, train, tmp_path, "--init-from", str(tmp_path / "other"))
    assert "--init-from (none, now adapter_model.safetensors" in line


def test_what_does_not_change_what_is_learned_may_change_at_a_resume(train, tmp_path, half, monkeypatch):
    renamed = tmp_path / "renamed.json"
    renamed.write_bytes((tmp_path / "train.json").read_bytes())
    monkeypatch.setenv("WORLD_SIZE", "2")  # two processes of two windows each take what one of four takes
    settings = settings_of(last_checkpoint(half))
    monkeypatch.delenv("WORLD_SIZE")
    assert settings["--batch-size of all processes"] == 4
    files = ["--train-file", str(renamed), "--validation-file", str(tmp_path / "validation.json")]
    folder = train(lora.METHOD, *HALF, *files, "--resume", "--device", "auto")
    assert read(folder / "run.json")["data"]["train_files"][0]["name"] == "renamed.json"


def test_half_the_windows_in_twice_the_processes_are_the_same_settings(monkeypatch, tmp_path):
    def batch(size: int, processes: int) -> int:
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        some = Data([], [], dict.fromkeys(("train_files", "validation_file", "kept_out", "validation_fraction")))
        made = record.settings("lora", options.Options(batch_size=size), {}, {}, some, None, "fp32")
        return made["--batch-size of all processes"]

    assert batch(16, 1) == batch(8, 2) != batch(16, 2)


def test_a_measured_precision_is_the_checkpoints_at_a_resume(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "fastest_precision", lambda device: "fp32")
    cut(train, monkeypatch, 4, *HALF, "--precision", "auto")
    monkeypatch.setattr(loop, "fastest_precision", lambda device: "bf16")
    run = read(resumed(train, tmp_path, "--precision", "auto") / "run.json")
    assert (run["precision"], run["hyperparameters"]["precision"]) == ("fp32", "auto")


def test_a_checkpoint_that_does_not_say_its_settings_is_not_gone_on_from(train, tmp_path, half, capsys):
    for folder in half.glob("checkpoint-*"):
        (folder / "settings.json").unlink()
        manifest = read(folder / MANIFEST)
        del manifest["settings.json"]
        write_json(folder / MANIFEST, manifest)
    assert "does not say with which settings it was made" in refused(capsys, resumed, train, tmp_path)


def test_a_resume_without_a_checkpoint_says_that_it_begins_anew(train, capsys):
    train(lora.METHOD, "--epochs", "1", "--resume")
    assert "train: there is no whole checkpoint to resume from: the run begins anew" in capsys.readouterr().err


def test_a_resumed_run_stops_as_early_as_an_uninterrupted_one(train, monkeypatch):
    options = ["--epochs", "60", "--learning-rate", "0.1", "--patience", "2", "--evaluations-per-epoch", "1"]
    whole = read(train(lora.METHOD, *options) / "run.json")
    every = whole["steps"] - whole["best_step"]  # the steps of two evaluations
    cut(train, monkeypatch, whole["best_step"] + every // 2, *options, "--overwrite")
    resumed = read(train(lora.METHOD, *options, "--resume") / "run.json")
    assert (resumed["steps"], resumed["best_step"]) == (whole["steps"], whole["best_step"])


def test_only_whole_checkpoints_of_ones_own_are_resumed_from(train, tmp_path):
    train(lora.METHOD)
    folder = tmp_path / "runs" / "checkpoint" / "lora"
    newest = last_checkpoint(folder)
    assert newest is not None
    (newest / "optimizer.pt").write_bytes(b"half")
    older = last_checkpoint(folder)
    assert older != newest
    for checkpoint in folder.glob("checkpoint-*"):
        (checkpoint / MANIFEST).unlink()
    assert last_checkpoint(folder) is None


def test_a_loss_that_is_not_a_number_stops_with_a_sentence(train, capsys, monkeypatch):
    monkeypatch.setattr("torch.nn.functional.cross_entropy", lambda *args, **kwargs: args[0].sum() * math.nan)
    assert "is not a number" in refused(capsys, train, lora.METHOD)


def test_a_broken_row_is_refused_before_training_with_file_row_and_reason(train, tmp_path, capsys):
    broken = to_squad(tiny.examples(2))
    broken["data"][0]["paragraphs"][0]["qas"][0]["question"] = ""
    write_json(tmp_path / "broken.json", broken)
    line = refused(capsys, train, lora.METHOD, "--train-file", str(tmp_path / "broken.json"))
    assert "broken.json" in line
    assert "data[0].paragraphs[0].qas[0]" in line
    assert not (tmp_path / "adapters" / "checkpoint" / "lora").exists()


def test_the_evaluation_scores_each_questions_own_windows(train, tmp_path):
    """Grouping by length shuffles; the scores in the log must be those that the finished variant has."""
    held = [further(one, number) for number, one in enumerate(tiny.examples(16)[12:])]
    write_json(tmp_path / "validation.json", to_squad(held))
    folder = train(lora.METHOD, "--epochs", "30", "--learning-rate", "0.01", "--patience", "99")
    engine = Engine(str(tmp_path / "checkpoint"), adapters=tmp_path / "adapters", precision="fp32")
    answers = {one.id: one.answer for one in engine.predict(held, "lora")}
    run = read(folder / "run.json")
    events = read_log(folder)
    logged = next(event.eval_f1 for event in events if event.step == run["best_step"] and event.eval_f1 is not None)
    assert logged == pytest.approx(100 * score(answers, held).f1.mean())
    assert logged > 0


def further(example: Example, number: int) -> Example:
    """The question with its answer at another place than the others have it."""
    before, after = "north and sea " * number, " north and sea" * (3 - number)  # as long as the others
    golds = tuple(Answer(one.text, len(before) + one.start) for one in example.answers)
    return Example(example.id, example.title, before + example.passage + after, example.question, golds)


def test_batches_are_of_like_length_whole_and_the_same_for_seed_and_epoch():
    lengths = [17 * number % 301 for number in range(1_003)]
    sampler = ByLength(lengths, batch_size=8, seed=3)
    rows = list(sampler)
    assert sorted(rows) == list(range(1_003))
    assert list(ByLength(lengths, batch_size=8, seed=3)) == rows
    spread = [
        max(part) - min(part) for part in ([lengths[row] for row in rows[at : at + 8]] for at in range(0, 1_000, 8))
    ]
    assert sum(spread) / len(spread) < 15
    sampler.set_epoch(1)
    assert list(sampler) != rows


def test_the_report_preset_gives_the_reports_values_and_given_options_win():
    import argparse

    def parse(method: Method, *given: str) -> dict:
        parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
        method.add_options(parser)
        shared, own = options.parse(parser, method.defaults, [*given, "--preset", "report"])
        return {name: getattr(shared, name) for name in shared.__slots__} | own

    found = parse(lora.METHOD)
    expected = {
        "epochs": 10, "patience": 2, "learning_rate": 3e-3, "batch_size": 2, "accumulate": 4, "precision": "fp32",
        "max_examples": 1000, "max_validation": 200, "rank": 8, "alpha": 32, "dropout": 0.1, "targets": "query,value",
    }  # fmt: skip
    assert expected.items() <= found.items()
    prompt = parse(prompt_tuning.METHOD, "--epochs", "3")
    assert prompt["virtual_tokens"] == 20
    assert prompt["initial_text"] == "Answer the question based on the context:"
    assert (prompt["epochs"], prompt["head_learning_rate"]) == (3.0, None)


def test_gradients_do_not_grow_with_accumulation(train):
    train(lora.METHOD, "--batch-size", "8", "--epochs", "1", "--dropout", "0")
    parts = train(
        lora.METHOD, "--batch-size", "4", "--accumulate", "2", "--epochs", "1", "--dropout", "0", "--overwrite"
    )
    aside = next((parts.parent.parent.parent / "runs" / "replaced").iterdir())
    norms = [
        [event.grad_norm for event in read_log(folder) if event.grad_norm is not None] for folder in (aside, parts)
    ]
    assert norms[1][0] == pytest.approx(norms[0][0], rel=0.5)
