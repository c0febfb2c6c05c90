"""The documents' tables: every variant's scores beside the figures of others, differences of two, and experiments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qa_compare.data.examples import SQUAD_VALIDATION
from qa_compare.errors import UserError
from qa_compare.files import read_bytes, write_text
from qa_compare.measure.statistics import PairedDifference
from qa_compare.models import backbones, variants
from qa_compare.runs import store
from qa_compare.runs.paired import pairs
from qa_compare.runs.records import (
    ABLATION,
    SAMPLE_EFFICIENCY,
    Experiment,
    Metrics,
    Result,
    intervals,
    over,
    read_experiment,
)
from qa_compare.runs.store import METRICS, PREDICTIONS, read_metrics, read_predictions, read_run
from qa_compare.runs.tables import NOTHING

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/results.md")  # what has tables between markers, below ROOT

_MARKED = re.compile(
    r"(?P<begin><!-- (?P<of>results|differences|experiments)\b.*?-->\n).*?(?P<end><!-- /(?P=of) -->)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A figure of others, in percent, with the decimals it was published with; None where there is none.

    `differs` says why it does not simply stand beside the variants' own.
    """

    label: str
    exact_match: str
    f1: str
    bertscore: str | None
    differs: str


_REPORT = "its 200 questions, its procedure"
_PUBLISHED = "as published; 10,570 questions"
REFERENCE_SCORER = "roberta-large"  # the report's BERTScore: no score of another encoder can be compared with it
REFERENCES = (
    Reference("the report: base", "0.0", "0.89", "10.12", _REPORT),
    Reference("the report: LoRA", "24.0", "32.6", "72.2", _REPORT),
    Reference("the report: prompt tuning", "0.0", "1.91", "58.6", _REPORT),
    Reference("logistic regression baseline", "40.14", "50.98", None, _PUBLISHED),
    Reference("Match-LSTM, ensemble", "67.63", "76.76", None, _PUBLISHED),
    Reference("BERT, ensemble", "86.21", "92.20", None, _PUBLISHED),
)
_TABLE = "".join(f"| {one.label} | {one.exact_match} | {one.f1} | {one.bertscore or NOTHING} |\n" for one in REFERENCES)
_OTHERS = f"""\
For comparison. The report's figures are on its 200 questions, by its procedure; its BERTScore is by `roberta-large`,
which no score above can be compared with. The published systems answered the same 10,570 questions.

| | exact match | F1 | BERTScore by `{REFERENCE_SCORER}` |
|---|--:|--:|--:|
{_TABLE}"""


@dataclass(frozen=True, slots=True)
class Row:
    """One variant with its scores; `trained` counts its trained parameters where the run is recorded. `stale` says
    that its weights are other ones by now."""

    backbone: str
    label: str
    metrics: Metrics
    trained: int | None
    stale: bool = False


def rows(adapters: Path, fingerprint: str = SQUAD_VALIDATION) -> list[Row]:
    """Every variant that was measured on that data set, not only those that can be loaded, in the page's order.

    Raises:
        UserError: a damaged `metrics.json` or `run.json`.
    """
    found = []
    for name, of_backbone in _by_backbone(adapters, METRICS):
        for variant in of_backbone:
            metrics = read_metrics(variant.folder) if variant.folder else None
            if variant.folder and metrics and metrics.dataset.fingerprint == fingerprint:
                run = read_run(variant.folder)
                trained = run.trainable_parameters if run else None
                stale = store.stale(metrics, variant.name, of_backbone)
                found.append(Row(name, variant.label, metrics, trained, stale))
    return found


def _by_backbone(adapters: Path, file: str) -> Iterator[tuple[str, tuple[variants.Variant, ...]]]:
    """The variants of every backbone that has a folder with that file in it, in the page's order."""
    order = {name: place for place, name in enumerate(backbones.BACKBONES)}
    names = {path.parent.parent.name for path in adapters.glob(f"*/*/{file}")}
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        yield name, variants.discover(backbones.BACKBONES.get(name, backbones.Backbone(name, name, "")), adapters)


def tables(found: Sequence[Row]) -> str:
    """The Markdown that stands between the markers: the variants' rows, and below them the figures of others.

    Each BERTScore encoder has a column of its own: scores of two hashes are never in one.
    """
    if not found:
        return f"No variant has been measured on all of it yet.\n\n{_OTHERS}"
    scorers = {row.metrics.bertscore.hash: row.metrics.bertscore.encoder for row in found if row.metrics.bertscore}
    # only a number tells columns apart when two encoders have the same description
    titles = [f"BERTScore {number}" if len(scorers) > 1 else "BERTScore" for number in range(1, len(scorers) + 1)]
    lines = [_line("backbone", "variant", "exact match", "F1", *titles, "trained parameters")]
    lines.append("|---|---|" + "--:|" * (len(scorers) + 3))
    for row in found:
        scored = row.metrics.bertscore
        meaning = [str(scored) if scored and scored.hash == one else NOTHING for one in scorers]
        trained = NOTHING if row.trained is None else f"{row.trained:,}"
        exact, f1 = str(row.metrics.exact_match), str(row.metrics.f1)
        lines.append(_line(f"`{row.backbone}`", row.label, exact, f1, *meaning, trained))
    named = [(f"`{row.backbone}` {row.label}", row.metrics.f1) for row in found]
    lines += ["", f"In percent, with {' '.join(intervals(named))}"]
    lines += list(dict.fromkeys(sentence for row in found for sentence in row.metrics.dataset.sentences))
    lines += [f"{title}: {text} (`{one}`)." for title, (one, text) in zip(titles, scorers.items(), strict=True)]
    lines += [
        f"`{row.backbone}`, {row.label}: measured on other weights than it has now." for row in found if row.stale
    ]
    return "\n".join(lines) + f"\n\n{_OTHERS}"


