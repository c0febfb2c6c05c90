"""The variants of one backbone and their models: weights are found and loaded at their first use, once.

Also what they run on: the versions of the packages, and the precision. One kind of server processor multiplies bfloat16
at twice the rate of fp32, another with the same instruction set more slowly than fp32, so that the faster one is
measured. Answers and figures must not depend on the processor: everything is computed in fp32 unless somebody asks for
another precision, and then the answers say so.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import torch

from qa_compare.errors import UserError, quoted
from qa_compare.files import sha256
from qa_compare.models import backbones, loading, variants
from qa_compare.models.features import window_length
from qa_compare.models.variants import Variant

if TYPE_CHECKING:
    from torch import nn
    from transformers import BertForQuestionAnswering, PreTrainedTokenizerFast


def versions(*packages: str) -> dict[str, str | None]:
    """The version of each; None where it is not installed."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


Precision = Literal["fp32", "bf16"]
DEFAULT: Precision = "fp32"
IN_BF16 = (
    "Answers are computed in bfloat16, as was asked for: they can differ from saved answers, which were computed in "
    "fp32, by some points of confidence and now and then in the answer."
)

_ROWS, _INNER, _COLUMNS = 512, 384, 1536  # a feed-forward layer of a small encoder over some three passages
_REPEATS = 5
_WORTH = 1.15  # autocast converts on the way in and out: a smaller gain in the products is lost again


@cache
def fastest_precision(device: str = "cpu") -> Precision:
    """ "bf16" where this processor's matrix products are clearly faster in it, else "fp32". Milliseconds, once."""
    if device != "cpu" or not torch.cpu._is_avx512_bf16_supported():
        return "fp32"
    return "bf16" if _seconds(torch.float32) > _WORTH * _seconds(torch.bfloat16) else "fp32"


def _seconds(dtype: torch.dtype) -> float:
    """The fastest of some products, so that a moment's load on the machine does not decide."""
    left, right = torch.ones(_ROWS, _INNER, dtype=dtype), torch.ones(_INNER, _COLUMNS, dtype=dtype)
    times = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - begin)
    return min(times)


Model = TypeVar("Model", bound="nn.Module")


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """A variant and its model as they were when work with them began, which goes on with them to its end.

    `key` is another one wherever the variant's own weights or its base's are others.
    """

    variant: Variant
    model: nn.Module
    key: str

    def __str__(self) -> str:
        return self.variant.name


class Models:
    """What an engine runs. Cheap to make; threads may share it.

    The variants' folders are looked at when they are first asked for, and again at each `look_again`.

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
        self._loaded: dict[str, Loaded] = {}  # by name
        self._found: tuple[Variant, ...] | None = None
        self._seen: tuple[object, ...] = ()
        self._base_key = ""
        self._lock, self._looking = threading.RLock(), threading.Lock()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every variant found, the broken ones too; base, LoRA and prompt tuning first. Asks no host."""
        if self._found is None:
            self.look_again()
        assert self._found is not None
        return self._found

    def look_again(self) -> bool:
        """Whether a variant's folder has come, gone or been written anew since the last look: then it counts from now.

        Costs a look at each folder's `variant.json`. What was loaded of a folder that is no longer so is let go; work
        that goes on with it keeps it to its end.
        """
        with self._looking:
            seen = variants.signature(self.source, self.adapters)
            if self._found is not None and seen == self._seen:
                return False
            before, self._seen = self._found, seen
            self._found = self._discovered()
        # whoever is loading a model does so himself
        if self._lock.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._lock.release()
        return before is not None and before != self._found

    def _let_go(self) -> None:
        """Forget the models of folders that have changed, and with the base's all that stand on it."""
        keys = {variant.name: self.key(variant) for variant in self.variants}
        for name, loaded in list(self._loaded.items()):
            if keys.get(name) != loaded.key:
                del self._loaded[name]
        if self._base_key != (now := keys["base"]):
            self._base_key = now
            for made in ("base", "foundation"):
                vars(self).pop(made, None)

    def key(self, variant: Variant) -> str:
        """What a variant answers depends on its own folder and on its base's, and no more than this says of them."""
        return f"{variant.key} on {self.variant('base').key}"

    def _discovered(self) -> tuple[Variant, ...]:
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
        self._found = tuple(brought if one is found else one for one in self.variants)
        self._loaded[name] = Loaded(brought, self._placed(model), self.key(brought))

    def model(self, name: str) -> nn.Module:
        """The variant's model, loaded at its first use. Raises UserError where the folder cannot be used."""
        return self.load(name).model

    def load(self, name: str | Loaded) -> Loaded:
        """The variant with its model, which is loaded at its first use; what is loaded already is given back.

        Raises:
            UserError: the folder cannot be used, or there is no such variant.
        """
        if isinstance(name, Loaded):
            return name
        with self._lock:
            try:
                return self._load(name)
            except UserError:
                if not self.look_again():  # else it was written anew meanwhile
                    raise
                return self._load(name)

    def _load(self, name: str) -> Loaded:
        self._let_go()
        if name not in self._loaded:
            variant = self.variant(name)
            if variant.problem:
                raise UserError(variant.problem)
            key = self.key(variant)
            model = self.base if name == "base" else self._placed(loading.apply(variant, self.foundation))
            self._loaded[name] = Loaded(variant, model, key)
        return self._loaded[name]
