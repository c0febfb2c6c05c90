"""IA³ and prefix tuning end to end, the temperature that a run fits, and training in several processes."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from qa_compare.data.examples import to_squad
from qa_compare.errors import UserError
from qa_compare.files import read_json, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones, variants
from qa_compare.models.features import encode
from qa_compare.models.loading import apply, apply_adapter, load_base
from qa_compare.models.modeling import QAPeftModel, own_head
from qa_compare.runs.model_card import write_card
from qa_compare.runs.store import read_log, write_metrics
from tests import measured, tiny, training_fixture
from tests.near import expect_near
from tests.places import ROOT
from tests.training_fixture import arguments, read, refused
from train import base, calibrate, full, held_out, ia3, lora, prefix_tuning, prompt_tuning
from train.data import split_by_passage

pytestmark = pytest.mark.slow

files, train = training_fixture.files, training_fixture.train


def starts(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(0))
    segments = (torch.arange(9) > 3).long().expand(2, 9)
    with torch.no_grad():
        return model.eval()(input_ids=ids, token_type_ids=segments).start_logits


def test_ia3_scales_keys_values_and_the_feed_forward_layers_inside_and_nothing_else():
    model = QAPeftModel(own_head(tiny.model()), ia3.METHOD.configure({}))
    scaled = {
        name.partition("layer.0.")[2].rpartition(".ia3_l")[0]: (tuple(parameter.shape), parameter.requires_grad)
        for name, parameter in model.named_parameters()
        if "layer.0." in name and "ia3_l" in name
    }
    # the activations between the two feed-forward matrices are 32 wide
    assert scaled == {
        "attention.self.key": ((16, 1), True),
        "attention.self.value": ((16, 1), True),
        "output.dense": ((1, 32), True),
    }


@pytest.mark.parametrize("method", [ia3.METHOD, prefix_tuning.METHOD], ids=lambda method: method.name)
def test_what_was_trained_is_what_the_app_loads(train, tmp_path, method):
    folder = train(method, "--learning-rate", "0.1", "--epochs", "4")
    backbone = backbones.get(str(tmp_path / "checkpoint"))
    base = load_base(backbone, backbones.locate(backbone), tmp_path / "adapters")
    variant = variants.read(folder, backbone)
    before = starts(base)
    loaded = starts(apply(variant, base))
    assert not torch.allclose(loaded, before)
    expect_near(loaded, starts(apply_adapter(variant, base, trainable=True)))
    assert torch.equal(starts(base), before)


def test_a_prefix_has_no_positions_and_an_unknown_word_for_them_is_refused(train, tmp_path):
    folder = train(prefix_tuning.METHOD, "--virtual-tokens", "3")
    described = read(folder / "variant.json")
    assert described["virtual_positions"] == "none"
    assert described["merged_at_load"] is False
    backbone = backbones.get(str(tmp_path / "checkpoint"))
    base = load_base(backbone, backbones.locate(backbone), tmp_path / "adapters")
    model = apply(variants.read(folder, backbone), base)
    assert model.repairs.positions
    assert model.virtual_tokens == 3
    write_json(folder / "variant.json", {**described, "virtual_positions": "somewhere"})
    assert "unknown \"virtual_positions\" 'somewhere'" in variants.read(folder, backbone).problem


class Sure(torch.nn.Module):
    """Answers every question with its passage's token 7 to 9, and is very sure of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask, token_type_ids):
        at = token_type_ids.argmax(dim=1)
        starts, ends = torch.zeros(input_ids.shape), torch.zeros(input_ids.shape)
        rows = torch.arange(len(input_ids))
        starts[rows, at + 7], ends[rows, at + 9] = 8, 8
        return SimpleNamespace(start_logits=starts, end_logits=ends)


def test_a_model_that_is_too_sure_gets_a_temperature_above_1_and_few_questions_none(monkeypatch):
    encoded = encode(tiny.examples(80), tiny.tokenizer())
    right = itertools.cycle([1.0, 1.0, 0.0])
    monkeypatch.setattr(held_out, "exact_match", lambda answer, golds: next(right))
    fit = held_out.calibration(Sure(), encoded, 0)
    assert fit is not None
    assert fit["questions"] == 80
    assert fit["temperature"] > 1.2
    assert fit["loss"] < fit["loss_before"]
    assert held_out.calibration(Sure(), encoded[:20], 0) is None
    monkeypatch.setattr(held_out, "exact_match", lambda answer, golds: 1.0)
    assert held_out.calibration(Sure(), encoded, 0) is None


