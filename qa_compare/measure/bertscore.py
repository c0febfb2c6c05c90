"""BERTScore: how like in meaning an answer is to the gold answers, by the `bert-score` package.

F1 without rescaling and without idf weights, the best over the gold answers. By default the encoder is MiniLM's last
layer, because it is always at hand; scores of different encoders cannot be compared, so each goes with its `hash`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from qa_compare.errors import UserError, reason
from qa_compare.files import sha256
from qa_compare.models import backbones

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Floats = NDArray[np.float64]

_PAIRS_AT_ONCE = 4_096  # the package keeps the embeddings of all texts of a call
_UNSET = 100_000  # tokenizers say 1e30 where no greatest length is known


class BertScorer:
    """One encoder. Cheap to make: its weights are read at the first score.

    `folder` holds config.json, model.safetensors and the tokenizer; `layers` counts the layers that are used, all of
    them if it is None; `name` is the hub id where the folder is a copy of the hub's, `label` what people call it.
    """

    def __init__(
        self,
        folder: Path,
        layers: int | None = None,
        *,
        name: str | None = None,
        label: str | None = None,
        batch_size: int = 64,
    ) -> None:
        self.folder, self.batch_size = Path(folder), batch_size
        self.label = label or name or self.folder.name
        self._layers, self._name = layers, name
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def layers(self) -> int:
        """How many layers are used. Raises UserError where the encoder does not have them."""
        available = self._config.num_hidden_layers
        if self._layers is not None and not 1 <= self._layers <= available:
            raise UserError(f"BERTScore's encoder {self.folder} has {available} layers, not {self._layers}")
        return self._layers or available

    @property
    def encoder(self) -> str:
        """In words what `hash` names, to stand beside a score."""
        available = self._config.num_hidden_layers
        layer = "last layer" if self.layers == available else f"layer {self.layers} of {available}"
        return f"{self.label}, {layer}, no rescaling, best over the gold answers"

    @cached_property
    def hash(self) -> str:
        """Names what a score depends on: scores of different hashes are not to be compared.

        For a hub model it is bert-score's own, marked where its first word is encoded as inside a text.
        """
        if self._name is None:
            digest = sha256(self.folder / "model.safetensors")[:12]
            return f"sha256:{digest}_L{self.layers}_no-idf_bert-score={version('bert-score')}"
        from bert_score.utils import get_hash

        own: str = get_hash(self._name, self.layers, False, False, False, False)
        return own + ("_prefix-space" if self._spaced else "")

    def score(
        self,
        predictions: Sequence[str],
        golds: Sequence[Sequence[str]],
        progress: Callable[[int, int], None] | None = None,
    ) -> Floats:
        """The best F1 over each prediction's gold answers, shape (N,), 0 to 1 (a negative similarity counts 0).

        A prediction or gold answer without a token scores 0 and is never encoded, nor is any pair encoded twice.
        `progress(done, total)` counts the different pairs of prediction and gold answer.

        Raises:
            UserError: the encoder cannot be loaded.
            ValueError: not as many predictions as lists of gold answers.
        """
        if len(predictions) != len(golds):
            raise ValueError(f"{len(predictions)} predictions do not go with {len(golds)} lists of gold answers")
        rows = list(zip(predictions, golds, strict=True))
        spoken = self._with_tokens(text for prediction, some in rows for text in (prediction, *some))
        pairs = list(
            dict.fromkeys(
                (prediction, gold) for prediction, some in rows for gold in some if {prediction, gold} <= spoken
            )
        )
        scores: dict[tuple[str, str], float] = {}
        for first in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = pairs[first : first + _PAIRS_AT_ONCE]
            scores.update(zip(part, self._f1(part), strict=True))
            if progress:
                progress(len(scores), len(pairs))
        best = [max((scores.get((prediction, gold), 0.0) for gold in some), default=0.0) for prediction, some in rows]
        return np.array(best, dtype=np.float64)

    def _with_tokens(self, texts: Iterable[str]) -> set[str]:
        # The package fails on "", and gives texts of nothing but zero-width characters a score above 0.
        different = [text for text in dict.fromkeys(texts) if text.strip()]
        if not different:
            return set()
        tokens = self._tokenizer(different, add_special_tokens=False)["input_ids"]
        return {text for text, ids in zip(different, tokens, strict=True) if ids}

    def _f1(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        from bert_score.utils import bert_cos_score_idf

        weights: dict[int, float] = defaultdict(lambda: 1.0)
        weights[self._tokenizer.sep_token_id] = weights[self._tokenizer.cls_token_id] = 0.0
        precision_recall_f1 = bert_cos_score_idf(
            self._model,
            [gold for _, gold in pairs],
            [prediction for prediction, _ in pairs],
            self._tokenizer,
            weights,
            device=self._device,
            batch_size=self.batch_size,
        )
        found: list[float] = precision_recall_f1[:, 2].double().clamp(0, 1).tolist()
        return found

    # `BERTScorer` of the package is not used: it would read pickles, takes any folder whose path has "t5" in it for a
    # T5, and asks RoBERTa's tokenizer for a leading space in a way that transformers 5 no longer hears.

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = self._loaded(AutoConfig)
        if config.is_encoder_decoder or config.pad_token_id is None:
            raise UserError(f"BERTScore's encoder in {self.folder} is of type {config.model_type!r}: not an encoder")
        return config

    @cached_property
    def _spaced(self) -> bool:
        from transformers import AutoTokenizer, GPT2Tokenizer, RobertaTokenizer

        return isinstance(self._loaded(AutoTokenizer), (GPT2Tokenizer, RobertaTokenizer))

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        tokenizer = self._loaded(AutoTokenizer, **({"add_prefix_space": True} if self._spaced else {}))
        if tokenizer.model_max_length > _UNSET:
            # RoBERTa's position table is two longer than its greatest input
            tokenizer.model_max_length = self._config.max_position_embeddings - 2
        return tokenizer

    @cached_property
    def _model(self) -> PreTrainedModel:
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging

        # without this, it prints a table of the layers that are left out
        transformers_logging.set_verbosity_error()
        model = self._loaded(AutoModel, num_hidden_layers=self.layers, use_safetensors=True, dtype=torch.float32)
        return model.requires_grad_(False).to(self._device)

    def _loaded(self, kind: Any, **options: Any) -> Any:
        try:
            return kind.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False, **options)
        except Exception as error:  # transformers and safetensors raise many kinds for a damaged folder
            raise UserError(f"BERTScore's encoder in {self.folder} cannot be loaded: {reason(error)}") from error


def open_scorer(model: str | None = None) -> BertScorer:
    """MiniLM's scorer for None, else that of a checkpoint folder (all its layers) or of a hub model such as
    "roberta-large" (the layer bert-score recommends, or all of them).

    Raises:
        UserError: it is neither a folder nor a hub id, or its weights cannot be had.
    """
    if model is None:
        return BertScorer(backbones.locate(backbones.BACKBONES["minilm-l6"]).folder, label="all-MiniLM-L6-v2")
    if model and Path(model).is_dir():
        return BertScorer(backbones.locate(backbones.Backbone(model, model, "", folder=Path(model))).folder)
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", model):
        raise UserError(f"BERTScore's encoder {model!r} is neither a folder nor a hub id")
    from bert_score.utils import model2layers

    try:
        folder = backbones.locate(backbones.Backbone(model, model, "", hub_id=model)).folder
    except UserError as error:
        what, _, remedy = str(error).partition(". To get them:")
        hint = f". Connect to the Hugging Face hub once, or name a folder that holds {model}" if remedy else ""
        raise UserError(f"BERTScore's encoder: {what}{hint}") from error
    return BertScorer(folder, model2layers.get(model), name=model)
