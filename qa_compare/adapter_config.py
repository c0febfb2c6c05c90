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

# What is taken over; everything else keeps PEFT's own default, and must be at it where it says what the model does
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
# What says nothing of the trained model: start values, which the weights replace, training, and where things lay
_WITHOUT_EFFECT = {
    "auto_mapping", "base_model_class", "corda_config", "ensure_weight_tying", "eva_config", "inference_mode",
    "init_ia3_weights", "init_lora_weights", "init_weights", "loftq_config", "lora_ga_config", "megatron_config",
    "megatron_core", "peft_type", "peft_version", "prompt_tuning_init", "prompt_tuning_init_text",
    "qalora_group_size", "revision", "runtime_config", "tokenizer_kwargs", "tokenizer_name_or_path", "velora_config",
}  # fmt: skip
# LoRA's start values that leave the base's weights alone: the trained ones replace them
_STARTS = {"true", "false", "gaussian", "eva", "orthogonal", "mica"}
# Those that take a first decomposition out of the base. An exact one is found again at loading, as PEFT does it
_DECOMPOSED_AGAIN = {"pissa", "olora"}
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
    _check_left_out(data, kind, place)
    if kind == "PROMPT_TUNING":
        chosen["prompt_tuning_init"] = "RANDOM"
    if kind == "LORA":
        chosen["init_lora_weights"] = _start(data.get("init_lora_weights", True), place)
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


def _check_left_out(data: dict[str, Any], kind: str, place: str) -> None:
    """Refuse a setting of PEFT's that changes what the model does and that this project would leave out."""
    defaults = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)]().to_dict()
    for key in sorted((data.keys() & defaults.keys()) - KEYS[kind] - _WITHOUT_EFFECT):
        if data[key] and data[key] != defaults[key]:
            raise UserError(f'{place}: it uses "{key}", which this project does not run')


def _start(value: Any, place: str) -> bool | str:
    """PEFT's `init_lora_weights`, as far as it decides what the base's weights become.

    PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ change the matrices below the adapter before training. PEFT does it again
    when it loads the adapter, which gives the same matrices where the decomposition is exact.
    """
    name = str(value).lower()
    if name in _STARTS:
        return True
    if name in _DECOMPOSED_AGAIN:
        return name
    raise UserError(
        f"{place}: its training began with {quoted(value)} (init_lora_weights), which changes the base's own weights "
        "in a way that cannot be repeated here. Save it where it was trained as ordinary LoRA, with PEFT's "
        "save_pretrained(DIR, path_initial_model_for_weight_conversion=START) (not for LoftQ), or save the whole "
        "model, with merge_and_unload().save_pretrained(DIR), and name that folder as --backbone"
    )
