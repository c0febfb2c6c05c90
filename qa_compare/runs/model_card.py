"""The model card of a variant, generated from its `variant.json`, `run.json` and `metrics.json`.

Its metadata is the Hugging Face hub's: https://huggingface.co/docs/hub/model-cards, scores as a model-index.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qa_compare.data.examples import SQUAD_VALIDATION
from qa_compare.files import read_json, write_text
from qa_compare.measure.scoring import Squad2
from qa_compare.models.backbones import Backbone
from qa_compare.models.variants import ADAPTER_FILE, BEFORE_PASSAGE, END_OF_TABLE, HEAD_FILE, NO_POSITIONS, VARIANT_FILE
from qa_compare.runs.records import BertScore, Calibration, Estimate, Metrics, Run, RunData, structured
from qa_compare.runs.store import read_metrics, read_run

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


CARD = "README.md"
_USE = {
    "base": (
        "The adapter is merged into the encoder when this project loads it; "
        "`python -m qa_compare export-base {backbone} --output DIR` writes the merged model as an ordinary checkpoint."
    ),
    "head": "Only a linear head on the frozen encoder: `head.safetensors`, its `weight` and `bias`.",
    "lora": (
        "Plain PEFT loads it onto {base}. PEFT's question-answering class drops `token_type_ids`: merge the adapter "
        "and pass them to the merged model, and the logits are this project's."
    ),
    END_OF_TABLE: (
        "Plain PEFT loads it onto {base}, but needs this project's `QAPeftModel` to keep segments and positions: the "
        "virtual tokens sit at the end of the position table and the passage keeps its own positions."
    ),
    NO_POSITIONS: (
        "Plain PEFT loads it onto {base}, but needs this project's `QAPeftModel` to keep segments and positions: the "
        "virtual keys and values take no positions and the passage keeps its own."
    ),
    BEFORE_PASSAGE: (
        "Plain PEFT loads it onto {base}, but needs this project's `QAPeftModel` to keep segments. The virtual tokens "
        "sit before the passage and move its positions, as PEFT has it."
    ),
}
# by file name, as run.json has it; other files are the reader's own
_SOURCES = {
    "amazon_reviews_v1.0.json": "squadshifts",
    "reddit_v1.0.json": "squadshifts",
    "new_wiki_v1.0.json": "squadshifts",
    "qamr_dev_filtered.json": "qamr",
}
_LICENCES = {
    "squadshifts": "[SQuADShifts](https://modestyachts.github.io/squadshifts-website/): CC BY 4.0",
    "qamr": "[QAMR](https://github.com/uwnlp/qamr): MIT",
    "squad": "[SQuAD v1.1](https://rajpurkar.github.io/SQuAD-explorer/): CC BY-SA 4.0",
}
_LIMITS = """\
## Limits

- Extractive: the answer is a stretch of the passage, and there is always one. It does not recognise a question that the
  passage does not answer.
- English. The encoder is small; larger ones answer better. A question is read up to 64 tokens.
- Confidence compares the answers within one passage: it is no probability that the passage tells the truth.
- Nothing was filtered for the biases of the texts it was trained on."""


@dataclass(frozen=True, slots=True)
class _Described:
    """What a card tells of `variant.json`."""

    label: str
    method: str
    backbone: str
    weights: str
    temperature: float
    sha256: dict[str, str]
    virtual_positions: str | None = None


def write_card(folder: Path, backbone: Backbone, *, name: str | None = None) -> None:
    """Write `README.md` in a variant's folder. What has not been measured is left out. `name` is the variant's, where
    its folder is still called otherwise.

    Raises:
        UserError: no `variant.json`, a damaged file of the three, or the card cannot be written.
    """
    variant = structured(_Described, read_json(folder / VARIANT_FILE), str(folder / VARIANT_FILE))
    run, metrics = read_run(folder), read_metrics(folder)
    parts = [
        _front_matter(variant, backbone, metrics, f"{name or folder.name} on {backbone.name}"),
        f"# {variant.label} on {backbone.label}",
        _summary(variant, run),
    ]
    if metrics:
        parts.append(_results(metrics, variant))
    parts.append(f"## Use\n\n{_use(variant, backbone)}")
    if run:
        parts.append(_training(run))
    parts.append(_LIMITS)
    parts.append(_licences(run, metrics))
    write_text(folder / CARD, "\n\n".join(parts) + "\n")


def _front_matter(variant: _Described, backbone: Backbone, metrics: Metrics | None, name: str) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license="apache-2.0",
        language="en",
        pipeline_tag="question-answering",
        base_model=backbone.hub_id,
        library_name="peft" if ADAPTER_FILE in variant.sha256 else None,
        tags=["question-answering", "extractive-qa", variant.method],
        metrics=["exact_match", "f1"] if metrics else None,
        model_name=name if metrics else None,
        eval_results=_model_index(metrics) if metrics else None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _scores(metrics: Metrics) -> list[tuple[str, str, Estimate]]:
    """The hub's name of each score that there is, ours, and the score."""
    found = [("exact_match", "exact match", metrics.exact_match), ("f1", "F1", metrics.f1)]
    return [*found, *([("bertscore", "BERTScore", metrics.bertscore)] if metrics.bertscore else [])]


