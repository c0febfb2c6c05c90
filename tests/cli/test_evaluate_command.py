"""`python -m qa_compare evaluate`: what it prints and writes, killed and begun again, and in two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from pyarrow import parquet
from transformers import BertModel

from qa_compare.__main__ import main
from qa_compare.data.examples import fingerprint, to_squad
from qa_compare.data.readers import read_examples
from qa_compare.files import sha256, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models.variants import HEAD_FILE, VARIANT_FILE
from qa_compare.runs.evaluate import key
from qa_compare.runs.store import read_metrics, read_predictions
from tests import measured, tiny
from tests.measured import long_examples
from tests.patience import until
from tests.places import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the backbone `river-bert` and the variant `warm` at a temperature of 2."""
    folder = tmp_path_factory.mktemp("command")
    measured.backbone(folder)
    measured.variant(folder / "adapters", "warm", seed=3, temperature=2.0)
    return folder


@pytest.fixture
def engine(place: Path) -> Engine:
    return Engine(str(place / "river-bert"), adapters=place / "adapters", precision="fp32", batch_size=8)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(to_squad(long_examples(12))), encoding="utf-8")
    return path


def options(place: Path, folder: Path, variant: str = "warm") -> list[str]:
    found = ["--variant", variant, "--backbone", str(place / "river-bert"), "--adapters", str(place / "adapters")]
    return [*found, "--precision", "fp32", "--runs", str(folder / "runs")]


