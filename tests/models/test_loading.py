"""A variant's folder becomes its model; a damaged one becomes a sentence, and the others work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig
from safetensors.torch import load_file, save_file

from qa_compare.errors import UserError
from qa_compare.files import sha256, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones, loading, variants
from qa_compare.models.backbones import Backbone
from qa_compare.models.loading import apply, export_base, load_base
from qa_compare.models.modeling import QAPeftModel, own_head
from qa_compare.models.variants import ADAPTER_FILE, HEAD_FILE, Variant, describe, discover
from tests import tiny
from tests.near import expect_near

pytestmark = pytest.mark.slow

CONFIGS = {
    "lora": lambda: LoraConfig(
        task_type="QUESTION_ANS", r=4, target_modules=["query", "value"], init_lora_weights=False
    ),
    "prompt-tuning": lambda: PromptTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=6),
}


def adapted(name: str) -> QAPeftModel:
    """A tiny model with an adapter and a head that are not what they start from."""
    base = own_head(tiny.model())
    torch.manual_seed(1)
    model = QAPeftModel(base, CONFIGS[name]())
    with torch.no_grad():
        next(p for key, p in model.named_parameters() if "modules_to_save" in key and "weight" in key).normal_()
    return model


def seal(folder: Path, name: str, file: str, positions: str | None = None) -> None:
    variant = Variant(name, variants.LABELS[name], name, "checkpoint", virtual_positions=positions,
                      sha256={file: sha256(folder / file)})  # fmt: skip
    write_json(folder / "variant.json", describe(variant, merged=name == "lora"))


@pytest.fixture
def house(tmp_path: Path) -> tuple[Backbone, Path]:
    """A tiny backbone with a LoRA, a prompt and a head under `adapters/`."""
    backbone = backbones.get(str(tiny.checkpoint(tmp_path / "checkpoint")))
    adapters = tmp_path / "adapters"
    for name in CONFIGS:
        folder = adapters / "checkpoint" / name
        adapted(name).save_pretrained(str(folder))
        seal(folder, name, ADAPTER_FILE, variants.END_OF_TABLE if name == "prompt-tuning" else None)
    folder = adapters / "checkpoint" / "head"
    folder.mkdir()
    save_file({"weight": torch.randn(2, 16), "bias": torch.randn(2)}, folder / HEAD_FILE)
    seal(folder, "head", HEAD_FILE)
    return backbone, adapters


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(0))
    segments = (torch.arange(9) > 3).long().expand(2, 9)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": segments}


def starts(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**batch).start_logits


def test_folders_become_columns_with_base_lora_and_prompt_first(house):
    assert [variant.name for variant in discover(*house)] == ["base", "lora", "prompt-tuning", "head"]
    assert all(variant.problem is None for variant in discover(*house))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_variant_gives_the_logits_it_had(house, batch, name):
    backbone, adapters = house
    base = load_base(backbone, backbones.locate(backbone), adapters)
    found = apply(next(one for one in discover(*house) if one.name == name), base)
    expect_near(starts(found, batch), starts(adapted(name), batch))
    assert isinstance(found, QAPeftModel) == (name == "prompt-tuning")  # LoRA is merged, and costs what the base does


def test_an_error_that_says_nothing_is_told_by_its_kind(house, monkeypatch):
    def load_file(_path):
        raise MemoryError

    backbone, adapters = house
    base = load_base(backbone, backbones.locate(backbone), adapters)
    monkeypatch.setattr(loading, "load_file", load_file)
    with pytest.raises(UserError, match=r"^lora cannot be loaded: MemoryError$"):
        apply(next(one for one in discover(*house) if one.name == "lora"), base)


def test_the_head_variant_changes_only_the_head(house, batch):
    backbone, adapters = house
    base = load_base(backbone, backbones.locate(backbone), adapters)
    before = starts(base, batch)
    model = apply(next(one for one in discover(*house) if one.name == "head"), base)
    assert model.bert.embeddings.word_embeddings.weight is base.bert.embeddings.word_embeddings.weight
    assert not torch.allclose(starts(model, batch), before)
    assert torch.equal(starts(base, batch), before)


def test_plain_peft_loads_the_lora_onto_the_exported_base_and_merged_gives_the_same_logits(house, batch, tmp_path):
    from transformers import AutoModelForQuestionAnswering

    backbone, adapters = house
    export_base(str(backbone.folder), tmp_path / "exported", adapters=adapters)
    exported = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "exported")
    plain = PeftModel.from_pretrained(exported, adapters / "checkpoint" / "lora").merge_and_unload()
    ours = Engine(str(backbone.folder), adapters=adapters).model("lora")
    expect_near(starts(plain, batch), starts(ours, batch))


def test_an_export_does_not_overwrite(house, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    with pytest.raises(UserError, match="not an empty folder"):
        export_base(str(house[0].folder), tmp_path / "full", adapters=house[1])
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["kept.txt"]


def test_an_encoder_without_a_trained_head_is_not_exported_as_a_base(tmp_path):
    bare = tiny.checkpoint(tmp_path / "bare", head=False)
    with pytest.raises(UserError, match="comes without a question-answering head"):
        export_base(str(bare), tmp_path / "exported", adapters=tmp_path)
    assert not (tmp_path / "exported").exists()


def test_an_adapter_that_brings_its_head_answers_on_an_encoder_that_has_none(house):
    backbone, adapters = house
    tiny.checkpoint(backbone.folder, head=False)
    engine = Engine(str(backbone.folder), adapters=adapters)
    base, lora, prompt, head = engine.compare("the river rises", "where", [one.name for one in engine.variants]).answers
    assert "comes without a question-answering head" in base.problem
    assert all(one.prediction.candidates for one in (lora, prompt, head))


def rewrite(folder: Path, change: Callable[[dict], dict]) -> None:
    tensors = change(load_file(folder / ADAPTER_FILE))
    save_file(tensors, folder / ADAPTER_FILE)
    seal(folder, folder.name, ADAPTER_FILE)


def edit(folder: Path, file: str, **changes: object) -> None:
    write_json(folder / file, {**json.loads((folder / file).read_text()), **changes})


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "variant.json").unlink(), "variant.json"),
        (lambda f: (f / "variant.json").write_text(""), "variant.json"),
        (lambda f: (f / "variant.json").write_text("[]"), "variant.json is not an object"),
        (lambda f: edit(f, "variant.json", temperature=0), '"temperature" must be a positive number'),
        (lambda f: edit(f, "variant.json", backbone="other"), "was made for the backbone other"),
        (lambda f: edit(f, "variant.json", label=None), '"label" is missing or of the wrong type'),
        (lambda f: (f / ADAPTER_FILE).unlink(), "adapter_model.safetensors is missing"),
        (lambda f: (f / ADAPTER_FILE).write_bytes(b""), "is damaged"),
        (lambda f: (f / ADAPTER_FILE).write_bytes((f / ADAPTER_FILE).read_bytes()[:100]), "is damaged"),
        (lambda f: flip(f / ADAPTER_FILE), "is damaged"),
        (lambda f: (f / "adapter_config.json").unlink(), "adapter_config.json is missing"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json"),
        (lambda f: edit(f, "adapter_config.json", peft_type="POLY"), "unknown peft_type 'POLY'"),
        (lambda f: edit(f, "adapter_config.json", r=2), "differs in name or shape"),
        (lambda f: rewrite(f, lambda t: {k: v * torch.nan for k, v in t.items()}), "not numbers"),
        (lambda f: rewrite(f, lambda t: dict(list(t.items())[1:])), "differs in name or shape"),
    ],
)
def test_a_damaged_folder_is_a_column_that_says_so_and_the_others_answer(house, damage, sentence):
    backbone, adapters = house
    damage(adapters / "checkpoint" / "lora")
    comparison = Engine(str(backbone.folder), adapters=adapters).compare("the river rises", "where")
    by_name = {answer.variant: answer for answer in comparison.answers}
    assert sentence in by_name["lora"].problem
    assert "\n" not in by_name["lora"].problem
    assert by_name["base"].prediction.candidates
    assert by_name["prompt-tuning"].prediction.candidates


def test_a_link_out_of_the_folder_is_not_followed(house, tmp_path):
    backbone, adapters = house
    file = adapters / "checkpoint" / "lora" / ADAPTER_FILE
    file.rename(tmp_path / "elsewhere.safetensors")
    file.symlink_to(tmp_path / "elsewhere.safetensors")
    variant = Engine(str(backbone.folder), adapters=adapters).compare("the river", "where", ["lora"]).answers[0]
    assert "leads out of its folder" in variant.problem


def test_a_config_that_names_code_or_a_remote_base_changes_nothing(house, batch):
    backbone, adapters = house
    before = starts(Engine(str(backbone.folder), adapters=adapters).model("lora"), batch)
    edit(
        adapters / "checkpoint" / "lora",
        "adapter_config.json",
        auto_mapping={"base_model_class": "system", "parent_library": "os"},
        base_model_name_or_path="https://example.org/evil",
        revision="evil",
    )
    assert torch.equal(starts(Engine(str(backbone.folder), adapters=adapters).model("lora"), batch), before)


def test_the_default_backbone_without_its_base_adapter_says_what_is_missing(tmp_path):
    engine = Engine("minilm-l6-qa", adapters=tmp_path)
    problem = engine.compare("The sea is blue.", "What is blue?").answers[0].problem
    assert "adapters/minilm-l6-qa/base" in problem


def test_adapters_answer_though_the_bases_head_is_damaged(house):
    backbone, adapters = house
    folder = adapters / "checkpoint" / "base"
    (adapters / "checkpoint" / "head").rename(folder)
    (folder / HEAD_FILE).write_bytes(b"damaged")
    base, lora, _prompt = Engine(str(backbone.folder), adapters=adapters).compare("the river", "where").answers
    assert "is damaged" in base.problem
    assert lora.prediction.candidates


@pytest.mark.parametrize(("inside", "what"), [("checkpoint/lora", "one adapter"), ("checkpoint", "one backbone's")])
def test_a_folder_of_one_adapter_or_of_one_backbone_is_not_taken_for_that_of_all(house, inside, what):
    backbone, adapters = house
    given = adapters / inside
    with pytest.raises(
        UserError, match=f"--adapters {given} is the folder of {what}.*for example {adapters.resolve()}$"
    ):
        Engine(str(backbone.folder), adapters=given)
    (adapters / "checkpoint" / "lora" / "variant.json").unlink()  # as plain PEFT leaves it
    with pytest.raises(UserError, match="is the folder of one adapter"):
        Engine(str(backbone.folder), adapters=adapters / "checkpoint" / "lora")


def test_a_second_adapter_in_a_folder_is_told_beside_the_answers(house):
    backbone, adapters = house
    folder = adapters / "checkpoint" / "lora"
    adapted("lora").save_pretrained(str(folder / "other"))
    comparison = Engine(str(backbone.folder), adapters=adapters).compare("the river rises", "where")
    assert comparison.warnings == ("lora holds further adapters that are not shown (other): move each beside lora.",)
    assert not any(answer.problem for answer in comparison.answers)
