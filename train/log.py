"""`log.jsonl`: the curves of a run, an event a line, appended as it happens."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qa_compare.errors import UserError
from qa_compare.files import write_text
from qa_compare.runs.records import Event
from qa_compare.runs.store import read_log


class Log(TrainerCallback):
    """Appends Trainer's events to `log.jsonl`, in the main process alone.

    When a run is resumed, lines behind its checkpoint are dropped first. A run that continues another variant begins
    with that one's events (`earlier`) and counts its steps, epochs and seconds on.
    """

    KEYS = ("loss", "learning_rate", "grad_norm", "eval_loss", "eval_exact_match", "eval_f1")

    def __init__(self, path: Path, resumed_step: int | None, earlier: Sequence[Event], *, write: bool) -> None:
        self.path, self.write = path, write
        last = earlier[-1] if earlier else Event(0, 0.0, 0.0)
        self.first_step, self.first_epoch = last.step, last.epoch
        kept = earlier
        if resumed_step is not None:
            kept = [event for event in read_log(path.parent) if event.step <= resumed_step + self.first_step]
        self.before = max((event.seconds for event in kept), default=0.0)
        self.begin = time.perf_counter()
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, "".join(map(_line, kept)))

    @property
    def seconds(self) -> float:
        """Of training, those before a resume and those of the run that was continued counted in."""
        return self.before + time.perf_counter() - self.begin

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        """Append what Trainer says. Raises UserError for a loss that is not a number."""
        event = {key: logs[key] for key in self.KEYS if key in (logs or {})}
        for key in ("loss", "eval_loss"):
            if not math.isfinite(event.get(key, 0.0)):
                raise UserError(
                    f"the {key.replace('_', ' ')} is not a number at step {state.global_step}: lower --learning-rate; "
                    f"the checkpoints in {args.output_dir} are from before"
                )
        if self.write and ("loss" in event or "eval_loss" in event):
            logged = Event(
                step=state.global_step + self.first_step,
                epoch=round((state.epoch or 0) + self.first_epoch, 4),
                seconds=round(self.seconds, 1),
                **event,
            )
            with self.path.open("a") as file:
                file.write(_line(logged))


def _line(event: Event) -> str:
    """What is not there, or not finite (a gradient's norm can overflow), is left out."""
    told = {key: value for key, value in asdict(event).items() if value is not None and math.isfinite(value)}
    return json.dumps(told) + "\n"
