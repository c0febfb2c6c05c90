"""IA³ (Liu et al. 2022): vectors that scale keys, values and the feed-forward layers' inner activations, and the head.

python -m train.ia3 --train-file new_wiki.json --epochs 5
"""

from __future__ import annotations

from typing import Any

from peft import IA3Config

from train.loop import Method, main

# "output.dense", PEFT's own name for BERT, would scale the attention's output too
FEED_FORWARD = r".*\.layer\.\d+\.output\.dense"


def configure(options: dict[str, Any]) -> IA3Config:
    """There is nothing to choose."""
    return IA3Config(
        task_type="QUESTION_ANS",
        target_modules=rf".*\.(key|value)|{FEED_FORWARD}",
        feedforward_modules=FEED_FORWARD,
        modules_to_save=["qa_outputs"],
    )


# weight decay would pull the vectors to 0, and they start at 1
DEFAULTS = {"learning_rate": 1e-2, "head_learning_rate": 3e-4, "weight_decay": 0.0, "epochs": 5.0}
METHOD = Method("ia3", configure, DEFAULTS)

if __name__ == "__main__":
    main(METHOD, description=__doc__)
