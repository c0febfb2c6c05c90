"""What `evaluate`, `speed`, `paired` and `results` do. Results go to standard output, progress to standard error."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qa_compare.cli.commands import adapters_folder, check_output, open_engine, progress_bar
from qa_compare.data.examples import Example, fingerprint
from qa_compare.data.readers import read_examples, read_file
from qa_compare.errors import UserError, quoted
from qa_compare.measure.scoring import nothing_left
from qa_compare.runs.model_card import CARD, write_card
from qa_compare.runs.records import intervals
from qa_compare.runs.store import (
    METRICS,
    PREDICTIONS,
    read_metrics,
    read_predictions,
    read_run,
    write_metrics,
    write_predictions,
)

if TYPE_CHECKING:
    from qa_compare.inference.engine import Engine
    from qa_compare.measure.bertscore import BertScorer
    from qa_compare.measure.scoring import Squad2
    from qa_compare.models.backbones import Backbone
    from qa_compare.models.variants import Variant
    from qa_compare.runs.evaluate import Evaluation, Pass
    from qa_compare.runs.records import Estimate


def evaluate(arguments: argparse.Namespace) -> None:
    """Measure a variant on a file of questions with gold answers; goes on where an earlier call was cut."""
    from qa_compare.models.registry import DEFAULT
    from qa_compare.runs.evaluate import Work, key, team

    _check_outputs(arguments)
    found = read_file(arguments.file)
    examples = found.examples
    if not any(example.answers for example in examples):
        raise UserError(f"{found.told} No question has a gold answer to measure against")
    if arguments.from_predictions:
        _again(arguments, examples)
        return
    together = team()
    engine = open_engine(arguments, together.device)
    engine.precision = together.gather([engine.precision])[0]  # "auto" is measured, and must not come out two ways
    if arguments.save and engine.precision != DEFAULT:
        raise UserError(f"--save keeps what was computed in {DEFAULT}, as the page does: leave --precision out")
    if arguments.model:
        engine.bring(arguments.variant, arguments.model)
    folder = _folder(arguments, engine.variant(arguments.variant), engine.backbone)
    scorer = _scorer(arguments)
    partial = _runs(arguments) / "evaluate" / key(engine, arguments.variant, fingerprint(examples))
    work = Work(engine, examples, arguments.variant, partial, together)
    if together.main:
        print(found.told, file=sys.stderr)
    with progress_bar(work.total, arguments.variant, found=work.found, shown=together.main) as progress:
        result = work.run(progress)
    if together.main:
        evaluation = _scored(arguments, engine, examples, result, scorer)
        _write(arguments, engine.source, evaluation, folder)
        print(_summary(evaluation))
        for sentence in _notes(engine, examples, evaluation):
            print(f"{sentence}.")
    together.leave()
    work.forget()


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse places that cannot be written before anything is computed."""
    for option, path in (("--output", arguments.output), ("--predictions", arguments.predictions)):
        if path:
            check_output(option, path, arguments.file)
    if arguments.output and arguments.output == arguments.predictions:
        raise UserError("--output and --predictions name the same file")


def _again(arguments: argparse.Namespace, examples: list[Example]) -> None:
    """The scores of the answers that lie in the variant's folder, computed anew without a model."""
    from qa_compare.models.backbones import get
    from qa_compare.models.variants import discover
    from qa_compare.runs.evaluate import again

    for option in ("model", "bertscore_model"):
        if getattr(arguments, option):
            name = f"--{option.replace('_', '-')}"
            raise UserError(f"{name} has no meaning with --from-predictions, which runs no model")
    backbone = get(arguments.backbone)
    variants = {one.name: one for one in discover(backbone, adapters_folder(arguments))}
    if arguments.variant not in variants:
        raise UserError(f"unknown variant {quoted(arguments.variant)}: there are {', '.join(variants)}")
    variant = variants[arguments.variant]
    table = read_predictions(variant.folder) if variant.folder else None
    metrics = read_metrics(variant.folder) if variant.folder else None
    if table is None or metrics is None:
        raise UserError(f"{variant.name} of {backbone.name} has no saved answers: evaluate it with --save first")
    folder = _folder(arguments, variant, backbone.name)
    evaluation = again(examples, table, metrics)
    _write(arguments, backbone, evaluation, folder)
    print(_summary(evaluation))


def _folder(arguments: argparse.Namespace, variant: Variant, backbone: str) -> Path | None:
    """The variant's folder where it is to be written to. Raises UserError where that, or its card, cannot be done."""
    if not arguments.save:
        return None
    if variant.folder is None:
        raise UserError(f"--save: {variant.name} of {backbone} has no folder; use --output and --predictions")
    for name in (PREDICTIONS, METRICS, CARD):
        check_output("--save", variant.folder / name)
    read_run(variant.folder)  # the card is made from it: a damaged one is told before the work, not after it
    return variant.folder


def _runs(arguments: argparse.Namespace) -> Path:
    from qa_compare.models.backbones import ADAPTERS

    folder: Path = arguments.runs or ADAPTERS.parent / "runs"
    return folder


def _scorer(arguments: argparse.Namespace) -> BertScorer | None:
    from qa_compare.measure.bertscore import open_scorer

    return None if arguments.no_bertscore else open_scorer(arguments.bertscore_model)


def _scored(
    arguments: argparse.Namespace, engine: Engine, examples: list[Example], result: Pass, scorer: BertScorer | None
) -> Evaluation:
    from qa_compare.runs import evaluate as evaluation
    from qa_compare.runs import store

    with progress_bar(None, "BERTScore", unit="pairs", shown=scorer is not None) as progress:
        return evaluation.evaluate(
            examples,
            result,
            name=arguments.file.name,
            temperature=engine.variant(arguments.variant).temperature,
            precision=engine.precision,
            scorer=scorer,
            weights=store.weights(arguments.variant, engine.variants),
            progress=progress,
        )


