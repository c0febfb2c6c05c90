"""An adapter says which base it was trained on: another is refused, here by its fingerprint, elsewhere by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForQuestionAnswering, PeftModel
from torch import Tensor, nn
from transformers import AutoModelForQuestionAnswering, BertForQuestionAnswering

from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones, loading, variants
from qa_compare.models.backbones import ADAPTERS
from qa_compare.models.loading import export_base, fingerprint, load_base
from qa_compare.models.variants import CONFIG_FILE, VARIANT_FILE, discover
from qa_compare.runs.store import weights, write_metrics
from tests import measured, tiny, training_fixture
from tests.training_fixture import Train, read
from train import base as base_methods
from train import lora, prompt_tuning
from train.record import record_base

pytestmark = pytest.mark.slow

files, train = training_fixture.files, training_fixture.train
PASSAGE, QUESTION = "The river rises in the north and flows to sea 7.", "Where flows the river to?"
SHIPPED = sorted(path.parent for path in ADAPTERS.glob(f"*/*/{VARIANT_FILE}"))
SHORT = ("--epochs", "1")


def logits(model: nn.Module) -> Tensor:
    ids = torch.randint(1000, 2000, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model.eval()(
            input_ids=ids % model.config.vocab_size,
            attention_mask=torch.ones_like(ids),
            token_type_ids=(torch.arange(24) > 7).long().expand(2, 24),
        )
    return torch.stack([output.start_logits, output.end_logits])


def based(folder: Path) -> BertForQuestionAnswering:
    backbone = backbones.get(str(folder / "checkpoint"))
    return load_base(backbone, backbones.locate(backbone), folder / "adapters")


def answers(folder: Path) -> dict[str, str | None]:
    """Each column's problem."""
    engine = Engine(str(folder / "checkpoint"), adapters=folder / "adapters", precision="fp32")
    return {one.variant: one.problem for one in engine.compare(PASSAGE, QUESTION, ["base", "lora"]).answers}


def test_one_changed_value_of_the_encoder_makes_another_base_and_the_head_makes_none(tmp_path: Path) -> None:
    found = fingerprint(tiny.model())
    tiny.checkpoint(tmp_path / "checkpoint")
    assert fingerprint(based(tmp_path)) == found
    assert fingerprint(AutoModelForQuestionAnswering.from_pretrained(tmp_path / "checkpoint")) == found
    with torch.no_grad():
        head, encoder = tiny.model(), tiny.model()
        head.qa_outputs.weight.add_(1)
        place = encoder.bert.encoder.layer[1].output.LayerNorm.bias
        place[3] = torch.nextafter(place[3], torch.tensor(1.0))
    assert fingerprint(head) == found
    assert fingerprint(encoder) != found


def test_a_run_records_its_base_and_a_column_on_another_says_so_while_the_base_answers(
    tmp_path: Path, train: Train
) -> None:
    folder = train(lora.METHOD, *SHORT)
    found = fingerprint(based(tmp_path))
    assert read(folder / VARIANT_FILE)["base_fingerprint"] == found
    assert answers(tmp_path) == {"base": None, "lora": None}
    tiny.checkpoint(tmp_path / "checkpoint", seed=1)
    problems = answers(tmp_path)
    other = fingerprint(tiny.model(1))
    assert problems["base"] is None
    assert (
        f"lora was trained on other weights than checkpoint has here: its variant.json names the base {found[:12]}…"
        in (problems["lora"])
    )
    assert f"this one is {other[:12]}…" in problems["lora"]
    assert "--weights or --revision" in problems["lora"]


def test_an_adapter_on_a_merged_base_notices_another_adapter_in_it(tmp_path: Path, train: Train) -> None:
    folder = train(base_methods.LORA, *SHORT)
    assert read(folder / VARIANT_FILE)["base_fingerprint"] == fingerprint(tiny.model())
    train(lora.METHOD, *SHORT)
    assert answers(tmp_path) == {"base": None, "lora": None}
    train(base_methods.LORA, *SHORT, "--seed", "5", "--overwrite")
    problems = answers(tmp_path)
    assert problems["base"] is None
    assert "with its adapters/checkpoint/base" in problems["lora"]


