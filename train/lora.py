"""LoRA (Hu et al. 2021): low-rank updates of the encoder's matrices, and the head.

python -m train.lora --train-file new_wiki.json --epochs 3
"""

from __future__ import annotations

import argparse
from typing import Any

from peft import LoraConfig

from train.loop import Method, main
from train.options import positive, share


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that only this method has."""
    parser.add_argument("--rank", type=positive, help="r, the rank of the update")
    parser.add_argument("--alpha", type=positive, help="the update is scaled by alpha / r")
    parser.add_argument("--dropout", type=share, help="on the update's input")
    parser.add_argument("--targets", help='names of the matrices, comma-separated, or "all-linear"')


def configure(options: dict[str, Any]) -> LoraConfig:
    """The options as PEFT reads them."""
    targets = options["targets"]
    return LoraConfig(
        task_type="QUESTION_ANS",
        r=options["rank"],
        lora_alpha=options["alpha"],
        lora_dropout=options["dropout"],
        target_modules=targets if targets == "all-linear" else [one.strip() for one in targets.split(",")],
        modules_to_save=["qa_outputs"],
    )


DEFAULTS = {"rank": 16, "alpha": 32, "dropout": 0.0, "targets": "all-linear", "learning_rate": 1e-3}
METHOD = Method("lora", configure, DEFAULTS, add_options)

if __name__ == "__main__":
    main(METHOD, description=__doc__)
