"""No adapter changes another column: whatever its state or its merge writes to is its own, and the rest is shared."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from qa_compare.files import sha256, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models import backbones
from qa_compare.models.loading import apply_adapter
from qa_compare.models.modeling import QAPeftModel
from qa_compare.models.variants import ADAPTER_FILE, END_OF_TABLE, HEAD_FILE, NO_POSITIONS, Variant, describe
from qa_compare.workbench.service import Service
from tests import tiny
from train import build, options

pytestmark = pytest.mark.slow

PASSAGE, QUESTION = "The river rises in the north and flows to sea 7.", "Where flows the river to?"


def lora(*targets: str, **settings: Any) -> Callable[[], PeftConfig]:
    return lambda: LoraConfig(
        task_type="QUESTION_ANS", r=2, lora_alpha=8, target_modules=[*targets], init_lora_weights=False, **settings
    )


def ia3() -> PeftConfig:
    targets = ["key", "value", "intermediate.dense"]
    return IA3Config(task_type="QUESTION_ANS", target_modules=targets, feedforward_modules=["intermediate.dense"])


ADAPTERS: dict[str, Callable[[], PeftConfig]] = {
    "lora-bias-all": lora("query", bias="all"),
    "lora-bias-lora-only": lora("query", "value", bias="lora_only"),
    "lora-own-bias": lora("query", lora_bias=True),
    "lora-embeddings": lora("query", "word_embeddings", "position_embeddings"),
    "lora-head-as-target": lora("query", "dense", "qa_outputs", modules_to_save=["qa_outputs"]),
    "lora-layernorm": lora("query", modules_to_save=["LayerNorm"]),
    "lora-embeddings-saved": lora("query", modules_to_save=["word_embeddings"], bias="all"),
    "dora": lora("query", "dense", use_dora=True, bias="all"),
    "rslora": lora("key", use_rslora=True),
    "ia3": ia3,
    "prompt": lambda: PromptTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=3),
    "prefix": lambda: PrefixTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=3),
}
POSITIONS = {"prompt": END_OF_TABLE, "prefix": NO_POSITIONS}
KINDS = [*ADAPTERS, "head"]


def write(folder: Path, name: str) -> None:
    """The folder of a variant whose every trained tensor is far from where it started."""
    torch.manual_seed(KINDS.index(name))
    folder.mkdir(parents=True)
    file = ADAPTER_FILE
    if name == "head":
        file = HEAD_FILE
        save_file({"weight": torch.randn(2, 16), "bias": torch.randn(2)}, folder / file)
    else:
        model = QAPeftModel(tiny.model(), ADAPTERS[name]())
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.3)
        with warnings.catch_warnings():
            # PEFT 0.21 takes the bias of an update for a part of a matrix that was cut into pieces
            warnings.filterwarnings("ignore", message=".*have invalid shape")
            model.save_pretrained(str(folder))
    variant = Variant(
        name, name, name, "river", virtual_positions=POSITIONS.get(name), sha256={file: sha256(folder / file)}
    )
    write_json(folder / "variant.json", describe(variant, merged=False))


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny backbone with an adapter of every kind that loads."""
    folder = tmp_path_factory.mktemp("apart")
    tiny.checkpoint(folder / "river")
    for name in KINDS:
        write(folder / "adapters" / "river" / name, name)
    return folder


def opened(river: Path) -> Engine:
    return Engine(str(river / "river"), adapters=river / "adapters", precision="fp32")


def bits(model: nn.Module) -> dict[str, bytes]:
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: tensor.detach().numpy().tobytes() for name, tensor in tensors}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]


def logits(model: nn.Module) -> Tensor:
    ids = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model(input_ids=ids, token_type_ids=(torch.arange(9) > 3).long().expand(2, 9))
    return torch.stack([output.start_logits, output.end_logits])


@pytest.mark.parametrize("order", [KINDS, KINDS[::-1]], ids=["in order", "in reverse"])
def test_loading_any_adapter_leaves_every_bit_of_the_base_and_of_every_other_variant(river: Path, order: list[str]):
    engine = opened(river)
    held = {"base": bits(engine.model("base"))}
    for name in order:
        made = bits(engine.model(name))
        for other, before in held.items():
            assert changed(before, bits(engine.model(other))) == [], f"loading {name} changed {other}"
        held[name] = made
    assert changed(held["base"], bits(tiny.model())) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_variant_gives_the_same_logits_whatever_was_loaded_before_it(river: Path, name: str):
    alone, late = opened(river), opened(river)
    for other in KINDS:
        if other != name:
            late.model(other)
    assert torch.equal(logits(late.model(name)), logits(alone.model(name)))
    assert not torch.allclose(logits(alone.model(name)), logits(alone.model("base")), atol=1e-3)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_loaded_adapter_gives_what_the_model_gave_that_was_saved(river: Path, name: str, tmp_path: Path):
    from peft import load_peft_weights, set_peft_model_state_dict

    folder = river / "adapters" / "river" / name
    saved = QAPeftModel(tiny.model(), ADAPTERS[name]()).eval()
    set_peft_model_state_dict(saved, load_peft_weights(str(folder), device="cpu"))
    expected = logits(saved)
    torch.testing.assert_close(
        logits(opened(river).model(name)), expected, atol=1e-4 * float(expected.abs().max()), rtol=0
    )