def _write(arguments: argparse.Namespace, backbone: Backbone, evaluation: Evaluation, folder: Path | None) -> None:
    tables, metrics = [arguments.predictions], [arguments.output]
    if folder:
        tables.append(folder / PREDICTIONS)
        metrics.append(folder / METRICS)
    for path in filter(None, tables):
        write_predictions(path, evaluation.predictions)
    for path in filter(None, metrics):
        write_metrics(path, evaluation.metrics)
    if folder:
        write_card(folder, backbone)


def _summary(evaluation: Evaluation) -> str:
    metrics = evaluation.metrics
    calibration = metrics.calibration
    lines = [
        f"questions          {metrics.dataset.questions:>6,}  {metrics.questions_per_second:,.1f} a second",
        f"exact match        {_estimate(metrics.exact_match)}",
        f"F1                 {_estimate(metrics.f1)}",
    ]
    if metrics.bertscore:
        lines.append(f"BERTScore          {_estimate(metrics.bertscore)}  {metrics.bertscore.encoder}")
    lines.append(
        f"calibration error  {calibration.after.overall:>6.2f}  at temperature {calibration.temperature:.2f}"
        f" ({calibration.before.overall:.2f} at 1)"
    )
    if metrics.squad2:
        lines += _squad2(metrics.squad2)
    lines += ["", *metrics.dataset.sentences, *intervals([("", metrics.f1)])]
    return "\n".join(lines)


def _squad2(found: Squad2) -> list[str]:
    def line(name: str, exact: float | None, f1: float | None, more: str) -> str:
        return f"{name:<19}" + ("  –" if exact is None or f1 is None else f"{exact:>6.2f}  {f1:>6.2f}  {more}")

    lines = [
        "",
        f"{'SQuAD 2':<19} exact      F1",
        line("with an answer", found.has_ans_exact, found.has_ans_f1, f"{found.has_ans_total:,} questions (HasAns)"),
        line("unanswerable", found.no_ans_exact, found.no_ans_f1, f"{found.no_ans_total:,} questions (NoAns)"),
        line("all of them", found.exact, found.f1, f"{found.total:,} questions, each answered"),
    ]
    if found.best_exact is not None and found.best_f1 is not None:
        where = ", ".join(
            "all declined" if threshold is None else f"declined above {threshold:z.2f}"
            for threshold in (found.best_exact_threshold, found.best_f1_threshold)
        )
        lines.append(line("at best", found.best_exact, found.best_f1, f"{where}: null score − best span's, in logits"))
    return lines


def _notes(engine: Engine, examples: list[Example], evaluation: Evaluation) -> list[str]:
    """What to know of the scores."""
    table = evaluation.predictions
    return [*engine.overlong(examples).sentences, *filter(None, [nothing_left(table.exact_match, table.f1)])]


def _estimate(found: Estimate) -> str:
    return f"{found.value:>6.2f}  [{found.low:.2f}, {found.high:.2f}]"


def speed(arguments: argparse.Namespace) -> None:
    """Print how many questions a second each variant answers, in turns; with --save, also into their metrics.json."""
    import random

    from qa_compare.runs.speed import measure, save

    examples = read_examples(arguments.file)
    if len(examples) > arguments.questions:
        examples = random.Random(0).sample(examples, arguments.questions)
    engine = open_engine(arguments)
    usable = [variant for variant in engine.variants if variant.shipped and not variant.problem]
    if not usable:
        raise UserError(f"{engine.backbone} has no variant that can be used")
    with progress_bar(None, engine.backbone, unit="passes") as progress:
        found = measure(engine, examples, [variant.name for variant in usable], arguments.rounds, progress)
    for variant in usable:
        kept = arguments.save and variant.folder and save(variant.folder, found[variant.name], engine.precision)
        note = "" if kept or not arguments.save else "  (no metrics.json to save it in)"
        print(f"{variant.label:<20} {found[variant.name]:>8,.1f} questions a second{note}")


def paired(arguments: argparse.Namespace) -> None:
    """Print the difference of every two variants from their saved predictions, in words or as JSON."""
    from qa_compare.models.backbones import get
    from qa_compare.runs.paired import pairs, saved

    backbone = get(arguments.backbone)
    tables = saved(backbone, adapters_folder(arguments))
    found = pairs(tables)
    if not found:
        raise UserError(
            f"no two variants of {backbone.name} have predictions on the same questions "
            f"(found: {', '.join(tables) or 'none'}): python -m qa_compare evaluate FILE --variant NAME --save"
        )
    if arguments.json:
        print(json.dumps([pair.as_dict() for pair in found], indent=2, ensure_ascii=True))
        return
    basis = dict.fromkeys(pair.basis for pair in found)
    print("\n\n".join(["\n".join(pair.sentences) for pair in found] + ["\n".join(basis)]))


def results(arguments: argparse.Namespace) -> bool:
    """Bring the documents' tables up to date, or only look; False where a check finds them stale."""
    from qa_compare.runs import readme

    found = readme.update(readme.ROOT, adapters_folder(arguments), check=arguments.check)
    for name, current in found.items():
        if not arguments.check:
            print(f"{name} {'was up to date' if current else 'is rewritten'}")
        elif not current:
            print(f"{name} does not show what the metrics.json files say: make results", file=sys.stderr)
    return all(found.values()) or not arguments.check
