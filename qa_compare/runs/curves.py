"""`log.jsonl` and `run.json` -> curves, the marks on them, and the settings in which runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa_compare.models.backbones import Backbone
from qa_compare.models.variants import discover
from qa_compare.runs.overview import Reader
from qa_compare.runs.records import Event, Run
from qa_compare.runs.store import LOG, RUN, read_log, read_run
from qa_compare.runs.tables import NOTHING, Row, Table

AXES = {"step": "Step", "epoch": "Epoch", "seconds": "Seconds of training"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A quantity of the log: the field of `Event`, and how it is called; `unit` is that of its axis. A `noisy` one is
    smoothed: of the few evaluations, each stands for a checkpoint and is left as it is."""

    field: str
    title: str
    unit: str
    may_be_logarithmic: bool = False
    noisy: bool = False

    @property
    def evaluated(self) -> bool:
        """Whether checkpoints are chosen by it and its like, so that the chosen one is marked."""
        return self.field.startswith("eval_")


CURVES = (
    Curve("loss", "Training loss", "nats", True, noisy=True),
    Curve("eval_loss", "Evaluation loss", "nats", True),
    Curve("eval_exact_match", "Exact match", "%"),
    Curve("eval_f1", "F1", "%"),
    Curve("learning_rate", "Learning rate", "", True),
)


@dataclass(frozen=True, slots=True)
class Trail:
    """What a run has logged. `going` says that it has not left its `run.json` yet; `run` is also None for a damaged
    one."""

    name: str
    label: str
    events: tuple[Event, ...]
    run: Run | None
    going: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of a curve that means something."""

    x: float
    y: float
    meaning: str


def trails(backbone: Backbone, adapters: Path) -> tuple[tuple[Trail, ...], tuple[str, ...]]:
    """The runs of a backbone that left a log, in the page's order, and a sentence for each damaged file."""
    reader = Reader(adapters)
    found = []
    for variant in discover(backbone, adapters):
        if variant.folder and (events := reader.read(read_log, variant.folder)):
            going = not (variant.folder / RUN).exists()
            run = reader.read(read_run, variant.folder)
            found.append(Trail(variant.name, variant.label, events, run, going))
    return tuple(found), tuple(reader.problems)


def signature(backbone: Backbone, adapters: Path) -> list[list[str | int]]:
    """What changes when a run logs something or ends; reads no file."""
    paths = sorted(path for name in (LOG, RUN) for path in (adapters / backbone.name).glob(f"*/{name}"))
    return [[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in paths if path.exists()]


def points(trail: Trail, field: str, axis: str) -> tuple[list[float], list[float]]:
    """The events that have the quantity: their places on the axis (a key of `AXES`), and its values."""
    had = [event for event in trail.events if getattr(event, field) is not None]
    return [float(getattr(event, axis)) for event in had], [float(getattr(event, field)) for event in had]


def smooth(values: Sequence[float], amount: float) -> list[float]:
    """An exponential moving average, weighted so that it does not start at 0; `amount` from 0 (none) to below 1."""
    made, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = amount * mean + (1 - amount) * value
        weight = amount * weight + (1 - amount)
        made.append(mean / weight)
    return made


def marks(trail: Trail, field: str, axis: str) -> tuple[Mark, ...]:
    """The best checkpoint, and the end where it came early, at the logged points next to them."""
    run = trail.run
    had = [event for event in trail.events if getattr(event, field) is not None]
    if not run or not had:
        return ()
    before = _steps_before(run.continued_from)
    wanted = [(before + run.best_step, "best checkpoint")]
    if run.stopped.startswith("early"):
        wanted.append((before + run.steps, "early stop"))
    found = []
    for step, meaning in wanted:
        nearest = min(had, key=lambda event: abs(event.step - step))
        found.append(Mark(float(getattr(nearest, axis)), float(getattr(nearest, field)), meaning))
    return tuple(found)


def _steps_before(earlier: Any) -> int:
    """The log counts on from the run that was continued, `run.json` does not."""
    if not isinstance(earlier, dict):  # None, or anything: run.json does not vouch for what it copied from another
        return 0
    steps = earlier.get("steps")
    return (steps if isinstance(steps, int) else 0) + _steps_before(earlier.get("continued_from"))


def differences(chosen: Sequence[Trail]) -> Table | None:
    """The settings in which the finished runs differ, a column for each run; None for fewer than two of them."""
    finished = [(trail, trail.run) for trail in chosen if trail.run]
    if len(finished) < 2:
        return None
    settings = [_settings(run) for _, run in finished]
    names = dict.fromkeys(name for one in settings for name in one)
    rows = [(name, [one.get(name, NOTHING) for one in settings]) for name in names]
    return Table(
        ("Setting", *(trail.label for trail, _ in finished)),
        tuple(Row((name, *cells)) for name, cells in rows if len(set(cells)) > 1),
    )


def _settings(run: Run) -> dict[str, str]:
    data = run.data
    files = ", ".join(one.name for one in data.train_files) or "SQuAD from the hub"
    learned_from = {"training files": files, "training questions": f"{data.train_questions:,}"}
    shown = {name.replace("_", " "): _shown(value) for name, value in run.hyperparameters.items()}
    return {**learned_from, **shown}


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def described(chosen: Sequence[Trail]) -> list[str]:
    """How each run ended, or that it goes on, in a sentence each."""
    return [_ending(trail) for trail in chosen]


def _ending(trail: Trail) -> str:
    last = trail.events[-1]
    if trail.run:
        early = trail.run.stopped.startswith("early")
        how = "stopped early" if early else "ran to its end"
        best = _steps_before(trail.run.continued_from) + trail.run.best_step
        return f"{trail.label} {how} after {last.step:,} steps; its best checkpoint is that of step {best:,}."
    how = "is not finished" if trail.going else "has a damaged run.json"
    return f"{trail.label} {how}: {last.step:,} steps in {last.seconds:,.0f} s so far."
