"""`adapter_config.json` is taken as PEFT means it, or refused by name: no setting that counts is dropped on reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import Tensor, nn

from qa_compare.errors import UserError
from qa_compare.files import sha256, write_json
from qa_compare.inference.engine import Engine
from qa_compare.models.loading import read_config
from qa_compare.models.modeling import QAPeftModel
from qa_compare.models.variants import ADAPTER_FILE, Variant, describe
from tests import tiny

pytestmark = pytest.mark.slow


def logits(model: nn.Module) -> Tensor:
    ids = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = model.eval()(input_ids=ids, token_type_ids=(torch.arange(9) > 3).long().expand(2, 9))
    return torch.stack([output.start_logits, output.end_logits])


def trained(folder: Path, init: str) -> tuple[Engine, Tensor]:
    """An engine with an adapter that began with `init` and was trained a little, and the logits that it then had."""
    tiny.checkpoint(folder / "river")
    torch.manual_seed(3)
    config = LoraConfig(
        task_type="QUESTION_ANS", r=4, lora_alpha=8, target_modules=["query", "dense"], init_lora_weights=init
    )
    model = QAPeftModel(tiny.model(), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    lora = folder / "adapters" / "river" / "lora"
    model.save_pretrained(str(lora))
    variant = Variant("lora", "LoRA", "lora", "river", sha256={ADAPTER_FILE: sha256(lora / ADAPTER_FILE)})
    write_json(lora / "variant.json", describe(variant, merged=True))
    engine = Engine(str(folder / "river"), adapters=folder / "adapters", precision="fp32")
    return engine, logits(model)


@pytest.mark.parametrize("init", ["pissa", "olora", "gaussian", "orthogonal"])
def test_an_adapter_gives_what_it_gave_where_it_was_trained_whatever_it_began_with(tmp_path: Path, init: str):
    engine, expected = trained(tmp_path, init)
    before = logits(engine.model("base"))
    found = logits(engine.model("lora"))
    # the decomposition is found in fp32 as it was in training
    torch.testing.assert_close(found, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)
    assert torch.equal(logits(engine.model("base")), before)
    assert not torch.allclose(found, before, atol=1e-2 * float(expected.abs().max()))


def config_file(folder: Path, **settings: Any) -> Path:
    described = LoraConfig(task_type="QUESTION_ANS", r=4, target_modules=["query"]).to_dict()
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**described, "peft_type": "LORA", "target_modules": ["query"], **settings}))
    return file


@pytest.mark.parametrize("init", ["pissa_niter_4", "corda", "loftq", "lora_ga", "something new", ["pissa"]])
def test_start_values_that_changed_the_base_in_a_way_that_is_not_found_again_are_refused_with_the_remedy(
    tmp_path: Path, init: Any
):
    with pytest.raises(UserError, match=r"init_lora_weights.*save_pretrained\(DIR") as refused:
        read_config(config_file(tmp_path, init_lora_weights=init), "lora")
    assert ("a list" if isinstance(init, list) else init) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alora_invocation_tokens", [5, 6]),
        ("use_qalora", True),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("trainable_token_indices", [1, 2]),
        ("target_parameters", ["weight"]),
        ("monteclora_config", {"a": 1}),
        ("arrow_config", {"a": 1}),
    ],
)
def test_a_setting_of_pefts_that_changes_the_model_and_is_not_run_is_refused_by_name(
    tmp_path: Path, name: str, value: Any
):
    with pytest.raises(UserError, match=f'it uses "{name}", which this project does not run'):
        read_config(config_file(tmp_path, **{name: value}), "lora")


def test_every_setting_of_pefts_is_taken_over_refused_or_known_to_change_nothing(tmp_path: Path):
    from qa_compare.models import loading

    settings = set(LoraConfig().to_dict())
    decided = loading.KEYS["LORA"] | loading._WITHOUT_EFFECT
    for name in settings - decided:
        with pytest.raises(UserError, match=name):
            read_config(config_file(tmp_path, **{name: ["x"]}), "lora")
    assert read_config(config_file(tmp_path), "lora").r == 4