def differences(adapters: Path, fingerprint: str = SQUAD_VALIDATION) -> str:
    """The Markdown of how far every variant is ahead of its base, and of the head that was trained alone.

    Raises:
        UserError: a damaged `predictions.parquet`.
    """
    lines = [_line("backbone", "variant", "F1 − base", "exact match − base", "F1 − head only"), "|---|---|--:|--:|--:|"]
    basis: dict[str, None] = {}
    for backbone, of_backbone in _by_backbone(adapters, PREDICTIONS):
        found = {one.name: read_predictions(one.folder) for one in of_backbone if one.folder}
        answered = {name: table for name, table in found.items() if table and table.fingerprint == fingerprint}
        for variant in of_backbone:
            if variant.name == "base" or variant.name not in answered:
                continue
            cells = []
            for other, scores in (("base", ("f1", "exact_match")), ("head", ("f1",))):
                two = {name: answered[name] for name in (other, variant.name) if name in answered}
                pair = pairs(two)[0] if len(two) > 1 else None
                if pair:
                    basis[over(pair.resampled, pair.units)] = None
                cells += [_signed(getattr(pair, score)) if pair else NOTHING for score in scores]
            lines.append(_line(f"`{backbone}`", variant.label, *cells))
    lines += ["", *(f"95 % intervals over {one}." for one in basis)]
    return "\n".join(lines).rstrip() + "\n"


def _signed(found: PairedDifference) -> str:
    """Such as +0.81 [+0.30, +1.31]."""
    return f"{found.difference:+z.2f} [{found.low:+z.2f}, {found.high:+z.2f}]".replace("-", "−")


def experiments(adapters: Path) -> str:
    """The Markdown of what each repair and more data were worth: F1 in percent with its interval, a column a method.

    Raises:
        UserError: a damaged file.
    """
    asked = ((ABLATION, "procedure", lambda row: row.step or ""), (SAMPLE_EFFICIENCY, "trained on", _trained_on))
    made = [
        _experiment(path.parent.name, found, title, named)
        for file, title, named in asked
        for path in sorted(adapters.glob(f"*/{file}"))
        if (found := read_experiment(path))
    ]
    return "\n".join(made) or "None has been made yet.\n"


def _experiment(backbone: str, found: Experiment, title: str, named: Callable[[Result], str]) -> str:
    f1 = {(named(row), row.method): str(row.f1) for row in found.results}
    labels = [variants.LABELS.get(method, method) for method in found.methods]
    lines = [_line(f"`{backbone}`, {found.scored_on.questions:,} questions: {title}", *labels)]
    lines.append("|---|" + "--:|" * len(labels))
    names = found.steps or dict.fromkeys(name for name, _ in f1)
    lines += [_line(name, *(f1.get((name, method), NOTHING) for method in found.methods)) for name in names]
    lines += ["", *dict.fromkeys(f"95 % intervals over {row.f1.over}." for row in found.results)]
    return "\n".join(lines) + "\n"


def _trained_on(row: Result) -> str:
    return f"{row.train_questions:,} questions, {row.steps:,} steps" if row.train_questions else "nothing further"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def update(root: Path, adapters: Path, *, check: bool = False, fingerprint: str = SQUAD_VALIDATION) -> dict[str, bool]:
    """Write the tables between the markers of every document below `root`; with `check`, only look. For each document,
    whether it was up to date. Nothing is written unless every document can be made.

    Raises:
        UserError: a document has no markers, a file is damaged or cannot be written.
    """
    make: dict[str, Callable[[], str]] = {
        "results": lambda: tables(rows(adapters, fingerprint)),
        "differences": lambda: differences(adapters, fingerprint),
        "experiments": lambda: experiments(adapters),
    }
    texts = {name: read_bytes(root / name).decode("utf-8") for name in DOCUMENTS}
    for name, text in texts.items():
        if not _MARKED.search(text):
            raise UserError(f"{root / name} has no lines <!-- results … --> and <!-- /results -->")
    new = {
        name: _MARKED.sub(lambda found: f"{found['begin']}\n{make[found['of']]()}\n{found['end']}", text)
        for name, text in texts.items()
    }
    for name in DOCUMENTS:
        if new[name] != texts[name] and not check:
            write_text(root / name, new[name])
    return {name: new[name] == texts[name] for name in DOCUMENTS}