def test_a_runs_own_validation_questions_give_the_variant_its_temperature(train, tmp_path, monkeypatch):
    found = {"questions": 4, "temperature": 2.5, "loss_before": 1.0, "loss": 0.5}
    seen = []
    monkeypatch.setattr(held_out, "calibration", lambda model, encoded, pad: seen.extend(encoded) or found)
    folder = train(lora.METHOD)
    assert sorted(one.example.id for one in seen) == ["q12", "q13", "q14", "q15"]
    assert read(folder / "variant.json")["temperature"] == 2.5
    assert read(folder / "run.json")["calibration"] == found
    engine = Engine(str(tmp_path / "checkpoint"), adapters=tmp_path / "adapters")
    assert engine.variant("lora").temperature == 2.5


def test_a_folder_is_calibrated_on_the_passages_that_its_training_files_hold_out(
    train, tmp_path, files, monkeypatch, capsys
):
    folder = train(lora.METHOD, "--train-file", str(files[0]), "--validation-fraction", "0.3")
    described = read(folder / "variant.json")
    assert described["temperature"] == 1.0
    held = split_by_passage(tiny.examples(12), 0.3)[1]
    options = [str(folder), "--backbone", str(tmp_path / "checkpoint"), "--validation-fraction", "0.3"]
    line = refused(capsys, calibrate.main, [*options, "--train-file", str(files[0])])
    assert f"{len(held)} questions are too few to calibrate on" in line

    right = itertools.cycle([1.0, 0.0])
    monkeypatch.setattr(held_out, "exact_match", lambda answer, golds: next(right))
    monkeypatch.setattr(held_out, "_FEWEST", 2)
    calibration = replace(measured.metrics().calibration, temperature=1.0)
    write_metrics(folder / "metrics.json", measured.metrics(calibration=calibration))
    write_card(folder, backbones.get(str(tmp_path / "checkpoint")))
    assert "changed since" not in (folder / "README.md").read_text()
    scores = (folder / "metrics.json").read_bytes()
    calibrate.main([*options, "--train-file", str(files[0])])
    after = read(folder / "variant.json")
    said = capsys.readouterr().out
    assert f"fitted on {len(held)} held-out questions" in said
    assert "lora's confidence was measured at a temperature of 1, and " in said
    assert (folder / "metrics.json").read_bytes() == scores
    assert f"changed since, to {after['temperature']:.2f}" in (folder / "README.md").read_text()
    assert after["temperature"] != 1.0
    assert {**after, "temperature": 1.0} == described


def test_calibrating_a_broken_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="variant\\.json"):
        calibrate.calibrate(tmp_path, tiny.examples(2))


def test_two_processes_train_as_one_does_on_the_same_batches_and_write_once(train, tmp_path):
    write_json(tmp_path / "more.json", to_squad(tiny.examples(40)[16:]))
    options = ["--train-file", str(tmp_path / "more.json"), "--validation-file", str(tmp_path / "validation.json"),
               "--evaluations-per-epoch", "1", "--seed", "3"]  # fmt: skip
    train(lora.METHOD, *options, "--batch-size", "4", "--output", str(tmp_path / "one"))
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        "-m", "train.lora",
        *arguments(tmp_path, *options, "--batch-size", "2", "--output", str(tmp_path / "two")),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert ran.returncode == 0, ran.stderr
    one, two = read_log(tmp_path / "one"), read_log(tmp_path / "two")
    assert [(event.step, event.loss is None) for event in two] == [(event.step, event.loss is None) for event in one]
    # padding differs a little between the processes' halves of a batch; gradients that are not averaged, a lot
    for event, expected in zip(two, one, strict=True):
        for key in ("loss", "eval_loss", "grad_norm"):
            if (value := getattr(expected, key)) is not None:  # an event has some of them
                assert getattr(event, key) == pytest.approx(value, rel=0.1)
    first, second = (next(event.eval_f1 for event in events if event.eval_f1 is not None) for events in (one, two))
    assert first == second
    assert read(tmp_path / "two" / "run.json")["processes"] == 2
    assert read(tmp_path / "two" / "run.json")["steps"] == read(tmp_path / "one" / "run.json")["steps"]


@pytest.mark.parametrize(
    "method", [lora.METHOD, prompt_tuning.METHOD, prefix_tuning.METHOD, ia3.METHOD], ids=lambda method: method.name
)
def test_no_adapter_is_trained_on_an_encoder_whose_head_is_not(train, tmp_path, capsys, method):
    tiny.checkpoint(tmp_path / "checkpoint", head=False)
    line = refused(capsys, train, method)
    assert "this encoder comes without a question-answering head; train one: " in line
    assert f"python -m train.base --head-only --backbone {tmp_path / 'checkpoint'} --train-file" in line
    assert not (tmp_path / "adapters").exists()


