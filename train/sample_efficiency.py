"""How much data each method needs: LoRA and prompt tuning on more and more questions, for the same number of steps.

python -m train.sample_efficiency --train-file new_wiki.json --validation-file dev-v1.1.json --drop-overlap

Then, on the most of the --sizes, for four times the steps. Nothing stops early; the checkpoint with the lowest loss on
held-out passages is scored. Results, one as it is known: adapters/<backbone>/sample_efficiency.json.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from qa_compare.errors import UserError
from train.ablation import joint
from train.command import one_line
from train.experiment import METHODS, Experiment, parse

SIZES = "250,1000,4000"
MAX_STEPS = 300
LONGER = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A training: on how many questions (None: all), and for how many times the steps."""

    questions: int | None
    times: int = 1


def plan(sizes: str) -> list[Point]:
    """The trainings of a method. Raises UserError where `sizes` is no list of numbers."""
    try:
        numbers = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise UserError(f"--sizes {sizes}: give numbers of questions, comma-separated")
    return [*(Point(number) for number in numbers), Point(None), Point(numbers[-1], LONGER)]


def measure(experiment: Experiment, points: list[Point]) -> None:
    """Every point that has no result yet, the base first."""
    if not experiment.done(method="base"):
        experiment.add({"method": "base", **experiment.score(experiment.model(None), joint)})
    for method in METHODS:
        for point in points:
            row = _row(experiment, method, point)
            if not experiment.done(**row):
                experiment.add({**row, **_result(experiment, method, point)})


def _row(experiment: Experiment, method: str, point: Point) -> dict[str, Any]:
    steps = point.times * experiment.options(METHODS[method])[0].max_steps
    return {"method": method, "questions_asked": point.questions or "all", "steps": steps}


def _result(experiment: Experiment, method: str, point: Point) -> dict[str, Any]:
    row = _row(experiment, method, point)
    trained = experiment.train(
        method, f"{row['questions_asked']}-{point.times}", max_examples=point.questions, max_steps=row["steps"]
    )
    return {
        "train_questions": trained.run["data"]["train_questions"],
        "best_step": trained.run["best_step"],
        **experiment.score(experiment.model(trained), joint),
        "training_seconds": trained.run["seconds"],
    }


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--sizes", help=f"numbers of training questions, besides all (default: {SIZES})")
    given, questions = parse(parser, argv)
    sizes = given.pop("sizes", SIZES)
    with one_line():
        points = plan(sizes)
        experiment = Experiment("sample_efficiency", given, questions, MAX_STEPS)
        measure(experiment, points)
        print(f"wrote {experiment.path}")


if __name__ == "__main__":
    main()
