"""The commands that measure, and that read what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from qa_compare.cli import options
from qa_compare.cli.options import EngineOptions, check_output, not_both, open_engine, progress_bar
from qa_compare.errors import UserError, quoted

if TYPE_CHECKING:
    from qa_compare.data.examples import Example
    from qa_compare.inference.engine import Engine
    from qa_compare.measure.bertscore import BertScorer
    from qa_compare.models.backbones import Backbone
    from qa_compare.models.variants import Variant
    from qa_compare.runs.evaluate import Evaluation, Pass


@click.command()
@options.file
@options.variant
@click.option("--output", type=Path, metavar="METRICS.json", help="also write the scores, in percent")
@click.option(
    "--predictions", type=Path, metavar="OUT.parquet", help="also write a row a question: its answer and scores"
)
@click.option(
    "--model", type=Path, metavar="DIR", help="the model of a variant whose weights are not shipped (train.full)"
)
@click.option("--save", is_flag=True, help="write both into the variant's folder, and its model card anew")
@click.option("--from-predictions", is_flag=True, help="score the answers that --save left anew, without any model")
@click.option(
    "--bertscore-model",
    metavar="MODEL",
    help="BERTScore's encoder: a hub id such as roberta-large, or a folder (default: all-MiniLM-L6-v2)",
)
@click.option("--no-bertscore", is_flag=True, help="leave BERTScore out")
@click.option(
    "--runs", type=Path, metavar="DIR", help="where a cut evaluation goes on from (default: runs/ beside this)"
)
@options.engine
def evaluate(
    file: Path,
    variant: str,
    output: Path | None,
    predictions: Path | None,
    model: Path | None,
    save: bool,
    from_predictions: bool,
    bertscore_model: str | None,
    no_bertscore: bool,
    runs: Path | None,
    **chosen: Unpack[EngineOptions],
) -> None:
    """Measure a variant on a file of questions with gold answers."""
    not_both("--bertscore-model", bertscore_model, "--no-bertscore", no_bertscore)
    not_both("--model", model, "--from-predictions", from_predictions)
    not_both("--bertscore-model", bertscore_model, "--from-predictions", from_predictions)

    from qa_compare.data.examples import fingerprint
    from qa_compare.data.readers import read_file

    check_output("--output", output, file)
    check_output("--predictions", predictions, file)
    if output and output == predictions:
        raise UserError("--output and --predictions name the same file")
    found = read_file(file)
    if not any(example.answers for example in found.examples):
        raise UserError(f"{found.told} No question has a gold answer to measure against")
    if from_predictions:
        evaluation, backbone, folder = _again(found.examples, variant, save, chosen)
        _write(evaluation, backbone, output, predictions, folder)
        return

    from qa_compare.measure.bertscore import open_scorer
    from qa_compare.models.backbones import ADAPTERS
    from qa_compare.models.registry import DEFAULT
    from qa_compare.runs.evaluate import Work, key, team

    together = team()
    engine = open_engine(together.device, **chosen)
    engine.precision = together.gather([engine.precision])[0]  # "auto" is measured, and must not come out two ways
    if save and engine.precision != DEFAULT:
        raise UserError(f"--save keeps what was computed in {DEFAULT}, as the page does: leave --precision out")
    if model:
        engine.bring(variant, model)
    folder = _folder(engine.variant(variant), engine.backbone) if save else None
    scorer = None if no_bertscore else open_scorer(bertscore_model)
    partial = (runs or ADAPTERS.parent / "runs") / "evaluate" / key(engine, variant, fingerprint(found.examples))
    work = Work(engine, found.examples, variant, partial, together)
    if together.main:
        print(found.told, file=sys.stderr)
    with progress_bar(work.total, variant, found=work.found, shown=together.main) as progress:
        result = work.run(progress)
    if together.main:
        evaluation = _scored(engine, variant, found.examples, file.name, result, scorer)
        _write(evaluation, engine.source, output, predictions, folder)
        print("".join(f"{note}.\n" for note in _notes(engine, found.examples, evaluation)), end="")
    together.leave()
    work.forget()


def _again(
    examples: list[Example], name: str, save: bool, chosen: EngineOptions
) -> tuple[Evaluation, Backbone, Path | None]:
    """The scores of the answers that lie in the variant's folder, computed anew without a model."""
    from qa_compare.models.backbones import get
    from qa_compare.models.variants import discover
    from qa_compare.runs.evaluate import again
    from qa_compare.runs.store import read_metrics, read_predictions

    backbone = get(chosen["backbone"])
    variants = {one.name: one for one in discover(backbone, chosen["adapters"])}
    if name not in variants:
        raise UserError(f"unknown variant {quoted(name)}: there are {', '.join(variants)}")
    variant = variants[name]
    table = read_predictions(variant.folder) if variant.folder else None
    metrics = read_metrics(variant.folder) if variant.folder else None
    if table is None or metrics is None:
        raise UserError(f"{name} of {backbone.name} has no saved answers: evaluate it with --save first")
    folder = _folder(variant, backbone.name) if save else None
    return again(examples, table, metrics), backbone, folder