def _model_index(metrics: Metrics) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    squad = metrics.dataset.fingerprint == SQUAD_VALIDATION
    return [
        EvalResult(
            task_type="question-answering",
            # the hub wants the id of one of its data sets, and a file's own name where it is none
            dataset_type="rajpurkar/squad" if squad else metrics.dataset.name,
            dataset_name="SQuAD v1.1" if squad else metrics.dataset.name,
            dataset_split="validation" if squad else None,
            metric_type=key,
            metric_name=f"{label} ({score.encoder})" if isinstance(score, BertScore) else label,
            metric_value=round(score.value, 2),
        )
        for key, label, score in _scores(metrics)
    ]


def _summary(variant: _Described, run: Run | None) -> str:
    text = f"Method: {variant.method}. Backbone: `{variant.backbone}`."
    if run:
        share = 100 * run.trainable_parameters / max(1, run.total_parameters)
        text += (
            f" Trained parameters: {run.trainable_parameters:,} of {run.total_parameters:,} ({share:.2f} %), the"
            " question-answering head among them."
        )
    return text


def _results(metrics: Metrics, variant: _Described) -> str:
    lines = [f"## Results\n\n{metrics.dataset.name}, {metrics.dataset.questions:,} questions, in percent.\n"]
    lines += ["| metric | value | 95 % interval |", "|---|---|---|"]
    lines += [
        f"| {label} | {score.value:.1f} | {score.low:.1f} to {score.high:.1f} |" for _, label, score in _scores(metrics)
    ]
    lines += [f"\n{sentence}" for sentence in metrics.dataset.sentences]
    lines.append(f"\n95 % intervals over {metrics.f1.over}.")
    if metrics.squad2:
        lines.append(f"\n{_squad2(metrics.squad2)}")
    if metrics.bertscore:
        lines.append(f"\nBERTScore by {metrics.bertscore.encoder}. Other encoders give other scores.")
    lines.append(f"\n{_calibration(metrics.calibration, variant)}")
    return "\n".join(lines)


def _squad2(found: Squad2) -> str:
    parts = [
        ("questions with an answer", found.has_ans_exact, found.has_ans_f1, found.has_ans_total),
        ("unanswerable questions", found.no_ans_exact, found.no_ans_f1, found.no_ans_total),
        ("all", found.exact, found.f1, found.total),
    ]
    rows = [f"| {name} | {exact:.1f} | {f1:.1f} | {count:,} |" for name, exact, f1, count in parts if exact is not None]
    return "\n".join(["| SQuAD 2's metric | exact | F1 | questions |", "|---|---|---|---|", *rows])


def _calibration(found: Calibration, variant: _Described) -> str:
    text = (
        f"Confidence misses the chance of an exact match by {found.after.overall:.1f} points on average (expected "
        f"calibration error), at a temperature of {found.temperature:.2f}; by {found.before.overall:.1f} at 1."
    )
    if found.temperature != variant.temperature:
        text += f" The temperature has changed since, to {variant.temperature:.2f}: this error is not that of today."
    return text


def _licences(run: Run | None, metrics: Metrics | None) -> str:
    """The data's, by the names of the files: of this run, of those it continued, and of the evaluation."""
    used, unknown, lines = [], [], []
    files: list[str] | None = [file.name for file in run.data.train_files] if run else None
    earlier = run.continued_from if run else None
    while files is not None:
        used += [_SOURCES[name] for name in files if name in _SOURCES] or ([] if files else ["squad"])
        unknown += [name for name in files if name not in _SOURCES]
        files = None
        if earlier and "data" in earlier:  # what run.json copied from another, which it does not vouch for
            files = [file.name for file in structured(RunData, earlier["data"], "continued_from: data").train_files]
            earlier = earlier.get("continued_from")
    lines += [f"- Trained on {_LICENCES[name]}." for name in dict.fromkeys(used)]
    lines += [f"- Trained on `{name}`: ask whoever made it." for name in dict.fromkeys(unknown)]
    if earlier:
        lines.append("- It continues an adapter that came without a record of its data: ask whoever made that.")
    if metrics and metrics.dataset.fingerprint == SQUAD_VALIDATION:
        lines.append(f"- Evaluated on {_LICENCES['squad']}. No text of it is in this folder.")
    return "\n".join(["## Licences\n", "- These weights: Apache-2.0.", *lines])


def _use(variant: _Described, backbone: Backbone) -> str:
    if variant.weights != "shipped":
        return "The weights are not kept: this is the record of a reference run."
    kind = variant.virtual_positions or variant.method
    if HEAD_FILE in variant.sha256:
        kind = "head"
    base = f"`{backbone.hub_id or backbone.label}`"
    if backbone.merges:
        base = f"the merged base that `python -m qa_compare export-base {backbone.name} --output DIR` writes"
    return _USE.get(kind, _USE["lora"]).format(base=base, backbone=backbone.name)


def _training(run: Run) -> str:
    files = ", ".join(f"`{file.name}`" for file in run.data.train_files) or "SQuAD v1.1's training questions"
    lines = [
        "## Training\n",
        (
            f"{run.data.train_questions:,} questions from {files}; {run.steps:,} steps in "
            f"{run.seconds / 60:.0f} minutes on {run.device} in {run.precision}; "
            f"best at step {run.best_step:,}; {run.stopped}."
        ),
        *(["", run.data.summary] if run.data.summary else []),
        "",
        "| hyperparameter | value |",
        "|---|---|",
    ]
    lines += [f"| {key} | {value} |" for key, value in sorted(run.hyperparameters.items()) if value is not None]
    return "\n".join(lines)
