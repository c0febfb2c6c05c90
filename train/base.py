"""The base that adapters start from: a question-answering LoRA to be merged into a bare encoder, or only a head.

python -m train.base --train-file amazon_reviews.json --train-file reddit.json
python -m train.base --head-only --backbone minilm-l6 --train-file new_wiki.json
"""

from __future__ import annotations

import argparse
import sys

from train import lora
from train.loop import Method, main
from train.options import Options

LORA = Method("base", lora.configure, {**lora.DEFAULTS, "rank": 16, "alpha": 64, "epochs": 1.0}, lora.add_options)
HEAD_DEFAULTS = {"learning_rate": 1e-3, "epochs": 5.0}


def head(backbone: str) -> Method:
    """A linear head: the base of a bare encoder, and the control `head` beside the adapters of any other backbone."""
    name = "base" if backbone == "minilm-l6" else "head"
    return Method(name, lambda options: None, HEAD_DEFAULTS, unfreeze=lambda parameter: "qa_outputs" in parameter)


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(add_help=False)
    chooser.add_argument("--head-only", action="store_true")
    chooser.add_argument("--backbone", default=Options().backbone)
    chosen, _ = chooser.parse_known_args()
    rest = [argument for argument in sys.argv[1:] if argument != "--head-only"]
    main(head(chosen.backbone) if chosen.head_only else LORA, rest, __doc__)
