"""What all benchmarks share: sides that take turns, medians, the machine, one JSON a benchmark."""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from qa_compare.cli.doctor import processor_name
from qa_compare.data.examples import Example
from qa_compare.data.readers import read_examples
from qa_compare.data.sources import sample, squad_validation
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.comparison import VariantAnswer
from qa_compare.inference.engine import AnswerCache, Engine
from qa_compare.models.features import pad
from qa_compare.models.registry import versions
from train.options import positive

HERE = Path(__file__).parent
ROUNDS = 9
SQUAD: dict[str, Any] = {
    "type": Path,
    "metavar": "FILE",
    "help": "SQuAD's validation questions, instead of the hub's",
}
Side = Callable[[], float]
Rounds = Mapping[str, Sequence[float]]
Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "processor": processor_name(),
        "threads": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions("torch", "transformers", "peft", "accelerate"),
    }


def options(
    description: str | None, argv: Sequence[str] | None, name: str, **more: dict[str, Any]
) -> argparse.Namespace:
    """What every benchmark of inference takes, and `more` of its own; the threads are set."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=positive, default=ROUNDS, help=f"that count, after one (default: {ROUNDS})")
    made.add_argument("--threads", type=positive, default=os.cpu_count(), help="of each side (default: all cores)")
    made.add_argument("--quick", action="store_true", help="two rounds of little, to see that it runs; writes nothing")
    made.add_argument("--output", type=Path, default=HERE / f"{name}.json")
    for option, settings in more.items():
        made.add_argument(f"--{option}", **settings)
    given = made.parse_args(argv)
    torch.set_num_threads(given.threads)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # of the processes that are started
    given.rounds = 2 if given.quick else given.rounds
    return given


def squad_sample(file: Path | None, number: int) -> list[Example]:
    """`number` questions of SQuAD validation, always the same: of `file`, else of the hub. Exits with a line if not."""
    try:
        return random.Random(0).sample(read_examples(file) if file else squad_validation(), number)
    except UserError as error:
        sys.exit(f"error: {error}")


def timed(work: Callable[[], object]) -> Side:
    """The seconds that one call of `work` takes."""

    def seconds() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return seconds


def alternate(sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """What each side says, round by round, the sides taking turns; a first round warms up and is left out."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            seconds = side()
            if number:
                found[name].append(seconds)
    return found


def row(what: str, over: str, under: str, rounds: Rounds, *, most: float = 0, least: float = 0, goal: str = "") -> Row:
    """A row of the results: the median of side `over` divided by that of `under`, against the goal if there is one."""
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    ratio = medians[over] / medians[under]
    reached = least <= ratio <= (most or ratio) if least or most else None
    goal = goal or (f"at most {most}" if most else f"at least {least}" if least else "")
    return {"what": what, "goal": goal, "ratio": ratio, "reached": reached, "median": medians, "rounds": rounds}


def at_once(ask: Callable[[int], object], numbers: Sequence[int]) -> list[float]:
    """The seconds until `ask` has returned for each of `numbers`, all called at the same moment."""
    begin = time.perf_counter()

    def wait(number: int) -> float:
        ask(number)
        return time.perf_counter() - begin

    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(wait, numbers))


def waiting(what: str, waits: Sequence[Sequence[float]]) -> Row:
    """The longest wait over the mean: of what `at_once` returned in each round, the first of which is left out."""
    rounds = {
        "longest wait": [max(some) for some in waits[1:]],
        "mean wait": [statistics.mean(some) for some in waits[1:]],
    }
    return row(what, "longest wait", "mean wait", rounds, most=2)


def product_rate() -> float:
    """This processor's fp32 matrix products, in GFLOP/s: a feed-forward layer over some three passages."""
    left, right = torch.ones(512, 384), torch.ones(384, 1536)
    [seconds] = alternate({"": timed(lambda: torch.mm(left, right))}, ROUNDS).values()
    return 2 * 512 * 384 * 1536 / statistics.median(seconds) / 1e9


def report(given: argparse.Namespace, what: str, rows: Sequence[Row]) -> None:
    """Print each row's ratio against its goal and, unless it was only a quick look, write them with the machine."""
    for one in rows:
        verdict = {True: "reached", False: "missed", None: "no goal"}[one["reached"]]
        print(f"{one['what']}: {one['ratio']:.2f} ({one['goal']}: {verdict})", flush=True)
    write(given, what, {"matrix_gflops": product_rate(), "rows": list(rows)})


def write(given: argparse.Namespace, what: str, found: Mapping[str, Any]) -> None:
    """Write what was found with the machine, unless it was only a quick look."""
    if not given.quick:
        write_json(given.output, {"what": what, "machine": machine() | {"threads": given.threads}, **found})


def forgetful(engine: Engine) -> Engine:
    """`engine`, which from now on computes every answer anew, as if each question were asked for the first time."""
    engine._remembered = AnswerCache[VariantAnswer](0)
    return engine


def inputs(engine: Engine, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """All windows of `examples` as one batch for `model(**inputs)`, each tensor of windows x tokens."""
    windows = [window for one in engine.encode(examples) for window in one.windows]
    return pad(windows, engine.tokenizer.pad_token_id)


def text(*, words: int = 0, characters: int = 0) -> str:
    """The built-in passages one after the other, as often as it takes, cut to that many words or characters."""
    whole = " ".join(dict.fromkeys(example.passage for example in sample()))
    whole = " ".join([whole] * (1 + max(characters, 8 * words) // len(whole)))
    return " ".join(whole.split()[:words]) if words else whole[:characters]
