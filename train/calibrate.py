"""Fit the temperature of a variant that is already trained; a training run does it at its end by itself.

python -m train.calibrate adapters/minilm-l6-qa/lora --train-file new_wiki.json

The passages that `--train-file` would hold out are held out of every run, so that none that is trained with the same
files and fraction has seen them. Written into `variant.json` and the card; the answers stay, their confidence changes.
Scores that were measured before keep the temperature they were measured at, and say so: `evaluate --save` renews them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from qa_compare.data.examples import Example
from qa_compare.data.readers import read_examples
from qa_compare.errors import UserError
from qa_compare.files import read_json, write_json
from qa_compare.models import backbones, variants
from qa_compare.models.features import encode, window_length
from qa_compare.models.loading import apply, load_base
from qa_compare.runs import store
from qa_compare.runs.model_card import write_card
from qa_compare.runs.store import read_metrics
from train.command import one_line
from train.data import draw, split_by_passage, tell_left_out
from train.held_out import MOST, calibration
from train.options import Options


def calibrate(
    folder: Path, questions: list[Example], *, backbone: str | None = None, weights: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Fit on at most 1,000 of `questions`, write the temperature into the folder and its card, and return what was
    found.

    Raises:
        UserError: the folder cannot be used, or the questions say too little.
    """
    described = read_json(folder / variants.VARIANT_FILE)
    source = backbones.get(backbone or str(described.get("backbone") if isinstance(described, dict) else None))
    located = backbones.locate(source, weights=weights)
    variant = variants.read(folder, source)
    if folder.name == "base":  # it is not put onto itself, and brings its head
        under = backbones.load_model(source, located, needs_head=False)
    else:
        under = load_base(source, located, folder / "../..")
    model = apply(variant, under)
    tokenizer = backbones.load_tokenizer(located)
    tell_left_out("held-out", questions)
    some = draw([one for one in questions if one.answers], MOST, seed)
    encoded = encode(some, tokenizer, max_length=window_length(backbones.positions(located)))
    fit = calibration(model, encoded, tokenizer.pad_token_id)
    if fit is None:
        raise UserError(f"{len(some)} questions are too few to calibrate on, or all are answered alike")
    write_json(folder / variants.VARIANT_FILE, {**described, "temperature": fit["temperature"]})
    write_card(folder, source, name=folder.resolve().name)
    return fit


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the variant's, in its place beside its base")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--train-file", type=Path, action="append", help="what was trained on; several times")
    source.add_argument("--validation-file", type=Path, help="or questions that were not")
    parser.add_argument("--validation-fraction", type=float, default=Options().validation_fraction)
    parser.add_argument("--backbone", help="where the folder's own name for it is not enough: a hub id or a folder")
    parser.add_argument("--weights", type=Path, help="folder with the backbone's weights")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    with one_line():
        if arguments.validation_file:
            questions = read_examples(arguments.validation_file)
        else:
            everything = [example for path in arguments.train_file for example in read_examples(path)]
            questions = split_by_passage(everything, arguments.validation_fraction)[1]
        fit = calibrate(
            arguments.folder,
            questions,
            backbone=arguments.backbone,
            weights=arguments.weights,
            seed=arguments.seed,
        )
        print(f"temperature {fit['temperature']:.3f}, fitted on {fit['questions']} held-out questions")
        name, metrics = arguments.folder.resolve().name, read_metrics(arguments.folder)
        if metrics and (stale := store.other_temperature(name, metrics, fit["temperature"])):
            print(stale)


if __name__ == "__main__":
    main()
