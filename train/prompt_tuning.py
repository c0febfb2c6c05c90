"""Prompt tuning (Lester et al. 2021): virtual tokens before the input, and the head; the encoder stays frozen.

python -m train.prompt_tuning --train-file new_wiki.json --epochs 10
"""

from __future__ import annotations

import argparse
from typing import Any

from peft import PromptTuningConfig

from train.loop import Method, main
from train.options import positive


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that only this method has."""
    parser.add_argument("--virtual-tokens", type=positive, help="how many")
    parser.add_argument("--initial-text", help='whose word embeddings they start from, repeated; "" for random words')


def configure(options: dict[str, Any]) -> PromptTuningConfig:
    """The options as PEFT reads them."""
    text = options["initial_text"]
    return PromptTuningConfig(
        task_type="QUESTION_ANS",
        num_virtual_tokens=options["virtual_tokens"],
        prompt_tuning_init="TEXT" if text else "SAMPLE_VOCAB",
        prompt_tuning_init_text=text or None,
        tokenizer_name_or_path=str(options["tokenizer"]) if text else None,
    )


DEFAULTS = {
    "virtual_tokens": 20,
    "initial_text": "Answer the question based on the context:",
    "learning_rate": 5e-3,
    "head_learning_rate": 3e-4,
    "weight_decay": 0.0,
    "epochs": 10.0,
}
METHOD = Method("prompt-tuning", configure, DEFAULTS, add_options)

if __name__ == "__main__":
    main(METHOD, description=__doc__)