def _folder(variant: Variant, backbone: str) -> Path:
    """The variant's folder, to be written to. Raises UserError where that, or its card, cannot be done."""
    from qa_compare.runs.model_card import CARD
    from qa_compare.runs.store import METRICS, PREDICTIONS, read_run

    if variant.folder is None:
        raise UserError(f"--save: {variant.name} of {backbone} has no folder; use --output and --predictions")
    for name in (PREDICTIONS, METRICS, CARD):
        check_output("--save", variant.folder / name)
    read_run(variant.folder)  # the card is made from it: a damaged one is told before the work, not after it
    return variant.folder


def _scored(
    engine: Engine, variant: str, examples: list[Example], file: str, result: Pass, scorer: BertScorer | None
) -> Evaluation:
    from qa_compare.runs import store
    from qa_compare.runs.evaluate import evaluate as scored

    with progress_bar(None, "BERTScore", unit="pairs", shown=scorer is not None) as progress:
        return scored(
            examples,
            result,
            name=file,
            temperature=engine.variant(variant).temperature,
            precision=engine.precision,
            scorer=scorer,
            weights=store.weights(variant, engine.variants),
            progress=progress,
        )


def _write(
    evaluation: Evaluation, backbone: Backbone, output: Path | None, predictions: Path | None, folder: Path | None
) -> None:
    """Write the scores and a row a question where they are wanted, the card into the folder; print the scores."""
    from qa_compare.cli.printing import summary
    from qa_compare.runs.model_card import write_card
    from qa_compare.runs.store import METRICS, PREDICTIONS, write_metrics, write_predictions

    for path in filter(None, (predictions, folder and folder / PREDICTIONS)):
        write_predictions(path, evaluation.predictions)
    for path in filter(None, (output, folder and folder / METRICS)):
        write_metrics(path, evaluation.metrics)
    if folder:
        write_card(folder, backbone)
    print(summary(evaluation))


def _notes(engine: Engine, examples: list[Example], evaluation: Evaluation) -> list[str]:
    """What to know of the scores."""
    from qa_compare.measure.scoring import nothing_left

    table = evaluation.predictions
    return [*engine.overlong(examples).sentences, *filter(None, [nothing_left(table.exact_match, table.f1)])]


@click.command()
@options.file
@click.option("--questions", type=options.positive, default=200, metavar="N", help="so many of them (default: 200)")
@click.option("--rounds", type=options.positive, default=5, metavar="N", help="that count, after one (default: 5)")
@click.option("--save", is_flag=True, help="into the metrics.json of every variant that has one")
@options.engine
def speed(file: Path, questions: int, rounds: int, save: bool, **chosen: Unpack[EngineOptions]) -> None:
    """Measure how fast the variants answer, in turns."""
    import random

    from qa_compare.data.readers import read_examples
    from qa_compare.runs import speed as runs

    examples = read_examples(file)
    if len(examples) > questions:
        examples = random.Random(0).sample(examples, questions)
    engine = open_engine(**chosen)
    usable = [variant for variant in engine.variants if variant.shipped and not variant.problem]
    if not usable:
        raise UserError(f"{engine.backbone} has no variant that can be used")
    with progress_bar(None, engine.backbone, unit="passes") as progress:
        found = runs.measure(engine, examples, [variant.name for variant in usable], rounds, progress)
    for variant in usable:
        kept = save and variant.folder and runs.save(variant.folder, found[variant.name], engine.precision)
        note = "" if kept or not save else "  (no metrics.json to save it in)"
        print(f"{variant.label:<20} {found[variant.name]:>8,.1f} questions a second{note}")


@click.command()
@options.backbone
@options.adapters
@click.option("--json", "as_json", is_flag=True, help="print one JSON list, an object for every two variants")
def paired(backbone: str, adapters: Path, as_json: bool) -> None:
    """Show how far every two measured variants are apart.

    The difference is computed from the predictions that `evaluate --save` left, question by question.
    """
    from qa_compare.models.backbones import get
    from qa_compare.runs.paired import pairs, saved

    tables = saved(get(backbone), adapters)
    found = pairs(tables)
    if not found:
        raise UserError(
            f"no two variants of {get(backbone).name} have predictions on the same questions "
            f"(found: {', '.join(tables) or 'none'}): python -m qa_compare evaluate FILE --variant NAME --save"
        )
    if as_json:
        print(json.dumps([pair.as_dict() for pair in found], indent=2, ensure_ascii=True))
        return
    basis = dict.fromkeys(pair.basis for pair in found)
    print("\n\n".join(["\n".join(pair.sentences) for pair in found] + ["\n".join(basis)]))


@click.command()
@options.adapters
@click.option("--check", is_flag=True, help="write nothing; exit status 1 where they are stale")
def results(adapters: Path, check: bool) -> int:
    """Write the documents' tables of results.

    They are made from adapters/*/*/metrics.json.
    """
    from qa_compare.runs import readme

    found = readme.update(readme.ROOT, adapters, check=check)
    for name, current in found.items():
        if not check:
            print(f"{name} {'was up to date' if current else 'is rewritten'}")
        elif not current:
            print(f"{name} does not show what the metrics.json files say: make results", file=sys.stderr)
    return 0 if all(found.values()) or not check else 1
