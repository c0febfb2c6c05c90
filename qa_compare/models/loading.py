"""A variant's folder -> its model on top of the base. Tensors that a variant leaves alone are shared with the base.

Of `adapter_config.json` only what this project's own model runs is taken over: PEFT imports a module that a config
names (`megatron_core`, `auto_mapping`) and asks the hub for others. Nothing of it may name code or a place, or cost
more memory than it should.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from transformers import BertForQuestionAnswering

from qa_compare.errors import UserError, quoted, reason
from qa_compare.files import read_json, sha256
from qa_compare.models import backbones
from qa_compare.models.backbones import Backbone, Weights
from qa_compare.models.features import window_length
from qa_compare.models.modeling import ADAPTER, OwnCopy, QAPeftModel, Repairs, merge, own_head
from qa_compare.models.variants import ADAPTER_FILE, BEFORE_PASSAGE, CONFIG_FILE, HEAD_FILE, Variant, discover, inside

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


QAModel = QAPeftModel | BertForQuestionAnswering


def load_base(
    backbone: Backbone, weights: Weights, adapters: Path, *, needs_head: bool = True
) -> BertForQuestionAnswering:
    """The backbone as its adapters expect it: its own head, the trained one, or with its adapter merged in.

    With `needs_head=False`, for what trains the head, it may be a random one.

    Raises:
        UserError: the checkpoint or the base's folder is missing or damaged, or neither has a trained head.
    """
    base = next(variant for variant in discover(backbone, adapters) if variant.name == "base")
    if base.problem:
        raise UserError(base.problem)
    encoder = backbones.load_model(backbone, weights, needs_head=needs_head and base.folder is None)
    if base.folder is None:
        return encoder
    model: BertForQuestionAnswering = apply(base, encoder)  # type: ignore[assignment]
    if ADAPTER_FILE in base.sha256:
        _FINGERPRINTS[model] = _merged_fingerprint(encoder, base.folder)
        model.config.name_or_path = _merged_name(backbone)
    return model


_FINGERPRINTS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def fingerprint(base: BertForQuestionAnswering) -> str:
    """Which weights a variant was trained on: `variant.json` records it, and loading compares it.

    It is the SHA-256 of the encoder's parameters, the question-answering head left out because every variant brings its
    own: of each, in the order of their names, the name, the shape and the values as little-endian fp32. Where the base
    is an encoder with an adapter merged in (`load_base`), the last bits of the sum depend on the processor. There it is
    the SHA-256 of what was summed: the bare encoder's fingerprint and those of the adapter's two files.

    A model is hashed once; nobody writes to a base (`modeling.OwnCopy`).
    """
    if base not in _FINGERPRINTS:
        digest = hashlib.sha256()
        for name, parameter in sorted(base.base_model.named_parameters()):
            values = parameter.detach().float().cpu().contiguous().numpy().astype("<f4", copy=False)
            digest.update(f"{name} {tuple(values.shape)} ".encode())
            digest.update(values.data)
        _FINGERPRINTS[base] = digest.hexdigest()
    return _FINGERPRINTS[base]


def _merged_fingerprint(encoder: BertForQuestionAnswering, folder: Path) -> str:
    parts = [fingerprint(encoder), *(sha256(inside(folder, name)) for name in (ADAPTER_FILE, CONFIG_FILE))]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def published_name(base: BertForQuestionAnswering, backbone: Backbone) -> str:
    """What the `adapter_config.json` of an adapter on `base` calls it: the hub's id of the encoder.

    A base with an adapter merged in lies on no hub. It is named by the command that writes it, which no library takes
    for an id: plain PEFT then fails and shows the command, where the bare encoder's name would give wrong answers.
    """
    merged = _merged_name(backbone)
    return merged if base.config.name_or_path == merged else backbone.hub_id or backbone.label


def _merged_name(backbone: Backbone) -> str:
    name = backbone.name if backbone.name in backbones.BACKBONES else backbone.hub_id or backbone.name
    return f"python -m qa_compare export-base {name} --output DIR"


def _check_base(variant: Variant, base: BertForQuestionAnswering) -> None:
    """Refuse a variant that was trained on other weights than those below it."""
    expected = variant.base_fingerprint
    if expected and expected != (found := fingerprint(base)):
        raise UserError(
            f"{variant.name} was trained on other weights than {variant.backbone} has here: its variant.json names the "
            f"base {expected[:12]}…, and this one is {found[:12]}…. Give the checkpoint that it was trained on, with "
            f"--weights or --revision, with its adapters/{variant.backbone}/base if it had one, or train it anew"
        )


def apply(variant: Variant, base: BertForQuestionAnswering) -> QAModel:
    """The variant's model on top of `base`, in eval mode; tensors that it leaves alone are shared with `base`.

    LoRA and IA3 are merged; prompt and prefix tuning keep their virtual tokens.

    Raises:
        UserError: the folder's weights are missing, damaged, or of another shape than the base's.
    """
    if variant.problem:
        raise UserError(variant.problem)
    if not variant.shipped:
        raise UserError(f"the weights of {variant.name} are not shipped: only its measurements are")
    if variant.folder is None:
        return base
    try:
        model = _apply_head(variant, base) if HEAD_FILE in variant.sha256 else apply_adapter(variant, base)
    except UserError:
        raise
    except Exception as error:  # PEFT, safetensors and torch raise many kinds for a damaged folder
        raise UserError(f"{variant.name} cannot be loaded: {reason(error)}") from error
    return model.eval().requires_grad_(False)


def _tensors(variant: Variant, name: str) -> dict[str, Any]:
    """The tensors of a weight file whose hash is the one that `variant.json` records."""
    assert variant.folder is not None
    tensors = load_file(_intact(variant, name))
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{variant.name}/{name}: {key} holds values that are not numbers")
    return tensors


def _intact(variant: Variant, name: str) -> Path:
    assert variant.folder is not None
    path = inside(variant.folder, name)
    if sha256(path) != variant.sha256.get(name):
        raise UserError(f"{variant.name}/{name} is damaged: its sha256 is not the one in variant.json")
    return path


def _apply_head(variant: Variant, base: BertForQuestionAnswering) -> BertForQuestionAnswering:
    _check_base(variant, base)
    model = own_head(base)
    model.qa_outputs.load_state_dict(_tensors(variant, HEAD_FILE))
    return model


def apply_adapter(variant: Variant, base: BertForQuestionAnswering, *, trainable: bool = False) -> QAModel:
    """As `apply`, for a folder in PEFT's format. A `trainable` one is left unmerged, in train mode's parameters."""
    _check_base(variant, base)
    config = _peft_config(variant, trainable)
    tensors = _tensors(variant, ADAPTER_FILE)
    own = OwnCopy(base)
    model = QAPeftModel(own.model, config, Repairs(positions=variant.virtual_positions != BEFORE_PASSAGE))
    _fill(model, tensors, variant)
    made = model if trainable or config.peft_type not in MERGEABLE else merge(model)
    own.share_unchanged(made)
    return made


def _fill(model: QAPeftModel, tensors: dict[str, Any], variant: Variant) -> None:
    """Put an adapter's weights into its model. Raises UserError where they do not fit."""
    table: int = model.base_model.config.max_position_embeddings  # type: ignore[assignment, union-attr]
    prompt = model.active_peft_config.peft_type == "PROMPT_TUNING"
    if prompt and model.virtual_tokens > (room := table - window_length(table)):
        raise UserError(
            f"{variant.name} has {model.virtual_tokens} virtual tokens: too many for {table} positions, of which the "
            f"windows of text leave {room}"
        )
    # without a state of our own, PEFT warns of an update's bias as though it were a damaged matrix
    state = model.state_dict()
    expected = get_peft_model_state_dict(model, state, save_embedding_layers=False)
    # PEFT itself saves the encoder's embeddings, too, where the adapter has an update of them
    known = get_peft_model_state_dict(model, state, save_embedding_layers=True)
    for key in sorted(expected.keys() | tensors.keys()):
        ours, theirs = known.get(key), tensors.get(key)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            raise UserError(f"{variant.name} does not fit {variant.backbone}: {key} differs in name or shape")
    set_peft_model_state_dict(model, tensors, adapter_name=ADAPTER)


def _peft_config(variant: Variant, trainable: bool) -> Any:
    assert variant.folder is not None
    path = inside(variant.folder, CONFIG_FILE)
    if CONFIG_FILE in variant.sha256:  # folders from before it was recorded go without
        _intact(variant, CONFIG_FILE)
    return read_config(path, f"{variant.name}/{CONFIG_FILE}", trainable=trainable)


def export_base(
    name: str,
    output: Path,
    *,
    adapters: Path = backbones.ADAPTERS,
    weights: Path | None = None,
    revision: str | None = None,
) -> None:
    """Write the base of a backbone as an ordinary checkpoint, so that its adapters load elsewhere with plain PEFT.

    Raises:
        UserError: the output folder exists and is not empty, or the base cannot be loaded.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} is not an empty folder: nothing is overwritten, choose another --output")
    backbone = backbones.get(name)
    located = backbones.locate(backbone, weights=weights, revision=revision)
    model = load_base(backbone, located, adapters)
    tokenizer = backbones.load_tokenizer(located)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as beside:
        folder = Path(beside) / output.name
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if output.exists():
            output.rmdir()
        folder.replace(output)
