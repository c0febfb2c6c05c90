"""What each repair is worth: the student report's procedure as written, then one repair after the other added to it.

python -m train.ablation --train-file new_wiki.json --validation-file dev-v1.1.json --drop-overlap

As written: no segment ids, labels not moved by the virtual tokens, passage positions moved by them, the best start and
the best end taken apart, and of a passage only the window of its first 384 tokens. The base is only scored; LoRA and
prompt tuning are trained once for each set of the repairs that touch training. Results, a step each as it is known:
adapters/<backbone>/ablation.json.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import astuple, dataclass
from typing import Any

from qa_compare.inference.decoding import decode
from qa_compare.models.features import Encoded
from qa_compare.models.modeling import Repairs
from train.command import one_line
from train.experiment import Experiment, parse
from train.held_out import Logits

STEPS = ("as written", "segments", "labels", "positions", "joint spans", "all windows")
_PROMPT_ONLY = {"labels", "positions"}
MAX_STEPS = 500


@dataclass(frozen=True, slots=True)
class Step:
    """The repairs in force: those of the model, and whether spans are joint and all windows are read."""

    name: str
    repairs: Repairs
    joint: bool
    all_windows: bool

    @property
    def training(self) -> str:
        """Names the training: steps that only change how answers are read share one."""
        return "".join(letter for letter, on in zip("slp", astuple(self.repairs), strict=True) if on) or "none"


def plan(method: str) -> list[Step]:
    """The steps of a method, each with all repairs before it; those of virtual tokens mean nothing without any."""
    names = [name for name in STEPS if method == "prompt-tuning" or name not in _PROMPT_ONLY]
    steps = []
    for count, name in enumerate(names, 1):
        on = names[:count]
        repairs = Repairs(segments="segments" in on, labels="labels" in on, positions="positions" in on)
        steps.append(Step(name, repairs, "joint spans" in on, "all windows" in on))
    return steps


def apart(encoded: Encoded, pairs: Logits) -> str:
    """The passage's part between the best start and the best end of the first window, each taken for itself over the
    whole row, padding and all: empty where the end comes first, or both lie outside the passage."""
    window, (starts, ends) = encoded.windows[0], pairs[0]
    first = max(int(starts.argmax()) - window.passage_start, 0)
    last = min(int(ends.argmax()) - window.passage_start, window.passage_tokens - 1)
    if first > last:
        return ""
    return encoded.example.passage[int(encoded.offsets[first, 0]) : int(encoded.offsets[last, 1])]


def joint(encoded: Encoded, pairs: Logits) -> str:
    """The best valid span over all windows, as the app decodes."""
    return decode(encoded, [pair[0] for pair in pairs], [pair[1] for pair in pairs], top=1).answer


def ablate(experiment: Experiment) -> None:
    """Every step that has no result yet."""
    for method in ("base", "lora", "prompt-tuning"):
        for step in plan(method):
            if not experiment.done(method=method, step=step.name):
                experiment.add({"method": method, "step": step.name, **_result(experiment, method, step)})


def _result(experiment: Experiment, method: str, step: Step) -> dict[str, Any]:
    trained = None if method == "base" else experiment.train(method, step.training, step.repairs)
    model = experiment.model(trained)
    begin = time.perf_counter()
    scores = experiment.score(
        model,
        joint if step.joint else apart,
        segments=step.repairs.segments,
        max_windows=None if step.all_windows else 1,
    )
    seconds = {"scoring_seconds": round(time.perf_counter() - begin, 1)}
    if trained:
        seconds["training_seconds"] = trained.run["seconds"]
    return {**scores, **seconds}


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    given, questions = parse(parser, argv)
    with one_line():
        experiment = Experiment("ablation", given, questions, MAX_STEPS)
        ablate(experiment)
        print(f"wrote {experiment.path}")


if __name__ == "__main__":
    main()
