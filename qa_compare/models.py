"""The variants of one backbone and their models. Weights are found and loaded at their first use, once."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from qa_compare import backbones, loading, variants
from qa_compare.errors import UserError, quoted
from qa_compare.features import window_length
from qa_compare.files import sha256
from qa_compare.variants import Variant

if TYPE_CHECKING:
    from torch import nn
    from transformers import BertForQuestionAnswering, PreTrainedTokenizerFast

Model = TypeVar("Model", bound="nn.Module")


class Models:
    """What an engine runs. Cheap to make; threads may share it.

    `weights` is a folder to take the backbone's checkpoint from, `revision` the hub's commit, tag or branch. Raises
    UserError for an unknown backbone, and for an `adapters` folder that is an adapter's own.
    """

    def __init__(
        self,
        backbone: str,
        adapters: Path,
        weights: Path | None = None,
        revision: str | None = None,
        device: str = "auto",
    ) -> None:
        self.source = backbones.get(backbone)
        self.backbone = self.source.name
        variants.check_root(adapters)
        self.adapters = adapters
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self._weights, self._revision = weights, revision
        self._models: dict[str, nn.Module] = {}
        self._lock = threading.RLock()

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Every variant found, the broken ones too; base, LoRA and prompt tuning first. Asks no host."""
        found = variants.discover(self.source, self.adapters)
        return tuple(one if one.folder or one.problem else replace(one, problem=self._headless) for one in found)

    @property
    def _headless(self) -> str | None:
        """The sentence for a checkpoint without a trained head; None where it has one, or is not at hand."""
        try:
            weights = backbones.locate(self.source, weights=self._weights, revision=self._revision, offline=True)
        except UserError:  # whoever needs the weights is told
            return None
        return backbones.no_head(self.source) if backbones.without_head(weights) else None

    @property
    def default_variants(self) -> tuple[str, ...]:
        """The names of the variants that are shown unless one asks for others."""
        return tuple(variant.name for variant in self.variants if variant.name in variants.DEFAULTS)

    @cached_property
    def located(self) -> backbones.Weights:
        """The checkpoint. Raises UserError where it is not found; asks the hub where it may be there alone."""
        return backbones.locate(self.source, weights=self._weights, revision=self._revision)

    @property
    def at_hand(self) -> bool:
        """Whether the checkpoint was found already, so that nothing is asked for it any more."""
        return "located" in vars(self)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The checkpoint's."""
        return backbones.load_tokenizer(self.located)

    @cached_property
    def base(self) -> BertForQuestionAnswering:
        """The base's model. Raises UserError where it is missing or damaged."""
        model = loading.load_base(self.source, self.located, self.adapters)
        return self._placed(model)

    @cached_property
    def foundation(self) -> BertForQuestionAnswering:
        """What adapters go onto: the base, or, where a base that cannot be used brings only a head, the bare encoder.

        Every adapter has a head of its own, so it need not fail with the base's.
        """
        try:
            return self.base
        except UserError:
            folder = self.variant("base").folder
            if self.source.merges or (folder and not (folder / variants.HEAD_FILE).is_file()):
                raise
            return self._placed(backbones.load_model(self.source, self.located, needs_head=False))

    def _placed(self, model: Model) -> Model:
        module: nn.Module = model  # transformers' own `to` has a signature that mypy cannot follow
        module.to(self.device)
        return model

    @cached_property
    def max_length(self) -> int:
        """Tokens of a window: 384, or fewer where the encoder's table of positions is small."""
        return window_length(backbones.positions(self.located))

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises UserError with the names there are."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise UserError(f"unknown variant {quoted(name)} of {self.backbone}: there are {known}")

    def bring(self, name: str, folder: Path) -> None:
        """Let a variant whose weights are not shipped answer from the whole model in `folder`.

        Raises:
            UserError: a variant that has weights of its own, or a folder without a model for question answering.
        """
        found = self.variant(name)
        if found.problem or found.shipped:
            raise UserError(found.problem or f"{name} has weights of its own: it takes no model from elsewhere")
        weights = backbones.locate(replace(self.source, sha256=None), weights=folder)
        if backbones.without_head(weights):
            raise UserError(f"{folder} holds an encoder without a question-answering head")
        model = backbones.load_model(self.source, weights)
        file = folder / "model.safetensors"
        brought = replace(found, shipped=True, sha256={file.name: sha256(file)})
        self.variants = tuple(brought if one is found else one for one in self.variants)
        self._models[name] = self._placed(model)

    def model(self, name: str) -> nn.Module:
        """The variant's model, loaded at its first use. Raises UserError where the folder cannot be used."""
        with self._lock:
            if name not in self._models:
                variant = self.variant(name)
                if variant.problem:
                    raise UserError(variant.problem)
                if name == "base":
                    self._models[name] = self.base
                else:
                    self._models[name] = self._placed(loading.apply(variant, self.foundation))
            return self._models[name]