def test_a_merged_base_is_the_same_base_where_a_processor_sums_in_another_order(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(base_methods.LORA, *SHORT)
    train(lora.METHOD, *SHORT)
    before = based(tmp_path)
    merge = loading.merge

    def elsewhere(model: Any) -> Any:
        merged = merge(model)
        with torch.no_grad():
            for parameter in merged.parameters():
                parameter.mul_(1 + 1e-7)
        return merged

    monkeypatch.setattr(loading, "merge", elsewhere)
    after = based(tmp_path)
    assert not torch.equal(
        before.bert.encoder.layer[0].output.dense.weight, after.bert.encoder.layer[0].output.dense.weight
    )
    assert fingerprint(before) == fingerprint(after)
    assert answers(tmp_path) == {"base": None, "lora": None}


def test_a_run_names_its_base_so_that_the_bare_encoder_cannot_be_taken_for_a_merged_one(
    tmp_path: Path, train: Train
) -> None:
    def name(folder: Path) -> str:
        return read(folder / CONFIG_FILE)["base_model_name_or_path"]

    assert name(train(lora.METHOD, *SHORT)) == "checkpoint"
    assert name(train(base_methods.LORA, *SHORT)) == "checkpoint"
    folder = train(prompt_tuning.METHOD, *SHORT, "--virtual-tokens", "5")
    assert name(folder) == "python -m qa_compare export-base checkpoint --output DIR"
    assert read(folder / CONFIG_FILE)["tokenizer_name_or_path"] == "checkpoint"


def test_the_base_of_an_older_folder_is_recorded_without_a_change_of_what_was_measured(
    tmp_path: Path, train: Train
) -> None:
    train(base_methods.LORA, *SHORT)
    folder = train(lora.METHOD, *SHORT)
    backbone = backbones.get(str(tmp_path / "checkpoint"))
    described, config = read(folder / VARIANT_FILE), read(folder / CONFIG_FILE)
    write_json(folder / CONFIG_FILE, {**config, "base_model_name_or_path": "somebody/encoder"})
    old = {
        **described,
        "backbone": "checkpoint",
        "sha256": {variants.ADAPTER_FILE: described["sha256"][variants.ADAPTER_FILE]},
    }
    del old["base_fingerprint"]
    write_json(folder / VARIANT_FILE, old)
    hashes = weights("lora", discover(backbone, tmp_path / "adapters"))
    write_metrics(folder / "metrics.json", measured.metrics(weights=hashes))
    record_base(folder, backbone=str(backbone.folder))
    assert read(folder / VARIANT_FILE) == described
    assert read(folder / CONFIG_FILE) == config
    assert read(folder / "metrics.json")["weights"] == weights("lora", discover(backbone, tmp_path / "adapters"))
    assert answers(tmp_path)["lora"] is None
    write_json(folder / VARIANT_FILE, {**described, "base_fingerprint": "0" * 64})
    with pytest.raises(UserError, match="names another base"):
        record_base(folder, backbone=str(backbone.folder))


@pytest.mark.parametrize("value", [1, ["x"], {}])
def test_a_fingerprint_that_is_no_text_is_refused(tmp_path: Path, train: Train, value: Any) -> None:
    folder = train(lora.METHOD, "--max-steps", "1")
    write_json(folder / VARIANT_FILE, {**read(folder / VARIANT_FILE), "base_fingerprint": value})
    assert '"base_fingerprint" is of the wrong type' in str(answers(tmp_path)["lora"])


@pytest.mark.skipif(not SHIPPED, reason="no adapters in this checkout")
@pytest.mark.parametrize("name", ["minilm-l6-qa", "minilm-l6"])
def test_every_shipped_folder_names_the_base_that_it_was_trained_on(name: str) -> None:
    backbone = backbones.get(name)
    located = backbones.locate(backbone)
    encoder, base = (
        fingerprint(backbones.load_model(backbone, located, needs_head=False)),
        fingerprint(load_base(backbone, located, ADAPTERS)),
    )
    assert (encoder == base) == (not backbone.merges)
    for variant in discover(backbone, ADAPTERS):
        assert variant.base_fingerprint == (encoder if variant.name == "base" else base), variant.name
        file = variant.folder / CONFIG_FILE
        if file.exists():
            bare = not backbone.merges or variant.name == "base"
            expected = backbone.hub_id if bare else f"python -m qa_compare export-base {name} --output DIR"
            assert json.loads(file.read_text())["base_model_name_or_path"] == expected, variant.name


@pytest.mark.parametrize("name", ["lora", "prompt-tuning"])
def test_plain_peft_that_goes_by_the_name_fails_at_once_and_shows_the_command(name: str) -> None:
    with pytest.raises(OSError, match="python -m qa_compare export-base minilm-l6-qa --output DIR"):
        AutoPeftModelForQuestionAnswering.from_pretrained(ADAPTERS / "minilm-l6-qa" / name)


def test_plain_peft_on_the_exported_base_gives_the_logits_of_the_shipped_adapters(tmp_path: Path) -> None:
    export_base("minilm-l6-qa", tmp_path / "exported")
    engine = Engine("minilm-l6-qa", precision="fp32")
    for name in ("lora", "ia3"):
        exported = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "exported")
        plain = logits(PeftModel.from_pretrained(exported, ADAPTERS / "minilm-l6-qa" / name).merge_and_unload())
        torch.testing.assert_close(logits(engine.model(name)), plain, atol=1e-4 * float(plain.abs().max()), rtol=0)


def test_a_base_is_hashed_once_for_all_of_its_variants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, train: Train
) -> None:
    first = train(lora.METHOD, "--max-steps", "1")
    shutil.copytree(first, first.with_name("second"))
    hashed = []
    one = loading.hashlib.sha256
    engine = Engine(str(tmp_path / "checkpoint"), adapters=tmp_path / "adapters", precision="fp32")
    assert engine.base
    monkeypatch.setattr(loading.hashlib, "sha256", lambda *args: hashed.append(1) or one(*args))
    engine.model("lora")
    engine.model("second")
    assert len(hashed) == 1
