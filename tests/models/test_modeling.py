"""Each repair of PEFT's question-answering model, proven against plain PEFT on a tiny random BERT."""

from __future__ import annotations

import pytest
import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftModelForQuestionAnswering,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model_state_dict,
)
from torch.nn.functional import cross_entropy

from qa_compare.models.modeling import Fp32Linear, OwnCopy, QAPeftModel, Repairs, merge, own_head, share
from tests import tiny
from tests.near import expect_near

VIRTUAL = 5
BATCH, LENGTH = 3, 11


def lora() -> LoraConfig:
    return LoraConfig(task_type="QUESTION_ANS", r=4, target_modules=["query", "value"], init_lora_weights=False)


def ia3() -> IA3Config:
    return IA3Config(task_type="QUESTION_ANS", target_modules=["key", "value"], feedforward_modules=[])


def prompt() -> PromptTuningConfig:
    return PromptTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=VIRTUAL)


def prefix() -> PrefixTuningConfig:
    return PrefixTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=VIRTUAL)


ALL = [lora, ia3, prompt, prefix]


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, len(tiny.vocabulary()), (BATCH, LENGTH), generator=generator)
    segments = torch.zeros_like(ids)
    segments[:, 4:] = 1
    mask = torch.ones_like(ids)
    mask[0, 8:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def logits(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        output = model(**batch)
    return torch.stack([output.start_logits, output.end_logits])


@pytest.mark.parametrize("config", ALL)
def test_segments_change_the_logits_and_plain_peft_loses_them_or_moves_positions(config, batch):
    model = QAPeftModel(own_head(tiny.model()), config())
    without = {**batch, "token_type_ids": torch.zeros_like(batch["token_type_ids"])}
    assert not torch.allclose(logits(model, batch), logits(model, without))
    plain = PeftModelForQuestionAnswering(own_head(tiny.model()), config())
    if config is not prefix:  # plain PEFT hands a prefix's segments on, in keyword arguments
        assert torch.equal(logits(plain, batch), logits(plain, without))


@pytest.mark.parametrize("config", ALL)
def test_logits_have_the_length_of_the_input(config, batch):
    assert logits(QAPeftModel(own_head(tiny.model()), config()), batch).shape == (2, BATCH, LENGTH)


def test_plain_peft_returns_logits_for_the_virtual_tokens(batch):
    plain = PeftModelForQuestionAnswering(own_head(tiny.model()), prompt())
    assert logits(plain, batch).shape == (2, BATCH, LENGTH + VIRTUAL)


def test_a_prompts_loss_is_the_cross_entropy_at_the_shifted_positions(batch):
    torch.manual_seed(0)
    model = QAPeftModel(own_head(tiny.model()), prompt())
    starts, ends = torch.tensor([4, 5, 6]), torch.tensor([5, 5, 9])
    whole = {}
    model.base_model.qa_outputs.register_forward_hook(lambda module, args, output: whole.update(logits=output))
    loss = model(**batch, start_positions=starts, end_positions=ends).loss
    by_hand = [
        cross_entropy(whole["logits"][..., column], labels + VIRTUAL) for column, labels in enumerate((starts, ends))
    ]
    torch.testing.assert_close(loss, (by_hand[0] + by_hand[1]) / 2)
    output = model(**batch)
    assert torch.equal(output.start_logits, whole["logits"][:, VIRTUAL:, 0])
    assert torch.equal(output.end_logits, whole["logits"][:, VIRTUAL:, 1])
    off = [cross_entropy(whole["logits"][..., column], labels) for column, labels in enumerate((starts, ends))]
    assert not torch.isclose(loss, (off[0] + off[1]) / 2)


@pytest.mark.parametrize("config", [prompt, prefix])
def test_passage_tokens_keep_their_positions(config, batch):
    model = QAPeftModel(own_head(tiny.model()), config())
    seen = {}
    embeddings = model.base_model.bert.embeddings
    embeddings.position_embeddings.register_forward_hook(lambda module, args, output: seen.update(ids=args[0]))
    logits(model, batch)
    table = model.base_model.config.max_position_embeddings
    virtual = list(range(table - VIRTUAL, table)) if config is prompt else []
    assert seen["ids"][0].tolist() == [*virtual, *range(LENGTH)]


def test_virtual_tokens_are_of_the_questions_segment_and_the_batchs_own_stay_as_they_are(batch):
    model = QAPeftModel(own_head(tiny.model()), prompt())
    seen = {}
    embeddings = model.base_model.bert.embeddings
    embeddings.token_type_embeddings.register_forward_hook(lambda module, args, output: seen.update(ids=args[0]))
    logits(model, batch)
    assert seen["ids"].tolist() == [[0] * VIRTUAL + row for row in batch["token_type_ids"].tolist()]


def test_without_its_repairs_the_prompt_gives_what_plain_peft_gives(batch):
    torch.manual_seed(0)
    ours = QAPeftModel(own_head(tiny.model()), prompt(), Repairs(segments=False, labels=False, positions=False))
    torch.manual_seed(0)
    plain = PeftModelForQuestionAnswering(own_head(tiny.model()), prompt())
    plain.prompt_encoder.load_state_dict(ours.prompt_encoder.state_dict())
    labels = {"start_positions": torch.tensor([4, 5, 6]), "end_positions": torch.tensor([5, 5, 9])}
    del batch["token_type_ids"]
    assert torch.equal(logits(ours, batch), logits(plain, batch))
    assert torch.equal(ours(**batch, **labels).loss, plain(**batch, **labels).loss)


def test_a_prompt_that_does_not_fit_the_position_table_is_refused():
    model = QAPeftModel(own_head(tiny.model()), prompt())
    table = model.base_model.config.max_position_embeddings
    with pytest.raises(ValueError, match=r"exceed the encoder's 512 positions"):
        model(input_ids=torch.full((1, table - VIRTUAL + 1), 7))


def lora_with_bias() -> LoraConfig:
    return LoraConfig(task_type="QUESTION_ANS", r=4, target_modules=["query"], init_lora_weights=False, lora_bias=True)


@pytest.mark.parametrize("config", [lora, lora_with_bias, ia3])
def test_a_merged_adapter_equals_the_unmerged_one_and_leaves_the_shared_base_alone(config, batch):
    base = tiny.model()
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    own = OwnCopy(base)
    model = QAPeftModel(own.model, config())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ia3" in name or "qa_outputs.modules_to_save" in name or ("lora_B" in name and name.endswith("bias")):
                parameter.add_(torch.randn_like(parameter))
    unmerged = logits(model, batch)
    merged = merge(model)
    own.share_unchanged(merged)
    expect_near(logits(merged, batch), unmerged)
    for name, tensor in base.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert merged.bert.embeddings.word_embeddings.weight is base.bert.embeddings.word_embeddings.weight
    assert merged.bert.encoder.layer[0].output.dense.weight is base.bert.encoder.layer[0].output.dense.weight


def test_two_variants_held_at_once_do_not_change_each_others_head(batch):
    base = tiny.model()
    alone = logits(base, batch)
    first, second = QAPeftModel(share(base), prompt()), QAPeftModel(share(base), lora())
    with torch.no_grad():
        for model in (first, second):
            head = next(p for name, p in model.named_parameters() if "modules_to_save" in name and "weight" in name)
            head.normal_()
    kept = logits(second, batch)
    with torch.no_grad():
        next(p for name, p in first.named_parameters() if "modules_to_save" in name and "weight" in name).zero_()
    assert torch.equal(logits(base, batch), alone)
    assert torch.equal(logits(second, batch), kept)


@pytest.mark.parametrize("config", ALL)
def test_saving_asks_no_hub_and_names_the_head_once(config, tmp_path, monkeypatch):
    from peft.utils import save_and_load

    def refuse(*args: object, **kwargs: object) -> bool:
        raise AssertionError("asked the hub")

    monkeypatch.setattr(save_and_load, "check_file_exists_on_hf_hub", refuse)
    model = QAPeftModel(own_head(tiny.model()), config())
    model.active_peft_config.base_model_name_or_path = "somebody/encoder"
    model.save_pretrained(str(tmp_path))
    assert model.active_peft_config.modules_to_save == ["qa_outputs"]
    assert (tmp_path / "adapter_model.safetensors").is_file()
    assert any("qa_outputs" in key for key in get_peft_model_state_dict(model, save_embedding_layers=False))


def test_the_head_computes_in_fp32_under_autocast():
    head = Fp32Linear(16, 2)
    with torch.autocast("cpu", torch.bfloat16):
        output = head(torch.randn(3, 16, dtype=torch.bfloat16))
    assert output.dtype == torch.float32
