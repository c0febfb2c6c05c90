"""PEFT's extractive question-answering model with four repairs; saved folders stay ordinary PEFT adapters.

`peft.PeftModelForQuestionAnswering` names `token_type_ids` and drops it, does not shift the labels by the virtual
tokens it prepends, returns logits for them, and moves every passage token to a position that a BERT encoder never saw
it at. Here segments reach the encoder, labels are shifted, the virtual tokens' logits are dropped, and virtual tokens
take positions of their own at the end of the position table.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig, PeftModelForQuestionAnswering
from torch import Tensor, nn
from transformers import BertForQuestionAnswering, BertModel
from transformers.modeling_outputs import QuestionAnsweringModelOutput

# PEFT 0.21 asks transformers 5.23 and newer by an old name, which is no news for users
warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated", category=FutureWarning)
ADAPTER = "default"
Inputs = dict[str, Any]
# transformers 5.24 gave the argument its new name
_CACHE = "cache" if "cache" in inspect.signature(BertModel.forward).parameters else "past_key_values"


@dataclass(frozen=True, slots=True)
class Repairs:
    """Which of PEFT's faults are repaired: all of them, but for `train.ablation`, which adds them one by one."""

    segments: bool = True
    labels: bool = True
    positions: bool = True


class QAPeftModel(PeftModelForQuestionAnswering):
    """An adapter on a BERT question-answering model. Reads `input_ids` of B x L and gives logits of B x L.

    For prompt tuning with V virtual tokens, L + V must not exceed the backbone's position table.
    """

    def __init__(self, model: nn.Module, peft_config: PeftConfig, repairs: Repairs | None = None, **kwargs: Any):
        super().__init__(model, peft_config, **kwargs)
        self.repairs = repairs or Repairs()
        # PEFT appends its head to the list even where the list already names it, and saves it twice
        config: Any = peft_config
        config.modules_to_save = sorted(set(config.modules_to_save))

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:  # type: ignore[override]
        """Save as PEFT does, without its question to the hub whether the encoder's vocabulary was resized."""
        super().save_pretrained(save_directory, **{**kwargs, "save_embedding_layers": False})

    @property
    def virtual_tokens(self) -> int:
        """How many a prompt or a prefix has; 0 for other adapters."""
        config = self.active_peft_config
        return int(config.num_virtual_tokens) if config.is_prompt_learning else 0

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **kwargs: Any,
    ) -> QuestionAnsweringModelOutput:
        """All inputs are B x L, the labels (positions in `input_ids`) of length B; with these, `loss` is there."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        inputs: Inputs = {
            "attention_mask": attention_mask,
            "start_positions": start_positions,
            "end_positions": end_positions,
        }
        if self.repairs.segments:
            inputs["token_type_ids"] = token_type_ids
        if not self.active_peft_config.is_prompt_learning:
            return self.base_model(input_ids=input_ids, **inputs, **kwargs)
        inputs["attention_mask"] = torch.cat([attention_mask.new_ones(len(input_ids), self.virtual_tokens),
                                              attention_mask], dim=1)  # fmt: skip
        if self.active_peft_config.peft_type == "PREFIX_TUNING":
            return self._with_prefix(input_ids, inputs, kwargs)
        return self._with_prompt(input_ids, inputs, kwargs)

    def _with_prefix(self, input_ids: Tensor, inputs: Inputs, kwargs: Inputs) -> QuestionAnsweringModelOutput:
        """Keys and values before the sequence: no logits and no labels of theirs, but BERT counts them as positions."""
        if self.repairs.positions:
            inputs["position_ids"] = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        inputs[_CACHE] = self.get_prompt(len(input_ids))
        return self.base_model(input_ids=input_ids, **inputs, **kwargs)

    def _with_prompt(self, input_ids: Tensor, inputs: Inputs, kwargs: Inputs) -> QuestionAnsweringModelOutput:
        batch, length = input_ids.shape
        virtual = self.virtual_tokens
        table = int(self.base_model.config.max_position_embeddings)  # type: ignore[arg-type, union-attr]
        if length + virtual > table:
            raise ValueError(f"{length} tokens and {virtual} virtual ones exceed the encoder's {table} positions")
        embeddings = self.get_input_embeddings()(input_ids)
        prompt = self.get_prompt(batch_size=batch).to(embeddings.dtype)
        if self.repairs.segments and inputs["token_type_ids"] is not None:
            segments = inputs["token_type_ids"]
            inputs["token_type_ids"] = torch.cat([segments.new_zeros(batch, virtual), segments], dim=1)
        if self.repairs.positions:
            own = torch.arange(table - virtual, table, device=input_ids.device)
            inputs["position_ids"] = torch.cat([own, torch.arange(length, device=input_ids.device)])[None]
        if self.repairs.labels:
            for name in ("start_positions", "end_positions"):
                if inputs[name] is not None:
                    inputs[name] = inputs[name] + virtual
        output = self.base_model(inputs_embeds=torch.cat([prompt, embeddings], dim=1), **inputs, **kwargs)
        if self.repairs.labels:
            output.start_logits = output.start_logits[:, virtual:]
            output.end_logits = output.end_logits[:, virtual:]
        return output


class Fp32Linear(nn.Linear):
    """A head that computes in fp32 also under bfloat16 autocast: in bfloat16 the logits of neighbouring spans tie."""

    def forward(self, hidden: Tensor) -> Tensor:
        """B x L x hidden of any kind -> B x L x 2 in fp32."""
        with torch.autocast(hidden.device.type, enabled=False):
            return super().forward(hidden.float())


def share(model: BertForQuestionAnswering) -> BertForQuestionAnswering:
    """A copy of the module tree that holds the same parameters: changing the tree leaves the original alone."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


class OwnCopy:
    """A copy of a model in which everything may be written: weights, biases, embeddings, buffers.

    PEFT writes in many places: it sets biases and embeddings of an adapter's state, takes a first decomposition out of
    a matrix, adds an update when it merges. Whoever gives it `model` need not know these places, because the original
    cannot be reached from the copy. Afterwards `share_unchanged` lets go of what nobody wrote to.
    """

    def __init__(self, original: BertForQuestionAnswering):
        memo: dict[int, Any] = {}
        self.model: BertForQuestionAnswering = copy.deepcopy(original, memo)
        # a tensor's hash is its identity
        self._originals: dict[Tensor, Tensor] = {memo[id(one)]: one for one in original.parameters()}

    def share_unchanged(self, made: nn.Module) -> None:
        """Put the original's parameters into `made`, which was made from `model`, wherever the copies still equal them.

        A parameter that may still be trained, and every buffer, stays a copy.
        """
        for module in made.modules():
            for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
                original = self._originals.get(parameter)
                if original is not None and not parameter.requires_grad and torch.equal(parameter, original):
                    setattr(module, name, original)


def merge(model: QAPeftModel) -> BertForQuestionAnswering:
    """Fold a LoRA or IA3 adapter into its encoder and return the plain model.

    PEFT writes into the encoder that it was given, which must therefore be an `OwnCopy`.
    """
    tuner: Any = model.base_model
    merged: BertForQuestionAnswering = tuner.merge_and_unload()
    return merged


def own_head(model: BertForQuestionAnswering) -> BertForQuestionAnswering:
    """`share`, with a question-answering head of its own that may be trained or loaded."""
    model = share(model)
    model.qa_outputs = copy.deepcopy(model.qa_outputs)
    return model
