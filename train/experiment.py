"""Short trainings beside each other, all scored on the same questions; each result is written as it is known.

What is in the results file is not done again, and a training that was cut goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from qa_compare.data.examples import Example, fingerprint
from qa_compare.data.readers import read_examples
from qa_compare.errors import UserError
from qa_compare.files import read_json, write_json
from qa_compare.measure.scoring import score, units
from qa_compare.models import backbones, loading, variants
from qa_compare.models.features import Encoded, encode, window_length
from qa_compare.models.loading import QAModel
from qa_compare.models.modeling import QAPeftModel, Repairs
from qa_compare.runs.records import Estimate
from qa_compare.runs.store import RUN
from train import lora, prompt_tuning
from train import options as shared
from train.checkpoints import differences
from train.data import described, draw, tell_left_out
from train.held_out import Logits, logits
from train.loop import Method, effective_precision, run
from train.record import hyperparameters, start_of

METHODS = {method.name: method for method in (lora.METHOD, prompt_tuning.METHOD)}
Answer = Callable[[Encoded, Logits], str]
# the same for every training of an experiment: no early stop, and few questions to choose the best checkpoint by
_DEFAULTS = {"patience": 1_000_000, "max_validation": 200}
_UNTOLD = ("precision", "start", "split")  # in files from before they were recorded
_MEANINGLESS = {"output", "init_from"}


@dataclass(frozen=True, slots=True)
class Trained:
    """A variant folder that a training left, and the repairs it was trained with."""

    folder: Path
    repairs: Repairs
    run: dict[str, Any]


class Experiment:
    """`given` are the options of the command line; `--validation-file` names the questions to score on at the end.

    Raises:
        UserError: bad input, or a results file that was made with other settings.
    """

    def __init__(self, name: str, given: dict[str, Any], questions: int, max_steps: int) -> None:
        for option in sorted(_MEANINGLESS & given.keys()):
            raise UserError(f"--{option.replace('_', '-')} has no meaning here")
        given.pop("resume", None)  # an experiment always goes on where it stopped
        given.pop("recipe", None)
        self.name = name
        overwrite = given.pop("overwrite", False)
        self.scored_on: Path | None = given.pop("validation_file", None)
        if self.scored_on is None:
            raise UserError("--validation-file is needed: the questions that every training is scored on at its end")
        given["keep_out"] = list(dict.fromkeys([*given.get("keep_out", ()), self.scored_on]))
        self.given, self.defaults = given, {**_DEFAULTS, "max_steps": max_steps}
        options, _ = self.options(lora.METHOD)
        self.backbone = backbones.get(options.backbone)
        self.weights = backbones.locate(self.backbone, weights=options.weights, revision=options.revision)
        self.adapters, self.runs = options.adapters, options.runs
        brought = read_examples(self.scored_on)
        tell_left_out("scored", brought)
        answered = [example for example in brought if example.answers]
        self.questions: list[Example] = draw(answered, questions, options.seed)
        self.path = self.adapters / self.backbone.name / f"{name}.json"
        found = {} if overwrite or not self.path.is_file() else read_json(self.path)
        self.precision = options.precision
        if self.precision == "auto":  # measured, and must not come out two ways in one experiment
            self.precision = found.get("precision") or effective_precision(options)
        self.settings = self._settings()
        self.rows = self._rows(found) if found else []

    def options(self, method: Method) -> tuple[shared.Options, dict[str, Any]]:
        """The options of a training by `method`: given, else the method's, else the experiment's."""
        return shared.resolve(self.given, {**method.defaults, **self.defaults})

    def _settings(self) -> dict[str, Any]:
        assert self.scored_on is not None
        chosen = {name: self.options(method) for name, method in METHODS.items()}
        options = chosen["lora"][0]
        return {
            "backbone": self.backbone.name,
            "train_files": described(options.train_file),
            "kept_out": described(options.keep_out),
            "scored_on": {
                **described([self.scored_on])[0],
                "questions": len(self.questions),
                "fingerprint": fingerprint(self.questions),
            },
            "hyperparameters": {name: hyperparameters(*both) for name, both in chosen.items()},
            "precision": self.precision,
            "start": start_of(self.backbone, self.weights, self.adapters / self.backbone.name / "base"),
            "split": {name: getattr(options, name) for name in ("validation_fraction", "drop_overlap", "max_overlap")},
        }

    def _rows(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        """The results that a file holds, if it was made with these settings."""
        untold = [key for key in _UNTOLD if key not in found]
        recorded = {key: self.settings[key] if key in untold else found.get(key) for key in self.settings}
        # as JSON has them: a tuple is a list there
        if differing := differences(recorded, json.loads(json.dumps(self.settings))):
            raise UserError(
                f"{self.path} was made with other data or options: {'; '.join(differing)}. Give the same again, or "
                "pass --overwrite to begin anew"
            )
        if untold:
            print(
                f"{self.name}: {self.path} does not say its {', '.join(untold)}: these are taken to be those of now",
                file=sys.stderr,
            )
        rows: list[dict[str, Any]] = found["results"]
        return rows

    def done(self, **key: Any) -> bool:
        """Whether there is a result that says all of this of itself."""
        return any(key.items() <= row.items() for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Write a result behind the others."""
        self.rows.append(row)
        machine = {"device": f"{platform.machine()}, {torch.get_num_threads()} threads", "torch": torch.__version__}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {**self.settings, "machine": machine, "results": self.rows})
        print(f"{self.name}: {json.dumps(row)}", file=sys.stderr, flush=True)

    def train(self, method: str, name: str, repairs: Repairs | None = None, **changes: Any) -> Trained:
        """The variant trained with these options changed, in a folder under `--runs` that is found again."""
        options, own = self.options(METHODS[method])
        digest = hashlib.sha256(json.dumps([self.settings, changes], sort_keys=True).encode()).hexdigest()[:8]
        folder = self.runs / self.name / self.backbone.name / f"{method}-{name}-{digest}"
        if not (folder / RUN).is_file():
            changes["precision"] = self.precision
            run(METHODS[method], replace(options, output=folder, resume=True, **changes), own, repairs=repairs)
        return Trained(folder, repairs or Repairs(), read_json(folder / RUN))

    @cached_property
    def base(self) -> Any:
        """The model that the trainings start from."""
        return loading.load_base(self.backbone, self.weights, self.adapters)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The backbone's."""
        return backbones.load_tokenizer(self.weights)

    def model(self, trained: Trained | None) -> QAModel:
        """A training's model, with the repairs it was trained with; the base for None."""
        if trained is None:
            base: QAModel = self.base
            return base
        model = loading.apply(variants.read(trained.folder, self.backbone), self.base)
        if isinstance(model, QAPeftModel):
            model.repairs = trained.repairs
        return model

    def score(
        self, model: QAModel, answer: Answer, *, segments: bool = True, max_windows: int | None = None
    ) -> dict[str, Any]:
        """Exact match and F1 in percent, with 95 % intervals over articles or passages."""
        max_length = window_length(backbones.positions(self.weights))
        encoded = encode(self.questions, self.tokenizer, max_length=max_length, max_windows=max_windows)
        found = logits(model, encoded, self.tokenizer.pad_token_id, segments=segments)
        answers = {one.example.id: answer(one, pairs) for one, pairs in zip(encoded, found, strict=True)}
        scores = score(answers, self.questions)
        return {
            name: asdict(Estimate.of(getattr(scores, name), units(self.questions))) for name in ("exact_match", "f1")
        }


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> tuple[dict[str, Any], int]:
    """The options given, and how many questions to score on."""
    shared.add_arguments(parser)
    parser.add_argument("--questions", type=shared.positive, help="of --validation-file, drawn by seed (default: 1000)")
    given = vars(parser.parse_args(argv))
    return given, given.pop("questions", 1_000)
