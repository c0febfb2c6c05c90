"""Part a file of questions in two, whole articles at a time: one to train on, one to measure or to stop by.

python -m train.split new_wiki.json --fraction 0.1 --output runs/split
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from qa_compare.data.examples import Example, to_squad
from qa_compare.data.readers import read_examples
from qa_compare.errors import UserError
from qa_compare.files import write_json
from train.command import one_line


def split_by_article(examples: list[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out questions that share no article; held out is the first `fraction` of a random order."""
    titles = sorted({example.title for example in examples})
    random.Random(seed).shuffle(titles)
    held: set[str] = set()
    while titles and sum(example.title in held for example in examples) < fraction * len(examples):
        held.add(titles.pop())
    return [one for one in examples if one.title not in held], [one for one in examples if one.title in held]


def main(argv: list[str] | None = None) -> None:
    """Write `<name>-train.json` and `<name>-validation.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--fraction", type=float, default=0.1, help="share of the questions to hold out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/split"))
    arguments = parser.parse_args(argv)
    with one_line():
        train, held = split_by_article(read_examples(arguments.file), arguments.fraction, arguments.seed)
        if not train or not held:
            raise UserError(f"{arguments.file} cannot be parted: it takes two titles, and a --fraction between 0 and 1")
        arguments.output.mkdir(parents=True, exist_ok=True)
        for name, examples in (("train", train), ("validation", held)):
            path = arguments.output / f"{arguments.file.stem}-{name}.json"
            write_json(path, to_squad(examples))
            print(f"{path}: {len(examples)} questions, {len({one.title for one in examples})} articles")


if __name__ == "__main__":
    main()
