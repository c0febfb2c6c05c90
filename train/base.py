"""The base that adapters start from: a question-answering LoRA to be merged into a bare encoder, or only a head.

python -m train.base --train-file amazon_reviews.json --train-file reddit.json
python -m train.base --head-only --backbone minilm-l6 --train-file new_wiki.json
"""

from __future__ import annotations

import argparse
import sys

from qa_compare.models import backbones
from qa_compare.models.variants import CONFIG_FILE
from train import lora
from train.command import one_line
from train.loop import Method, main
from train.options import Options, parse

LORA = Method(
    "base",
    lora.configure,
    {**lora.DEFAULTS, "rank": 16, "alpha": 64, "epochs": 1.0},
    lora.add_options,
    trains_head=True,
)
HEAD_DEFAULTS = {"learning_rate": 1e-3, "epochs": 5.0}


def head(name: str = "head") -> Method:
    """A linear head: "base" where it is a bare encoder's, "head" as the control beside the adapters on another base."""
    return Method(
        name,
        lambda options: None,
        HEAD_DEFAULTS,
        unfreeze=lambda parameter: "qa_outputs" in parameter,
        trains_head=True,
    )


def head_for(options: Options) -> Method:
    """The head that the backbone lacks: its base, where neither the checkpoint nor an adapter has a trained head.

    Raises:
        UserError: an unknown backbone, or its weights are not found.
    """
    backbone = backbones.get(options.backbone)
    weights = backbones.locate(backbone, weights=options.weights, revision=options.revision)
    merged = backbone.merges or (options.adapters / backbone.name / "base" / CONFIG_FILE).is_file()
    return head("base" if backbones.without_head(weights) and not merged else "head")


def command(argv: list[str]) -> None:
    """The command: which of the two is trained, `--head-only` says."""
    chooser = argparse.ArgumentParser(add_help=False)
    chooser.add_argument("--head-only", action="store_true")
    chosen, rest = chooser.parse_known_args(argv)
    method = LORA
    if chosen.head_only:
        asked = argparse.ArgumentParser(
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
        )
        with one_line():
            method = head_for(parse(asked, HEAD_DEFAULTS, rest)[0])
    main(method, rest, __doc__)


if __name__ == "__main__":
    command(sys.argv[1:])
