"""The model that a run trains: the base, another variant to continue from, and the adapter on top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from peft import get_peft_model_state_dict
from torch import nn
from transformers import BertForQuestionAnswering

from qa_compare.errors import UserError
from qa_compare.models import backbones, variants
from qa_compare.models.features import window_length
from qa_compare.models.loading import apply, apply_adapter, load_base, published_name
from qa_compare.models.modeling import OwnCopy, QAPeftModel, Repairs
from qa_compare.models.variants import HEAD_FILE, Variant
from train.options import Options

if TYPE_CHECKING:
    from train.loop import Method


def start(
    backbone: backbones.Backbone,
    weights: backbones.Weights,
    options: Options,
    output: Path,
    *,
    trains_head: bool = False,
) -> BertForQuestionAnswering:
    """The model that the adapter goes onto: the backbone's base, or the bare encoder when the base is what is made.

    `trains_head` says that the method makes a head from a random one.

    Raises:
        UserError: the base is missing or damaged, or its head was never trained and the method needs one that was.
    """
    if base_folder(backbone, options, output) is None:
        model = backbones.load_model(backbone, weights, needs_head=False)
    else:
        model = load_base(backbone, weights, options.adapters, needs_head=not trains_head)
    _set_dropout(model, options.encoder_dropout)
    return model


def base_folder(backbone: backbones.Backbone, options: Options, output: Path) -> Path | None:
    """The folder of the base that a run's adapter goes onto, if there is one; None where the run makes the base."""
    folder = options.adapters / backbone.name / "base"
    return None if output.resolve() == folder.resolve() else folder


def _set_dropout(base: nn.Module, rate: float | None) -> None:
    """Give the encoder's dropout layers another rate; None leaves the checkpoint's own.

    On a processor, drawing the masks is a large part of a training step.
    """
    if rate is None:
        return
    for module in base.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate


def build(
    method: Method,
    backbone: backbones.Backbone,
    base: BertForQuestionAnswering,
    options: Options,
    own: dict[str, Any],
    repairs: Repairs | None,
) -> nn.Module:
    """`base` with what `method` trains, those parameters alone trainable.

    Raises:
        UserError: the encoder cannot do what the options say, or the folder to continue from is broken, of another
            method, or of another shape than `own` says.
    """
    config = method.configure(own)
    _check(config, base, options)
    before = _before(options.init_from, backbone, method) if options.init_from else None
    if config is None:
        copied = OwnCopy(base if before is None else cast("BertForQuestionAnswering", apply(before, base)))
        for name, parameter in copied.model.named_parameters():
            parameter.requires_grad_(method.unfreeze(name))
        copied.share_unchanged(copied.model)
        return copied.model
    copied = OwnCopy(base)
    model = QAPeftModel(copied.model, config, repairs)
    copied.share_unchanged(model)
    if before:
        model = _continued(before, base, model)
    # what plain PEFT reads: a name that means the same everywhere, not a folder of this machine
    saved: Any = model.active_peft_config
    saved.base_model_name_or_path = published_name(base, backbone)
    if getattr(saved, "tokenizer_name_or_path", None):
        saved.tokenizer_name_or_path = backbone.hub_id or backbone.label
    return model


def _check(config: Any, base: BertForQuestionAnswering, options: Options) -> None:
    """Refuse what would fail in the middle of the run, or be trained in vain."""
    targets = getattr(config, "target_modules", None)
    names = [name for name, _ in base.named_modules()]
    for target in sorted(targets) if isinstance(targets, set) else ():
        if not any(f".{name}".endswith(f".{target}") for name in names):
            raise UserError(f"--targets: the encoder has no matrix named {target!r}")
    table = base.config.max_position_embeddings
    window = window_length(table)
    virtual = config.num_virtual_tokens if config and config.peft_type == "PROMPT_TUNING" else 0
    if window + virtual > table:
        raise UserError(f"--virtual-tokens {virtual}: the encoder has room for {table - window} beside its windows")
    if options.pad_to and not window <= options.pad_to <= table - virtual:
        raise UserError(f"--pad-to {options.pad_to}: it must lie between {window} and {table - virtual}")


def _before(folder: Path, backbone: backbones.Backbone, method: Method) -> Variant:
    """The variant to continue from: the same method's, or the adapter that another backbone's base is merged from."""
    before = variants.read(folder, backbone)
    wanted = method.name
    for other in backbones.BACKBONES.values():
        # such a base is an adapter of the bare encoder, and so a first stage of the encoder's own
        if before.problem and other.merges and not backbone.merges and other.sha256 == backbone.sha256:
            merged = variants.read(folder, other)
            before, wanted = (before, wanted) if merged.problem else (merged, "base")
    if before.problem:
        raise UserError(f"--init-from: {before.problem}")
    if before.method != wanted:
        raise UserError(f"--init-from {before.folder} was made by {before.method}: {method.name} cannot continue it")
    return before


def _continued(before: Variant, base: BertForQuestionAnswering, fresh: QAPeftModel) -> QAPeftModel:
    """The variant's model, trainable, if it is what these options would make."""
    other = f"--init-from {before.folder} is of another shape than these options make"
    if HEAD_FILE in before.sha256:
        raise UserError(f"{other}: it holds only a head")
    model = cast("QAPeftModel", apply_adapter(before, base, trainable=True))
    expected, found = (get_peft_model_state_dict(one, save_embedding_layers=False) for one in (fresh, model))
    for key in sorted(expected.keys() | found.keys()):
        if key not in expected or key not in found or expected[key].shape != found[key].shape:
            raise UserError(f"{other}: {key} differs in name or shape")
    alphas = [getattr(one, "lora_alpha", None) for one in (fresh.active_peft_config, model.active_peft_config)]
    if alphas[0] != alphas[1]:
        raise UserError(f"{other}: its --alpha is {alphas[1]}, not {alphas[0]}")
    return model
