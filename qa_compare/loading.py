"""A variant's folder -> its model on top of the base. Tensors that a variant leaves alone are shared with the base."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from transformers import BertForQuestionAnswering

from qa_compare import backbones
from qa_compare.adapter_config import MERGEABLE, read_config
from qa_compare.backbones import Backbone, Weights
from qa_compare.errors import UserError, reason
from qa_compare.features import window_length
from qa_compare.files import sha256
from qa_compare.modeling import ADAPTER, OwnCopy, QAPeftModel, Repairs, merge, own_head
from qa_compare.variants import ADAPTER_FILE, BEFORE_PASSAGE, CONFIG_FILE, HEAD_FILE, Variant, discover, inside

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
