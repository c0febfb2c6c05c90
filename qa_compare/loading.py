"""A variant's folder -> its model on top of the base. Tensors that a variant leaves alone are shared with the base."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import BertForQuestionAnswering

from qa_compare import backbones
from qa_compare.adapter_config import MERGEABLE, read_config
from qa_compare.backbones import Backbone, Weights
from qa_compare.errors import UserError, reason
from qa_compare.features import MAX_LENGTH
from qa_compare.files import sha256
from qa_compare.modeling import ADAPTER, OwnCopy, QAPeftModel, Repairs, merge, own_head
from qa_compare.variants import ADAPTER_FILE, BEFORE_PASSAGE, CONFIG_FILE, HEAD_FILE, Variant, discover, inside

QAModel = QAPeftModel | BertForQuestionAnswering


def load_base(backbone: Backbone, weights: Weights, adapters: Path) -> BertForQuestionAnswering:
    """The backbone as its adapters expect it: its own head, the trained one, or with its adapter merged in.

    Raises:
        UserError: the checkpoint or the base's folder is missing or damaged.
    """
    model = backbones.load_model(backbone, weights)
    base = next(variant for variant in discover(backbone, adapters) if variant.name == "base")
    if base.problem:
        raise UserError(base.problem)
    return model if base.folder is None else apply(base, model)  # type: ignore[return-value]


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
    model = own_head(base)
    model.qa_outputs.load_state_dict(_tensors(variant, HEAD_FILE))
    return model


def apply_adapter(variant: Variant, base: BertForQuestionAnswering, *, trainable: bool = False) -> QAModel:
    """As `apply`, for a folder in PEFT's format. A `trainable` one is left unmerged, in train mode's parameters."""
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
    if prompt and min(MAX_LENGTH, table - 1) + model.virtual_tokens > table:
        raise UserError(f"{variant.name} has {model.virtual_tokens} virtual tokens: too many for {table} positions")
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
