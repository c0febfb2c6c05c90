"""Prefix tuning (Li and Liang 2021): virtual keys and values in every layer, and the head; the encoder stays frozen.

python -m train.prefix_tuning --train-file new_wiki.json --epochs 5
"""

from __future__ import annotations

import argparse
from typing import Any

from peft import PrefixTuningConfig

from train.loop import Method, main
from train.options import positive


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that only this method has."""
    parser.add_argument("--virtual-tokens", type=positive, help="how many, in each layer")


def configure(options: dict[str, Any]) -> PrefixTuningConfig:
    """The options as PEFT reads them."""
    return PrefixTuningConfig(task_type="QUESTION_ANS", num_virtual_tokens=options["virtual_tokens"])


DEFAULTS = {
    "virtual_tokens": 20,
    "learning_rate": 1e-2,
    "head_learning_rate": 3e-4,
    "weight_decay": 0.0,
    "epochs": 5.0,
}
METHOD = Method("prefix-tuning", configure, DEFAULTS, add_options)

if __name__ == "__main__":
    main(METHOD, description=__doc__)