def test_the_command_that_is_named_trains_the_head_and_then_adapters_go_onto_it(train, tmp_path, capsys):
    folder = tiny.checkpoint(tmp_path / "checkpoint", head=False)
    adapters = tmp_path / "adapters" / "checkpoint"
    command = refused(capsys, train, lora.METHOD).partition("python -m train.base ")[2]
    given = command.replace("FILE", str(tmp_path / "train.json")).split()
    base.command([*given, *arguments(tmp_path, "--train-file", str(tmp_path / "train.json"), "--epochs", "1")])
    assert read(adapters / "base" / "run.json")["trainable_parameters"] == 34
    train(lora.METHOD, "--epochs", "1")
    engine = Engine(str(folder), adapters=tmp_path / "adapters")
    assert [one.problem for one in engine.compare("the river rises", "where", ["base", "lora"]).answers] == [None, None]
    # the base is there already: another head is refused as any finished run is
    again = arguments(tmp_path, "--head-only")
    assert "checkpoint/base already holds a finished run" in refused(capsys, base.command, again)


def test_a_head_beside_a_base_that_is_an_adapter_or_has_its_own_is_the_control(train, tmp_path):
    options = ["--head-only", *arguments(tmp_path, "--epochs", "1")]
    base.command(options)
    assert (tmp_path / "adapters" / "checkpoint" / "head" / "run.json").is_file()
    tiny.checkpoint(tmp_path / "checkpoint", head=False)
    train(base.LORA, "--epochs", "1")
    base.command([*options, "--overwrite"])
    assert read(tmp_path / "adapters" / "checkpoint" / "head" / "run.json")["method"] == "head"
    assert read(tmp_path / "adapters" / "checkpoint" / "base" / "variant.json")["merged_at_load"]


@pytest.mark.parametrize("method", [full.METHOD, base.LORA], ids=lambda method: method.name)
def test_what_trains_a_head_itself_starts_from_an_encoder_without_one(train, tmp_path, method):
    folder = tiny.checkpoint(tmp_path / "checkpoint", head=False)
    elsewhere = tmp_path / "adapters" / "checkpoint" / f"my-{method.name}"
    train(method, "--epochs", "1", "--output", str(elsewhere))
    assert (elsewhere / "run.json").is_file()
    if not method.ship:
        kept = tmp_path / "runs" / "checkpoint" / elsewhere.name / "model"
        assert not backbones.without_head(backbones.locate(backbones.get(str(kept))))
    assert "train.base" in Engine(str(folder), adapters=tmp_path / "adapters").variant("base").problem


def test_adapters_of_a_base_that_is_an_adapter_do_not_go_onto_the_bare_encoder_where_that_is_damaged(train, tmp_path):
    folder = tiny.checkpoint(tmp_path / "checkpoint", head=False)
    made = train(base.LORA, "--epochs", "1")
    train(lora.METHOD, "--epochs", "1")
    (made / variants.ADAPTER_FILE).write_bytes(b"damaged")
    found = Engine(str(folder), adapters=tmp_path / "adapters").compare("the river", "where", ["base", "lora"])
    assert ["is damaged" in (one.problem or "") for one in found.answers] == [True, True]


def test_a_small_table_of_positions_leaves_a_quarter_for_virtual_tokens(train, tmp_path, capsys):
    folder = tiny.checkpoint(tmp_path / "checkpoint", max_position_embeddings=64)
    assert "--virtual-tokens 17: the encoder has room for 16" in refused(
        capsys, train, prompt_tuning.METHOD, "--virtual-tokens", "17"
    )
    made = train(prompt_tuning.METHOD, "--virtual-tokens", "16", "--epochs", "1")
    engine = Engine(str(folder), adapters=tmp_path / "adapters")
    asked = ("the river flows to the sea and " * 90, "where " * 64, ["base", "prompt-tuning"])
    columns = engine.compare(*asked).answers
    assert columns[0].prediction.windows == columns[1].prediction.windows
    tiny.checkpoint(folder, max_position_embeddings=32)
    described = read_json(made / "variant.json")
    write_json(made / "variant.json", {key: value for key, value in described.items() if key != "base_fingerprint"})
    problem = Engine(str(folder), adapters=made.parents[1]).compare(*asked).answers[1].problem
    assert "has 16 virtual tokens: too many for 32 positions, of which the windows of text leave 8" in problem
