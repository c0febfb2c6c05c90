"""`sample_efficiency.json` and `ablation.json` of a backbone, which `train/` writes a result at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qa_compare.files import read_json
from qa_compare.records import Estimate
from qa_compare.structure import structured

SAMPLE_EFFICIENCY, ABLATION = "sample_efficiency.json", "ablation.json"


@dataclass(frozen=True, slots=True)
class ScoredOn:
    """The questions that every training of the experiment was scored on."""

    name: str
    questions: int


@dataclass(frozen=True, slots=True)
class Result:
    """One training's scores in percent. `step` names a step of the ablation; `train_questions` and `steps` (of the
    optimiser) belong to sample efficiency, and are None for the base, which is not trained there."""

    method: str
    exact_match: Estimate
    f1: Estimate
    step: str | None = None
    train_questions: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """The results so far, in the order they were found."""

    scored_on: ScoredOn
    results: tuple[Result, ...]

    @property
    def methods(self) -> list[str]:
        """In the order they were found, the base first."""
        return list(dict.fromkeys(row.method for row in self.results))

    @property
    def steps(self) -> list[str]:
        """Of the ablation, in their order: prompt tuning has them all, the others not those of virtual tokens."""
        ordered = sorted(self.results, key=lambda row: row.method != "prompt-tuning")
        return list(dict.fromkeys(row.step for row in ordered if row.step))


def read_experiment(path: Path) -> Experiment | None:
    """An experiment's results; None where it has none yet. Raises UserError for a damaged file."""
    found = structured(Experiment, read_json(path), str(path)) if path.exists() else None
    return found if found and found.results else None
