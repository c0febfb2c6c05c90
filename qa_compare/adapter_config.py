"""`adapter_config.json` -> PEFT's config, with nothing in it that names code, a place, or more memory than it should.

PEFT imports a module that a config names (`megatron_core`, `auto_mapping`) and asks the hub for others, so that only
what this project's own model runs is taken over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType

from qa_compare.errors import UserError, quoted
from qa_compare.files import read_json

# What is taken over; everything else keeps PEFT's own default. Start values are in the weights, whatever made them
_COMMON = {"task_type", "base_model_name_or_path", "modules_to_save"}
_TUNED = {"target_modules", "exclude_modules", "fan_in_fan_out"}
_VIRTUAL = {"num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"}
KEYS = {
    "LORA": _COMMON
    | _TUNED
    | {"r", "lora_alpha", "lora_dropout", "bias", "lora_bias", "use_rslora", "use_dora", "rank_pattern"}
    | {"alpha_pattern", "layers_to_transform", "layers_pattern"},
    "IA3": _COMMON | _TUNED | {"feedforward_modules"},
    "PROMPT_TUNING": _COMMON | _VIRTUAL,
    "PREFIX_TUNING": _COMMON | _VIRTUAL | {"encoder_hidden_size", "prefix_projection"},
}
MERGEABLE = {"LORA", "IA3"}
MOST = 4096  # of any number in a config: no rank, width or count of tokens is larger
# A text that says which modules are meant is a regular expression; these take no longer than a name is long
_LONGEST, _REPEATS = 300, 4
_REPEATED_GROUP = re.compile(r"\)\s*[*+?{]|\(\?|\\\d")


def read_config(path: Path, place: str, *, trainable: bool = False) -> Any:
    """The PEFT config in a file; `place` stands for it in messages.

    Raises:
        UserError: not JSON, a kind of adapter that this project does not run, or a value that is no sound one.
    """
    data = read_json(path)
    kind = data.get("peft_type") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KEYS:
        raise UserError(f"{place}: unknown peft_type {quoted(kind)}")
    if data.get("task_type") != "QUESTION_ANS":
        raise UserError(f"{place}: its task_type is {quoted(data.get('task_type'))}, not 'QUESTION_ANS'")
    chosen = {key: value for key, value in data.items() if key in KEYS[kind]}
    for key, value in chosen.items():
        _check(key, value, place)
    if kind == "PROMPT_TUNING":
        chosen["prompt_tuning_init"] = "RANDOM"
    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)](**chosen, inference_mode=not trainable)


def _check(key: str, value: Any, place: str) -> None:
    """Refuse numbers that would cost memory and expressions that would cost time, wherever they stand in a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check(key, name, place)
            _check(key, inner, place)
    elif isinstance(value, list):
        for inner in value:
            _check(key, inner, place)
    elif isinstance(value, int | float) and not -MOST <= value <= MOST:
        raise UserError(f'{place}: "{key}" is larger than {MOST:,}')
    elif isinstance(value, str) and key != "base_model_name_or_path":
        repeats = sum(value.count(sign) for sign in "*+?{")
        if len(value) > _LONGEST or repeats > _REPEATS or _REPEATED_GROUP.search(value):
            raise UserError(f'{place}: "{key}" is too intricate')
