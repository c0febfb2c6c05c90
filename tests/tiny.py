"""A random BERT small enough to train in a test, with a word-piece tokenizer that covers printable ASCII."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForQuestionAnswering, BertTokenizer

from qa_compare.data.examples import Answer, Example

WORDS = "the river rises in north and flows to sea where who how what answer question based on context".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary() -> dict[str, int]:
    characters = [character for character in string.printable if not character.isspace()]
    tokens = [*SPECIAL, *characters, *(f"##{character}" for character in characters), *WORDS]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def config(**changes: Any) -> BertConfig:
    usual = {
        "vocab_size": len(vocabulary()),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**{**usual, **changes})


def model(seed: int = 0, **changes: Any) -> BertForQuestionAnswering:
    torch.manual_seed(seed)
    made = BertForQuestionAnswering(config(**changes)).eval()
    with torch.no_grad():  # the usual 0.02 makes every logit alike, and differences vanish in rounding
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.5)
    return made


def tokenizer() -> BertTokenizer:
    return BertTokenizer(vocab=vocabulary(), do_lower_case=True)


def checkpoint(folder: Path, seed: int = 0, *, head: bool = True, **changes: Any) -> Path:
    """A checkpoint folder as the hub would give it; without a `head`, as that of an encoder that was never trained to
    answer. `changes` are to its config."""
    made = model(seed, **changes)
    (made if head else made.bert).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def examples(count: int = 12) -> list[Example]:
    """Questions about a river that ends in a numbered sea; every passage is another."""
    made = []
    for number in range(count):
        passage = f"The river {number} rises in the north and flows to sea {number * 7}."
        answer = f"sea {number * 7}"
        gold = (Answer(answer, passage.index(answer)),)
        made.append(Example(f"q{number}", f"River {number}", passage, "Where flows the river to?", gold))
    return made