def test_tensors_that_an_adapter_leaves_alone_are_the_bases_own(river: Path):
    engine = opened(river)
    base = engine.model("base").bert
    for name in KINDS:
        model = engine.model(name)
        found = model.base_model.bert if isinstance(model, QAPeftModel) else model.bert
        ours, theirs = (dict(one.named_parameters()) for one in (found, base))
        assert ours.keys() == theirs.keys() or name == "lora-embeddings-saved"
        for key in ours.keys() & theirs.keys():
            same = torch.equal(ours[key], theirs[key])
            assert (ours[key] is theirs[key]) == same, f"{name}: {key}"
    assert (
        engine.model("prompt").base_model.bert.embeddings.word_embeddings.weight
        is base.embeddings.word_embeddings.weight
    )
    assert engine.model("ia3").bert.encoder.layer[0].output.dense.weight is base.encoder.layer[0].output.dense.weight


def test_embeddings_that_plain_peft_saves_beside_their_update_are_read(river: Path, tmp_path: Path):
    shutil.copytree(river, tmp_path / "copy")
    folder = tmp_path / "copy" / "adapters" / "river" / "lora-embeddings"
    weights = load_file(folder / ADAPTER_FILE)
    tables = {
        f"base_model.model.bert.embeddings.{name}.base_layer.weight": tensor
        for name, tensor in (("word_embeddings", tiny.model().bert.embeddings.word_embeddings.weight.detach()),)
    }
    save_file({**weights, **tables}, folder / ADAPTER_FILE)
    described = json.loads((folder / "variant.json").read_text())
    write_json(folder / "variant.json", {**described, "sha256": {ADAPTER_FILE: sha256(folder / ADAPTER_FILE)}})
    assert torch.equal(*(logits(opened(one).model("lora-embeddings")) for one in (river, tmp_path / "copy")))


@pytest.mark.parametrize("name", ADAPTERS)
def test_training_an_adapter_on_leaves_every_bit_of_the_base(river: Path, name: str):
    engine = opened(river)
    before = bits(engine.model("base"))
    model = apply_adapter(engine.variant(name), engine.base, trainable=True)
    train_a_step(model)
    assert changed(before, bits(engine.model("base"))) == []


def train_a_step(model: nn.Module) -> None:
    ids, place = torch.randint(5, 100, (2, 9)), torch.tensor([4, 5])
    model.train()(input_ids=ids, start_positions=place, end_positions=place).loss.backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in trained)
    torch.optim.SGD(trained, lr=1.0).step()


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_what_a_training_run_writes_to_is_never_the_bases(river: Path, method: str):
    from train import base as head
    from train import full
    from train.loop import Method

    methods = {
        "lora": Method("lora", lambda own: lora("query", "word_embeddings", bias="all")(), {}),
        "full": full.METHOD,
        "head": head.head("river"),
    }
    engine = opened(river)
    backbone = backbones.get(str(river / "river"))
    before = bits(engine.base)
    model = build.build(methods[method], backbone, engine.base, options.Options(adapters=river / "adapters"), {}, None)
    train_a_step(model)
    assert changed(before, bits(engine.base)) == []
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in engine.base.parameters())


def test_one_visitors_choice_of_columns_does_not_change_anothers_next_answer(river: Path):
    engine, alone = opened(river), opened(river)
    service = Service({engine.backbone: engine}, engine.backbone)
    assert engine.located  # as after a first question: a service asks only for checkpoints that are at hand
    shown = ["base", "prompt"]
    for number, name in enumerate(KINDS):
        service.compare(PASSAGE, QUESTION, None, ["base", name] if name != "prompt" else ["head", name])
        asked = f"The river {number} rises in the north and flows to sea {number * 7}."  # never asked before
        found = service.compare(asked, QUESTION, None, shown)
        expected = alone.compare(asked, QUESTION, shown)
        assert [one.prediction for one in found.answers] == [one.prediction for one in expected.answers], (
            f"after {name}"
        )