def test_the_command_prints_and_writes_what_the_pass_scores(
    place: Path, engine: Engine, tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rows = tmp_path / "metrics.json", tmp_path / "predictions.parquet"
    assert (
        main(["evaluate", str(questions), *options(place, tmp_path), "--output", str(out), "--predictions", str(rows)])
        == 0
    )
    printed = capsys.readouterr()
    metrics, table = read_metrics(tmp_path), read_predictions(tmp_path)
    assert metrics
    assert table
    assert metrics.bertscore
    for name, found in (("exact match", metrics.exact_match), ("F1", metrics.f1), ("BERTScore", metrics.bertscore)):
        assert f"{name:<19}{found.value:>6.2f}  [{found.low:.2f}, {found.high:.2f}]" in printed.out
    after, before = metrics.calibration.after.overall, metrics.calibration.before.overall
    assert f"calibration error  {after:>6.2f}  at temperature 2.00 ({before:.2f} at 1)" in printed.out
    assert "all-MiniLM-L6-v2, last layer, no rescaling" in printed.out
    assert metrics.bertscore.hash.startswith("sha256:53aa51172d14_L6")
    assert metrics.calibration.after.many_windows is not None
    assert "12/12" in printed.err
    assert "BERTScore: 100%" in printed.err
    examples = read_examples(questions)
    predictions = engine.predict(examples, "warm", top=1)
    assert [(one.candidates[0].start, one.candidates[0].end) for one in predictions] == list(
        zip(table.start.tolist(), table.end.tolist(), strict=True)
    )
    assert table.confidence.tolist() == pytest.approx([one.confidence for one in predictions], abs=1e-4)
    assert metrics.dataset.fingerprint == table.fingerprint == fingerprint(examples)
    assert list((tmp_path / "runs" / "evaluate").iterdir()) == []


def test_no_text_of_the_data_set_is_in_the_predictions(place: Path, tmp_path: Path, questions: Path) -> None:
    rows = tmp_path / "rows.parquet"
    main(["evaluate", str(questions), *options(place, tmp_path), "--no-bertscore", "--predictions", str(rows)])
    table = parquet.read_table(rows)
    texts = [name for name, kind in zip(table.schema.names, table.schema.types, strict=True) if str(kind) == "string"]
    assert texts == ["id"]
    assert table["bertscore"].null_count == 12
    assert b"rises" not in json.dumps({str(k): str(v) for k, v in table.schema.metadata.items()}).encode()


def test_save_fills_the_variants_folder_and_its_card(place: Path, tmp_path: Path, questions: Path) -> None:
    folder = measured.variant(tmp_path / "adapters", "warm", seed=3)
    arguments = [*options(place, tmp_path), "--adapters", str(tmp_path / "adapters"), "--no-bertscore", "--save"]
    assert main(["evaluate", str(questions), *arguments]) == 0
    metrics = read_metrics(folder)
    assert metrics
    assert metrics.bertscore is None
    assert "bertscore" not in json.loads((folder / "metrics.json").read_text())
    assert metrics.weights == {"warm/head.safetensors": sha256(folder / "head.safetensors")}
    assert read_predictions(folder)
    card = (folder / "README.md").read_text()
    assert f"| F1 | {metrics.f1.value:.1f} | {metrics.f1.low:.1f} to {metrics.f1.high:.1f} |" in card


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """The folder of a variant whose weights are not shipped, at a temperature of 2, among tmp_path's adapters."""
    folder = measured.variant(tmp_path / "adapters", "full", temperature=2.0)
    (folder / HEAD_FILE).unlink()
    described = json.loads((folder / VARIANT_FILE).read_text())
    write_json(folder / VARIANT_FILE, {**described, "weights": "not shipped", "sha256": {}})
    return folder


def test_a_variant_whose_weights_are_not_shipped_is_measured_on_the_model_that_is_named(
    place: Path, tmp_path: Path, questions: Path, record: Path
) -> None:
    model = tiny.checkpoint(tmp_path / "whole", seed=5)
    common = [*options(place, tmp_path, "full"), "--adapters", str(record.parents[1]), "--no-bertscore"]
    assert main(["evaluate", str(questions), *common, "--model", str(model), "--save"]) == 0
    alone = ["--backbone", str(model), "--variant", "base", "--precision", "fp32", "--no-bertscore"]
    out = ["--output", str(tmp_path / "metrics.json"), "--predictions", str(tmp_path / "predictions.parquet")]
    assert main(["evaluate", str(questions), *alone, *out, "--runs", str(tmp_path / "runs")]) == 0
    saved, expected = read_metrics(record), read_metrics(tmp_path)
    assert saved
    assert expected
    assert (saved.exact_match, saved.f1) == (expected.exact_match, expected.f1)
    assert saved.weights == {"full/model.safetensors": sha256(model / "model.safetensors")}
    assert saved.calibration.temperature == 2
    assert saved.calibration.before == expected.calibration.before
    ours, theirs = read_predictions(record), read_predictions(tmp_path)
    assert ours
    assert theirs
    assert ours.start.tolist() == theirs.start.tolist()


def test_what_one_model_answered_is_not_taken_for_another_models(place: Path, tmp_path: Path, record: Path) -> None:
    def name(seed: int) -> str:
        engine = Engine(str(place / "river-bert"), adapters=record.parents[1], precision="fp32")
        engine.bring("full", tiny.checkpoint(tmp_path / str(seed), seed=seed))
        return key(engine, "full", "f" * 64)

    assert name(1) == name(1)
    assert name(1) != name(2)


def test_a_model_is_refused_where_the_variant_has_weights_or_it_is_none_for_question_answering(
    place: Path, tmp_path: Path, questions: Path, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = tmp_path / "encoder"
    BertModel(tiny.config()).save_pretrained(encoder)
    measured.variant(tmp_path / "adapters", "warm")
    capsys.readouterr()  # saving a model shows a bar, unless an earlier test has hidden them all
    common = [*options(place, tmp_path), "--adapters", str(record.parents[1]), "--no-bertscore", "--model"]
    for variant, model, says in (
        ("warm", place / "river-bert", "warm has weights of its own"),
        ("full", encoder, "encoder holds an encoder without a question-answering head"),
        ("full", tmp_path, "holds no model.safetensors"),
    ):
        assert main(["evaluate", str(questions), *common, str(model), "--variant", variant]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--variant", "base", "--save"), "base of river-bert has no folder"),
        (("--output", "a.json", "--predictions", "a.json"), "the same file"),
        (("--predictions", "questions.json"), "--predictions questions.json would overwrite the questions"),
        (("--predictions", "no/a.parquet"), "--predictions no/a.parquet: there is no folder"),
        (("--bertscore-model", "roberta-huge"), "roberta-huge is not in the hub's cache"),
        (("--bertscore-model", "nowhere/at/all"), "neither a folder nor a hub id"),
        (("--bertscore-model", "x", "--no-bertscore"), "not allowed with"),
        (("--runs", "questions.json"), "cannot keep the partial results"),
    ],
)
def test_what_cannot_be_measured_or_written_is_said_before_the_work(
    arguments: tuple[str, ...],
    says: str,
    place: Path,
    tmp_path: Path,
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = questions.read_bytes()
    assert main(["evaluate", "questions.json", *options(place, tmp_path), *arguments]) == 2
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert says in line
    assert captured.out == ""
    assert questions.read_bytes() == before
    assert list(tmp_path.iterdir()) == [questions]


def test_saved_answers_are_scored_anew_into_the_folder_and_its_card_without_the_weights(
    place: Path, tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured.variant(tmp_path / "adapters", "warm", seed=3)
    arguments = [*options(place, tmp_path), "--adapters", str(tmp_path / "adapters")]
    assert main(["evaluate", str(questions), *arguments, "--from-predictions", "--save"]) == 2
    assert "warm of river-bert has no saved answers: evaluate it with --save first" in capsys.readouterr().err
    assert main(["evaluate", str(questions), *arguments, "--no-bertscore", "--save"]) == 0
    written = (folder / "metrics.json").read_text()
    old = json.loads(written)
    for name in ("exact_match", "f1"):  # as an earlier version left it
        old[name] = {**{key: old[name][key] for key in ("value", "low")}, "high": 100.0}
    write_json(folder / "metrics.json", old)
    (folder / HEAD_FILE).unlink()
    described = json.loads((folder / VARIANT_FILE).read_text())
    write_json(folder / VARIANT_FILE, {**described, "weights": "not shipped", "sha256": {}})
    (folder / "README.md").unlink()
    assert main(["evaluate", str(questions), *arguments, "--from-predictions", "--save"]) == 0
    assert (folder / "metrics.json").read_text() == written
    assert "95 % intervals over 12 articles." in (folder / "README.md").read_text()
    capsys.readouterr()
    for more, says in (
        (["--model", "x"], "--model is not allowed with --from-predictions"),
        (["--bertscore-model", "x"], "--bertscore-model is not allowed with --from-predictions"),
        (["--variant", "odd"], "unknown variant 'odd': there are"),
    ):
        assert main(["evaluate", str(questions), *arguments, "--from-predictions", *more]) == 2
        assert says in capsys.readouterr().err


def test_a_damaged_run_from_which_no_card_can_be_made_is_told_before_the_work(
    place: Path, tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured.variant(tmp_path / "adapters", "warm", seed=3)
    (folder / "run.json").write_text('{"method": "warm"}')
    arguments = [*options(place, tmp_path), "--adapters", str(tmp_path / "adapters"), "--no-bertscore", "--save"]
    assert main(["evaluate", str(questions), *arguments]) == 2
    assert 'warm/run.json has no "hyperparameters"' in capsys.readouterr().err
    assert not (folder / "metrics.json").exists()


def test_what_was_answered_is_kept_when_bertscore_fails(
    place: Path, tmp_path: Path, questions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tiny.checkpoint(tmp_path / "encoder")
    (broken / "model.safetensors").write_bytes(b"not weights")
    out = tmp_path / "metrics.json"
    arguments = ["evaluate", str(questions), *options(place, tmp_path), "--output", str(out)]
    assert main([*arguments, "--bertscore-model", str(broken)]) == 2
    assert "cannot be loaded" in capsys.readouterr().err
    assert not out.exists()

    def never(*_: Any) -> NoReturn:
        raise AssertionError("the model was run again")

    monkeypatch.setattr(Engine, "logits", never)
    assert main([*arguments, "--no-bertscore"]) == 0
    assert read_metrics(tmp_path)


def command(questions: Path, place: Path, folder: Path) -> list[str]:
    """The arguments of an evaluation that writes into `folder`."""
    folder.mkdir(exist_ok=True)
    outputs = ["--output", str(folder / "metrics.json"), "--predictions", str(folder / "predictions.parquet")]
    return ["qa_compare", "evaluate", str(questions), *options(place, folder), "--no-bertscore", *outputs]


def results(folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """Everything that an evaluation wrote, but its speed."""
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics.pop("questions_per_second") > 0
    return metrics, parquet.read_table(folder / "predictions.parquet").to_pylist()


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """In this process too: sums of more threads are others in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_evaluation_goes_on_and_gives_the_same_result(place: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps(to_squad(tiny.examples(2_560))), encoding="utf-8")
    arguments = [sys.executable, "-m", *command(questions, place, tmp_path / "cut")]
    partial = tmp_path / "cut" / "runs" / "evaluate"
    with subprocess.Popen(arguments, cwd=ROOT, env=ONE_THREAD, stderr=subprocess.DEVNULL) as process:
        until(lambda: process.poll() or any(path.stat().st_size > 20_000 for path in partial.glob("*/*")), every=0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["runs"]
    done = subprocess.run(arguments, cwd=ROOT, env=ONE_THREAD, capture_output=True, text=True, check=True)
    assert " 0/2560" not in done.stderr  # the bar begins where the killed one ended
    assert "2560/2560" in done.stderr
    assert list(partial.iterdir()) == []
    assert main(command(questions, place, tmp_path / "whole")[1:]) == 0
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.usefixtures("one_thread")
def test_two_processes_give_what_one_gives(place: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps(to_squad(long_examples(600))), encoding="utf-8")
    assert main(command(questions, place, tmp_path / "alone")[1:]) == 0
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", "2"]
    launch += ["--multi_gpu", "--main_process_port", "0", "-m", *command(questions, place, tmp_path / "both")]
    done = subprocess.run(launch, cwd=ROOT, env=ONE_THREAD, capture_output=True, text=True, check=True, timeout=240)
    assert results(tmp_path / "both") == results(tmp_path / "alone")
    assert done.stdout.count("exact match") == 1
    # three chunks of 256: the first process answers two of them, and shows its own bar alone
    assert "344/344" in done.stderr
    assert "256/256" not in done.stderr
    assert list((tmp_path / "both" / "runs" / "evaluate").iterdir()) == []
